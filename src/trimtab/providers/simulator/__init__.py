"""A fake Anthropic platform that keeps the wire format, and is always called simulated.

`Simulator` is the API without sockets, `SimulatorProvider` puts it behind the provider seam, `simulator_asgi` serves
it over HTTP. What it is not: a model, or a measurement of one; `behaviour.yaml` is made up and says so.
"""

from trimtab.providers.simulator.asgi import simulator_asgi
from trimtab.providers.simulator.core import Simulator
from trimtab.providers.simulator.provider import SimulatorProvider
from trimtab.providers.simulator.response import SimResponse, SimulatedCut
from trimtab.providers.simulator.script import Script, load_script
from trimtab.providers.simulator.settings import SimulatorSettings

__all__ = [
    "Script",
    "SimResponse",
    "SimulatedCut",
    "Simulator",
    "SimulatorProvider",
    "SimulatorSettings",
    "load_script",
    "simulator_asgi",
]
