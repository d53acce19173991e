"""The only place that names metrics. What it is not: the record of money; that is the store.

Fails open: nothing here may stop a request.
"""

from trimtab.telemetry import names
from trimtab.telemetry.metrics import Metrics

__all__ = ["Metrics", "names"]
