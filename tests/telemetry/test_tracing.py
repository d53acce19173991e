"""Trace context of callers: what is valid goes on, what is not is ignored, nothing breaks a request."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.telemetry.tracing import (
    Propagation,
    TraceParent,
    parent_of,
    parse_traceparent,
    span_id_of,
    trace_id_of,
    traceparent,
)

# Source: the examples of the W3C recommendation, section 3.2.2.5.
VALID = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_the_example_of_the_standard_is_read() -> None:
    assert parse_traceparent(VALID) == TraceParent(
        0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7, True
    )
    unsampled = parse_traceparent(VALID[:-2] + b"00")
    assert unsampled is not None
    assert not unsampled.sampled


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"00",
        VALID[:-1],
        VALID.upper(),
        VALID + b"-extra",
        b" " + VALID,
        b"ff" + VALID[2:],
        b"0x" + VALID[2:],
        b"00-" + b"0" * 32 + b"-00f067aa0ba902b7-01",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-" + b"0" * 16 + b"-01",
        b"00-4bf92f3577b34da6a3ce929d0e0e473_-00f067aa0ba902b7-01",
        VALID.replace(b"-", b"_"),
    ],
)
def test_what_the_standard_calls_invalid_is_ignored(value: bytes) -> None:
    assert parse_traceparent(value) is None


def test_a_later_version_may_say_more() -> None:
    assert parse_traceparent(b"cc" + VALID[2:] + b"-what-the-future-will-be-like") is not None


def test_two_parents_are_none() -> None:
    assert parent_of([(b"traceparent", VALID), (b"traceparent", VALID)]) is None
    assert parent_of([(b"x", b"y")]) is None


@given(st.binary(max_size=80))
def test_no_header_breaks_the_parser(value: bytes) -> None:
    parse_traceparent(value)


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans())
def test_what_we_write_is_what_we_read(trace_id: int, span_id: int, sampled: bool) -> None:
    assert parse_traceparent(traceparent(trace_id, span_id, sampled)) == TraceParent(
        trace_id, span_id, sampled
    )


def test_ids_follow_from_the_request_and_differ_between_its_spans() -> None:
    assert span_id_of("a") == span_id_of("a")
    assert (
        len({span_id_of("a"), span_id_of("a", 0), span_id_of("a", 1), span_id_of("b"), span_id_of("b", 0)})
        == 5
    )
    assert trace_id_of("a", None) != trace_id_of("b", None)
    assert trace_id_of("a", TraceParent(7, 8, True)) == 7


class Sampler:
    def __init__(self, answer: bool | None) -> None:
        self._answer = answer

    def sampled(self, trace_id: int, parent: TraceParent | None) -> bool:
        if self._answer is None:
            raise RuntimeError("broken")
        return self._answer

    def export(self, spans: object) -> None:
        raise AssertionError

    def close(self, timeout_s: float) -> None:
        raise AssertionError


HEADERS = [(b"accept", b"x"), (b"traceparent", VALID), (b"tracestate", b"a=1")]


def test_the_platform_gets_our_span_as_parent_in_the_callers_trace() -> None:
    sent = Propagation(Sampler(True))("r1", HEADERS)
    assert (b"accept", b"x") in sent
    assert (b"tracestate", b"a=1") in sent
    ours = parent_of(sent)
    assert ours == TraceParent(0x4BF92F3577B34DA6A3CE929D0E0E4736, span_id_of("r1", 0), True)


def test_without_a_valid_parent_a_trace_of_our_own_begins() -> None:
    sent = Propagation(Sampler(False))("r1", [(b"traceparent", b"junk"), (b"tracestate", b"a=1")])
    assert [name for name, _ in sent] == [b"traceparent"]
    assert parent_of(sent) == TraceParent(trace_id_of("r1", None), span_id_of("r1", 0), False)


def test_a_broken_tracer_leaves_the_request_alone(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert Propagation(Sampler(None))("r1", HEADERS) is HEADERS
    assert "r1" in caplog.text
