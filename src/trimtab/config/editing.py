"""Changing one value in the text of a configuration, and the change as a diff that a person applies.

What it is not: a TOML library. Invariants: comments, order and every other byte stay; what is returned reads as the old
file with that one value changed, or there is an error and a person must change it.
"""

import difflib
import re
import tomllib
from typing import Any

from trimtab.errors import ConfigError

_HEADER = re.compile(r"^\s*\[\s*([^\[\]]+?)\s*\]\s*(#.*)?$")


def with_value(text: str, table: tuple[str, ...], key: str, value: object, *, beside: str = "") -> str:
    """The text with `table.key` set to a value: a string, a number, or a flat dict of these.

    `beside`: where the table is not there, what else must stand in it, as `effort = "high"`. Raises `ConfigError` where
    the file is written in a way that this cannot change.
    """
    wanted = _parsed(text)
    holder: dict[str, Any] = wanted
    scalar, where = None, ".".join((*table, key))
    by_hand = ConfigError(
        where, f"is written in a way that cannot be edited; set it to {literal(value)} by hand"
    )
    for name in table[:-1]:
        holder = holder.setdefault(name, {})
        if not isinstance(holder, dict):
            raise by_hand
    inner = holder.get(table[-1])
    if isinstance(inner, str):  # a short form: one bare word stands for the table's `effort`
        scalar = inner
        inner = value if key == "effort" else {"effort": inner}
        holder[table[-1]] = inner
    elif inner is None and key == "effort" and not beside:
        inner = holder[table[-1]] = value
    elif inner is None:
        inner = holder[table[-1]] = tomllib.loads(beside)
    if isinstance(inner, dict):
        inner[key] = value
    made = _edited(text, table, key, value, beside, scalar)
    if made is None or _parsed(made) != wanted:
        raise by_hand
    return made


def unified(name: str, old: str, new: str) -> str:
    """A diff that `patch -p0` and `git apply -p0` take; empty where nothing changed. With `old` empty it makes one."""
    if old == new:
        return ""
    lines = difflib.unified_diff(
        _lines(old), _lines(new), "/dev/null" if not old else name, name, lineterm="\n"
    )
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def literal(value: object) -> str:
    """A value as TOML writes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {literal(one)}" for name, one in value.items()) + "}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"{value}"
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _edited(
    text: str, table: tuple[str, ...], key: str, value: object, beside: str, scalar: str | None
) -> str | None:
    lines = _lines(text)
    own = _section(lines, table)
    if own is not None:
        first, last = own
        place = _assignment(lines, first, last, key)
        if place is not None:
            lines[place] = _replaced(lines[place], literal(value))
            return "".join(lines)
        return _inserted(lines, first, f"{key} = {literal(value)}")
    name = table[-1]
    above = _section(lines, table[:-1])
    if above is None:
        return _appended(text, table, f"{name} = {_whole(key, value, beside)}")
    place = _assignment(lines, *above, name)
    if place is None:
        return _inserted(lines, _end(lines, *above), f"{name} = {_whole(key, value, beside)}")
    if scalar is not None:
        whole = literal(value) if key == "effort" else _whole(key, value, f"effort = {literal(scalar)}")
        lines[place] = _replaced(lines[place], whole)
        return "".join(lines)
    found = re.search(rf"(?<![\w-]){re.escape(key)}\s*=\s*", lines[place])
    if found is not None:
        lines[place] = lines[place][: found.end()] + _replaced_value(
            lines[place][found.end() :], literal(value)
        )
    else:
        lines[place] = re.sub(
            r"\{\s*", lambda _: "{" + f"{key} = {literal(value)}, ", lines[place], count=1
        ).replace(", }", "}")
    return "".join(lines)


def _whole(key: str, value: object, beside: str) -> str:
    """A table in one line, or, where nothing stands beside an effort, its short form."""
    if key == "effort" and not beside:
        return literal(value)
    return "{" + ", ".join([*([beside] if beside else []), f"{key} = {literal(value)}"]) + "}"


def _section(lines: list[str], table: tuple[str, ...]) -> tuple[int, int] | None:
    """The lines of a table that has a header: from after it to before the next one."""
    first = None
    for n, line in enumerate(lines):
        match = _HEADER.match(line.rstrip("\r\n"))
        if match is None and not line.lstrip().startswith("[["):
            continue
        if first is not None:
            return first, n
        if match is not None and tuple(part.strip().strip("\"'") for part in match[1].split(".")) == table:
            first = n + 1
    return None if first is None else (first, len(lines))


def _assignment(lines: list[str], first: int, last: int, key: str) -> int | None:
    pattern = re.compile(rf"^\s*[\"']?{re.escape(key)}[\"']?\s*=")
    return next((n for n in range(first, last) if pattern.match(lines[n])), None)


def _replaced(line: str, value: str) -> str:
    head, _, rest = line.partition("=")
    space = rest[: len(rest) - len(rest.lstrip(" \t"))]
    return head + "=" + space + _replaced_value(rest[len(space) :], value)


def _replaced_value(rest: str, value: str) -> str:
    """What follows a `=`, with its first value replaced and what comes after it kept."""
    return value + rest[_value_end(rest) :]


def _value_end(rest: str) -> int:
    """Where the value ends that a text begins with: strings and brackets as a whole."""
    depth, quote, n = 0, "", 0
    while n < len(rest):
        char = rest[n]
        if quote:
            if char == "\\" and quote == '"':
                n += 1
            elif char == quote:
                quote = ""
        elif char in "\"'":
            quote = char
        elif char in "{[":
            depth += 1
        elif char in "}]" and depth:
            depth -= 1
        elif depth == 0 and char in ",}]#\r\n":
            break
        n += 1
    return len(rest[:n].rstrip(" \t"))


def _end(lines: list[str], first: int, last: int) -> int:
    """After the last line of a table that says something."""
    while last > first and not lines[last - 1].strip():
        last -= 1
    return last


def _inserted(lines: list[str], place: int, line: str) -> str:
    if place and not lines[place - 1].endswith("\n"):
        lines[place - 1] += "\n"
    ending = "\r\n" if place and lines[place - 1].endswith("\r\n") else "\n"
    return "".join([*lines[:place], line + ending, *lines[place:]])


def _appended(text: str, table: tuple[str, ...], line: str) -> str:
    ending = "\r\n" if "\r\n" in text else "\n"
    gap = "" if not text else ending if text.endswith("\n") else ending * 2
    return f"{text}{gap}[{'.'.join(table[:-1])}]{ending}{line}{ending}"


def _lines(text: str) -> list[str]:
    """With their ends, which only a line feed makes."""
    found = text.split("\n")
    return [one + "\n" for one in found[:-1]] + ([found[-1]] if found[-1] else [])


def _parsed(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text.replace("\r\n", "\n"))
    except (tomllib.TOMLDecodeError, RecursionError, ValueError):
        return {"": text}
