"""The fixtures of both engines."""

from key_store import clock, database, store_url

__all__ = ["clock", "database", "store_url"]
