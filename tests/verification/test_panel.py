"""Checks run cheapest first; one that crashes, hangs or talks nonsense is unsure, and nothing but an accept is one."""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judged_cases import answered, asked, heard
from searches import examples

from trimtab.errors import Unavailable
from trimtab.messages.exchange import Answered
from trimtab.records import MAX_ERROR_CHARS, MAX_EVIDENCE, MAX_EVIDENCE_CHARS, Verdict
from trimtab.verification import Case, Check, Finding, Heard, Judged, Means, judge

Work = Callable[[Case], Awaitable[Any]]


class Says:
    """A verifier that does what a test says."""

    def __init__(self, what: "Finding | BaseException | Work", spends: Any = "nothing") -> None:
        self.spends = spends
        self.what = what
        self.begun = 0

    async def check(self, case: Case) -> Finding:
        self.begun += 1
        if isinstance(self.what, BaseException):
            raise self.what
        if isinstance(self.what, Finding):
            return self.what
        return await self.what(case)  # type: ignore[no-any-return]


ACCEPT, ESCALATE, UNSURE = (Finding(says, says) for says in ("accept", "escalate", "unsure"))
FOREVER: Work = lambda case: asyncio.Event().wait()  # noqa: E731


def means_for(name: str, spent: Callable[[Heard], None]) -> Means:
    async def ask(arm: str, prompt: Any = None) -> Heard:
        said = heard(answered("yes"), arm=arm)
        spent(said)
        return said

    async def run(order: Any) -> Any:
        raise Unavailable("no sandbox", 1)

    return Means(ask, run, time.monotonic)


async def panel(
    *verifiers: Says, answers: tuple[Answered, ...] = (answered("x"),), timeout_s: float = 60, **more: Any
) -> tuple[Verdict, ...]:
    checks = [Check(f"check-{number}", one, timeout_s) for number, one in enumerate(verifiers)]
    return await judge(checks, Judged(question=asked(), answers=answers, arm="m@low", **more), means_for)


def said(*verifiers: Says, **more: Any) -> list[tuple[str, str, bool]]:
    verdicts = asyncio.run(panel(*verifiers, **more))
    return [(one.verifier, one.says, one.failed) for one in verdicts]


def test_checks_run_in_the_order_of_what_they_spend() -> None:
    dear, free, costly, free_too = (
        Says(ACCEPT, "money"),
        Says(ACCEPT),
        Says(ACCEPT, "processor"),
        Says(UNSURE),
    )
    assert [name for name, _, _ in said(dear, free, costly, free_too)] == [
        "check-1",
        "check-3",
        "check-2",
        "check-0",
    ]


def test_after_an_escalate_nothing_that_spends_is_begun() -> None:
    dear, costly, free, wrong = Says(ACCEPT, "money"), Says(ACCEPT, "processor"), Says(ACCEPT), Says(ESCALATE)
    assert [name for name, _, _ in said(dear, costly, wrong, free)] == ["check-2", "check-3"]
    assert (dear.begun, costly.begun) == (0, 0)
    assert [name for name, _, _ in said(dear, Says(ESCALATE, "processor"))] == ["check-1"]
    assert [name for name, _, _ in said(dear, Says(UNSURE, "processor"))] == ["check-1", "check-0"]


@pytest.mark.parametrize(
    "what",
    [
        ValueError("broken"),
        RecursionError(),
        MemoryError(),
        SystemExit(3),
        KeyboardInterrupt(),
        BaseExceptionGroup("odd", [GeneratorExit()]),
        TimeoutError("its own socket"),
        asyncio.CancelledError("what it waited for"),
        Unavailable("no money", 1),
        ExceptionGroup("several", [ValueError("one")]),
    ],
    ids=lambda what: type(what).__name__,
)
def test_a_check_that_crashes_is_unsure_and_the_others_go_on(what: BaseException, caplog: Any) -> None:
    with caplog.at_level(logging.ERROR, "trimtab.verification"):
        assert said(Says(what), Says(ACCEPT)) == [("check-0", "unsure", True), ("check-1", "accept", False)]
    assert bool(caplog.records) != isinstance(what, Unavailable), "what Trimtab refuses is no crash"


@pytest.mark.parametrize(
    "finding",
    [
        None,
        "accept",
        Finding("yes"),  # type: ignore[arg-type]
        Finding(True),  # type: ignore[arg-type]
        Finding("accept", evidence=["x"]),  # type: ignore[arg-type]
        Finding("accept", confidence=math.nan),
        Finding("accept", confidence=1.5),
        Finding("accept", confidence="high"),  # type: ignore[arg-type]
    ],
)
@pytest.mark.usefixtures("caplog")
def test_what_is_no_finding_is_unsure(finding: Any) -> None:
    async def nonsense(case: Case) -> Any:
        return finding

    assert said(Says(nonsense)) == [("check-0", "unsure", True)]


def test_a_check_that_hangs_is_unsure_when_its_time_is_over() -> None:
    verdicts = asyncio.run(panel(Says(FOREVER), Says(ACCEPT), timeout_s=0.01))
    assert [(one.says, one.failed) for one in verdicts] == [("unsure", True), ("accept", False)]
    assert verdicts[0].reason.startswith("not finished after 0.0")
    assert verdicts[0].ms >= 10


def test_the_deadline_of_the_request_counts_too() -> None:
    began = time.monotonic()
    assert said(Says(FOREVER), deadline=began + 0.01) == [("check-0", "unsure", True)]
    assert said(Says(FOREVER, "money"), deadline=began - 1) == [("check-0", "unsure", True)]


def test_a_check_that_swallows_the_end_of_its_time_is_not_believed() -> None:
    async def stubborn(case: Case) -> Finding:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass
        return ACCEPT

    assert said(Says(stubborn), timeout_s=0.01) == [("check-0", "unsure", True)]


@pytest.mark.parametrize("swallows", [False, True])
def test_cancelled_it_ends_what_it_began_and_begins_nothing_more(swallows: bool) -> None:
    """A client that goes while its answer is judged."""
    ended = []

    async def held(case: Case) -> Finding:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append(True)
            if not swallows:
                raise
        return ACCEPT

    async def cancelled() -> None:
        task = asyncio.create_task(panel(Says(held), after))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    begun, after = asyncio.Event(), Says(ACCEPT, "money")
    asyncio.run(cancelled())
    assert ended == [True]
    assert after.begun == 0


def test_a_check_that_heeds_no_end_is_left_behind_and_keeps_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    async def deaf(case: Case) -> Finding:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue
        return ACCEPT

    async def both_ways() -> None:
        async with asyncio.timeout(60):
            (verdict,) = await panel(Says(deaf), timeout_s=0.01)
            assert (verdict.says, verdict.failed) == ("unsure", True)
            task = asyncio.create_task(panel(Says(deaf)))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        released.set()
        await asyncio.sleep(0)

    monkeypatch.setattr("trimtab.verification.lending.LET_GO_S", 0.01)
    released = asyncio.Event()
    with caplog.at_level(logging.ERROR, "trimtab.verification"):
        asyncio.run(both_ways())
    assert "check-0 does not end when it is cancelled" in caplog.text


def test_once_a_check_is_over_nothing_is_spent_for_it() -> None:
    """A verifier that asks beside what it says, and one that asks on after its time."""
    ended: list[str] = []

    def slow(name: str, spent: Callable[[Heard], None]) -> Means:
        async def ask(arm: str, prompt: Any = None) -> Heard:
            ended.append("begun")
            try:
                await asyncio.Event().wait()
            finally:
                spent(heard(answered("cut"), arm=arm))
                ended.append("cut")
            raise AssertionError

        return Means(ask, means_for(name, spent).run, time.monotonic)

    async def beside(case: Case) -> Finding:
        tasks.append(asyncio.ensure_future(case.means.ask("fast")))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        kept.append(case.means)
        return ACCEPT

    async def work() -> None:
        checks = (Check("sly", Says(beside, "money"), 60),)
        judged = Judged(question=asked(), answers=(answered("x"),), arm="m@low")
        (verdict,) = await judge(checks, judged, slow)
        assert ended == ["begun", "cut"]
        assert (verdict.says, verdict.cost_nanousd) == ("accept", 5)
        with pytest.raises(Unavailable, match="may spend no more"):
            await kept[0].ask("fast")
        assert ended == ["begun", "cut"]

    tasks: list[asyncio.Future[Heard]] = []
    kept: list[Means] = []
    asyncio.run(work())


def test_each_of_several_answers_is_judged_and_the_worst_counts() -> None:
    async def by_text(case: Case) -> Finding:
        return {"good": ACCEPT, "bad": ESCALATE, "odd": UNSURE}[case.answer.text]

    for texts, says, begun in (
        (["good", "good"], "accept", 2),
        (["odd", "good"], "unsure", 2),
        (["bad", "good"], "escalate", 1),
    ):
        verifier = Says(by_text)
        assert said(verifier, answers=tuple(answered(text) for text in texts)) == [("check-0", says, False)]
        assert verifier.begun == begun
    assert said(Says(ACCEPT), answers=()) == [("check-0", "unsure", False)]


def test_what_a_check_spends_stands_in_its_verdict_also_when_it_crashes() -> None:
    async def asks(case: Case) -> Finding:
        await case.means.ask("fast")
        await case.means.ask("escalation")
        raise ValueError

    (verdict,) = asyncio.run(panel(Says(asks, "money")))
    assert (verdict.cost_nanousd, verdict.calls) == (10, ("r-other", "r-other"))


class Odd:
    def __str__(self) -> str:
        return "odd\x00\ud800" * 100


def test_evidence_is_what_every_store_can_keep() -> None:
    evidence: Any = {
        "inf": math.inf,
        "huge": 10**30,
        "true": True,
        "text": "a\nb\x00\ud800\u202e",
        "odd": Odd(),
        "n" * 100: 1,
        **{f"more {number}": number for number in range(20)},
    }
    (verdict,) = asyncio.run(panel(Says(Finding("accept", "why\x00\ud800" * 1000, evidence, 0.5))))
    assert len(verdict.evidence) == MAX_EVIDENCE
    assert verdict.evidence["inf"] == "inf"
    assert verdict.evidence["true"] is True
    assert verdict.evidence["text"] == "a\nb\\x00\\ud800\\u202e"
    assert isinstance(verdict.evidence["huge"], str)
    assert len(verdict.reason) <= MAX_ERROR_CHARS + 3
    assert all(
        len(one) <= MAX_EVIDENCE_CHARS + 3 for one in verdict.evidence.values() if isinstance(one, str)
    )
    assert all(len(name) <= 63 for name in verdict.evidence)
    for text in (verdict.reason, *verdict.evidence, *map(str, verdict.evidence.values())):
        assert "\x00" not in text
        text.encode()


FACTS = st.one_of(
    st.text(max_size=300), st.integers(), st.floats(), st.booleans(), st.none(), st.binary(max_size=20)
)


@given(
    st.lists(st.sampled_from(["accept", "escalate", "unsure", "crash", "nonsense"]), max_size=5),
    st.dictionaries(st.text(max_size=80), FACTS, max_size=14),
)
@settings(max_examples=examples(60, 2000), deadline=None)
def test_nothing_is_accepted_that_was_not(outcomes: list[str], evidence: Any) -> None:
    logging.getLogger("trimtab.verification").disabled = True
    try:
        findings: list[Any] = [
            ValueError() if one == "crash" else Finding(one, evidence=evidence)  # type: ignore[arg-type]
            for one in outcomes
        ]
        verdicts = asyncio.run(panel(*map(Says, findings)))
    finally:
        logging.getLogger("trimtab.verification").disabled = False
    assert len(verdicts) == len(outcomes)
    for verdict, outcome in zip(verdicts, outcomes, strict=True):
        assert verdict.says == (outcome if outcome in ("accept", "escalate", "unsure") else "unsure")
        assert verdict.failed == (outcome in ("crash", "nonsense"))
