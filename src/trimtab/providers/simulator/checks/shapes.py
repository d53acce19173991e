"""Types of single values: each function returns the value, typed, or raises with the field's path first.

Source: the vendor's messages follow pydantic's ("x: Input should be a valid string"), as public error reports show.
"""

from collections.abc import Iterable
from typing import Any

from trimtab.errors import RequestError

Raw = dict[str, Any]


def refuse(at: str, problem: str) -> RequestError:
    """The error for a field. `at` may be empty for a message that names no field."""
    return RequestError(f"{at}: {problem}" if at else problem)


def as_object(value: object, at: str) -> Raw:
    """A JSON object."""
    if not isinstance(value, dict):
        raise refuse(at, "Input should be a valid dictionary")
    return value


def as_list(value: object, at: str) -> list[Any]:
    """A JSON array."""
    if not isinstance(value, list):
        raise refuse(at, "Input should be a valid list")
    return value


def as_text(value: object, at: str) -> str:
    """A string."""
    if not isinstance(value, str):
        raise refuse(at, "Input should be a valid string")
    return value


def as_int(value: object, at: str, *, ge: int | None = None) -> int:
    """An integer, not a boolean."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise refuse(at, "Input should be a valid integer")
    if ge is not None and value < ge:
        raise refuse(at, f"Input should be greater than or equal to {ge}")
    return value


def as_number(value: object, at: str) -> float:
    """A number, not a boolean."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refuse(at, "Input should be a valid number")
    return value


def as_bool(value: object, at: str) -> bool:
    """A boolean."""
    if not isinstance(value, bool):
        raise refuse(at, "Input should be a valid boolean")
    return value


def as_choice(value: object, at: str, choices: tuple[str, ...]) -> str:
    """One of a closed set of strings."""
    if not isinstance(value, str) or value not in choices:
        *front, last = [f"'{choice}'" for choice in choices]
        listed = f"{', '.join(front)} or {last}" if front else last
        raise refuse(at, f"Input should be {listed}")
    return value


def needed(raw: Raw, key: str, at: str) -> Any:
    """A member that must be there."""
    if key not in raw:
        raise refuse(f"{at}.{key}" if at else key, "Field required")
    return raw[key]


def only(raw: Raw, known: Iterable[str], at: str) -> None:
    """Refuse the first member that nobody knows."""
    for key in raw.keys() - known:
        raise refuse(f"{at}.{key}" if at else key, "Extra inputs are not permitted")


def tag(raw: object, at: str, known: Iterable[str]) -> tuple[str, Raw]:
    """The `type` of a tagged object, and the object. Unknown types are refused with the known ones listed."""
    value = as_object(raw, at)
    kind = value.get("type")
    if kind is None:
        raise refuse(f"{at}.type", "Field required")
    if not isinstance(kind, str) or kind not in known:
        expected = ", ".join(f"'{name}'" for name in sorted(known))
        raise refuse(
            at,
            f"Input tag '{kind!s:.64}' found using 'type' does not match any of the expected tags: {expected}",
        )
    return kind, value
