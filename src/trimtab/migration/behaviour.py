"""What changes between generations of models and no request shows, as data (`behaviour.yaml`).

What it is not: what a request shows (`judging`), or a measurement: these are the vendor's words.
"""

import datetime
from importlib import resources

import msgspec

from trimtab.catalogue import Model
from trimtab.catalogue.reading import read_yaml, to_struct


class BehaviourChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One."""

    id: str
    since: datetime.date
    """Release of the first model that behaves so."""
    text: str
    source: str


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    changes: tuple[BehaviourChange, ...]


def behaviour_changes(before: Model, after: Model) -> tuple[BehaviourChange, ...]:
    """Those that lie between two models, by their releases. Raises `ConfigError`. Cost: 2 ms."""
    name = "behaviour.yaml"
    content = (resources.files("trimtab.migration") / name).read_bytes()
    changes = to_struct(read_yaml(content, name), _Document, name).changes
    old, new = before.lifecycle.released, after.lifecycle.released
    if old is None or new is None:
        return ()
    return tuple(change for change in changes if old < change.since <= new)
