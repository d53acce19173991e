"""Reads the catalogue's YAML into frozen structs, and says where a file is wrong.

What it is not: YAML at large. Tags, anchors, aliases, merge keys, duplicate keys, `yes`/`on` booleans and implicit
times are not read: a date is text until a struct asks for a date, and a decimal number is exact.
Invariants: a file is read whole and strictly, or a `ConfigError` names file, key path, value and remedy; nothing is
built before its events have passed `_scan`, because libyaml's composer recurses in C and dies of deep nesting.
"""

import difflib
import re
import reprlib
from collections.abc import Hashable
from decimal import Decimal
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec
import yaml

from trimtab.errors import ConfigError

try:
    from yaml import CSafeLoader as _FastLoader
except ImportError:  # PyYAML built without libyaml
    from yaml import SafeLoader as _FastLoader  # type: ignore[assignment]

MAX_BYTES = 4 * 1024 * 1024
"""An overlay over this size is a mistake; the shipped catalogue has about 40 kB."""

MAX_DEPTH = 50
MAX_NODES = 200_000
"""Keys, values, lists and mappings of one file; the shipped catalogue has about 5,000."""

_MAX_EXPONENT = 300
"""Numbers beyond it leave the range of a float, and slow down exact arithmetic."""

T = TypeVar("T")

_WORDS = (
    ("`decimal`", "a number"),
    ("`object`", "a mapping"),
    ("`array`", "a list"),
    ("`str`", "text"),
    ("`bool`", "true or false"),
    ("`int`", "a whole number"),
)


class _Loader(_FastLoader):
    """Plain scalars are `true`, `false`, `null`, decimal integers, decimal fractions or text."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # the safe loader refuses it
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is given twice; keep one", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _exact(loader: _Loader, node: yaml.ScalarNode) -> Decimal:
    try:
        value = Decimal(node.value)
    except ArithmeticError:
        value = None
    if value is None or abs(value.adjusted()) > _MAX_EXPONENT:
        raise yaml.constructor.ConstructorError(
            None, None, f"{node.value:.80} is out of range; write a smaller number", node.start_mark
        )
    return value


def _whole(loader: _Loader, node: yaml.ScalarNode) -> int:
    try:
        return int(node.value)
    except ValueError:
        raise yaml.constructor.ConstructorError(
            None, None, f"{node.value:.40}... is out of range; write a smaller number", node.start_mark
        ) from None


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:null|~|)$"), ["n", "~", ""])
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+\.[0-9]+(?:[eE][-+]?[0-9]+)?$"), list("-+0123456789")
)
_Loader.add_constructor("tag:yaml.org,2002:float", _exact)
_Loader.add_constructor("tag:yaml.org,2002:int", _whole)


def read_yaml(content: bytes, name: str) -> object:
    """The document in `content`. `name` is how errors call the file."""
    if len(content) > MAX_BYTES:
        raise ConfigError(name, f"{len(content)} bytes: at most {MAX_BYTES} are read; is it the right file?")
    try:
        _scan(content)
        return yaml.load(content, Loader=_Loader)  # noqa: S506 (a subclass of the safe loader)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        place = f"{name}: line {mark.line + 1}" if mark else name
        raise ConfigError(place, f"cannot be read: {_first_line(problem.problem)}") from None
    except (
        yaml.YAMLError, ValueError, ArithmeticError, LookupError, AttributeError, TypeError, RecursionError,
    ) as problem:  # fmt: skip
        raise ConfigError(
            name, f"cannot be read: {_first_line(str(problem))}; write it more plainly"
        ) from None


def _scan(content: bytes) -> None:
    """Refuse, event by event, what could exhaust stack, memory or time when it is built."""
    depth = nodes = 0
    for event in yaml.parse(content, Loader=_FastLoader):
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.NodeEvent):
            nodes += 1
            depth += isinstance(event, yaml.CollectionStartEvent)
            refused = _refused(event, depth, nodes)
            if refused is not None:
                mark: Any = event.start_mark
                raise yaml.constructor.ConstructorError(None, None, refused, mark)


def _refused(event: yaml.NodeEvent, depth: int, nodes: int) -> str | None:
    if isinstance(event, yaml.AliasEvent):
        return f"the alias *{event.anchor:.40} is not read here; write the value out"
    if event.anchor is not None:
        return f"the anchor &{event.anchor:.40} is not read here; remove it"
    tag: str | None = getattr(event, "tag", None)
    if tag is not None:
        return f"the tag {tag:.60} is not read here; remove it, values are typed by their key"
    if isinstance(event, yaml.ScalarEvent) and event.value == "<<" and not event.style:
        return "the merge key << is not read here; write the keys out"
    if depth > MAX_DEPTH:
        return f"nested over {MAX_DEPTH} deep; is it the right file?"
    if nodes > MAX_NODES:
        return f"more than {MAX_NODES} keys and values; is it the right file?"
    return None


def to_struct(raw: object, kind: type[T], name: str) -> T:
    """`raw` as `kind`. Raises `ConfigError`."""
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as problem:
        raise _explain(str(problem), raw, kind, name) from None
    except RecursionError:
        raise ConfigError(name, "refers to itself; write every value out") from None


def _explain(message: str, raw: object, kind: type, name: str) -> ConfigError:
    text, _, at = message.partition(" - at `$")
    path = at.rstrip("`").removeprefix(".")
    field = text.split("`")[1] if "field `" in text else ""
    place = f"{name}: {path}.{field}".replace(": .", ": ") if field else f"{name}: {path}".removesuffix(": ")
    if text.startswith("Object contains unknown field"):
        known = sorted(_fields_at(kind, path))
        close = difflib.get_close_matches(field, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}"
        return ConfigError(place, f"nothing reads this key; remove it; {hint}")
    if text.startswith("Object missing required field"):
        return ConfigError(place, "missing; it is required here")
    return ConfigError(place, f"{show(_value_at(raw, path))}: {_plainly(text, kind, path)}")


def _plainly(text: str, kind: type, path: str) -> str:
    """The decoder's words as an instruction."""
    if text.startswith("Invalid enum value"):
        options = _choices(_type_at(kind, path))
        return f"must be one of {', '.join(options)}" if options else "is none of the values known here"
    if text.startswith("Invalid RFC3339 encoded date"):
        return "must be a date, as 2026-01-31"
    for theirs, ours in _WORDS:
        text = text.replace(theirs, ours)
    return text[:1].lower() + text[1:].replace("`", "")


def show(value: object) -> str:
    """A value for an error message, cut to a line."""
    if isinstance(value, Decimal):
        return f"{value!s:.80}"
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = 80
    return short.repr(value)


def _steps(path: str) -> list[str]:
    return [step for step in path.replace("[", ".").replace("]", "").split(".") if step]


def _value_at(raw: object, path: str) -> object:
    value: Any = raw
    for step in _steps(path):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return value
    return value


def _fields_at(kind: Any, path: str) -> list[str]:
    struct = _type_at(kind, path)
    return [field.encode_name for field in msgspec.structs.fields(struct)] if _is_struct(struct) else []


def _type_at(kind: Any, path: str) -> Any:
    """The type that the struct `kind` gives to a key path; a Struct is unwrapped from options and lists."""
    for step in _steps(path):
        if not step.isdigit():
            kind = get_type_hints(kind).get(step) if _is_struct(kind) else None
        while not _is_struct(kind) and get_origin(kind) is not Literal:
            inner = [option for option in get_args(kind) if option not in (type(None), Ellipsis)]
            if not inner:
                return kind
            kind = inner[0]
    return kind


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _choices(kind: Any) -> list[str]:
    return [str(option) for option in get_args(kind)] if get_origin(kind) is Literal else []


def _first_line(text: str | None) -> str:
    return (text or "not valid YAML").splitlines()[0]
