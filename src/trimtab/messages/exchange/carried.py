"""What both directions of a crossing read a request with: members of the kinds that they expect, or none at all.

What it is not: tolerant. A request that is put to another model is understood whole, or not put.
"""

from collections.abc import Collection
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]


class Uncrossable(Exception):
    """Something in a request that the other API has no place for; its text names it."""


def objects(value: object, where: str) -> list[Json]:
    """A list of objects; none where it is null. Raises `Uncrossable`."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise Uncrossable(f"{where} that is no list of objects")
    return list(value)


def listed(value: object, where: str) -> list[str]:
    """A list of texts; none where it is null. Raises `Uncrossable`."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise Uncrossable(f"{where} that is no list of texts")
    return list(value)


def text_at(said: object, name: str, where: str) -> str:
    """A member that is a text. Raises `Uncrossable`."""
    if isinstance(said, dict) and isinstance(said.get(name), str):
        return str(said[name])
    raise Uncrossable(f"{where} without {name}")


def only_known(said: Json, known: Collection[str]) -> None:
    """Raises `Uncrossable` for the first member, of those that say something, that is not known."""
    for name, value in said.items():
        if name not in known and value is not None:
            raise Uncrossable(f"the field {name[:60]!r}")
