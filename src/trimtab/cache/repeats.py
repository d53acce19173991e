"""Whether a request is answered by an earlier answer, and whether its own is kept for later ones.

What it is not: the answering (`engine`), or the keeping (`shelves`). Invariants: nothing is looked for, waited for or
kept that nobody opted in to; what is given was answered whole to the very same question, by a platform that this
request may go to, on the same side (real or simulated), to somebody who shares with this caller.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from typing import Literal

import msgspec

from trimtab.cache.flights import Flight, Seat
from trimtab.cache.key import key_of, scope_of
from trimtab.cache.question import Headers, Question
from trimtab.cache.rules import Reason, is_final, samples, what_matters, why_not
from trimtab.cache.settings import CacheSettings
from trimtab.cache.shelves import Put, Shelves
from trimtab.errors import RequestError, shortened
from trimtab.messages.canonical import Unclear, digest_of, read_exactly
from trimtab.records import Attempt, Surface
from trimtab.store.answers import Answer, Found

HEADER = "x-trimtab-cache"
WISHES = ("on", "off", "refresh")

MAX_ANSWER_BYTES = 4 * 1024 * 1024
"""A longer answer is not kept."""

MAX_QUESTION_BYTES = 8 * 1024 * 1024
"""A longer request is neither looked for nor kept: to compare one of so many bytes takes 25 ms of the event loop."""

LONG_BYTES = 4096
BODIES_BYTES = 2 * 1024 * 1024
"""Of bodies that are remembered with what was found out of them: 0.3 ms of work at 53 KB; finding it takes 20 us."""

HTTP_OK = 200

_KEPT_HEADERS = (b"content-type", b"request-id", b"x-request-id")
"""Headers of the answer that are still true when it is given again. What a platform says of its limits, its time or the
account is not."""

Wish = Literal["no", "yes", "refresh"]


class Repeat(msgspec.Struct, frozen=True):
    """What is to be done with one request."""

    told: str
    """What the answer says in `x-trimtab-cache`; empty: nothing."""
    answer: Answer | None = None
    """Give this one."""
    shelf: "Shelf | None" = None
    """Put the answer here."""
    awaited: "Awaited | None" = None
    """Somebody asks the very same now: `follow` says what comes of that."""


class Awaited(msgspec.Struct, frozen=True):
    """What another request asks at this moment."""

    digest: str
    flight: Flight


class _Body(msgspec.Struct, frozen=True):
    """What there is to know of a body."""

    reason: Reason | None
    """What keeps it from being answered by an earlier answer."""
    samples: bool = True
    digest: bytes = b""
    """Of all that matters in it."""


def _look(surface: Surface, raw: bytes, answers: int) -> _Body:
    try:
        body = read_exactly(raw)
        reason = why_not(surface, body, answers)
        if reason is not None:
            return _Body(reason)
        return _Body(None, samples(body), digest_of(what_matters(surface, body)))
    except Unclear:
        return _Body("unclear")


class Repeats:
    """One per configuration version."""

    def __init__(self, settings: CacheSettings, shelves: Shelves, stamps: Mapping[str, str]) -> None:
        """`stamps` say, by the name of a platform entry, how it is configured: an answer of the same name that was
        configured otherwise is another one's."""
        self._settings = settings
        self._shelves = shelves
        self._stamps = stamps
        self._bodies: OrderedDict[tuple[Surface, int, bytes], _Body] = OrderedDict()
        self._bodies_bytes = 0
        self.always = settings.mode == "on"
        """Whether requests that do not ask for it are looked up too."""

    async def find(self, question: Question) -> Repeat:
        """Look for an answer. Waits for the store within its deadline. Raises `RequestError` for a wrong wish."""
        settings, shelves = self._settings, self._shelves
        wish, explicit = self._wish(question)
        if settings.mode == "off":
            return _bypass("off") if explicit and wish != "no" else _NOTHING
        if wish == "no":
            return _bypass("asked") if explicit else _NOTHING
        if (settings.tiers or settings.routes) and not (
            question.tier in settings.tiers or question.route in settings.routes
        ):
            return _bypass("tier")
        if len(question.body) > MAX_QUESTION_BYTES:
            return _bypass("large")
        body = self._looked(question)
        if body.reason is not None:
            return _bypass(body.reason)
        if not explicit and not settings.sampled and body.samples:
            return _bypass("sampled")
        digest = key_of(question, scope_of(settings.share, question.caller), body.digest)
        if wish == "refresh":
            return Repeat("refresh", shelf=Shelf(self, question, digest, replaces=True))
        if (found := shelves.remembered(digest)) is not None and self._fits(found.answer, question):
            return _hit(found)
        await shelves.written(digest)
        flight = shelves.flights.find(digest)
        if flight is not None and settings.wait_s and not flight.places.isdisjoint(question.platforms):
            return Repeat("", awaited=Awaited(digest, flight))
        seat = None
        if flight is None and settings.wait_s:
            seat = shelves.flights.begin(digest, question.platforms)
        try:
            found = await shelves.find(digest)
        except BaseException:
            if seat is not None:
                seat.leave()
            raise
        if found is None or not self._fits(found.answer, question):
            return self._missed(question, digest, seat)
        if seat is not None:
            seat.land(found)
        return _hit(found)

    async def follow(self, question: Question, awaited: Awaited, most_s: float | None) -> Repeat:
        """What comes of a question that somebody else asks: the answer, where it is one for this request too; else this
        request asks. Waits, `most_s` and the settings' `wait_s` at most."""
        wait_s = self._settings.wait_s if most_s is None else max(0.0, min(self._settings.wait_s, most_s))
        given = await awaited.flight.wait(wait_s)
        if isinstance(given, Found) and self._fits(given.answer, question):
            return _hit(given)
        return self._missed(question, awaited.digest, given if isinstance(given, Seat) else None)

    def _missed(self, question: Question, digest: str, seat: Seat | None) -> Repeat:
        caller = question.caller
        self._shelves.missed(
            question.arrived_ms, question.simulated, caller.organisation, caller.key, question.model
        )
        return Repeat("miss", shelf=Shelf(self, question, digest, replaces=False, seat=seat))

    def _looked(self, question: Question) -> "_Body":
        """What there is to know of a body. Who asks again mostly sends the same bytes: long ones are remembered."""
        raw, surface = question.body, question.surface
        known = self._bodies.get((surface, question.answers, raw))
        if known is not None:
            self._bodies.move_to_end((surface, question.answers, raw))
            return known
        found = _look(surface, raw, question.answers)
        if len(raw) >= LONG_BYTES:
            self._bodies[surface, question.answers, raw] = found
            self._bodies_bytes += len(raw)
            while self._bodies_bytes > BODIES_BYTES:
                (_, _, gone), _ = self._bodies.popitem(last=False)
                self._bodies_bytes -= len(gone)
        return found

    def given(self, question: Question, answer: Answer) -> None:
        """Count an answer as given again."""
        caller = question.caller
        self._shelves.hit(answer, question.arrived_ms, caller.organisation, caller.key)

    def _wish(self, question: Question) -> tuple[Wish, bool]:
        """What the request wants, and whether it says so."""
        said = question.own.get(HEADER)
        if said is not None:
            wish = said.strip().lower()
            if wish not in WISHES:
                raise RequestError(f"{HEADER}: {shortened(said)!r}: must be one of {', '.join(WISHES)}")
            return ("yes" if wish == "on" else "no" if wish == "off" else "refresh"), True
        if not self.always:
            return "no", False
        directives = {
            part.partition(b"=")[0].strip().lower()
            for name, value in question.headers
            if name == b"cache-control"
            for part in value.split(b",")
        }
        if b"no-store" in directives:
            return "no", True
        return ("refresh" if b"no-cache" in directives else "yes"), False

    def _fits(self, answer: Answer, question: Question) -> bool:
        """Whether this request may be given it: it could have been sent there itself."""
        return answer.simulated == question.simulated and any(
            answer.place == self.place_of(name) for name in question.platforms
        )

    def place_of(self, platform: str) -> str:
        """A platform entry as it is configured now."""
        return f"{platform}@{self._stamps.get(platform, '')}"

    @property
    def shelves(self) -> Shelves:
        """Where answers are."""
        return self._shelves

    @property
    def settings(self) -> CacheSettings:
        """Those of this version."""
        return self._settings


class Shelf:
    """A place for one answer while it goes by. Used by the event loop only; never waits, never raises."""

    __slots__ = ("_digest", "_held", "_over", "_parts", "_question", "_repeats", "_replaces", "_seat")

    def __init__(
        self, repeats: Repeats, question: Question, digest: str, *, replaces: bool, seat: Seat | None = None
    ) -> None:
        """`replaces`: its answer takes the place of one that could be given still. `seat`: of all who ask this now."""
        self._repeats = repeats
        self._question = question
        self._digest = digest
        self._replaces = replaces
        self._parts: list[bytes] = []
        self._held = 0
        self._over = False
        self._seat = seat

    @property
    def is_heard(self) -> bool:
        """Whether others wait for this answer."""
        return self._seat is not None and self._seat.is_heard

    def carry(self, task: "asyncio.Task[None]") -> None:
        """The call goes on in this task, without its client, until nobody waits for it."""
        if self._seat is not None:
            self._seat.flight.carry(task)

    def let_go(self) -> None:
        """Nobody waits for this one any longer: others ask for themselves. It is kept all the same."""
        if self._seat is not None:
            self._seat.fail()

    def add(self, chunk: bytes) -> None:
        """A piece of the answer, as it came from the platform."""
        if self._over:
            return
        shelves = self._repeats.shelves
        if self._held + len(chunk) > min(MAX_ANSWER_BYTES, self._repeats.settings.most_bytes // 4):
            self.drop()
        elif not shelves.take(len(chunk)):
            shelves.refuse()
            self.drop()
        else:
            self._held += len(chunk)
            self._parts.append(chunk)

    def drop(self) -> None:
        """Nothing of it is kept."""
        self._over = True
        self._repeats.shelves.give(self._held)
        self._held = 0
        self._parts = []
        self.let_go()

    def keep(self, attempt: Attempt, headers: Headers, *, event_stream: bool, simulated: bool) -> None:
        """It is over: keep it if it may be given again."""
        if self._over:
            return
        question, repeats = self._question, self._repeats
        named = dict(reversed(headers))
        whole = (
            attempt.result == "ok"
            and attempt.status == HTTP_OK
            and event_stream == question.stream
            and is_final(question.surface, attempt.stop_reason)
            and named.get(b"content-encoding", b"identity") == b"identity"
        )
        if not whole or not self._held:
            self.drop()
            return
        self._over = True
        caller, body = question.caller, b"".join(self._parts)
        self._parts = []
        answer = Answer(
            digest=self._digest,
            request_id=question.id,
            at_ms=question.arrived_ms,
            simulated=simulated,
            place=repeats.place_of(attempt.platform),
            key=caller.key,
            user=caller.user,
            team=caller.team,
            organisation=caller.organisation,
            model=question.model,
            cost_nanousd=attempt.cost_nanousd,
            headers=[pair for pair in headers if pair[0] in _KEPT_HEADERS],
            body=body,
        )
        repeats.shelves.put(
            Put(
                answer=answer,
                ttl_ms=repeats.settings.ttl_s * 1000,
                most_bytes=repeats.settings.most_bytes,
                room=len(body),
                replaces=self._replaces,
            )
        )
        if self._seat is None:
            return
        if simulated == question.simulated:
            self._seat.land(Found(answer, 0, repeats.settings.ttl_s * 1000))
        else:  # only the answer showed it: who waits asked the other side
            self._seat.fail()


_NOTHING = Repeat("")


def _hit(found: Found) -> Repeat:
    return Repeat(f"hit; age={found.age_ms // 1000}; from={found.answer.request_id}", found.answer)


def _bypass(reason: str) -> Repeat:
    return Repeat(f"bypass; reason={reason}")
