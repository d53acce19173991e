"""Whatever platforms, verifiers and limits do: one answer, one record, nothing held, nothing above what was allowed."""

import asyncio
from typing import Any

from engine_bench import Bench, FakeProvider
from fake_replies import BLOCK, CLOSE, DELTA, JSON, SSE, STOP, FakeReply, event, message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trimtab.catalogue import Arm
from trimtab.engine.cascade.afterwards import Afterwards
from trimtab.engine.cascade.checked import Checked, Floor
from trimtab.engine.cascade.judging import Bench as JudgesBench
from trimtab.engine.cascade.judging import Judging
from trimtab.errors import RequestError, TrimtabError, UpstreamBroken
from trimtab.messages.exchange import question_of
from trimtab.routing.cascade import Beginning, Ladder, Made, Next
from trimtab.verification import Check, Finding, VerificationSettings

RUNGS = (
    Arm("claude-haiku-4-5-20251001"),
    Arm("claude-sonnet-4-6", "medium"),
    Arm("claude-opus-4-7", "high"),
)
START = event("message_start", message={"content": [], "usage": {"input_tokens": 10, "output_tokens": 1}})
OUTCOMES = ("whole", "stream_error", "overloaded", "broken", "slow")


class Climb:
    """Goes on whenever it may."""

    def __init__(self) -> None:
        self.beginning = Beginning(rungs=RUNGS)
        self.given: list[Arm] = []

    def next(self, made: list[Made], *, left_s: float | None, spent_nanousd: int) -> Next:
        if made[-1].says == "accept" or len(made) >= len(RUNGS) or (left_s is not None and left_s <= 0):
            return Next(None, "it ends here")
        return Next(RUNGS[len(made)], "and on")

    def ended(self, rung: Arm, released: Any) -> None:
        self.given.append(rung)


class Says:
    """A verifier that says what it is told to, in turn."""

    spends = "nothing"

    def __init__(self, what: list[str]) -> None:
        self.what = what

    async def check(self, case: Any) -> Finding:
        said = self.what.pop(0) if self.what else "accept"
        if said == "crash":
            raise ValueError("crashed")
        return Finding(said)  # type: ignore[arg-type]


def reply(b: Bench, outcome: str, stream: bool, tokens: int, takes_s: float) -> Any:
    async def made() -> FakeReply:
        b.now += takes_s
        if outcome == "broken":
            raise UpstreamBroken("gone")
        if outcome == "overloaded":
            body = b'{"type":"error","error":{"type":"overloaded_error","message":"no"}}'
            return FakeReply(529, JSON, [body])
        if stream:
            end = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": tokens})
            rest = [event("error", error={"type": "overloaded_error", "message": "x"})]
            if outcome != "stream_error":
                rest = [CLOSE, end, STOP]
            return FakeReply(200, SSE, [START, BLOCK, DELTA, *rest])
        return FakeReply(200, JSON, [message({"input_tokens": 10, "output_tokens": tokens})])

    return made


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    plays=st.lists(
        st.tuples(st.sampled_from(OUTCOMES), st.integers(0, 100), st.floats(0, 20)), min_size=3, max_size=3
    ),
    said=st.lists(st.sampled_from(("accept", "escalate", "unsure", "crash")), max_size=3),
    stream=st.booleans(),
    most=st.none() | st.integers(0, 8_000_000),
    within_s=st.none() | st.floats(0.1, 40),
)
def test_one_answer_one_record_and_no_more_than_was_allowed(
    plays: list[tuple[str, int, float]],
    said: list[str],
    stream: bool,
    most: int | None,
    within_s: float | None,
) -> None:
    provider = FakeProvider(UpstreamBroken("never asked"))
    b, climb = Bench(provider), Climb()
    pipeline, begun = b.pipeline, []
    inbound = b.inbound({"stream": stream})
    b.now = inbound.arrived

    async def answers() -> FakeReply:
        begun.append(b.now - inbound.arrived)
        outcome, tokens, takes_s = plays[len(begun) - 1]
        answer: FakeReply = await reply(b, outcome, stream, tokens, takes_s)()
        return answer

    provider.answer = answers
    ladder = Ladder(rungs=RUNGS, most_nanousd=most, within_s=within_s)
    planner = pipeline._messages
    bench = JudgesBench(
        paired=None,  # type: ignore[arg-type]
        arm_of=Arm,
        run=None,  # type: ignore[arg-type]
        monotonic=lambda: b.now,
        charges_caller=False,
        quoted=lambda verdicts, simulated: verdicts,
    )

    async def work() -> bytes:
        asked = planner.decide(inbound, planner.read(inbound))
        checks = (Check("says", Says(list(said)), 5.0),)  # type: ignore[arg-type]
        judging = Judging(
            bench, asked, checks, frozenset(), question_of(inbound.body, "messages"),
            most_nanousd=most, deadline=None,
        )  # fmt: skip
        floor = Floor(
            metered=b.metered, surviving=None, preparing=pipeline._preparing,
            settings=VerificationSettings(), afterwards=Afterwards(),
        )  # fmt: skip
        checked = Checked(floor, planner, asked, judging, ladder, climb, holds=True)
        job, route = checked.shaped(*pipeline._preparing.planned(planner, checked.first()))
        hold = await b.metered.reserve(job)
        answer = await checked.answer(job, route, hold, None)
        try:
            if not answer.is_event_stream:
                return await answer.body()
            got: list[bytes] = []

            def write(piece: bytes) -> bool:
                got.append(piece)
                return True

            while not await answer.pump(write):
                pass
            return b"".join(got)
        finally:
            answer.close()

    try:
        body = asyncio.run(work())
    except RequestError:
        assert not begun  # what the request may cost was less than its first call could
        assert most is not None
        assert b.records == []
        return
    except TrimtabError:
        body = b""
    record = b.record  # one, and nothing is held
    assert len(record.attempts) == len(begun) <= len(RUNGS)
    assert [attempt.step for attempt in record.attempts] == list(range(len(begun)))
    given_by = record.attempts[record.answered if record.answered is not None else -1]
    if most is not None:
        assert sum(attempt.cost_nanousd for attempt in record.attempts) <= most
    if within_s is not None:
        assert all(moment < within_s for moment in begun[1:])
    whole = [attempt for attempt in record.attempts if attempt.result == "ok"]
    if whole:
        assert given_by in whole
        assert body.count(b"event: message_start") == (1 if stream else 0)
        verdicts = [attempt.verdicts[0].says for attempt in whole]
        assert "accept" not in verdicts[:-1], "an accepted answer is the last"
        assert given_by.verdicts[0].says == max(verdicts, key=("escalate", "unsure", "accept").index)
        assert all(one.verdicts[0].says != "accept" for one in whole if one.verdicts[0].failed)
        assert climb.given == [RUNGS[given_by.step]]
    else:
        assert len(begun) == 1, "a first call that fails is the answer"
