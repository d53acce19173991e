"""Makes a value that satisfies a JSON schema: tool arguments and structured output of simulated answers.

It knows what schemas in requests use: types, enum, const, required, nested objects and arrays, references, unions,
bounds and lengths. What it is not: a solver. Patterns, `not` and conditional schemas are ignored.
Invariant: it ends for every schema, and the value is bounded in size.
"""

from typing import Any

from trimtab.providers.simulator.checks.shapes import Raw

_MAX_DEPTH = 12
_MAX_VALUES = 2000
_MAX_ITEMS = 20
_MAX_CHARS = 2000

_FORMATS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "simulated@example.com",
    "hostname": "example.com",
    "uri": "https://example.com/simulated",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_ANSWER_NAMES = ("answer", "final_answer", "result", "value")


def synthesise(schema: Raw, answer: str | None = None) -> Any:
    """A value for the schema. A known `answer` goes into the property that is named for one."""
    definitions = schema.get("$defs", schema.get("definitions"))
    return _Synthesis(definitions if isinstance(definitions, dict) else {}, answer).value(schema, "", 0)


class _Synthesis:
    def __init__(self, definitions: Raw, answer: str | None) -> None:
        self._definitions = definitions
        self._answer = answer
        self._left = _MAX_VALUES

    def value(self, schema: Any, name: str, depth: int) -> Any:
        self._left -= 1
        if not isinstance(schema, dict) or depth > _MAX_DEPTH or self._left < 0:
            return (
                {} if _kind(schema) == "object" else None if _kind(schema) is None else _EMPTY[_kind(schema)]
            )
        if "$ref" in schema:
            target = str(schema["$ref"]).rpartition("/")[2]
            return self.value(self._definitions.get(target, {}), name, depth + 1)
        if "const" in schema:
            return schema["const"]
        if isinstance(choices := schema.get("enum"), list) and choices:
            return self._answer if self._answer in choices else choices[0]
        if isinstance(members := schema.get("allOf"), list) and members:
            return self.value(_merged(schema, members, self._definitions), name, depth + 1)
        for word in ("anyOf", "oneOf"):
            if isinstance(members := schema.get(word), list) and members:
                return self.value(_first_real(members), name, depth + 1)
        match _kind(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case "string":
                return self._string(schema, name)
            case "integer" | "number" as kind:
                return self._number(schema, name, whole=kind == "integer")
            case "boolean":
                return True
        return None if _kind(schema) == "null" else "simulated"

    def _object(self, schema: Raw, depth: int) -> Raw:
        properties = schema.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        required = schema.get("required")
        wanted = [key for key in required if isinstance(key, str)] if isinstance(required, list) else []
        if not wanted and depth == 0:
            wanted = list(properties)
        return {key: self.value(properties.get(key, {}), key, depth + 1) for key in wanted}

    def _array(self, schema: Raw, name: str, depth: int) -> list[Any]:
        if isinstance(prefix := schema.get("prefixItems"), list) and prefix:
            return [self.value(member, name, depth + 1) for member in prefix[:_MAX_ITEMS]]
        least = _whole(schema.get("minItems"), 0)
        most = _whole(schema.get("maxItems"), _MAX_ITEMS)
        count = min(max(least, 1 if "items" in schema else 0), most, _MAX_ITEMS)
        items = [self.value(schema.get("items", {}), name, depth + 1) for _ in range(count)]
        return items

    def _string(self, schema: Raw, name: str) -> str:
        if self._answer is not None and name in _ANSWER_NAMES:
            return self._answer
        if isinstance(default := schema.get("default"), str):
            return default
        text = _FORMATS.get(str(schema.get("format")), f"simulated {name}".strip())
        least, most = _whole(schema.get("minLength"), 0), _whole(schema.get("maxLength"), _MAX_CHARS)
        if len(text) < least:
            text = text.ljust(min(least, _MAX_CHARS), ".")
        return text[:most]

    def _number(self, schema: Raw, name: str, *, whole: bool) -> int | float:
        if (
            self._answer is not None
            and name in _ANSWER_NAMES
            and (number := _parsed(self._answer, whole)) is not None
        ):
            return number
        low, high = (
            _bound(schema, "minimum", "exclusiveMinimum", 1),
            _bound(schema, "maximum", "exclusiveMaximum", -1),
        )
        step = _number_or_none(schema.get("multipleOf"))
        value: float = 1
        if low is not None:
            value = max(value, low)
        if high is not None:
            value = min(value, high)
        if step is not None and step > 0 and abs(value / step) < 1e12:
            value = -(-value // step) * step
            if high is not None and value > high:
                value -= step
        return int(value) if whole else value


_EMPTY: dict[str | None, Any] = {
    "array": [], "string": "", "integer": 0, "number": 0, "boolean": False, "null": None,
}  # fmt: skip


def _kind(schema: Any) -> str | None:
    """The type to make: the first that is not null; guessed from other words where none is given."""
    if not isinstance(schema, dict):
        return None
    kind = schema.get("type")
    if isinstance(kind, list):
        real = [one for one in kind if isinstance(one, str) and one != "null"]
        kind = real[0] if real else "null"
    if isinstance(kind, str):
        return kind if kind == "object" or kind in _EMPTY else None
    if "properties" in schema:
        return "object"
    return "array" if "items" in schema else None


def _first_real(members: list[Any]) -> Any:
    for member in members:
        if isinstance(member, dict) and member.get("type") != "null":
            return member
    return members[0]


def _merged(schema: Raw, members: list[Any], definitions: Raw) -> Raw:
    """`allOf`, one level: properties and required joined, other words from the last that has them."""
    merged: Raw = {key: value for key, value in schema.items() if key != "allOf"}
    for member in members:
        if isinstance(member, dict) and "$ref" in member:
            member = definitions.get(str(member["$ref"]).rpartition("/")[2])
        if not isinstance(member, dict):
            continue
        for key, value in member.items():
            if key == "properties" and isinstance(value, dict) and isinstance(merged.get(key), dict):
                merged[key] = {**merged[key], **value}
            elif key == "required" and isinstance(value, list) and isinstance(merged.get(key), list):
                merged[key] = [*merged[key], *value]
            else:
                merged[key] = value
    return merged


def _number_or_none(value: Any) -> int | float | None:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
    return value if usable else None


def _whole(value: Any, default: int) -> int:
    number = _number_or_none(value)
    return default if number is None else min(max(int(number), 0), _MAX_CHARS)


def _bound(schema: Raw, closed: str, opened: str, inward: int) -> int | float | None:
    number = _number_or_none(schema.get(closed))
    if number is None and (number := _number_or_none(schema.get(opened))) is not None:
        number += inward
    return number


def _parsed(answer: str, whole: bool) -> int | float | None:
    try:
        return int(answer) if whole else float(answer)
    except ValueError:
        return None
