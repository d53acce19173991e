"""The composition root: reads the configuration and builds every object from it; nowhere else are objects built.

What it is not: logic. It connects, checks the pieces against one another, starts and stops them.
"""

from trimtab.app.assemble import Application, assemble
from trimtab.app.callers import KeyDoor, opened_key_door
from trimtab.app.check import Finding, diagnose
from trimtab.app.live import live_models, today
from trimtab.app.serving import serve, serve_simulator, simulator_settings
from trimtab.app.settings import Settings, config_path, load_settings

__all__ = [
    "Application",
    "Finding",
    "KeyDoor",
    "Settings",
    "assemble",
    "config_path",
    "diagnose",
    "live_models",
    "load_settings",
    "opened_key_door",
    "serve",
    "serve_simulator",
    "simulator_settings",
    "today",
]
