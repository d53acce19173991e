"""The simulator as each platform that serves the vendor's models: its addresses, credentials, framing and errors.

`Front` is the simulator with all of them. What it is not: a second simulator. Invariant: no face knows another.
"""

from trimtab.providers.simulator.faces.face import FaceOptions
from trimtab.providers.simulator.faces.front import BASE_PATHS, FACES, Front

__all__ = ["BASE_PATHS", "FACES", "FaceOptions", "Front"]
