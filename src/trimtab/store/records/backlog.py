"""What waits to be written: records, configuration versions, and the totals of records that found no room.

What it is not: a thread; of the disk it knows only the journal, which takes records that found no room in memory.
Invariant: every record that `put` takes is, at any moment and exactly once, in one of: pending, spilled, a gap, or
settled.
All state is behind one lock that is held for microseconds, never across input or output.
"""

import itertools
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence

import msgspec

from trimtab.records import Outcome
from trimtab.records.billed import COUNT_MAX, plain_count
from trimtab.store.records.journal import Journal
from trimtab.store.records.rows import (
    BILLED,
    CHECKS,
    HOUR_MS,
    NO_COUNTS,
    SUM_MAX,
    Counts,
    Row,
    add,
    counts,
    plain_name,
)

BYTES_MAX = 64 * 1024 * 1024
"""JSON bytes of pending records. A process grew by 177 MiB when 60,000 typical records (1,120 bytes of JSON each) had
filled it, so that is the most that a store which is down costs."""

GAPS_MAX = 10_000
"""Gaps that are kept by the hour at a time, about 5 MB. Beyond them a record joins the gap of its purpose and key that
knows no hour, of which there are no more than keys: a key's money stays its own, whatever happens."""

LOOKS_AT_REST = 50
"""How often in a row the writer looks in vain before it sleeps until it is woken: 5 s at the usual `batch_ms`. Being
woken costs whoever records 10 to 30 us, and both threads then want the interpreter, just when an answer is to be sent;
a look in vain costs 20 us."""

GapKey = tuple[int, str, bool, str]
"""Hour (Unix milliseconds // `HOUR_MS`; `NO_HOUR`), purpose, simulated, key."""

NO_HOUR = -1


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One pending record, encoded once."""

    outcome: Outcome
    detail: bytes
    own: bool = True
    """Whether this process made the call; not so for what it recovered from another's journal."""
    segment: int | None = None
    """The journal file that holds it too."""


class Gap(msgspec.Struct, frozen=True):
    """The sum of dropped records of one hour, purpose, kind and key."""

    purpose: str
    simulated: bool
    key: str
    team: str
    organisation: str
    from_ms: int
    to_ms: int
    counts: Counts
    own_nanousd: int
    """What this process spent of it for purposes that count against a key."""
    drawn: tuple[tuple[str, int, int], ...] = ()
    """By account of a budget: what it came to, and what of that this process had leased."""

    @property
    def place(self) -> tuple[int, int, str]:
        """Where it is rolled up: the hour of its last record, simulated, purpose."""
        return self.to_ms - self.to_ms % HOUR_MS, int(self.simulated), self.purpose

    def row(self, writer: str, serial: int) -> Row:
        """One row of `record_gaps`."""
        owner = (self.key, self.team, self.organisation)
        return (
            writer,
            serial,
            self.purpose,
            int(self.simulated),
            *owner,
            self.from_ms,
            self.to_ms,
            *self.counts,
        )


class ConfigVersion(msgspec.Struct, frozen=True):
    """What a configuration version says."""

    version: str
    at_ms: int
    content: bytes


class Replay(msgspec.Struct, frozen=True):
    """Records that wait in a file: they were spilled, or another process left them."""

    load: Callable[[], Sequence[Outcome]]
    """Reads them. Blocks on disk."""
    own: bool
    done: Callable[[], None]
    """Called once when they are in the store, from the writer's thread."""
    sums: tuple[Gap, ...] = ()
    """What they add to a total meanwhile."""


class Batch(msgspec.Struct, frozen=True):
    """What one commit writes. Until it is settled its parts still count as waiting."""

    entries: tuple[Entry, ...]
    gaps: tuple[Gap, ...]
    gap_serial: int
    """Names these gaps within this process, so that writing them twice counts once."""
    configs: tuple[ConfigVersion, ...]
    replay: Replay | None = None
    """Where the entries come from, if not from memory."""


class Waiting(msgspec.Struct, frozen=True):
    """What no commit holds yet."""

    entries: tuple[Entry, ...]
    gaps: tuple[Gap, ...]

    def counts(self, since_ms: int, simulated: bool) -> list[Counts]:
        """What each part adds to a total."""
        outcomes = (entry.outcome for entry in self.entries)
        found = [counts(o) for o in outcomes if o.at_ms >= since_ms and o.simulated == simulated]
        return found + [
            gap.counts for gap in self.gaps if gap.to_ms >= since_ms and gap.simulated == simulated
        ]


class Backlog:
    """The bounded queue between everybody who records and the one writer."""

    def __init__(
        self, queue_max: int, batch_max: int, bytes_max: int = BYTES_MAX, journal: Journal | None = None
    ) -> None:
        self._queue_max = queue_max
        self.batch_max = batch_max
        self._bytes_max = bytes_max
        self._encode = msgspec.json.Encoder().encode
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._pending: dict[str, Entry] = {}
        self._bytes = 0
        self._gaps: dict[GapKey, Gap] = {}
        self._leaving: tuple[Gap, ...] = ()
        self._serial = 0
        self._configs: dict[str, ConfigVersion] = {}
        self._unwritten: set[str] = set()
        self._asleep = False
        """Whether the writer waits until it is woken, and not for a time."""
        self._closing = False
        self._sealed = False
        self._dropped = 0
        self._journal = journal
        self._spilled: dict[int, dict[GapKey, Gap]] = {}
        """By journal file: the sums of records that only the file holds."""
        self._replays: deque[Replay] = deque()
        self._refused: set[str] = set()
        """Records of the first replay that are in a gap already, should it have to begin again."""

    def put(self, outcome: Outcome, recovered: bool = False) -> None:
        """Take a record; see `Store.put`."""
        try:
            detail = self._encode(outcome)
            segment = None if self._journal is None else self._journal.settle(outcome.id, detail)
            entry = Entry(outcome, detail, not recovered, segment)
        except Exception:  # whatever is wrong with it, the caller's answer is on its way and must not suffer
            with self._lock:
                self._drop(outcome, not recovered)
            return
        size = len(entry.detail)
        with self._lock:
            pending = self._pending
            if outcome.id in pending:
                return
            waiting = len(pending)
            if waiting >= self._queue_max or self._bytes + size > self._bytes_max or self._sealed:
                if segment is None:
                    self._drop(outcome, entry.own)
                else:
                    _fold(self._spilled.setdefault(segment, {}), outcome, entry.own)
                return
            pending[outcome.id] = entry
            self._bytes += size
            if self._asleep or waiting + 1 == self.batch_max:
                self._changed.notify()

    def _drop(self, outcome: Outcome, own: bool) -> None:
        """Fold a record into its gap. Under the lock."""
        self._dropped += 1
        if _fold(self._gaps, outcome, own):
            self._changed.notify()

    def replay(self, replay: Replay) -> None:
        """Have records written that another process left in its journal."""
        with self._changed:
            self._replays.append(replay)
            self._changed.notify()

    def next_replay(self) -> Replay | None:
        """What to write from files while memory is at ease; it stays queued until it is settled."""
        with self._lock:
            if len(self._pending) >= self.batch_max:
                return None
            if not self._replays and self._spilled and self._journal is not None:
                number = min(self._spilled)
                sums = tuple(self._spilled.pop(number).values())
                self._replays.append(_spilled_replay(self._journal, number, sums))
            return self._replays[0] if self._replays else None

    def reject(self, entry: Entry, *, replayed: bool = False) -> None:
        """Move a record, which the file refuses whatever one does, to its gap."""
        with self._lock:
            if replayed:
                if entry.outcome.id not in self._refused:
                    self._refused.add(entry.outcome.id)
                    self._drop(entry.outcome, entry.own)
            elif self._pending.pop(entry.outcome.id, None) is not None:
                self._bytes -= len(entry.detail)
                self._drop(entry.outcome, entry.own)

    def find(self, request_id: str) -> bytes | None:
        """The JSON of a pending record."""
        entry = self._pending.get(request_id)
        return None if entry is None else entry.detail

    def note_config(self, config: ConfigVersion) -> None:
        """Take a configuration version. Kept for good, because a new file needs it again."""
        with self._lock:
            if config.version not in self._configs:
                self._configs[config.version] = config
                self._unwritten.add(config.version)
                self._changed.notify()

    def repeat_configs(self) -> None:
        """Queue every version again: the file may be a new one."""
        with self._lock:
            self._unwritten.update(self._configs)

    def batch(self) -> Batch | None:
        """The oldest records, at most `batch_max`, with all gaps and versions; `None` when nothing waits."""
        with self._lock:
            if not (self._pending or self._gaps or self._leaving or self._unwritten):
                return None
            if self._gaps and not self._leaving:
                self._leaving = tuple(self._gaps.values())
                self._gaps = {}
                self._serial += 1
            return Batch(
                entries=tuple(itertools.islice(self._pending.values(), self.batch_max)),
                gaps=self._leaving,
                gap_serial=self._serial,
                configs=tuple(self._configs[version] for version in sorted(self._unwritten)),
            )

    def settle(self, batch: Batch) -> None:
        """Forget what has been committed."""
        if batch.replay is not None:
            with self._lock:
                self._replays.remove(batch.replay)
                self._refused.clear()
            batch.replay.done()
            return
        saved: Counter[int] = Counter()
        with self._lock:
            for entry in batch.entries:
                if self._pending.pop(entry.outcome.id, None) is not None:
                    self._bytes -= len(entry.detail)
                    if entry.segment is not None:
                        saved[entry.segment] += 1
            if batch.gaps:
                self._leaving = ()
            self._unwritten.difference_update(config.version for config in batch.configs)
        if self._journal is not None:
            for number, outcomes in saved.items():
                self._journal.saved(number, outcomes)

    def wait_for_batch(self, linger_s: float) -> None:
        """Block for `linger_s`, less when a batch is full; where nothing waits then, again and again, until something
        does. Returns at once when closing."""
        with self._changed:
            for _ in range(LOOKS_AT_REST):
                if self._changed.wait_for(self._ripe, linger_s) or self._waiting():
                    return
            self._asleep = True
            self._changed.wait_for(lambda: self._closing or self._waiting())
            self._asleep = False
            self._changed.wait_for(self._ripe, linger_s)

    def wait_for_closing(self, timeout_s: float) -> None:
        """Block up to `timeout_s`, less when closing begins."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing, timeout_s)

    def start_closing(self) -> None:
        """Let waits end; from now on a record only counts towards its gap."""
        with self._changed:
            self._closing = self._sealed = True
            self._changed.notify_all()

    @property
    def closing(self) -> bool:
        """Whether `start_closing` was called."""
        return self._closing

    @property
    def pending(self) -> int:
        """Records that are not settled."""
        return len(self._pending)

    @property
    def dropped(self) -> int:
        """Records folded into gaps, written or not."""
        return self._dropped

    @property
    def spilled(self) -> int:
        """Records that wait in journal files only."""
        with self._lock:
            return sum(gap.counts[0] for gap in self._spilled_sums())

    def unaccounted(self) -> int:
        """Records that no file knows of yet, neither as rows, nor in a journal, nor as a gap."""
        with self._lock:
            pending = sum(entry.segment is None for entry in self._pending.values())
            return pending + sum(gap.counts[0] for gap in self._unwritten_gaps())

    def waiting(self) -> Waiting:
        """All that is not settled, at one moment."""
        with self._lock:
            sums = (*self._unwritten_gaps(), *self._spilled_sums())
            return Waiting(tuple(self._pending.values()), sums)

    def _ripe(self) -> bool:
        return self._closing or len(self._pending) >= self.batch_max

    def _waiting(self) -> bool:
        held = self._pending or self._gaps or self._leaving or self._unwritten
        return bool(held or self._spilled or self._replays)

    def _spilled_sums(self) -> list[Gap]:
        by_file = [gap for sums in self._spilled.values() for gap in sums.values()]
        return by_file + [gap for replay in self._replays for gap in replay.sums]

    def _unwritten_gaps(self) -> list[Gap]:
        return [*self._leaving, *self._gaps.values()]


def _spilled_replay(journal: Journal, number: int, sums: tuple[Gap, ...]) -> Replay:
    count = sum(gap.counts[0] for gap in sums)
    return Replay(lambda: journal.outcomes(number), True, lambda: journal.saved(number, count), sums)


def _fold(sums: dict[GapKey, Gap], outcome: Outcome, own: bool) -> bool:
    """Add a record to the sum that it belongs to; whether that is a new one."""
    new = _gap_of(outcome, own)
    key: GapKey = (new.from_ms // HOUR_MS, new.purpose, new.simulated, new.key)
    old = sums.get(key)
    if old is None and len(sums) >= GAPS_MAX:
        key = (NO_HOUR, *key[1:])
        old = sums.get(key)
    sums[key] = new if old is None else _join(old, new)
    return old is None


def _gap_of(outcome: Outcome, own: bool) -> Gap:
    try:
        at_ms = min(max(int(outcome.at_ms), 0), COUNT_MAX)
        purpose, figures = plain_name(outcome.purpose), counts(outcome)
        return Gap(
            purpose=purpose,
            simulated=bool(outcome.simulated),
            key=plain_name(outcome.key),
            team=plain_name(outcome.team),
            organisation=plain_name(outcome.organisation),
            from_ms=at_ms,
            to_ms=at_ms,
            counts=figures,
            own_nanousd=figures[2] if own and outcome.leased and purpose in (*BILLED, *CHECKS) else 0,
            drawn=tuple(
                (
                    draw.account,
                    plain_count(draw.amount),
                    plain_count(draw.amount) if own and draw.leased else 0,
                )
                for draw in outcome.draws
            ),
        )
    except Exception:  # a record without sense still counts as one
        return Gap("live", False, "", "", "", 0, 0, (1, *NO_COUNTS[1:]), 0)


def _join(old: Gap, new: Gap) -> Gap:
    return msgspec.structs.replace(
        new,
        from_ms=min(old.from_ms, new.from_ms),
        to_ms=max(old.to_ms, new.to_ms),
        counts=add(old.counts, new.counts),
        own_nanousd=min(old.own_nanousd + new.own_nanousd, SUM_MAX),
        drawn=_together(old.drawn, new.drawn) if new.drawn else old.drawn,
    )


def _together(
    old: Sequence[tuple[str, int, int]], new: Sequence[tuple[str, int, int]]
) -> tuple[tuple[str, int, int], ...]:
    """By account, each once."""
    sums = {account: (amount, own) for account, amount, own in old}
    for account, amount, own in new:
        known = sums.get(account, (0, 0))
        sums[account] = min(known[0] + amount, SUM_MAX), min(known[1] + own, SUM_MAX)
    return tuple((account, *figures) for account, figures in sums.items())
