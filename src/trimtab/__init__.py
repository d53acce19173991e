"""Trimtab: a self-hosted control plane and runtime for frontier models."""

__version__ = "0.1.0"
