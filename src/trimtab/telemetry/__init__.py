"""What is told of the work: metrics, traces, logs, and all their names.

What it is not: the record of money; that is the store. It fails open: nothing here may stop a request.
"""

from trimtab.telemetry import names
from trimtab.telemetry.logs import REQUEST, LogOutput, configure_logging
from trimtab.telemetry.metrics import EXPOSITION, Metrics
from trimtab.telemetry.settings import TelemetrySettings, check_telemetry

__all__ = [
    "EXPOSITION",
    "REQUEST",
    "LogOutput",
    "Metrics",
    "TelemetrySettings",
    "check_telemetry",
    "configure_logging",
    "names",
]
