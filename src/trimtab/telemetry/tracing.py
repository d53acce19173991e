"""What a trace is to us: spans made after the fact, W3C trace context, and the seam to whatever exports them.

What it is not: instrumentation. Nothing is measured here; a span is told from a finished record, so that tracing
costs the path of a request nothing. Invariant: the ids of a request's spans follow from its id alone, so that they
can be sent upstream before the spans exist.

Source: W3C Trace Context, https://www.w3.org/TR/trace-context/ (level 1, with level 2's rules for later versions).
"""

import hashlib
import logging
from collections.abc import Iterable, Sequence
from typing import Literal, Protocol

import msgspec

_log = logging.getLogger("trimtab.telemetry")

AttributeValue = str | bool | int | float | tuple[str, ...]


class TraceParent(msgspec.Struct, frozen=True):
    """Where a caller's trace goes on."""

    trace_id: int
    span_id: int
    sampled: bool


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """One finished piece of work."""

    name: str
    kind: Literal["server", "client"]
    trace_id: int
    span_id: int
    parent: TraceParent | None
    remote: bool = False
    """Whether the parent is in another process."""
    start_ns: int
    """Unix nanoseconds, like `end_ns`."""
    end_ns: int
    attributes: dict[str, AttributeValue]
    failed: bool = False


class Tracer(Protocol):
    """Takes finished spans away. The adapter to OpenTelemetry is one; where tracing is off there is none."""

    def sampled(self, trace_id: int, parent: TraceParent | None) -> bool:
        """Whether spans of this trace will be exported."""
        ...

    def export(self, spans: Sequence[Span]) -> None:
        """Queue the spans of one request, parents first. Never waits for a network."""
        ...

    def close(self, timeout_s: float) -> None:
        """Send what is queued, for at most `timeout_s`; blocks. Never raises."""
        ...


def parent_of(headers: Iterable[tuple[bytes, bytes]]) -> TraceParent | None:
    """The valid `traceparent` among request headers; `None` for none, several, or an invalid one."""
    found = [value for name, value in headers if name == b"traceparent"]
    return parse_traceparent(found[0]) if len(found) == 1 else None


def parse_traceparent(value: bytes) -> TraceParent | None:
    """`version-traceid-parentid-flags`; `None` for what the standard calls invalid."""
    parts = value.split(b"-", 4)
    if len(parts) < 4 or [len(part) for part in parts[:4]] != [2, 32, 16, 2]:
        return None
    version = parts[0]
    if version == b"ff" or (version == b"00" and len(parts) != 4) or not _is_hex(b"".join(parts[:4])):
        return None
    trace_id, span_id = int(parts[1], 16), int(parts[2], 16)
    if not trace_id or not span_id:
        return None
    return TraceParent(trace_id, span_id, bool(int(parts[3], 16) & 1))


def _is_hex(text: bytes) -> bool:
    return not text.translate(None, b"0123456789abcdef")


def traceparent(trace_id: int, span_id: int, sampled: bool) -> bytes:
    """The header for whoever goes on with this trace."""
    return b"00-%032x-%016x-%02x" % (trace_id, span_id, sampled)


def trace_id_of(request: str, parent: TraceParent | None) -> int:
    """The caller's trace, else one of the request's own. Hashed, because samplers need random-looking ids."""
    return parent.trace_id if parent is not None else _hashed(request, 16)


def span_id_of(request: str, attempt: int | None = None) -> int:
    """The span of a request, or of one of its attempts (from 0)."""
    return _hashed(request if attempt is None else f"{request}/{attempt}", 8)


def _hashed(text: str, size: int) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=size).digest()) or 1


class Propagation:
    """Replaces the client's trace context by ours on calls that go out."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def __call__(self, request: str, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """The headers with a `traceparent` that names the first attempt's span as parent. Never raises."""
        try:
            return self._replaced(request, headers)
        except Exception:
            _log.exception("request %s: sent with the trace context of its client", request)
            return headers

    def _replaced(self, request: str, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        parent = parent_of(headers)
        trace_id = trace_id_of(request, parent)
        # Without a valid parent a tracestate belongs to nobody's trace (W3C, section 3.3).
        dropped = (b"traceparent",) if parent is not None else (b"traceparent", b"tracestate")
        sampled = self._tracer.sampled(trace_id, parent)
        ours = (b"traceparent", traceparent(trace_id, span_id_of(request, 0), sampled))
        return [*((name, value) for name, value in headers if name not in dropped), ours]
