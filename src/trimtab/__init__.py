"""Trimtab: a self-hosted control plane and runtime for frontier models."""

try:
    from trimtab._version import __version__
except ImportError:  # a checkout that was never installed: the build writes that file, from the newest tag
    __version__ = "0+unknown"

__all__ = ["__version__"]
