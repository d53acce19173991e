"""Builds what tells of the work: the log of a process, and who shows finished requests in access log and traces."""

from typing import TextIO

from trimtab import __version__
from trimtab.app.settings import Settings
from trimtab.config import secrets_in
from trimtab.engine import Observer
from trimtab.telemetry import LogOutput, Metrics, configure_logging
from trimtab.telemetry.otlp import open_otlp
from trimtab.telemetry.tracing import Tracer


def start_logging(settings: Settings, stream: TextIO, *, worker: str = "") -> LogOutput:
    """Send all log lines of this process to `stream`, in the form that the settings name, without their secrets."""
    output = configure_logging(settings.telemetry, stream, secrets=secrets_in(settings), worker=worker)
    output.take_uncaught()
    return output


def open_tracer(settings: Settings, metrics: Metrics, worker: str = "") -> Tracer | None:
    """The way to the collector, where the settings name one. Raises `ConfigError` without the extra."""
    endpoint = settings.telemetry.otlp_endpoint
    if endpoint is None:
        return None
    where = settings.document.where("telemetry.otlp_endpoint")
    return open_otlp(endpoint, where, metrics, version=__version__, worker=worker)


def open_observer(settings: Settings, metrics: Metrics, tracer: Tracer | None) -> Observer | None:
    """Who tells of finished requests; `None` where nobody asked."""
    access = settings.telemetry.access_log
    return Observer(metrics, access=access, tracer=tracer) if access or tracer is not None else None
