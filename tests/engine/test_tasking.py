"""A call of a task through the pipeline: leave first, a body that keeps to it, and one settlement whatever happens."""

import json
from typing import Any

import pytest
from engine_bench import Bench, FakeProvider
from fake_replies import BLOCK, DELTA, END, JSON, SSE, START, STOP, FakeReply, message

from trimtab.budgets.tasks import TaskAsk, TaskGrant
from trimtab.errors import NotFound, RequestError, TaskBudgetSpent, UpstreamRefused
from trimtab.records import TaskSpent

OWN = {"x-trimtab-task": "t1", "x-trimtab-phase": "tools"}
USAGE = {"input_tokens": 10, "cache_read_input_tokens": 30, "output_tokens": 5}


class Book:
    """Task budgets that say what they are told to."""

    def __init__(self, **grant: Any) -> None:
        self.asked: list[TaskAsk] = []
        self.settled: list[tuple[TaskGrant, TaskSpent]] = []
        self.problem: Exception | None = None
        self.grant = {
            "max_tokens": 50,
            "task_total": 120_000,
            "first_total": 100_000,
            "left_tokens": 90_000,
            "phase_budget": 30_000,
            "phase_left": 25_000,
            "phases": (("analysis", 0), ("tools", 25_000), ("report", 10_000)),
        } | grant

    async def begin(self, ask: TaskAsk) -> TaskGrant:
        self.asked.append(ask)
        if self.problem is not None:
            raise self.problem
        return TaskGrant(task=ask.task, request_id=ask.request_id, phase="tools", **self.grant)

    def settle(self, grant: TaskGrant, spent: TaskSpent) -> None:
        self.settled.append((grant, spent))


def asked(
    book: Book,
    fields: dict[str, Any] | None = None,
    *script: bytes,
    headers: Any = JSON,
    default: str = "claude-sonnet-4-6",
    **more: Any,
) -> tuple[Bench, dict[str, Any]]:
    provider = FakeProvider(FakeReply(200, headers, list(script or (message(USAGE),))))
    b = Bench(provider, book, default=default)
    b.ask(fields or {}, **{"own": OWN, **more})
    body = b.provider.calls[0].body
    assert isinstance(body, bytes)
    return b, json.loads(body)


def test_a_call_gets_what_is_left_and_settles_what_it_took() -> None:
    book = Book()
    b, sent = asked(book)
    (ask,) = book.asked
    assert (ask.task, ask.phase, ask.max_tokens, ask.request_id) == ("t1", "tools", 100, "r1")
    assert 0 < ask.input_estimate < 100
    assert ask.output_nanousd == 15_000
    assert sent["max_tokens"] == 50
    assert b.record.adaptations == ("max_tokens=50",)
    assert (b.record.task, b.record.phase) == ("t1", "tools")
    assert (b.intents[0].task, b.intents[0].phase) == ("t1", "tools")
    ((grant, spent),) = book.settled
    assert grant.request_id == "r1"
    assert spent == TaskSpent(40, 5, b.record.cost_nanousd)


def test_what_is_enough_is_left_as_it_came() -> None:
    book = Book(max_tokens=100)
    b = Bench(FakeProvider(FakeReply(200, JSON, [message(USAGE)])), book)
    raw = b'{"max_tokens":100, "model":"claude-sonnet-4-6","messages":[{"role":"user","content":"hi"}]}'
    b.ask(raw, own=OWN)
    assert b.provider.calls[0].body == raw
    assert b.record.adaptations == ()


@pytest.mark.parametrize(
    ("grant", "said"),
    [
        ({"first_of_phase": True}, "this is phase tools; after it come report 10000"),
        ({"phase_left": 7_000}, "About 7000 tokens are left for this phase and 90000 for the whole task"),
        (
            {"phases": (("tools", 7),), "first_of_phase": True},
            "about 90000 tokens are left for the whole task",
        ),
    ],
)
def test_a_model_without_budgets_of_its_own_is_told_in_the_latest_turn(
    grant: dict[str, Any], said: str
) -> None:
    b, sent = asked(Book(**grant))
    assert sent["messages"][0]["content"].startswith("hi\n\n[Token budget: ")
    assert said in sent["messages"][0]["content"]
    assert "output_config" not in sent
    assert "task budget note in the latest user turn" in b.record.adaptations


def test_the_vendors_budget_is_the_total_and_the_phases_are_told() -> None:
    b, sent = asked(Book(max_tokens=100, first_of_phase=True), {"model": "claude-opus-4-7"})
    assert sent["output_config"]["task_budget"] == {"type": "tokens", "total": 100_000}
    assert (b"anthropic-beta", b"task-budgets-2026-03-13") in b.provider.calls[0].headers
    assert "this is phase tools" in sent["messages"][0]["content"]
    b, sent = asked(Book(max_tokens=100, phase_left=1), {"model": "claude-opus-4-7"})
    assert sent["output_config"]["task_budget"]["total"] == 100_000
    assert sent["messages"][0]["content"] == "hi"


def test_the_beta_goes_out_once_beside_others() -> None:
    for sent_as in (b"a, task-budgets-2026-03-13", b"a"):
        headers = [(b"anthropic-version", b"2023-06-01"), (b"anthropic-beta", sent_as)]
        b, _ = asked(Book(), {"model": "claude-opus-4-7"}, headers=JSON, own=OWN)
        b = Bench(FakeProvider(FakeReply(200, JSON, [message(USAGE)])), Book())
        b.ask({"model": "claude-opus-4-7"}, own=OWN, headers=headers)
        values = [value for name, value in b.provider.calls[0].headers if name == b"anthropic-beta"]
        assert b",".join(values).count(b"task-budgets-2026-03-13") == 1


def test_a_small_total_is_told_as_the_vendor_takes_none_below_20000() -> None:
    _, sent = asked(Book(first_total=19_999, first_of_phase=True), {"model": "claude-opus-4-7"})
    assert "output_config" not in sent
    assert "[Token budget" in sent["messages"][0]["content"]


def test_a_clients_own_task_budget_is_left_to_it() -> None:
    own = {"effort": "low", "task_budget": {"type": "tokens", "total": 50_000}}
    _, sent = asked(Book(first_of_phase=True), {"model": "claude-opus-4-7", "output_config": own})
    assert sent["output_config"] == own
    assert sent["messages"][0]["content"] == "hi"


def test_thinking_keeps_below_the_lower_limit_or_the_call_is_not_made() -> None:
    thinking = {"type": "enabled", "budget_tokens": 8_000, "display": "omitted"}
    fields = {"model": "claude-haiku-4-5", "max_tokens": 10_000, "thinking": thinking}
    b, sent = asked(Book(max_tokens=4_000), fields)
    assert sent["thinking"] == {**thinking, "budget_tokens": 3_000}
    assert b.record.adaptations == ("max_tokens=4000", "thinking.budget_tokens=3000")
    book = Book(max_tokens=1_200)
    b = Bench(FakeProvider(FakeReply(200, JSON, [])), book)
    with pytest.raises(TaskBudgetSpent, match="extended thinking needs 1280") as refused:
        b.ask(fields, own=OWN)
    assert refused.value.reason == "phase_budget_exhausted"
    assert b.provider.calls == []
    assert [spent for _, spent in book.settled] == [TaskSpent()]


def test_a_stream_settles_by_what_it_reported_and_a_cut_one_at_all_that_was_held() -> None:
    book = Book()
    b, _ = asked(book, {"stream": True}, START, BLOCK, DELTA, END, STOP, headers=SSE)
    assert book.settled[0][1] == TaskSpent(1000, 500, b.record.cost_nanousd)
    book = Book()
    b = Bench(FakeProvider(UpstreamRefused("nobody there")), book)
    with pytest.raises(UpstreamRefused):
        b.ask({}, own=OWN)
    assert [spent for _, spent in book.settled] == [TaskSpent()]


def test_what_is_refused_after_leave_was_given_gives_it_back() -> None:
    book = Book()
    b = Bench(FakeProvider(FakeReply(200, JSON, [])), book)
    with pytest.raises(RequestError, match="anthropic-version"):
        b.ask({}, own=OWN, headers=[])
    assert [spent for _, spent in book.settled] == [TaskSpent()]
    assert b.record.task == "t1"


def test_the_scenario_of_the_task_is_the_class_of_its_calls_and_names_their_effort() -> None:
    b, sent = asked(Book(scenario="coding"), default="claude-opus-4-7@low")
    assert sent["output_config"]["effort"] == "high"
    assert (b.record.task_class, str(b.record.plan.arm)) == ("coding", "claude-opus-4-7@high")  # type: ignore[union-attr]
    b, sent = asked(
        Book(scenario="coding"), default="claude-opus-4-7", own={**OWN, "x-trimtab-scenario": "quick"}
    )
    assert (sent["output_config"]["effort"], b.record.task_class) == ("low", "quick")
    b, sent = asked(Book(), default="claude-opus-4-7@low")
    assert (sent["output_config"]["effort"], b.record.task_class) == ("low", "")


def test_a_scenario_that_left_the_configuration_stays_the_class_of_its_task_and_says_that_it_names_no_effort() -> (
    None
):
    b, sent = asked(Book(scenario="gone"), default="claude-opus-4-7@low")
    assert (sent["output_config"]["effort"], b.record.task_class) == ("low", "gone")
    assert b.record.plan is not None
    assert "scenario gone of the task names no effort: it is not configured" in b.record.plan.reasons


def test_no_call_is_made_without_leave() -> None:
    book = Book()
    book.problem = NotFound("task: 't1' is not known")
    b = Bench(FakeProvider(FakeReply(200, JSON, [])), book)
    with pytest.raises(NotFound):
        b.ask({}, own=OWN)
    assert b.provider.calls == []
    assert book.settled == []
    assert (b.record.status, b.record.cost_nanousd) == (404, 0)


@pytest.mark.parametrize(
    ("own", "says"),
    [
        ({"x-trimtab-phase": "tools"}, "belongs to a task"),
        ({"x-trimtab-task": ""}, "is empty"),
        ({"x-trimtab-task": "t1; total=-5"}, "whole number of tokens"),
        ({"x-trimtab-task": "t1", "x-trimtab-phase": "a; progress=2"}, "from 0 to 1"),
    ],
)
def test_headers_that_make_no_sense_are_refused(own: dict[str, str], says: str) -> None:
    b = Bench(FakeProvider(FakeReply(200, JSON, [])), Book())
    with pytest.raises(RequestError, match=says):
        b.ask({}, own=own)
    assert b.provider.calls == []


def test_counting_tokens_takes_nothing_from_a_task() -> None:
    book = Book()
    b = Bench(FakeProvider(FakeReply(200, JSON, [b'{"input_tokens":5}'])), book)
    b.ask({}, own=OWN, endpoint="count_tokens", path="/v1/messages/count_tokens")
    assert book.asked == []
