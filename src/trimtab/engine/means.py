"""What every call is made with: prices, money, records, and what is known of the platforms.

What it is not: any one call (`job`, `reply`).
"""

from collections.abc import Callable, Sequence

import msgspec

from trimtab.budgets import Ledger
from trimtab.budgets.expected import Expectations
from trimtab.catalogue import Catalogue
from trimtab.engine.platform_watch import PlatformWatch
from trimtab.engine.recording import Keep, Recorder
from trimtab.engine.tasking import Tasking
from trimtab.providers import Headers
from trimtab.records import RequestId
from trimtab.routing import Standings


class Runtime(msgspec.Struct, frozen=True):
    """What the engine takes from the outside world."""

    monotonic: Callable[[], float]
    """Seconds, never going back."""
    config_version: str
    catalogue_version: str
    validate_streams: bool = False
    """Debug mode: hold every stream against the event rules and log what breaks them."""
    outgoing: Callable[[RequestId, Headers], Headers] | None = None
    """Changes the headers of a call that goes out, for tracing; `None` leaves them as they are. Never raises."""
    keep: Keep | None = None
    """Keeps prompts and answers, where the policy asks for it."""
    warned: Callable[[Sequence[str], bool], tuple[str, ...]] | None = None
    """What to say of a request that is counted on these accounts of budgets, real or simulated, where one is nearly
    spent. Neither waits nor raises."""


class Means:
    """What one version of the configuration calls models with."""

    def __init__(
        self,
        catalogue: Catalogue,
        ledger: Ledger,
        recorder: Recorder,
        runtime: Runtime,
        standings: Standings | None = None,
        tasking: Tasking | None = None,
        expectations: Expectations | None = None,
    ) -> None:
        """Without standings nothing is learnt of the platforms: where there is one place only, nothing is chosen.
        Without tasking no request can be part of a task. Without expectations nothing was measured of any call."""
        self.catalogue = catalogue
        self.ledger = ledger
        self.recorder = recorder
        self.runtime = runtime
        self.standings = standings
        self.tasking = tasking
        self.expectations = Expectations() if expectations is None else expectations
        self.watch = PlatformWatch(runtime.monotonic)
        self.simulated: set[str] = set()
        """Platforms behind HTTP that said in their last answer that they are simulated: their money is held on that
        side from the start."""
