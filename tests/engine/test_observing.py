"""What the access log and the traces say of a request, and that they never say what was in it."""

import msgspec
import pytest
from judged_requests import judged_outcome

from trimtab.catalogue import Arm
from trimtab.engine import Recorder
from trimtab.engine.observing import access_fields, error_type, request_spans
from trimtab.messages import Usage
from trimtab.records import Attempt, Intent, Outcome, Plan, RequestId
from trimtab.telemetry import Metrics, names
from trimtab.telemetry.tracing import parse_traceparent, span_id_of

PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
CONTENT = "quoted words of a prompt"
AT_MS = 1_790_000_000_000

ATTEMPT = Attempt(
    platform="claude",
    model="claude-sonnet-4-6",
    result="ok",
    status=200,
    provider_request_id="req_1",
    response_model="claude-sonnet-4-6-20260217",
    stop_reason="end_turn",
    usage=Usage(input_tokens=10, output_tokens=5, cache_read_input_tokens=100, cache_creation_input_tokens=7),
    cost_nanousd=1_234_567,
    cost_source="reported",
    first_content_ms=120.0,
    total_ms=400.0,
)
OUTCOME = Outcome(
    id=RequestId("01a1fe55e32a784fae48cc42dcbfdb7e"),
    at_ms=AT_MS,
    purpose="live",
    surface="messages",
    endpoint="messages",
    requested_model="trimtab/auto",
    session=CONTENT,
    result="ok",
    status=200,
    stream=True,
    plan=Plan(arm=Arm("claude-sonnet-4-6", "high"), platform="claude", tier="default"),
    attempts=(ATTEMPT,),
    cost_nanousd=1_234_567,
    tags=(CONTENT,),
    total_ms=450.0,
    config_version="c0ffee",
    catalogue_version="cafe",
    key="key_1",
)
REFUSED = msgspec.structs.replace(
    OUTCOME,
    result="error",
    status=400,
    plan=None,
    attempts=(),
    cost_nanousd=0,
    key="",
    error=f"RequestError: {CONTENT}",
    requested_model="x" * 500,
)


def test_an_access_line_has_the_documented_fields() -> None:
    fields = access_fields(OUTCOME)
    assert tuple(fields) == names.ACCESS_FIELDS
    assert fields == {
        "method": "POST",
        "path": "/v1/messages",
        "endpoint": "messages",
        "key": "key_1",
        "requested_model": "trimtab/auto",
        "model": "claude-sonnet-4-6",
        "arm": "claude-sonnet-4-6@high",
        "platform": "claude",
        "attempts": 1,
        "status": 200,
        "result": "ok",
        "error_type": None,
        "cost_usd": 0.001234567,
        "cost_source": "reported",
        "input_tokens": 117,
        "output_tokens": 5,
        "steps": None,
        "verdict": None,
        "checks_usd": None,
        "stream": True,
        "total_ms": 450.0,
        "simulated": False,
    }


def test_a_refused_request_has_a_line_too() -> None:
    fields = access_fields(REFUSED)
    assert fields["status"] == 400
    assert fields["error_type"] == "RequestError"
    assert fields["model"] is fields["input_tokens"] is fields["key"] is None
    assert len(str(fields["requested_model"])) == 80


def test_a_request_is_a_server_span_over_a_client_span() -> None:
    server, client = request_spans(OUTCOME, [(b"traceparent", PARENT)], {"claude": "anthropic"})
    parent = parse_traceparent(PARENT)
    assert parent is not None
    assert server.parent == parent
    assert server.remote
    assert server.trace_id == client.trace_id == parent.trace_id
    assert client.parent is not None
    assert client.parent.span_id == server.span_id == span_id_of(OUTCOME.id)
    assert client.span_id == span_id_of(OUTCOME.id, 0)
    assert (server.name, client.name) == ("POST /v1/messages", "chat claude-sonnet-4-6")
    assert server.start_ns == AT_MS * 1_000_000
    assert server.end_ns - server.start_ns == 450_000_000
    assert client.end_ns == server.end_ns
    assert client.end_ns - client.start_ns == 400_000_000
    assert not server.failed
    assert client.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-sonnet-4-6",
        "gen_ai.response.model": "claude-sonnet-4-6-20260217",
        "gen_ai.response.finish_reasons": ("end_turn",),
        "gen_ai.usage.input_tokens": 117,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 100,
        "gen_ai.usage.cache_creation.input_tokens": 7,
        "http.response.status_code": 200,
        "trimtab.result": "ok",
        "trimtab.platform": "claude",
        "trimtab.platform_request.id": "req_1",
        "trimtab.first_content_ms": 120.0,
        "trimtab.cost_usd": 0.001234567,
        "trimtab.cost_source": "reported",
        "trimtab.simulated": False,
    }
    assert server.attributes["trimtab.tier"] == "default"
    assert server.attributes["trimtab.effort"] == "high"
    assert server.attributes["trimtab.config.version"] == "c0ffee"


def test_attempts_follow_one_another_within_their_request() -> None:
    first = msgspec.structs.replace(
        ATTEMPT, result="error", status=529, error="overloaded_error", total_ms=30.0
    )
    server, one, two = request_spans(msgspec.structs.replace(OUTCOME, attempts=(first, ATTEMPT)), [], {})
    assert server.start_ns <= one.start_ns < one.end_ns == two.start_ns < two.end_ns == server.end_ns
    assert one.failed
    assert one.attributes["error.type"] == "overloaded_error"
    assert not two.failed
    assert one.span_id != two.span_id


FAILED_OVER = msgspec.structs.replace(
    OUTCOME,
    attempts=(
        msgspec.structs.replace(
            ATTEMPT,
            result="truncated",
            error="UpstreamBroken: cut",
            account="2",
            cost_source="estimated",
            first_content_ms=None,
        ),
        msgspec.structs.replace(ATTEMPT, platform="bedrock"),
    ),
)


def test_a_request_that_failed_over_is_the_platform_s_that_answered_and_its_cost_is_in_part_estimated() -> (
    None
):
    fields = access_fields(FAILED_OVER)
    assert (fields["platform"], fields["cost_source"]) == ("bedrock", "estimated")
    server, first, last = request_spans(FAILED_OVER, [], {})
    assert [span.attributes["trimtab.platform"] for span in (server, first, last)] == [
        "bedrock",
        "claude",
        "bedrock",
    ]
    assert first.attributes["trimtab.platform.account"] == "2"
    assert "trimtab.platform.account" not in last.attributes
    metrics = Metrics()
    Recorder(Kept(), metrics).record(FAILED_OVER)
    Recorder(Kept(), metrics).record(msgspec.structs.replace(FAILED_OVER, endpoint="count_tokens"))
    text = metrics.render().decode()
    assert 'trimtab_requests_total{endpoint="messages",model="claude-sonnet-4-6",platform="bedrock"' in text
    counted = [line for line in text.splitlines() if line.startswith("trimtab_attempts_total{")]
    assert sorted(counted) == [
        'trimtab_attempts_total{account="",ending="answered",model="claude-sonnet-4-6",platform="bedrock",'
        'simulated="false"} 1.0',
        'trimtab_attempts_total{account="2",ending="failed",model="claude-sonnet-4-6",platform="claude",'
        'simulated="false"} 1.0',
    ]


def test_of_a_judged_request_steps_verdicts_and_their_money_are_told_and_counted_by_each_models_own() -> None:
    outcome = judged_outcome()
    fields = access_fields(outcome)
    told = (fields["arm"], fields["platform"], fields["steps"], fields["verdict"], fields["checks_usd"])
    assert told == ("claude-opus-4-7@high", "other", 2, "unsure", 0.0021)
    server, first, cut, last = request_spans(outcome, [], {})
    assert [server.attributes[name] for name in ("trimtab.step", "trimtab.verdict", "trimtab.arm")] == [
        2,
        "unsure",
        "claude-opus-4-7@high",
    ]
    assert [span.attributes["trimtab.step"] for span in (first, cut, last)] == [1, 2, 2]
    assert [span.attributes.get("trimtab.verdict") for span in (first, cut, last)] == [
        "escalate",
        None,
        "unsure",
    ]
    assert first.attributes["trimtab.arm"] == "claude-sonnet-4-6@medium"
    assert cut.start_ns - first.end_ns == 500_000, "what was checked before another step was begun"

    metrics = Metrics()
    Recorder(Kept(), metrics).record(outcome)
    Recorder(Kept(), metrics).record(msgspec.structs.replace(OUTCOME, simulated=True))
    text = metrics.render().decode()
    counted = {
        line
        for line in text.splitlines()
        if line.startswith(
            ("trimtab_judged", "trimtab_cascade", "trimtab_escal", "trimtab_verdicts", "trimtab_checks")
        )
    }
    simulated = 'simulated="true"'
    assert counted == {
        f'trimtab_judged_requests_total{{says="unsure",{simulated}}} 1.0',
        f'trimtab_cascade_steps_total{{model="claude-sonnet-4-6",says="escalate",{simulated},step="1"}} 1.0',
        f'trimtab_cascade_steps_total{{model="claude-opus-4-7",says="unsure",{simulated},step="2"}} 1.0',
        f'trimtab_escalations_total{{because="escalate",{simulated}}} 1.0',
        f'trimtab_verdicts_total{{says="escalate",{simulated},verifier="json_schema"}} 1.0',
        f'trimtab_verdicts_total{{says="accept",{simulated},verifier="house-style"}} 1.0',
        f'trimtab_verdicts_total{{says="accept",{simulated},verifier="json_schema"}} 1.0',
        f'trimtab_verdicts_total{{says="failed",{simulated},verifier="second"}} 1.0',
        f'trimtab_checks_usd_total{{{simulated},verifier="second"}} 0.0021',
    }
    cost = [
        line for line in text.splitlines() if line.startswith("trimtab_cost_usd_total{") and "opus" in line
    ]
    assert cost == [
        f'trimtab_cost_usd_total{{model="claude-opus-4-7",platform="other",{simulated},source="reported"}} 0.018'
    ]
    assert 'trimtab_check_seconds_sum{verifier="second"} 0.64' in text


def test_no_words_of_a_request_are_told() -> None:
    broken = msgspec.structs.replace(
        ATTEMPT, result="error", status=400, error=f"invalid_request_error: {CONTENT}"
    )
    for outcome in (
        OUTCOME,
        REFUSED,
        msgspec.structs.replace(OUTCOME, attempts=(broken,), error=broken.error),
    ):
        told = repr(access_fields(outcome)) + repr(request_spans(outcome, [], {}))
        assert "quoted" not in told


def test_a_clients_mistake_is_no_failure_of_the_server() -> None:
    (refused,) = request_spans(REFUSED, [], {})
    assert not refused.failed
    (broken,) = request_spans(msgspec.structs.replace(REFUSED, status=502), [], {})
    assert broken.failed


def test_an_error_without_a_type_is_other() -> None:
    assert error_type(None) is None
    assert error_type("UpstreamTimeout: the deadline") == "UpstreamTimeout"
    assert error_type("some words: and more") == "other"
    assert error_type("") == "other"


class Kept:
    def __init__(self) -> None:
        self.kept: list[Outcome] = []

    def put(self, outcome: Outcome) -> None:
        self.kept.append(outcome)

    def intend(self, intent: Intent) -> bool:
        return True


@pytest.mark.parametrize(
    ("error", "limit"),
    [
        ("RateLimited: slow down", "rate"),
        ("BudgetSpent: no money", "budget"),
        ("Unavailable: the limits cannot be checked", "unchecked"),
        ("RequestError: nonsense", None),
        (None, None),
    ],
)
def test_requests_that_a_limit_refused_are_counted_by_limit(error: str | None, limit: str | None) -> None:
    metrics = Metrics()
    Recorder(Kept(), metrics).record(msgspec.structs.replace(REFUSED, error=error))
    counted = [
        line
        for line in metrics.render().decode().splitlines()
        if line.startswith("trimtab_limits_refused_total{")
    ]
    assert counted == ([f'trimtab_limits_refused_total{{limit="{limit}"}} 1.0'] if limit else [])


def test_an_observer_that_breaks_costs_neither_record_nor_count() -> None:
    def broken(outcome: Outcome, headers: object) -> None:
        raise RuntimeError("broken")

    sink, metrics = Kept(), Metrics()
    Recorder(sink, metrics, broken).record(OUTCOME)
    assert sink.kept == [OUTCOME]
    assert b"trimtab_requests_total{" in metrics.render()
