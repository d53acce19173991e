"""The cache of answers of one configuration."""

import hashlib

from trimtab.app.settings import PlatformSettings, Settings
from trimtab.cache import Repeats, Shelves
from trimtab.config import Secret


def open_repeats(settings: Settings, shelves: Shelves) -> Repeats:
    """What requests under this configuration are given again and keep."""
    return Repeats(
        settings.cache, shelves, {name: _stamp(entry) for name, entry in settings.platforms.items()}
    )


def _stamp(entry: PlatformSettings) -> str:
    """How an entry is configured but for its secrets: a key that is rotated makes no other answers."""
    said = {name: value for name in entry.__struct_fields__ if not _is_secret(value := getattr(entry, name))}
    text = repr((type(entry).__name__, sorted(said.items())))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _is_secret(value: object) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_is_secret, value))
    if isinstance(value, dict):
        return any(map(_is_secret, value.values()))
    return isinstance(value, Secret)
