"""Kept answers for one serving process: looked up within a deadline, kept in the background, counted.

What it is not: the tables (`store.answers`), or the decision what is kept and given (`repeats`). Invariants: it is open
on failure: whatever troubles the store, a request goes on as if nothing were kept; nothing here waits but `find`, which
waits no longer than the deadline; answers in memory, those of calls in flight included, take no more than `ROOM_BYTES`
and `FRONT_BYTES`; what is deleted in the store is given from no process's memory `FRONT_S` later.
"""

import asyncio
import contextlib
import logging
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec

from trimtab.cache.flights import Flights
from trimtab.errors import StoreError
from trimtab.store.answers import Answer, AnswerStore, Found, New, Tally, pack

THREADS = 2

MAX_ASKING = 64
"""Look-ups that wait for the store at a time. While it is slow, further requests go on at once instead."""

FRONT_BYTES = 8 * 1024 * 1024
FRONT_S = 1.0
"""What the store said a moment ago is believed for so long: many programs that ask the same at once cost one look-up a
second."""

ANSWER_BYTES = 300
"""What an answer in memory costs besides its body."""

ROOM_BYTES = 32 * 1024 * 1024
"""Of all answers of a process that are on their way through or wait to be written."""

LINGER_S = 0.05
"""How long an answer waits for others before they are written together."""

BATCH_BYTES = 1024 * 1024
BATCH_ROWS = 32

TALLY_S = 1.0
"""How often what was asked for is added to the sums: a process that is killed loses those of that time."""

WRITTEN_S = 0.5
"""How long a request waits for an answer to its question that was just made to be written. With `LINGER_S` that takes
0.1 s, where the store is well; to ask the model takes longer, and another answer than the one that stands is none."""

MAX_TALLIES = 10_000
"""Sums and uses that wait for a store that is away, at most; further ones are lost."""

HOUR_MS = 3_600_000

_log = logging.getLogger("trimtab.cache")


class Put(msgspec.Struct, frozen=True):
    """An answer that waits to be written."""

    answer: Answer
    ttl_ms: int
    most_bytes: int
    """How much all answers together may take."""
    room: int
    """Bytes that it holds here."""
    replaces: bool
    """Whether it takes the place of one that could be given still."""


class _Hit(msgspec.Struct, frozen=True):
    """An answer was given again, or (`digest` is empty) was not there."""

    hour_ms: int
    simulated: bool
    organisation: str
    key: str
    model: str
    digest: str = ""
    saved_nanousd: int = 0


class Shelves:
    """One for each serving process, whatever the settings; its threads begin when they are needed."""

    def __init__(
        self,
        store: AnswerStore,
        *,
        wait_s: float,
        monotonic: Callable[[], float],
        on_problem: Callable[[str], None],
    ) -> None:
        """`wait_s`: how long a request may wait for the store."""
        self._store = store
        self._wait_s = wait_s
        self._monotonic = monotonic
        self._on_problem = on_problem
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="trimtab-cache")
        self._asking = 0
        self._front: OrderedDict[str, tuple[Found, float]] = OrderedDict()
        self._front_bytes = 0
        self._writing: dict[str, list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]]] = {}
        """Digests of answers that wait to be written, and who waits for that."""
        self.flights = Flights()
        """Questions that are being asked now."""
        self._waiting: deque[Put | _Hit] = deque()
        self._wake = threading.Event()
        """Something waits to be written. The thread looks once in `LINGER_S` only: to wake it for each answer costs the
        event loop more than the rest of keeping it."""
        self._closing = threading.Event()
        self._writer: threading.Thread | None = None
        self._closed = False
        self._taken = self._given_back = 0
        self._hits: dict[tuple[int, bool, str, str, str], list[int]] = {}
        self._uses: dict[str, int] = {}
        self._in_trouble = False
        self.stored = 0
        """Answers kept, for metrics, as the following."""
        self._refused = self._lost = 0
        self.troubles = 0
        """Look-ups that the store did not answer in time."""
        self._asked: Counter[tuple[str, ...]] = Counter()
        self._saved_nanousd: Counter[tuple[str, ...]] = Counter()

    @property
    def dropped(self) -> int:
        """Answers that should have been kept and were not: no room, or the store was in trouble."""
        return self._refused + self._lost

    @property
    def waiting_bytes(self) -> int:
        """What answers hold in memory that are on their way through or wait to be written."""
        return self._taken - self._given_back

    def asked(self) -> dict[tuple[str, ...], float]:
        """Requests that an earlier answer would have done for, by `hit` or `miss` and whether they are simulated."""
        return {place: float(times) for place, times in self._asked.items()}

    def saved_usd(self) -> dict[tuple[str, ...], float]:
        """What answers cost the first time that were given again, by whether they are simulated."""
        return {side: nanousd / 1e9 for side, nanousd in self._saved_nanousd.items()}

    # Looking up

    async def find(self, digest: str) -> Found | None:
        """The answer of this digest, where there is one that may be given now. Waits for the store, at most so long as
        a request may; never raises."""
        if (found := self.remembered(digest)) is not None:
            return found
        if self._asking >= MAX_ASKING or self._closed:
            self.troubles += 1
            return None
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[Found | None] = loop.create_future()
        try:
            self._threads.submit(self._look, digest, loop, waiting)
        except RuntimeError:  # the server is stopping, or the system gives us no thread now
            self.troubles += 1
            return None
        self._asking += 1
        late = loop.call_later(self._wait_s, _give_up, waiting)
        try:
            there = await waiting
        except StoreError:
            self.troubles += 1
            return None
        finally:
            late.cancel()
        if there is not None:
            self._remember(digest, there)
        return there

    def remembered(self, digest: str) -> Found | None:
        """The answer of this digest, where it was looked up a moment ago."""
        front = self._front.get(digest)
        if front is None:
            return None
        found, since = front
        past_s = self._monotonic() - since
        past_ms = int(past_s * 1000)
        if past_s < FRONT_S and past_ms < found.left_ms:
            self._front.move_to_end(digest)
            return Found(found.answer, found.age_ms + past_ms, found.left_ms - past_ms)
        self._forget(digest)
        return None

    def _look(
        self, digest: str, loop: asyncio.AbstractEventLoop, waiting: "asyncio.Future[Found | None]"
    ) -> None:
        """In a thread: find it, and say so to the event loop."""
        there: Found | None = None
        problem: StoreError | None = None
        try:
            there = self._store.find(digest)
        except StoreError as away:
            problem = away
        except Exception:  # whatever is in the row
            _log.exception("a kept answer could not be read")
            problem = StoreError("a kept answer could not be read")
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(self._answered, waiting, there, problem)

    def _answered(
        self, waiting: "asyncio.Future[Found | None]", there: Found | None, problem: StoreError | None
    ) -> None:
        self._asking -= 1
        if waiting.done():  # nobody waits any more
            return
        if problem is not None:
            waiting.set_exception(problem)
        else:
            waiting.set_result(there)

    def _remember(self, digest: str, found: Found) -> None:
        size = _size(found.answer)
        if size > FRONT_BYTES // 4:
            return
        self._forget(digest)
        self._front[digest] = (found, self._monotonic())
        self._front_bytes += size
        while self._front_bytes > FRONT_BYTES:
            self._forget(next(iter(self._front)))

    def _forget(self, digest: str) -> None:
        front = self._front.pop(digest, None)
        if front is not None:
            self._front_bytes -= _size(front[0].answer)

    # Keeping

    def take(self, size: int) -> bool:
        """Whether there is room for so many more bytes of a call in flight; `give` them back, or `put` the answer."""
        if self.waiting_bytes + size > ROOM_BYTES:
            return False
        self._taken += size
        return True

    def give(self, size: int) -> None:
        """A call lets go of what it took."""
        self._taken -= size

    def refuse(self) -> None:
        """Count an answer that found no room."""
        self._refused += 1

    def put(self, put: Put) -> None:
        """Keep an answer, soon. Never waits, never raises."""
        self._writing.setdefault(put.answer.digest, [])
        if not self._send(put):
            self._writing.pop(put.answer.digest, None)
            self._refused += 1
            self._taken -= put.room

    async def written(self, digest: str) -> None:
        """Wait while an answer of this digest is being written, a moment at the most: which one of several will stand
        is known then."""
        waiting = self._writing.get(digest)
        if waiting is None:
            return
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        waiting.append((loop, done))
        if self._writing.get(digest) is waiting:  # else the writer may have looked already
            await asyncio.wait((done,), timeout=WRITTEN_S)

    def hit(self, answer: Answer, at_ms: int, organisation: str, key: str) -> None:
        """Count an answer as given again."""
        hour_ms = at_ms - at_ms % HOUR_MS
        side = _flag(answer.simulated)
        self._asked["hit", side] += 1
        self._saved_nanousd[(side,)] += answer.cost_nanousd
        self._send(
            _Hit(
                hour_ms, answer.simulated, organisation, key, answer.model, answer.digest, answer.cost_nanousd
            )
        )

    def missed(self, at_ms: int, simulated: bool, organisation: str, key: str, model: str) -> None:
        """Count an answer that was looked for and not there."""
        self._asked["miss", _flag(simulated)] += 1
        self._send(_Hit(at_ms - at_ms % HOUR_MS, simulated, organisation, key, model))

    def _send(self, message: Put | _Hit) -> bool:
        if self._closed:
            return False
        if self._writer is None:
            writer = threading.Thread(target=self._run, name="trimtab-cache-writer", daemon=True)
            try:
                writer.start()
            except RuntimeError:  # the system gives us no thread now; perhaps the next time
                return False
            self._writer = writer
        self._waiting.append(message)
        if not self._wake.is_set():
            self._wake.set()
        return True

    def close(self, timeout_s: float = 2.0) -> None:
        """Write what waits, for so long. Blocks. Idempotent."""
        self._closed = True
        self._threads.shutdown(wait=True, cancel_futures=True)
        if self._writer is not None:
            self._closing.set()
            self._wake.set()
            self._writer.join(timeout_s)

    # The writer's thread

    def _run(self) -> None:
        tallied = self._monotonic()
        while True:
            self._wake.wait(TALLY_S if self._hits else None)
            self._wake.clear()
            last = self._closing.wait(LINGER_S)
            try:
                while puts := self._gathered():
                    self._keep(puts)
                if last or self._monotonic() - tallied >= TALLY_S:
                    tallied = self._monotonic()
                    self._tally()
            except StoreError as problem:
                self._troubled(str(problem))
            except Exception:  # the thread must outlive every surprise
                _log.exception("answers could not be kept, or hits not counted")
            if self._waiting:
                self._wake.set()
            elif last:
                return

    def _gathered(self) -> list[Put]:
        """Some answers that wait. Hits are counted on the way."""
        puts: list[Put] = []
        size = 0
        while self._waiting and len(puts) < BATCH_ROWS and size < BATCH_BYTES:
            message = self._waiting.popleft()
            if isinstance(message, Put):
                puts.append(message)
                size += message.room
            else:
                self._note(message)
        return puts

    def _note(self, hit: _Hit) -> None:
        place = (hit.hour_ms, hit.simulated, hit.organisation, hit.key, hit.model)
        if place not in self._hits and len(self._hits) >= MAX_TALLIES:
            return
        sums = self._hits.setdefault(place, [0, 0, 0])
        if not hit.digest:
            sums[1] += 1
            return
        sums[0] += 1
        sums[2] += hit.saved_nanousd
        if hit.digest in self._uses or len(self._uses) < MAX_TALLIES:
            self._uses[hit.digest] = self._uses.get(hit.digest, 0) + 1

    def _tally(self) -> None:
        if not self._hits:
            return
        self._store.count([Tally(*place, *sums) for place, sums in self._hits.items()], [*self._uses.items()])
        self._hits.clear()
        self._uses.clear()
        self._well()

    def _keep(self, puts: list[Put]) -> None:
        try:
            self._store.add([New(pack(put.answer), put.ttl_ms, put.replaces) for put in puts])
            self.stored += len(puts)
            self._well()
        except Exception:
            self._lost += len(puts)
            raise
        finally:
            self._given_back += sum(put.room for put in puts)
            for put in puts:
                for loop, done in self._writing.pop(put.answer.digest, ()):
                    with contextlib.suppress(RuntimeError):  # the loop has ended
                        loop.call_soon_threadsafe(_tell, done)
        self._store.make_room(puts[-1].most_bytes)

    def _troubled(self, problem: str) -> None:
        if not self._in_trouble:
            self._in_trouble = True
            self._on_problem(f"cache: {problem}; answers are not kept until the store is back")

    def _well(self) -> None:
        if self._in_trouble:
            self._in_trouble = False
            self._on_problem(f"cache: answers are kept again; {self.dropped} were dropped since the start")


def _give_up(waiting: "asyncio.Future[Found | None]") -> None:
    if not waiting.done():
        waiting.set_exception(StoreError("the store did not answer in time"))


def _tell(done: "asyncio.Future[None]") -> None:
    if not done.done():
        done.set_result(None)


def _flag(simulated: bool) -> str:
    return "true" if simulated else "false"


def _size(answer: Answer) -> int:
    return len(answer.body) + ANSWER_BYTES
