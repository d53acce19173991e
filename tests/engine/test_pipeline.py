"""The pipeline with a fake platform: what goes up, what is recorded, what it costs."""

import asyncio
import json
from typing import Any

import pytest
from engine_bench import AT, Bench, FakeProvider, bench
from fake_replies import BLOCK, CLOSE, DELTA, END, JSON, SSE, START, STOP, FakeReply, event, message

from trimtab.budgets import Ledger
from trimtab.engine import Inbound
from trimtab.errors import (
    NotFound,
    PermissionDenied,
    RequestError,
    UpstreamBroken,
    UpstreamError,
    UpstreamRefused,
    UpstreamTimeout,
)
from trimtab.messages import Usage
from trimtab.records import Attempt, Caller, Intent, Outcome


def test_a_tier_is_sent_as_its_model_and_priced_by_reported_usage() -> None:
    b = bench(message({"input_tokens": 1000, "output_tokens": 100}))
    body = b.inbound({}).body
    assert b.ask() == [message({"input_tokens": 1000, "output_tokens": 100})]
    (call,) = b.provider.calls
    assert call.body == body.replace(b'"trimtab/auto"', b'"claude-sonnet-4-6"')
    assert call.headers == [(b"anthropic-version", b"2023-06-01"), (b"x-new", b"kept")]
    record = b.record
    # 1000 x $3/M + 100 x $15/M
    assert record.cost_nanousd == 4_500_000
    assert record.result == "ok"
    assert record.requested_model == "trimtab/auto"
    assert record.plan is not None
    assert (record.plan.tier, str(record.plan.arm)) == ("default", "claude-sonnet-4-6")
    (attempt,) = record.attempts
    assert (attempt.cost_source, attempt.provider_request_id, attempt.stop_reason) == (
        "reported",
        "req_1",
        "end_turn",
    )
    assert attempt.reserved_nanousd >= record.cost_nanousd or attempt.usage is not None
    assert b.ledger.spent() == 4_500_000


def test_a_pinned_model_goes_up_byte_for_byte() -> None:
    b = bench(message({"input_tokens": 1, "output_tokens": 1}))
    raw = b'{ "max_tokens":5,\n"messages" : [ ],"model":"claude-haiku-4-5", "unknown":{"b":1,"a":2} }'
    b.ask(raw)
    assert b.provider.calls[0].body is raw
    assert str(b.record.plan and b.record.plan.arm) == "claude-haiku-4-5-20251001"


def test_effort_order_client_then_header_then_tier() -> None:
    tiers = {"default": "claude-sonnet-4-6@low+adaptive"}
    own = {"x-trimtab-effort": "max"}
    usage = {"input_tokens": 1, "output_tokens": 1}

    def sent(b: Bench) -> dict[str, Any]:
        body = b.provider.calls[0].body
        assert isinstance(body, bytes)
        found: dict[str, Any] = json.loads(body)
        return found

    b = bench(message(usage), **tiers)
    b.ask({"output_config": {"effort": "high"}}, own=own)
    assert sent(b)["output_config"] == {"effort": "high"}
    assert b.record.adaptations == ("thinking=adaptive",)
    b = bench(message(usage), **tiers)
    b.ask({}, own=own)
    assert sent(b)["output_config"] == {"effort": "max"}
    b = bench(message(usage), **tiers)
    b.ask({"output_config": {"effort": None}})
    assert sent(b)["output_config"] == {"effort": None}
    b = bench(message(usage), **tiers)
    b.ask({"thinking": {"type": "disabled"}, "output_config": {"format": 1}})
    assert sent(b)["output_config"] == {"effort": "low", "format": 1}
    assert sent(b)["thinking"] == {"type": "disabled"}
    assert b.record.adaptations == ("output_config.effort=low",)
    assert b.record.plan is not None
    assert b.record.plan.arm.effort == "low"


def test_the_scenario_is_the_class_of_the_record_and_of_what_is_written_down_before_the_call() -> None:
    b = bench(message({"input_tokens": 1, "output_tokens": 1}))
    b.ask({}, own={"x-trimtab-scenario": "coding"})
    assert (b.record.task_class, b.intents[0].task_class, b.intents[0].task) == ("coding", "coding", "")
    assert b.record.plan is not None
    assert str(b.record.plan.arm) == "claude-sonnet-4-6@high"


def test_counting_tokens_gets_no_effort_and_costs_nothing() -> None:
    b = bench(b'{"input_tokens": 12}', default="claude-sonnet-4-6@low")
    b.ask({}, endpoint="count_tokens", path="/v1/messages/count_tokens")
    assert b"output_config" not in bytes(b.provider.calls[0].body)  # type: ignore[arg-type]
    assert (b.record.cost_nanousd, b.record.attempts[0].cost_source) == (0, "unbilled")


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"fields": {"model": "claude-sonet-4-6"}}, NotFound, "did you mean 'claude-sonnet-4-6'"),
        ({"fields": {"model": "trimtab/best"}}, NotFound, "'trimtab/best' is not known"),
        (
            {"own": {"x-trimtab-effort": "huge"}},
            RequestError,
            "x-trimtab-effort: 'huge' is no effort; it is one of low, medium, high, xhigh, max",
        ),
        (
            {"own": {"x-trimtab-scenario": "codng"}},
            RequestError,
            "x-trimtab-scenario: 'codng' is no scenario here; there are quick, general, coding, agent, research",
        ),
        ({"own": {"x-trimtab-mood": "on"}}, RequestError, "nothing in this version acts on this header"),
        ({"own": {"x-trimtab-error-cost-usd": "nan"}}, RequestError, "x-trimtab-error-cost-usd: .nan."),
        ({"own": {"x-trimtab-latency-s": "0"}}, RequestError, "x-trimtab-latency-s: .0."),
        ({"own": {"x-trimtab-session": ""}}, RequestError, "x-trimtab-session"),
        ({"own": {"x-trimtab-platform": " ,"}}, RequestError, "x-trimtab-platform: names no platform entry"),
        ({"own": {"x-trimtab-platform": "aws"}}, RequestError, "'aws' is not a configured platform"),
        ({"own": {"x-trimtab-tags": "a" * 65}}, RequestError, "x-trimtab-tags"),
        ({"headers": []}, RequestError, "anthropic-version: header is required"),
        (
            {"headers": [(b"anthropic-version", b"2024-01-01")]},
            RequestError,
            "'2024-01-01' is not a valid version",
        ),
        ({"headers": [(b"anthropic-version", b"2023-06-01")] * 2}, RequestError, "is not a valid version"),
        ({"fields": {"thinking": 7}}, RequestError, "thinking: Input should be a valid dictionary"),
    ],
)
def test_a_refused_request_calls_nobody_and_is_recorded(
    changes: dict[str, Any], error: type[Exception], text: str
) -> None:
    b = bench()
    with pytest.raises(error, match=text):
        b.ask(**changes)
    assert b.provider.calls == []
    assert (b.record.result, b.record.plan, b.record.cost_nanousd, b.record.attempts) == (
        "error",
        None,
        0,
        (),
    )
    assert b.record.error is not None
    assert text.split("|", maxsplit=1)[0][:10] in b.record.error


def test_a_version_that_the_platform_refuses_is_replaced_and_reported() -> None:
    b = Bench(FakeProvider(FakeReply(200, JSON, [message({})]), api_versions=("2023-06-01",)))
    b.ask({}, headers=[(b"a", b"1"), (b"anthropic-version", b"2026-10-21")])
    assert b.provider.calls[0].headers == [(b"a", b"1"), (b"anthropic-version", b"2023-06-01")]
    assert b.record.adaptations == ("anthropic-version=2023-06-01",)


def test_a_version_that_the_platform_refuses_for_this_model_alone_is_replaced_and_reported() -> None:
    for model, sent in (("claude-sonnet-4-6", b"2023-06-01"), ("claude-opus-4-7", b"2026-10-21")):
        b = Bench(FakeProvider(FakeReply(200, JSON, [message({})])))
        b.provider.platform = "bedrock"
        b.ask({"model": model}, headers=[(b"anthropic-version", b"2026-10-21")])
        assert b.provider.calls[0].headers == [(b"anthropic-version", sent)]
        assert bool(b.record.adaptations) == (sent == b"2023-06-01")


def test_a_stream_passes_unchanged_and_settles_on_its_cumulative_usage() -> None:
    whole = START + BLOCK + DELTA + CLOSE + END + STOP
    chunks = [whole[i : i + 11] for i in range(0, len(whole), 11)]
    b = bench(*chunks, headers=SSE)
    assert b.ask({"stream": True}) == chunks
    # 1000 x $3/M + 500 x $15/M; the 2 output tokens of message_start are not added
    assert b.record.cost_nanousd == 3_000_000 + 7_500_000
    assert b.record.attempts[0].first_content_ms is not None
    assert b.record.response_bytes == len(whole)


@pytest.mark.parametrize("kept", range(6))
def test_a_stream_cut_between_events_is_truncated_and_never_under_counted(kept: int) -> None:
    parts = [START, BLOCK, DELTA, CLOSE, END, STOP][:kept]
    b = bench(*parts, UpstreamBroken("gone"), headers=SSE)
    with pytest.raises(UpstreamBroken):
        b.ask({"stream": True, "max_tokens": 100})
    record = b.record
    assert (record.result, record.attempts[0].status) == ("truncated", 200)
    if kept == 5:  # message_delta with its stop reason was seen: the usage is the final one
        assert (record.attempts[0].cost_source, record.cost_nanousd) == ("reported", 10_500_000)
        return
    assert record.attempts[0].cost_source == "estimated"
    usage = record.attempts[0].usage
    if kept == 0:  # nothing is known: all that was held
        assert usage is None
        assert record.cost_nanousd == record.attempts[0].reserved_nanousd > 0
        return
    assert usage is not None
    assert usage.input_tokens == 1000
    assert (usage.output_tokens or 0) >= (5 if kept > 2 else 0)
    assert (usage.output_tokens or 0) <= 100


def test_a_stream_that_ends_without_message_stop_is_an_error_even_if_http_ended_well() -> None:
    b = bench(START, BLOCK, DELTA, headers=SSE)
    with pytest.raises(UpstreamBroken, match="before message_stop"):
        b.ask({"stream": True})
    assert b.record.result == "truncated"


def test_debug_mode_counts_and_logs_streams_that_break_the_rules(caplog: pytest.LogCaptureFixture) -> None:
    b = bench(START, BLOCK, BLOCK, CLOSE, END, STOP, headers=SSE)
    b.ask({"stream": True})
    assert b"trimtab_invalid_streams_total 1.0" in b.metrics.render()
    assert (
        "request r1: the platform broke the event rules: block 0 starts while block 0 is open" in caplog.text
    )


def test_an_error_event_ends_a_stream_properly_and_is_recorded() -> None:
    b = bench(START, event("error", error={"type": "overloaded_error", "message": "x"}), headers=SSE)
    b.ask({"stream": True})
    assert (b.record.result, b.record.error, b.record.attempts[0].cost_source) == ("error", "overloaded_error", "estimated")  # fmt: skip


@pytest.mark.parametrize(
    "closing",
    [
        [event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": "many"}), STOP],
        [event("message_delta", delta={"stop_reason": "end_turn"}, usage={}), STOP],
        [event("message_delta", delta={"stop_reason": "end_turn"}), STOP],
        [STOP],
        [
            event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 1}),
            event("message_delta", delta={}, usage={"output_tokens": "x"}),
            STOP,
        ],
    ],
)
def test_a_stream_without_a_final_count_is_estimated_not_believed(closing: list[bytes]) -> None:
    words = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "x" * 3000})
    b = bench(START, BLOCK, words, CLOSE, *closing, headers=SSE)
    b.ask({"stream": True, "max_tokens": 4000})
    assert b.record.attempts[0].cost_source == "estimated"
    assert b.record.cost_nanousd >= 3_000_000 + 1000 * 15_000


@pytest.mark.parametrize("usage", [{}, {"input_tokens": 10}, {"output_tokens": 10}])
def test_a_usage_that_says_half_is_estimated(usage: dict[str, int]) -> None:
    b = bench(message(usage))
    b.ask({"max_tokens": 1000})
    assert b.record.attempts[0].cost_source == "estimated"
    assert b.record.cost_nanousd >= 15_000_000


def test_a_count_in_the_middle_of_a_stream_is_not_the_end() -> None:
    early = event("message_delta", delta={"stop_reason": None}, usage={"output_tokens": 1})
    words = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "x" * 3000})
    for delta in (
        early,
        event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 1}),
    ):
        b = bench(START, delta, BLOCK, words, UpstreamBroken("gone"), headers=SSE)
        with pytest.raises(UpstreamBroken):
            b.ask({"stream": True, "max_tokens": 4000})
        assert b.record.attempts[0].cost_source == "estimated"
        assert b.record.cost_nanousd >= 3_000_000 + 2900 * 15_000


def test_a_cut_call_in_fast_mode_or_with_searches_counts_them() -> None:
    search = event(
        "content_block_start",
        index=0,
        content_block={"type": "server_tool_use", "id": "s", "name": "web_search"},
    )
    found = event(
        "content_block_start",
        index=1,
        content_block={"type": "web_search_tool_result", "content": "y" * 20_000},
    )
    b = bench(START, search, CLOSE, found, UpstreamBroken("gone"), headers=SSE)
    with pytest.raises(UpstreamBroken):
        b.ask({"stream": True})
    usage = b.record.attempts[0].usage
    assert usage is not None
    assert (usage.input_tokens or 0) >= 21_000
    # one search is 10 dollars a thousand
    assert b.record.cost_nanousd >= 10_000_000 + 21_000 * 3000
    b = Bench(FakeProvider(UpstreamBroken("gone")))
    with pytest.raises(UpstreamBroken):
        b.ask({"model": "claude-opus-4-8", "speed": "fast", "max_tokens": 1000})
    assert b.record.cost_nanousd == b.record.attempts[0].reserved_nanousd >= 50_000_000


def test_types_spelt_with_escapes_do_not_hide_from_the_bound() -> None:
    raw = rb'{"model":"claude-sonnet-4-6","max_tokens":1,"messages":[{"role":"user","content":[{"type":"docum\u0065nt"}]}]}'
    b = bench(message({"input_tokens": 1, "output_tokens": 1}))
    b.ask(raw)
    assert b.record.attempts[0].reserved_nanousd >= 1_000_000 * 3000
    b = bench(message({"input_tokens": 1, "output_tokens": 1}))
    b.ask({"tools": [{"type": "bash_20250124", "name": "bash"}]})
    assert b.record.attempts[0].reserved_nanousd >= 6000 * 3000


def test_an_error_that_nobody_foresaw_is_recorded_as_an_error() -> None:
    b = bench(RuntimeError("surprise"))
    with pytest.raises(RuntimeError):
        b.ask()
    assert b.record.result == "truncated"
    assert b.record.error == "RuntimeError: surprise"


def test_the_operator_is_told_once_when_a_platform_fails_and_once_when_it_answers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    b = Bench(FakeProvider(UpstreamRefused("cannot connect")))
    for _ in range(3):
        with pytest.raises(UpstreamRefused):
            b.ask()
    b.provider.answer = FakeReply(529, JSON, [b"{}"])
    b.ask()
    assert len(caplog.records) == 1, "an overloaded platform does not answer again"
    b.provider.answer = FakeReply(200, JSON, [message({"input_tokens": 1, "output_tokens": 1})])
    b.ask()
    assert [record.getMessage() for record in caplog.records] == [
        "platform claude fails: cannot connect; further failures are counted in /metrics",
        "platform claude answers again",
    ]


def test_a_number_that_metrics_cannot_take_costs_nobody_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    b = bench(message({"input_tokens": 1, "output_tokens": 1}))

    def broken(*args: object) -> None:
        raise OverflowError

    b.metrics.request = broken  # type: ignore[method-assign]
    assert b.ask()
    assert b.record.result == "ok"
    assert "not counted in metrics" in caplog.text


def test_the_arm_names_what_the_client_asked_for_too() -> None:
    b = bench(message({"input_tokens": 1, "output_tokens": 1}))
    b.ask({"model": "claude-opus-4-7", "thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}})
    assert str(b.record.plan and b.record.plan.arm) == "claude-opus-4-7@max+adaptive"


@pytest.mark.parametrize(
    ("model", "hint"),
    [
        ("trimtab", "did you mean 'trimtab/auto'"),
        ("auto", "did you mean 'trimtab/auto'"),
        ("escalation", "did you mean 'trimtab/escalation'"),
        ("trimtab/auto@high", "effort goes in output_config.effort"),
        ("claude-sonnet-4-6@high", "effort goes in output_config.effort"),
        ("gpt-4o", "GET /v1/models lists"),
        ("x" * 250, "x...' is not known"),
    ],
)
def test_a_model_name_nearly_right_gets_the_right_hint(model: str, hint: str) -> None:
    with pytest.raises(NotFound) as problem:
        bench().ask({"model": model})
    assert hint in str(problem.value)
    assert len(str(problem.value)) < 300


def test_a_refused_request_is_recorded_with_the_model_it_named() -> None:
    b = bench()
    with pytest.raises(RequestError):
        b.ask(b'{"model":"trimtab/auto","messages":[]}')
    assert b.record.requested_model == "trimtab/auto"


def test_hidden_thinking_makes_a_cut_stream_cost_its_worst_case() -> None:
    b = bench(START, BLOCK, UpstreamBroken("gone"), headers=SSE)
    with pytest.raises(UpstreamBroken):
        b.ask({"stream": True, "max_tokens": 9000, "thinking": {"type": "adaptive"}})
    assert b.record.attempts[0].usage == Usage(input_tokens=1000, output_tokens=9000)


@pytest.mark.parametrize(
    ("problem", "source", "status"),
    [
        (UpstreamRefused("no"), "unbilled", 502),
        (UpstreamTimeout("t", "connect"), "unbilled", 504),
        (UpstreamTimeout("t", "header"), "estimated", 504),
        (UpstreamBroken("b"), "estimated", 502),
    ],
)
def test_a_call_without_an_answer_is_recorded_and_costs_what_it_may_have(
    problem: UpstreamError, source: str, status: int
) -> None:
    b = Bench(FakeProvider(problem))
    with pytest.raises(type(problem)):
        b.ask()
    record = b.record
    assert (record.result, record.status, record.attempts[0].cost_source) == ("error", status, source)
    assert (record.cost_nanousd > 0) == (source == "estimated")
    if source == "estimated":
        # The whole worst case at list price: input bound + max_tokens.
        assert record.cost_nanousd <= record.attempts[0].reserved_nanousd


@pytest.mark.parametrize("status", [302, 400, 401, 413, 429, 500, 529])
def test_error_answers_pass_through_and_cost_nothing(status: int) -> None:
    body = b'{"type":"error","error":{"type":"overloaded_error","message":"m"}}'
    b = bench(body, status=status)
    assert b.ask() == [body]
    assert (b.record.result, b.record.status, b.record.error) == ("error", status, "overloaded_error: m")
    assert (b.record.cost_nanousd, b.record.attempts[0].cost_source) == (0, "unbilled")


def test_a_refusal_before_any_output_is_not_billed_but_a_later_one_is() -> None:
    usage = {"input_tokens": 10, "output_tokens": 1}
    b = bench(message(usage, stop_reason="refusal", content=[]))
    b.ask()
    assert b.record.cost_nanousd == 0
    b = bench(message(usage, stop_reason="refusal"))
    b.ask()
    assert b.record.cost_nanousd == 45_000


def test_a_client_that_goes_away_cuts_the_call_which_is_settled_once() -> None:
    async def never() -> FakeReply:
        await asyncio.sleep(60)
        raise AssertionError

    async def cancelled(b: Bench, wait_s: float) -> None:
        task = asyncio.create_task(b.pipeline.answer(b.inbound({"max_tokens": 7})))
        await asyncio.sleep(wait_s)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    b = Bench(FakeProvider(never))
    asyncio.run(cancelled(b, 0.01))
    assert (b.record.result, b.record.status, b.record.attempts[0].cost_source) == (
        "cancelled",
        499,
        "estimated",
    )

    async def half(b: Bench) -> FakeReply:
        reply = await b.pipeline.answer(b.inbound({"stream": True}))
        assert await reply.read() == START
        reply.close()
        reply.close()
        assert isinstance(b.provider.answer, FakeReply)
        return b.provider.answer

    b = bench(START, BLOCK, headers=SSE)
    assert asyncio.run(half(b)).closed
    assert (b.record.result, b.record.attempts[0].cost_source) == ("cancelled", "estimated")


def test_a_deadline_cuts_a_call_that_takes_too_long() -> None:
    b = bench(START, 0.5, BLOCK, headers=SSE)

    async def work() -> None:
        asked, planner = b.inbound({"stream": True}), b.pipeline._messages
        job, _ = b.pipeline._preparing.planned(planner, planner.decide(asked, _body(asked)))
        import msgspec

        job = msgspec.structs.replace(job, deadline=b.now + 0.05)
        reply = await b.metered.call(job, await b.metered.reserve(job))
        assert await reply.read() == START
        with pytest.raises(UpstreamTimeout) as problem:
            await reply.read()
        assert problem.value.phase == "total"
        reply.close()

    asyncio.run(work())
    assert b.record.result == "truncated"


def _body(inbound: Inbound) -> Any:
    from trimtab.messages import MessagesBody

    return MessagesBody(inbound.body)


def test_simulated_money_stays_apart() -> None:
    provider = FakeProvider(
        FakeReply(200, JSON, [message({"input_tokens": 1000, "output_tokens": 0})]), simulated=True
    )
    b = Bench(provider)
    b.ask()
    assert b.record.simulated
    assert (b.ledger.spent(), b.ledger.spent(simulated=True)) == (0, 3_000_000)
    assert b'trimtab_cost_usd_total{model="claude-sonnet-4-6",platform="claude",simulated="true",source="reported"} 0.003' in b.metrics.render()  # fmt: skip


def test_a_simulator_behind_an_http_address_stays_simulated() -> None:
    b = bench(
        message({"input_tokens": 1000, "output_tokens": 0}),
        headers=[*JSON, (b"x-trimtab-simulated", b"true")],
    )
    b.ask()
    assert b.record.simulated
    assert (b.ledger.spent(), b.ledger.spent(simulated=True)) == (0, 3_000_000)


@pytest.mark.parametrize("usage", [{"input_tokens": -5, "output_tokens": 1}, {"input_tokens": 10**40}, {"output_tokens": "9"}, [1], "many", {"input_tokens": 1.5}])  # fmt: skip
def test_usage_that_cannot_be_true_is_not_believed(usage: Any) -> None:
    b = bench(message(usage))
    b.ask()
    assert b.record.attempts[0].cost_source == "estimated"
    assert b.record.cost_nanousd > 0
    b = bench(
        START, event("message_delta", delta={"stop_reason": "end_turn"}, usage=usage), STOP, headers=SSE
    )
    b.ask({"stream": True})
    assert b.record.cost_nanousd >= 3_000_000


def test_an_absurd_max_tokens_reserves_no_more_than_the_context() -> None:
    b = bench(b"{}", status=400)
    b.ask({"max_tokens": 10**9})
    assert b.record.attempts[0].reserved_nanousd < 20_000 * 10**9


def test_a_price_that_cannot_be_worked_out_settles_at_the_worst_case() -> None:
    b = bench(message({"input_tokens": 1, "output_tokens": 1}))

    class Unpriced:
        def worst_case(self, *args: Any, **kwargs: Any) -> int:
            return 77

        def price(self, *args: Any, **kwargs: Any) -> int:
            raise ZeroDivisionError

    b.metered.catalogue = Unpriced()  # type: ignore[assignment]
    b.ask()
    assert (b.record.cost_nanousd, b.record.attempts[0].cost_source) == (77, "estimated")


def test_sessions_header_then_user_id_then_stable_prefix() -> None:
    def session(fields: dict[str, Any], **changes: Any) -> str:
        b = bench(message({}))
        b.ask(fields, **changes)
        return b.record.session

    assert session({}, own={"x-trimtab-session": "s1"}) == "h:s1"
    assert session({"metadata": {"user_id": "u"}}, own={"x-trimtab-session": "s1"}) == "h:s1"
    first = session({"metadata": {"user_id": "u"}})
    assert first.startswith("u:")
    assert first != session({"metadata": {"user_id": "u"}}, caller=Caller(key="other"))
    turns = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "yo"},
        {"role": "user", "content": "?"},
    ]
    assert session({}) == session({"messages": turns})
    assert session({}) != session({"system": "be brief"})
    assert session({}) != session({}, caller=Caller(key="other"))
    assert session({"metadata": {"user_id": None}}).startswith("p:")


@pytest.mark.parametrize(
    ("fields", "least"),
    [
        ({}, 0),
        # Opus 4.8 in fast mode: $50/M output; US-only: 1.1 times $3/M in and $15/M out on the default tier.
        ({"model": "claude-opus-4-8", "speed": "fast", "max_tokens": 1000}, 50_000_000),
        ({"inference_geo": "us", "max_tokens": 1000}, 16_500_000),
        # An image that is named by a short URL still costs up to 4784 tokens.
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "x"}}] * 3}]}, 3 * 4784 * 3000),
        # A document has no bound but the context.
        ({"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "url", "url": "x"}}]}]}, 1_000_000 * 3000),
    ],
)  # fmt: skip
def test_the_worst_case_is_reserved(fields: dict[str, Any], least: int) -> None:
    b = bench(message({"input_tokens": 1, "output_tokens": 1}))
    b.ask(fields)
    assert b.record.attempts[0].reserved_nanousd >= least
    assert b.record.attempts[0].reserved_nanousd >= b.record.cost_nanousd


def test_a_hold_settles_once() -> None:
    from trimtab.catalogue import NanoUSD

    ledger = Ledger()
    hold = asyncio.run(ledger.reserve(NanoUSD(10), simulated=False))
    assert ledger.held() == 10
    ledger.settle(hold, NanoUSD(4))
    assert (ledger.held(), ledger.spent()) == (0, 4)
    with pytest.raises(ValueError, match="settled already"):
        ledger.settle(hold, NanoUSD(4))


def test_two_keys_that_name_the_same_session_do_not_share_it() -> None:
    sessions = set()
    for caller in (Caller(), Caller(key="key_1"), Caller(key="key_2")):
        for own in ({"x-trimtab-session": "s"}, {}):
            b = bench(message({"input_tokens": 1, "output_tokens": 1}))
            b.ask({"metadata": {"user_id": "u"}} if own else {}, caller=caller, own=own)
            sessions.add(b.record.session)
    assert len(sessions) == 6


def test_what_is_about_to_be_spent_is_written_down_before_the_call_goes_out() -> None:
    b = bench(message({"input_tokens": 1, "output_tokens": 1}))
    b.ask({"model": "claude-opus-4-7"}, caller=Caller(key="key_1"))
    (intent,) = b.intents
    (attempt,) = b.record.attempts
    assert (intent.id, intent.key, intent.reserved_nanousd) == (
        b.record.id,
        "key_1",
        attempt.reserved_nanousd,
    )
    died = intent.outcome()
    assert (died.result, died.cost_nanousd, died.attempts[0].cost_source) == (
        "unknown",
        intent.reserved_nanousd,
        "estimated",
    )
    assert (died.plan, died.session, died.requested_model) == (
        b.record.plan,
        b.record.session,
        "claude-opus-4-7",
    )


def test_records_say_whose_key_it_was_also_of_a_request_that_was_refused() -> None:
    caller = Caller(key="key_1", organisation="acme", team="red", user="ann", models=("claude-opus-4-7",))
    b = bench(message({}))
    b.ask({"model": "claude-opus-4-7"}, caller=caller)
    with pytest.raises(PermissionDenied):
        b.ask({"model": "claude-haiku-4-5"}, caller=caller)
    assert [
        (record.result, record.key, record.organisation, record.team, record.user) for record in b.records
    ] == [("ok", "key_1", "acme", "red", "ann"), ("error", "key_1", "acme", "red", "ann")]


def test_a_record_and_its_intent_say_each_thing_in_its_own_field() -> None:
    answer = message({"input_tokens": 1000, "output_tokens": 100}, model="claude-told", stop_reason="why")
    b = bench(answer)
    caller = Caller(key="key_1", organisation="acme", team="red", user="ann")
    body = b.inbound({"stream": True}).body
    b.ask({"stream": True}, caller=caller, own={"x-trimtab-session": "s1", "x-trimtab-tags": "nightly"})
    (intent,), (record,) = b.intents, b.records
    assert record.plan is not None
    (attempt,) = record.attempts
    shared = {
        "id": "r1", "at_ms": int(AT.timestamp() * 1000), "purpose": "live", "endpoint": "messages",
        "requested_model": "trimtab/auto", "session": "h:key_1:s1", "stream": True, "tags": ("nightly",),
        "key": "key_1", "organisation": "acme", "team": "red", "user": "ann", "request_bytes": len(body),
        "config_version": "c1", "catalogue_version": "k1", "plan": record.plan,
    }  # fmt: skip
    assert {name: getattr(intent, name) for name in shared} == shared
    assert intent == Intent(**shared, model="claude-sonnet-4-6", reserved_nanousd=attempt.reserved_nanousd)
    assert record == Outcome(
        **shared, surface="messages", result="ok", status=200, attempts=(attempt,), cost_nanousd=4_500_000,
        response_bytes=len(answer),
        total_ms=1000.0,
    )  # fmt: skip
    assert attempt == Attempt(
        platform="claude", model="claude-sonnet-4-6", result="ok", status=200, provider_request_id="req_1",
        response_model="claude-told", stop_reason="why", usage=attempt.usage, cost_nanousd=4_500_000,
        reserved_nanousd=attempt.reserved_nanousd, cost_source="reported", head_ms=0.0,
    )  # fmt: skip
    assert attempt.reserved_nanousd > 0
