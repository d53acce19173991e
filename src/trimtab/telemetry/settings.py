"""The `[telemetry]` section."""

from collections.abc import Callable
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from trimtab.config import fail

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]


class TelemetrySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is said of the work, and to whom. None of it holds message content."""

    log_format: LogFormat = "text"
    """`json`: one object a line, with the fields that docs/operations.md lists."""
    log_level: LogLevel = "warning"
    access_log: bool = False
    """One line for each finished request."""
    otlp_endpoint: str | None = None
    """Base address of an OpenTelemetry collector that takes OTLP over HTTP; needs the extra `otel`."""
    propagate: bool = False
    """Send the platform a `traceparent` of ours instead of the client's."""


def check_telemetry(settings: TelemetrySettings, where: Callable[[str], str]) -> None:
    """Refuse what cannot work. Raises `ConfigError`."""
    endpoint = settings.otlp_endpoint
    if endpoint is None:
        if settings.propagate:
            fail(where("propagate"), True, "there are no traces to pass on; set otlp_endpoint too")
        return
    try:
        parts = urlsplit(endpoint)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
        parts = urlsplit("")
    if "@" in parts.netloc:
        # Not shown: what is before the @ may be a password.
        fail(
            where("otlp_endpoint"),
            "***",
            "credentials do not belong here; set OTEL_EXPORTER_OTLP_HEADERS in the environment",
        )
    if not usable or parts.query or parts.fragment or not endpoint.isascii() or not endpoint.isprintable():
        fail(
            where("otlp_endpoint"),
            endpoint,
            "must be a base address such as 'http://127.0.0.1:4318', without /v1/traces",
        )
    if parts.path.rstrip("/").endswith(("/v1/traces", "/v1/metrics")):
        fail(where("otlp_endpoint"), endpoint, "is the base address: leave /v1/traces out, it is added")
