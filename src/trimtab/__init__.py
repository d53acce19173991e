"""Trimtab: a self-hosted control plane and runtime for frontier models."""

import importlib
from typing import TYPE_CHECKING, Any

try:
    from trimtab._version import __version__
except ImportError:  # a checkout that was never installed: the build writes that file, from the newest tag
    __version__ = "0+unknown"

if TYPE_CHECKING:
    from trimtab.agents import AgentConfig

__all__ = ["AgentConfig", "__version__"]


def __getattr__(name: str) -> Any:
    """What programs import from here is loaded when they do, so that nothing else waits for it."""
    if name == "AgentConfig":
        return importlib.import_module("trimtab.agents").AgentConfig
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
