"""Values and type errors in an operator's words.

Invariant: what may be a secret is shown as ***, whatever the mistake is.
"""

import re
from collections.abc import Iterable
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from trimtab.errors import quoted

_SECRET_KEYS = re.compile(r"key|token|secret|auth|password", re.IGNORECASE)
_PLATFORM_KEYS = ("auth", "kind")
"""Keys of a platform beside which people put the key itself by mistake."""
_BUDGET_KEYS = ("webhook", "webhook_secret")
"""Those of a budget; its other settings count tokens and name keys, and hold neither."""
_SECRET_TEXT = re.compile(r"sk-[^\s'\"\]]*")

_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "str": "text",
    "bool": "true or false",
    "object": "a table",
    "array": "a list",
    "null": "nothing",
    "datetime": "a date and time",
    "date": "a date",
    "time": "a time of day",
}
_OTHER_WORDS = {
    "Invalid RFC3339 encoded date": "must be a date, as 2026-01-31",
    "Invalid decimal string": "must be a number",
}
_EXPECTED = re.compile(r"Expected `([^`]+)`(?:, got `([^`]+)`)?(.*)", re.DOTALL)
_COMPARED = {
    " of length >= ": " of length at least ",
    " of length <= ": " of length at most ",
    " >= ": ", at least ",
    " <= ": ", at most ",
    " > ": ", more than ",
    " < ": ", less than ",
}


def shown(value: object, where: str = "") -> str:
    """A value for an error about `where`, cut to a line."""
    if isinstance(value, str):
        if "sk-" in value or _is_secret_place(where):
            return "***"
    elif isinstance(value, dict | list) and (_is_secret_place(where) or "sk-" in quoted(value)):
        return "***"
    return quoted(value)


def masked(text: str) -> str:
    """A text with whatever looks like a key replaced."""
    return _SECRET_TEXT.sub("***", text)


def plainly(message: str, kind: Any, keys: Iterable[str]) -> str:
    """The decoder's words as an instruction. `keys` lead from the struct `kind` to the value."""
    if message.startswith("Invalid enum value"):
        choices = get_args(_field_type(kind, keys))
        return f"must be one of {', '.join(str(choice) for choice in choices)}" if choices else "is not known"
    if message in _OTHER_WORDS:
        return _OTHER_WORDS[message]
    found = _EXPECTED.fullmatch(message)
    if found is None:
        return message[:1].lower() + message[1:].replace("`", "")
    wanted, got, rest = found.groups()
    for theirs, ours in _COMPARED.items():
        rest = rest.replace(theirs, ours)
    names = [_KINDS.get(name, name) for name in wanted.split(" | ") if name != "null"]
    text = f"must be {' or '.join(names)}{rest}"
    if got is None:
        return text
    return f"{text}, not {'a fraction' if got == 'float' and 'int' in wanted else _KINDS.get(got, got)}"


def _is_secret_place(where: str) -> bool:
    path = where.rpartition(": ")[2].split(".")
    if path[0] == "budgets":
        return any(key in _BUDGET_KEYS for key in path[2:])
    if path[0] == "platforms":
        path = path[2:]
        if any(key in _PLATFORM_KEYS for key in path):
            return True
    return any(_SECRET_KEYS.search(key) for key in path)


def _field_type(kind: Any, keys: Iterable[str]) -> Any:
    for key in keys:
        if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
            return None
        kind = get_type_hints(kind).get(key.partition("[")[0])
    while kind is not None and get_origin(kind) is not Literal:
        inner = [option for option in get_args(kind) if option not in (type(None), Ellipsis)]
        kind = inner[0] if inner else None
    return kind
