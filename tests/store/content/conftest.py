"""The fixtures of a store on each engine."""

from key_store import clock, database, store_url

__all__ = ["clock", "database", "store_url"]
