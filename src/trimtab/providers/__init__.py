"""Platforms that serve models, behind one seam. See `seam.Provider`."""

from trimtab.providers.seam import Call, Headers, Provider, Reply, Sink

__all__ = ["Call", "Headers", "Provider", "Reply", "Sink"]
