"""How every place does, from the calls that went there: health, what is left of its rate limits, speed.

What it is not: a choice (`choosing`), or a count for the records. One for each process; it outlives a change of
configuration. No IO, no waiting; used on the event loop only; clocks and chance are passed in.

Invariants: a place is never kept away for ever (`breaker`, `limits`); keeping away is advice, and a place that is the
only one left may be called all the same.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from trimtab.routing.breaker import Breaker, Started
from trimtab.routing.limits import Bucket, Head, Remaining, retry_after

Ending = Literal["ok", "failed", "limited", "spent", "denied", "unclear"]
"""How a call ended. `failed`: 5xx, 529, no head, cut off, a deadline. `limited`: 429. `spent`: the
account's spend limit is reached. `denied`: our credentials were refused. `unclear`: given up by the caller."""

MOST_ROWS = 4096
"""Places times models that are known, about 6 MB; real configurations have a few dozen. Beyond it the oldest goes."""

HALF_LIFE_S = 120.0
"""A measurement counts half as much after two minutes, so that means follow the hour and not a single call."""

DENIED_FIRST_S, DENIED_MOST_S = 30.0, 600.0
"""Refused credentials are mended by people: tried again after 30 s, then twice as long each time, to 10 minutes."""

SPENT_FIRST_S, SPENT_MOST_S = 300.0, 3600.0
"""A spend limit ends with the month or by somebody's hand: 5 minutes, to an hour."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How one model does at one place now."""

    place: str
    """The key of the place."""
    model: str
    state: Literal["closed", "open", "half_open"]
    """Of the circuit breaker: calls go there, none does, one tries."""
    away: str | None
    """Why no call should go there now, for whatever reason."""
    away_for_s: float
    """For how long at least; 0 where calls may go there."""
    calls: int
    """Ended in the last 30 s, since the breaker last changed its state."""
    failures: int
    first_content_ms: float | None
    """Mean time to the first content, lately; `None` while none was measured."""
    tokens_per_s: float | None
    """Mean speed of generating, lately."""
    measured: float
    """How many measurements that is worth; each counts half after two minutes."""
    bucket: str
    """The rate limit, which models may share."""
    room: float | None
    """The part of the rate limit that is left, 0 to 1; `None` where the platform does not say."""
    limits: tuple[Remaining, ...]


class _Row:
    """One place and model. Sums of measurements decay together."""

    __slots__ = (
        "account",
        "breaker",
        "limits",
        "measured_at",
        "seconds",
        "shared",
        "timed",
        "tokens",
        "waited_ms",
    )

    def __init__(self, breaker: Breaker, account: Breaker, limits: Bucket, shared: str) -> None:
        self.breaker = breaker
        self.account = account
        self.limits = limits
        self.shared = shared
        self.measured_at = 0.0
        self.timed = 0.0
        """Measurements of the time to the first content, decayed."""
        self.waited_ms = 0.0
        self.tokens = 0.0
        self.seconds = 0.0

    def measure(self, now: float, first_content_ms: float, tokens: int, generating_ms: float) -> None:
        keep = 0.5 ** ((now - self.measured_at) / HALF_LIFE_S) if self.timed else 0.0
        self.measured_at = now
        self.timed = self.timed * keep + 1.0
        self.waited_ms = self.waited_ms * keep + first_content_ms
        if tokens > 0 and generating_ms > 0:
            # A ratio of sums: an answer of three tokens in one piece would have an absurd speed of its own.
            self.tokens = self.tokens * keep + tokens
            self.seconds = self.seconds * keep + generating_ms / 1000
        else:
            self.tokens *= keep
            self.seconds *= keep

    def measured(self, now: float) -> float:
        return self.timed * 0.5 ** (max(now - self.measured_at, 0.0) / HALF_LIFE_S) if self.timed else 0.0


class Standings:
    """What is known of every place and model. Keeps `MOST_ROWS` of them."""

    def __init__(
        self,
        monotonic: Callable[[], float],
        unix_s: Callable[[], float],
        chance: Callable[[], float],
        buckets: Mapping[tuple[str, str], str] | None = None,
    ) -> None:
        """`chance` gives numbers from 0 to 1; `buckets` as for `use_buckets`."""
        self._monotonic = monotonic
        self._unix_s = unix_s
        self._chance = chance
        self._buckets = dict(buckets or {})
        self._rows: dict[tuple[str, str], _Row] = {}
        self._accounts: dict[str, Breaker] = {}
        self._limits: dict[tuple[str, str], Bucket] = {}

    def use_buckets(self, buckets: Mapping[tuple[str, str], str]) -> None:
        """Another configuration is in force: which rate limit a model has at a place, by key of the place and id of
        the model; one that is not named has its own."""
        if self._buckets != buckets:
            self._buckets = dict(buckets)
            for (place_key, model_id), row in self._rows.items():
                self._share(row, place_key, model_id)

    def keeps_away(self, place_key: str, model_id: str) -> str | None:
        """Why no call should go there now, as a short phrase; `None` when one may. Cost: 0.25 us."""
        row = self._rows.get((place_key, model_id))
        now = self._monotonic()
        if row is None:
            # Never called there; but its account, or a model that shares its limit, may have been.
            account = self._accounts.get(place_key)
            limits = self._limits.get((place_key, self._buckets.get((place_key, model_id), model_id)))
            return (account.away(now) if account is not None else None) or (
                limits.away(now) if limits is not None else None
            )
        if row.account.is_open and (why := row.account.away(now)) is not None:
            return why
        if row.breaker.is_open and (why := row.breaker.away(now)) is not None:
            return why
        return row.limits.away(now) if now < row.limits.until else None

    def is_last_resort(self, place_key: str, model_id: str) -> bool:
        """Whether a call may go there although it is kept away, when nothing else is left: it only failed. Not where
        it asked to be left alone, or refused our credentials or our account."""
        row = self._rows.get((place_key, model_id))
        if row is None:
            return self.keeps_away(place_key, model_id) is None
        return not row.account.is_open and not row.breaker.tripped and self._monotonic() >= row.limits.until

    def is_in_doubt(self, place_key: str, model_id: str) -> bool:
        """Whether a call that goes there now tries it again after failures."""
        row = self._rows.get((place_key, model_id))
        return row is not None and (row.breaker.is_open or row.account.is_open)

    def began(self, place_key: str, model_id: str) -> Started:
        """A call goes out; the only one that tries, where the breaker is half open. Give what this returns to
        `answers` and `ended`: by it late news of old calls are told from news. Cost: 0.2 us."""
        row = self._rows.get((place_key, model_id)) or self._row(place_key, model_id)
        started = Started(self._monotonic())
        if row.breaker.is_open:
            row.breaker.began(started)
        if row.account.is_open:
            row.account.began(started)
        return started

    def answers(self, place_key: str, model_id: str, started: Started) -> None:
        """The first content of a call has come: where it was the one that tries, others may go there from now on,
        long before its end. To call this is never needed."""
        row = self._rows.get((place_key, model_id))
        if row is not None and (row.breaker.is_open or row.account.is_open):
            now = self._monotonic()
            row.breaker.tried(now, started)
            row.account.tried(now, started)

    def ended(
        self,
        place_key: str,
        model_id: str,
        ending: Ending,
        *,
        started: Started | None = None,
        bucket: str = "",
        retry_after_s: float | None = None,
        headers: Head | None = None,
        first_content_ms: float | None = None,
        output_tokens: int = 0,
        generating_ms: float = 0.0,
    ) -> None:
        """A call ended. Every call that began should, exactly once; one that does not is forgotten after 30 s.

        `bucket`: the shared rate limit, where it is not the one that `use_buckets` said. `headers`: the head of the
        answer; `retry_after_s` is read from it where it is not given. `generating_ms`: from the first content to the
        end; 0 where the answer came in one piece. Cost of "ok": 0.7 us.
        """
        row = self._rows.get((place_key, model_id)) or self._row(place_key, model_id)
        if bucket and bucket != row.shared:
            self._buckets[place_key, model_id] = bucket
            self._share(row, place_key, model_id)
        now = self._monotonic()
        if ending == "ok":
            row.breaker.succeeded(now, started)
            if row.account.is_open:
                row.account.succeeded(now, started)
            row.limits.answered()
            if first_content_ms is not None:
                row.measure(now, first_content_ms, output_tokens, generating_ms)
        elif ending == "limited":
            # It answers: it is not for the breaker to keep it away.
            row.breaker.tried(now, started)
            row.account.tried(now, started)
            if retry_after_s is None and headers is not None:
                retry_after_s = retry_after(headers, self._unix_s())
            row.limits.limited(now, retry_after_s)
        elif ending == "failed":
            row.breaker.failed(now, started)
            row.account.unclear(started)
        elif ending == "spent":
            row.breaker.tried(now, started)
            row.account.trip(now, started, "its spend limit is reached", SPENT_FIRST_S, SPENT_MOST_S)
        elif ending == "denied":
            row.breaker.trip(now, started, "it refused our credentials", DENIED_FIRST_S, DENIED_MOST_S)
            row.account.unclear(started)
        else:
            row.breaker.unclear(started)
            row.account.unclear(started)
        if headers is not None and (ending == "ok" or ending == "limited"):
            # The head came before the content.
            row.limits.told(headers, now - generating_ms / 1000)

    def speed(self, place_key: str, model_id: str) -> tuple[float | None, float | None, float]:
        """Mean time to the first content in ms, tokens per second, and how many measurements they are worth."""
        row = self._rows.get((place_key, model_id))
        if row is None or not row.timed:
            return None, None, 0.0
        return (
            row.waited_ms / row.timed,
            row.tokens / row.seconds if row.seconds > 0 else None,
            row.measured(self._monotonic()),
        )

    def room(self, place_key: str, model_id: str) -> float | None:
        """The part of its rate limit that is left, 0 to 1; `None` where the platform did not say."""
        limits = self._limits.get((place_key, self._buckets.get((place_key, model_id), model_id)))
        return limits.room(self._monotonic()) if limits is not None else None

    def snapshot(self) -> tuple[Standing, ...]:
        """Everything, by place and model. Cost: some 10 us a row."""
        now = self._monotonic()
        return tuple(self._shown(*key, row, now) for key, row in sorted(self._rows.items(), key=_by_key))

    def _shown(self, place_key: str, model_id: str, row: _Row, now: float) -> Standing:
        calls, failures = row.breaker.counted(now)
        waited_ms, tokens_per_s, measured = self.speed(place_key, model_id)
        open_for = max(row.breaker.open_for(now), row.account.open_for(now))
        is_open = row.breaker.is_open or row.account.is_open
        return Standing(
            place=place_key,
            model=model_id,
            state="closed" if not is_open else "open" if open_for else "half_open",
            away=self.keeps_away(place_key, model_id),
            away_for_s=max(open_for, row.limits.until - now, 0.0),
            calls=calls,
            failures=failures,
            first_content_ms=waited_ms,
            tokens_per_s=tokens_per_s,
            measured=measured,
            bucket=row.shared,
            room=row.limits.room(now),
            limits=row.limits.left(now),
        )

    def _row(self, place_key: str, model_id: str) -> _Row:
        if len(self._rows) >= MOST_ROWS:
            self._forget(next(iter(self._rows)))
        account = self._accounts.get(place_key)
        if account is None:
            account = self._accounts[place_key] = Breaker(self._chance)
        row = _Row(Breaker(self._chance), account, *self._bucket(place_key, model_id))
        self._rows[place_key, model_id] = row
        return row

    def _bucket(self, place_key: str, model_id: str) -> tuple[Bucket, str]:
        shared = self._buckets.get((place_key, model_id), model_id)
        bucket = self._limits.get((place_key, shared))
        if bucket is None:
            bucket = self._limits[place_key, shared] = Bucket(self._chance, self._unix_s)
        return bucket, shared

    def _share(self, row: _Row, place_key: str, model_id: str) -> None:
        """Move a row to the limit that its model has now. A deadline that is known goes with it."""
        known = row.limits.until
        row.limits, row.shared = self._bucket(place_key, model_id)
        row.limits.until = max(row.limits.until, known)
        self._drop_unused()

    def _forget(self, oldest: tuple[str, str]) -> None:
        del self._rows[oldest]
        self._drop_unused()

    def _drop_unused(self) -> None:
        used = {(place, row.shared) for (place, _), row in self._rows.items()}
        for key in [key for key in self._limits if key not in used]:
            del self._limits[key]
        places = {place for place, _ in self._rows}
        for place in [place for place in self._accounts if place not in places]:
            del self._accounts[place]


def _by_key(item: tuple[tuple[str, str], _Row]) -> tuple[str, str]:
    return item[0]
