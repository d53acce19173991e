"""Puts cases to two platform entries by way of a gateway, and has what came back judged.

What it is not: the judgement, or a load test: few requests are under way at a time. Invariants: each request names the
one entry that may serve it; both entries get the same bytes, but for what an answer of their own brought in and for
texts that must not be in a cache; a request is asked again only after what may pass (429, 5xx, a broken connection).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from trimtab.errors import EvalError, printable
from trimtab.evals.parity.cases import Case, Step
from trimtab.evals.parity.facts import OK, Observed, observed
from trimtab.evals.parity.gathering import Runs
from trimtab.evals.parity.judging import Judged, judge
from trimtab.evals.parity.materials import NotPossible, filled
from trimtab.evals.parity.report import Report, told_of
from trimtab.evals.subject import Answer, Question, Subject, json_of

TRIES = 4
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
"""A `retry-after` beyond it is not waited for: that platform has no room now, and the case is inconclusive."""

RECORD_TRIES = 40
RECORD_WAIT_S = 0.1
"""Records are stored in batches, every 100 ms where nothing else is set, and are looked for until 4 s have gone."""

MESSAGES = "/v1/messages"
COUNT = "/v1/messages/count_tokens"

_PASSING = frozenset((0, 408, 429))


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be compared."""

    first: str
    second: str
    cases: tuple[Case, ...]
    models: tuple[str, ...] = ()
    """Each case is asked with each; empty: the one that the gateway's default tier means."""
    repeat: int = 1
    at_once: int = 4
    """Cases that are under way at a time; each has up to two requests."""


Sleep = Callable[[float], Awaitable[None]]
Told = Callable[[Judged, int, int], None]
"""A case has been judged: it, how many are done, of how many."""


async def check_parity(
    subject: Subject, asked: Asked, *, run: str, told: Told, sleep: Sleep = asyncio.sleep
) -> Report:
    """Ask all of it and judge. Spends money. `run` is a short random word, different each time.

    Raises `EvalError` where nothing can be compared: the gateway is not there, or does not have these entries.
    """
    names = (asked.first, asked.second)
    if asked.first == asked.second:
        raise EvalError(f"{asked.first!r} and {asked.second!r}: name two different platform entries")
    checking = _Checking(subject, asked, run, sleep)
    models = asked.models or (await checking.default_model(),)
    for model in models:
        for entry in names:
            await checking.serves(entry, model)
    pairs = [(case, model) for model in models for case in asked.cases]
    found: dict[int, tuple[Judged, Runs]] = {}
    room = asyncio.Semaphore(asked.at_once)

    async def one(place: int, case: Case, model: str) -> None:
        async with room:
            runs = await checking.runs(case, model)
            judged = judge(case, model, *runs, names)
            found[place] = judged, runs
            told(judged, len(found), len(pairs))

    async with asyncio.TaskGroup() as group:
        for place, (case, model) in enumerate(pairs):
            group.create_task(one(place, case, model))
    return told_of(names, models, asked.repeat, run, [found[place] for place in range(len(pairs))])


class _Checking:
    def __init__(self, subject: Subject, asked: Asked, run: str, sleep: Sleep) -> None:
        self._subject = subject
        self._asked = asked
        self._run = run
        self._sleep = sleep
        self._names = (asked.first, asked.second)

    async def default_model(self) -> str:
        """What the default tier means, from the head of an answer that costs nothing. Raises `EvalError`."""
        for entry in self._names:
            answer = await self._probe(entry, "trimtab/default")
            if arm := answer.header("x-trimtab-arm"):
                return arm.partition("@")[0].partition("+")[0]
        raise EvalError("the model of the default tier cannot be told from here; name one: --model MODEL")

    async def serves(self, entry: str, model: str) -> None:
        """Whether this entry is there for this model and key. Raises `EvalError`."""
        await self._probe(entry, model)

    async def _probe(self, entry: str, model: str) -> Answer:
        body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
        answer = await self._subject.ask(self._question(entry, COUNT, body, "probe", ("2023-06-01", ())))
        if answer.problem:
            raise EvalError(f"the gateway does not answer: {printable(answer.problem)}")
        if answer.status in (401, 403, 404, 400):
            found = json_of(answer.body)
            error = found.get("error") if isinstance(found, dict) else None
            says = str(error.get("message")) if isinstance(error, dict) else ""
            if answer.status == 401 or says.startswith(("x-trimtab-platform", "model:")):
                raise EvalError(f"{entry} with {model}: {printable(says, 400) or answer.status}")
        return answer

    async def runs(self, case: Case, model: str) -> Runs:
        """All runs of a case on both sides, with what each cost."""
        first: list[Observed] = []
        second: list[Observed] = []
        for number in range(1, self._asked.repeat + 1):
            here, there = await self._once(case, model, number)
            first.append(here)
            second.append(there)
        return first, second

    async def _once(self, case: Case, model: str, number: int) -> tuple[Observed, Observed]:
        turns: tuple[list[dict[str, Any] | None], ...] = ([], [])
        seen: tuple[list[Observed], ...] = ([], [])
        sent: tuple[list[bytes], ...] = ([], [])
        stepped = sum(step.at == "each" for step in case.steps) > 1
        for place, step in enumerate(case.steps, 1):
            if step.at == "each":
                sides = [side for side in (0, 1) if not seen[side] or _went_on(seen[side][-1])]
                steps = await asyncio.gather(
                    *(self._step(case, step, model, number, place, side, turns[side]) for side in sides)
                )
                for side, (body, result) in zip(sides, steps, strict=True):
                    sent[side].append(body)
                    seen[side].append(result)
                    turns[side].append(result.message)
                continue
            at = 0 if step.at == "first" else 1
            _, result = await self._step(case, step, model, number, place, at, turns[at])
            if not _went_on(result):
                why = result.unclear or f"{result.facts['status']}: {result.says}"
                lost = Observed(unclear=f"step {place}, on {self._names[at]}: {why}", request=result.request)
                return lost, lost
            for side in (0, 1):
                turns[side].append(result.message)
        alike = [here == there for here, there in zip(*sent, strict=False)]
        return _whole(seen[0], alike, stepped), _whole(seen[1], alike, stepped)

    async def _step(
        self,
        case: Case,
        step: Step,
        model: str,
        number: int,
        place: int,
        side: int,
        turns: Sequence[dict[str, Any] | None],
    ) -> tuple[bytes, Observed]:
        entry = self._names[side]
        try:
            body = filled(step.request, turns, f"{self._run} {number} {'AB'[side]}")
        except NotPossible as problem:
            return b"", Observed(unclear=str(problem))
        body = {**body, "model": model}
        name = f"{case.name}-{number}-{'ab'[side]}"
        path = COUNT if step.count else MESSAGES
        question = self._question(entry, path, body, name, (case.version, case.betas))
        result = observed(await self._asking(question), entry)
        if not step.count and not result.unclear and result.cost_nanousd is None:
            result = msgspec.structs.replace(result, cost_nanousd=await self._cost(result.request))
        return question.body, result

    def _question(
        self, entry: str, path: str, body: dict[str, Any], name: str, spoken: tuple[str, tuple[str, ...]]
    ) -> Question:
        version, betas = spoken
        headers = [
            ("anthropic-version", version),
            ("x-trimtab-platform", entry),
            ("x-trimtab-session", f"parity-{self._run}-{name}"),
            ("x-trimtab-tags", "parity"),
        ]
        if betas:
            headers.append(("anthropic-beta", ",".join(betas)))
        return Question(path, msgspec.json.encode(body), tuple(headers))

    async def _asking(self, question: Question) -> Answer:
        """Ask, and again where that may help. The last answer stands."""
        for tried in range(1, TRIES + 1):
            answer = await self._subject.ask(question)
            wait_s = _wait_s(answer, tried)
            if tried == TRIES or wait_s is None:
                break
            await self._sleep(wait_s)
        return answer

    async def _cost(self, request: str) -> int | None:
        """What a stream cost, from its record, which comes a little later. `None` where it cannot be had."""
        for _ in range(RECORD_TRIES if request else 0):
            answer = await self._subject.look_up(f"/trimtab/v1/requests/{request}")
            if answer.status == OK:
                found = json_of(answer.body)
                cost = found.get("cost_nanousd") if isinstance(found, dict) else None
                return cost if isinstance(cost, int) else None
            if answer.status != 404:
                return None
            await self._sleep(RECORD_WAIT_S)
        return None


def _wait_s(answer: Answer, tried: int) -> float | None:
    """Seconds until a request may be asked again; `None` where that would not help."""
    passing = answer.problem or answer.status in _PASSING or answer.status >= 500
    if not passing or answer.header("x-should-retry") == "false":
        return None
    said = answer.header("retry-after")
    wait_s = float(said) if said.replace(".", "", 1).isdecimal() else FIRST_WAIT_S * 2 ** (tried - 1)
    return wait_s if wait_s <= LONGEST_WAIT_S else None


def _went_on(result: Observed) -> bool:
    return not result.unclear and result.facts.get("status") == str(OK)


def _whole(seen: Sequence[Observed], alike: Sequence[bool], stepped: bool) -> Observed:
    """The steps of one side as one. Input tokens are compared where both sides were sent the same (`alike`)."""
    last = seen[-1]
    facts: dict[str, str] = {}
    for place, step in enumerate(seen):
        before = f"step {place + 1}: " if stepped else ""
        same_bytes = place < len(alike) and alike[place]
        facts |= {
            before + name: value for name, value in step.facts.items() if name != "input tokens" or same_bytes
        }
    costs = [step.cost_nanousd for step in seen if step.cost_nanousd is not None]
    return msgspec.structs.replace(
        last,
        facts=facts,
        cost_nanousd=sum(costs) if costs else None,
        headers=frozenset().union(*(step.headers for step in seen)),
        usage_fields=frozenset().union(*(step.usage_fields for step in seen)),
        simulated=any(step.simulated for step in seen),
    )
