"""What is asked, how often and of whom; with a gateway that is played."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from trimtab.errors import EvalError
from trimtab.evals import Answer, Question
from trimtab.evals.parity import Asked, Case, Judged, Report, check_parity

HELLO = [{"role": "user", "content": "Hello"}]


def answer(entry: str, status: int = 200, body: Any = None, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    given = {
        "content-type": "application/json",
        "x-trimtab-platform": entry,
        "x-trimtab-cost-usd": "0.001",
        **named,
    }
    return Answer(status, given, json.dumps(body if body is not None else message("Hi")).encode(), 5.0, 5.0)


def message(text: str, tokens: int = 10) -> dict[str, Any]:
    return {
        "type": "message", "model": "m", "stop_reason": "end_turn", "content": [{"type": "text", "text": text}],
        "usage": {"input_tokens": tokens, "output_tokens": 3},
    }  # fmt: skip


def problem(status: int, kind: str, says: str) -> dict[str, Any]:
    return {"status": status, "body": {"type": "error", "error": {"type": kind, "message": says}}}


class Played:
    """A gateway whose answers are given."""

    def __init__(self, answers: Callable[[str, Question], Answer] | None = None) -> None:
        self.answers = answers or (lambda entry, question: answer(entry))
        self.asked: list[Question] = []
        self.looked_up: list[str] = []
        self.slept: list[float] = []
        self.records: list[Answer] = []

    async def ask(self, question: Question) -> Answer:
        await asyncio.sleep(0)
        if "-probe" in named(question)["x-trimtab-session"]:
            return self.probed(named(question)["x-trimtab-platform"], question)
        self.asked.append(question)
        return self.answers(named(question)["x-trimtab-platform"], question)

    def probed(self, entry: str, question: Question) -> Answer:
        return answer(entry, body={"input_tokens": 1}, x_trimtab_arm="claude-x-1@high+adaptive")

    async def look_up(self, path: str) -> Answer:
        self.looked_up.append(path)
        return self.records.pop(0)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def check(
        self, *cases: Case, told: Callable[[Judged, int, int], None] | None = None, **options: Any
    ) -> Report:
        asked = Asked(**{"first": "one", "second": "two", "cases": cases, "models": ("m",), **options})
        none: Callable[[Judged, int, int], None] = lambda *_: None  # noqa: E731
        return asyncio.run(check_parity(self, asked, run="r1", told=told or none, sleep=self.sleep))

    def sent_to(self, entry: str) -> list[Question]:
        return [question for question in self.asked if named(question)["x-trimtab-platform"] == entry]


def named(question: Question) -> dict[str, str]:
    return dict(question.headers)


def case(*steps: dict[str, Any], **fields: Any) -> Case:
    written = [step if "request" in step else {"request": {"max_tokens": 9, "messages": HELLO, **step}} for step in steps or ({},)]  # fmt: skip
    return msgspec.convert({"name": "c", "steps": written, **fields}, Case)


def test_both_entries_get_the_same_bytes_and_each_request_names_its_entry_session_and_tag() -> None:
    played = Played()
    report = played.check(case(betas=["a-1", "b-2"], version="2026-10-21"), repeat=2)
    assert (report.same, report.different, report.inconclusive) == (1, 0, 0)
    assert len({question.body for question in played.asked}) == 1
    assert json.loads(played.asked[0].body) == {"max_tokens": 9, "messages": HELLO, "model": "m"}
    assert sorted(named(question)["x-trimtab-platform"] for question in played.asked) == [
        "one",
        "one",
        "two",
        "two",
    ]
    assert named(played.sent_to("two")[1]) == {
        "anthropic-version": "2026-10-21",
        "anthropic-beta": "a-1,b-2",
        "x-trimtab-platform": "two",
        "x-trimtab-session": "parity-r1-c-2-b",
        "x-trimtab-tags": "parity",
    }
    assert report.cost_nanousd == 4_000_000


def test_each_case_is_asked_with_each_model_and_progress_is_told() -> None:
    seen: list[tuple[str, int, int]] = []
    played = Played()
    report = played.check(
        case(), case(name="d"), models=("m", "n"), told=lambda judged, done, total: seen.append((judged.case, done, total))
    )  # fmt: skip
    assert [(one.case, one.model) for one in report.judged] == [
        ("c", "m"),
        ("d", "m"),
        ("c", "n"),
        ("d", "n"),
    ]
    assert sorted(name for name, _, _ in seen) == ["c", "c", "d", "d"]
    assert [(done, total) for _, done, total in seen] == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_the_default_model_is_that_of_the_default_tier() -> None:
    played = Played()
    assert played.check(case(), models=()).models == ("claude-x-1",)
    assert json.loads(played.asked[0].body)["model"] == "claude-x-1"


@pytest.mark.parametrize(
    ("said", "slept", "outcome"),
    [
        ([{"status": 429, "retry_after": "3"}], [3.0], "same"),
        ([{"status": 529}, {"status": 500}], [1.0, 2.0], "same"),
        ([{"status": 529}] * 9, [1.0, 2.0, 4.0], "inconclusive"),
        ([{"status": 429, "x_should_retry": "false"}], [], "inconclusive"),
        ([{"status": 429, "retry_after": "3600"}], [], "inconclusive"),
        ([{"status": 402}], [], "inconclusive"),
    ],
)
def test_what_may_pass_is_waited_for_as_long_as_is_said(
    said: list[dict[str, Any]], slept: list[float], outcome: str
) -> None:
    waiting = list(said)

    def answers(entry: str, question: Question) -> Answer:
        return answer(entry, **waiting.pop(0)) if entry == "two" and waiting else answer(entry)

    played = Played(answers)
    report = played.check(case())
    assert [one.outcome for one in report.judged] == [outcome]
    assert played.slept == slept


def test_a_broken_connection_is_tried_again() -> None:
    broken = [Answer(0, problem="reset")]
    played = Played(lambda entry, question: broken.pop() if broken else answer(entry))
    assert played.check(case()).same == 1
    assert (played.slept, len(played.asked)) == ([1.0], 3)


GO_ON = {"messages": [*HELLO, {"$turn": 1}, {"role": "user", "content": "And?"}]}


def test_a_step_at_one_platform_is_asked_once_and_both_go_on_from_its_answer() -> None:
    content = [{"type": "thinking", "thinking": "", "signature": "s2"}, {"type": "text", "text": "Hi"}]

    def answers(entry: str, question: Question) -> Answer:
        return answer(entry, body={**message(""), "content": content if entry == "two" else []})

    played = Played(answers)
    begun = {"request": {"max_tokens": 9, "messages": HELLO}, "at": "second"}
    played.check(case(begun, GO_ON))
    assert [len(played.sent_to(entry)) for entry in ("one", "two")] == [1, 2]
    [went_on] = played.sent_to("one")
    assert json.loads(went_on.body)["messages"][1] == {"role": "assistant", "content": content}
    assert played.sent_to("two")[1].body == went_on.body


def test_a_conversation_that_could_not_be_begun_is_inconclusive_and_says_why() -> None:
    played = Played(
        lambda entry, question: answer(entry, **problem(400, "invalid_request_error", "no thinking here"))
    )
    begun = {"request": {"max_tokens": 9, "messages": HELLO}, "at": "first"}
    [one] = played.check(case(begun, GO_ON)).judged
    assert one.outcome == "inconclusive"
    assert one.doubts[0] == "one: step 1, on one: 400 invalid_request_error: no thinking here"
    assert len(played.asked) == 1


def test_a_side_that_refuses_a_step_is_not_asked_the_next_one() -> None:
    refusal = problem(400, "invalid_request_error", "no")
    played = Played(lambda entry, question: answer(entry, **refusal) if entry == "two" else answer(entry))
    [one] = played.check(case({}, {})).judged
    assert [(d.fact, d.first, d.second) for d in one.differences] == [
        ("step 1: status", "200", "400 invalid_request_error")
    ]
    assert [len(played.sent_to(entry)) for entry in ("one", "two")] == [2, 1]


def test_input_tokens_are_compared_only_where_both_were_sent_the_same() -> None:
    def answers(entry: str, question: Question) -> Answer:
        return answer(entry, body=message(f"I am {entry}", tokens=10 if entry == "one" else 11))

    [one] = Played(answers).check(case({}, GO_ON)).judged
    assert [d.fact for d in one.differences] == ["step 1: input tokens"]
    words = case({"system": {"$words": 9}})
    assert Played(answers).check(words).same == 1, "long texts are not the same bytes"


def test_a_model_that_calls_no_tool_leaves_the_next_step_inconclusive() -> None:
    result = {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": {"$call": 1}, "content": "x"}],
    }
    played = Played()
    [one] = played.check(case({}, {"messages": [*HELLO, {"$turn": 1}, result]})).judged
    assert (one.outcome, one.doubts) == (
        "inconclusive",
        ("one: step 1 called no tool", "two: step 1 called no tool"),
    )


def test_what_a_stream_cost_comes_from_its_record_as_soon_as_that_is_there() -> None:
    stream = Answer(200, {"content-type": "text/event-stream", "x-trimtab-request": "q1"}, b"", 5.0, 6.0)
    played = Played(lambda entry, question: stream)
    played.records = [
        Answer(404), Answer(200, body=b'{"cost_nanousd": 70}'), Answer(200, body=b'{"cost_nanousd": 30}'),
    ]  # fmt: skip
    report = played.check(case())
    assert report.cost_nanousd == 100
    assert played.looked_up == ["/trimtab/v1/requests/q1"] * 3


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (answer("one", **problem(400, "invalid_request_error", "x-trimtab-platform: 'one' is not a configured platform; there are a, b")),
         "one with m: x-trimtab-platform: 'one' is not a configured platform; there are a, b"),
        (answer("one", **problem(404, "not_found_error", "model: 'm' is served by platform 'one', which speaks another API")),
         "one with m: model: 'm' is served by platform 'one'"),
        (answer("one", **problem(401, "authentication_error", "no key is shown")), "one with m: no key is shown"),
        (Answer(0, problem="could not connect to 127.0.0.1:1"), "the gateway does not answer: could not connect"),
    ],
)  # fmt: skip
def test_where_nothing_can_be_compared_nothing_is_asked_and_the_reason_is_said(
    said: Answer, says: str
) -> None:
    played = Played()
    played.probed = lambda entry, question: said  # type: ignore[method-assign]
    with pytest.raises(EvalError) as refused:
        played.check(case())
    assert str(refused.value).startswith(says)
    assert played.asked == []


def test_a_platform_that_cannot_count_tokens_is_compared_all_the_same() -> None:
    played = Played()
    refusal = problem(404, "not_found_error", "count_tokens: Amazon has no such operation")
    played.probed = lambda entry, question: answer(entry, **refusal)  # type: ignore[method-assign]
    assert played.check(case()).same == 1
    with pytest.raises(EvalError, match="name one: --model"):
        played.check(case(), models=())


def test_one_entry_is_not_compared_with_itself() -> None:
    with pytest.raises(EvalError, match="name two different platform entries"):
        Played().check(case(), second="one")
