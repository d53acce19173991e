"""Limits of structured output: which JSON schemas the vendor compiles.

Source: vendor page on structured outputs (2026-11): no recursion, `additionalProperties: false`, no minimum, maximum
or length; per request at most 20 strict tools, 24 optional parameters, 16 union parameters.
"""

from typing import Any

from trimtab.errors import RequestError
from trimtab.providers.simulator.checks.shapes import Raw, as_object, needed, only, refuse, tag

MAX_STRICT_TOOLS = 20
MAX_OPTIONAL = 24
MAX_UNIONS = 16
_MAX_NODES = 5000
_MAX_DEPTH = 64
_TYPES = frozenset({"object", "array", "string", "integer", "number", "boolean", "null"})
_UNSUPPORTED = {
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "string": ("minLength", "maxLength"),
    "array": ("maxItems", "uniqueItems"),
    "object": ("minProperties", "maxProperties", "patternProperties"),
}


def check_format(config: Raw, raw: Raw) -> Raw | None:
    """The JSON schema that the answer must follow, from `output_config.format` or the older `output_format`."""
    at = "output_config.format"
    value = config.get("format")
    if value is None:
        at, value = "output_format", raw.get("output_format")
    if value is None:
        return None
    _, chosen = tag(value, at, ("json_schema",))
    only(chosen, ("type", "schema", "name"), at)
    schema = as_object(needed(chosen, "schema", at), f"{at}.schema")
    SchemaLimits().check(schema, f"{at}.schema")
    return schema


class SchemaLimits:
    """Counts optional parameters and unions over all schemas of one request."""

    def __init__(self) -> None:
        self._optional = 0
        self._unions = 0
        self._nodes = 0
        self._definitions: Raw = {}

    def check(self, schema: Raw, at: str) -> None:
        """Refuse what the vendor's compiler refuses."""
        definitions = schema.get("$defs", schema.get("definitions"))
        self._definitions = definitions if isinstance(definitions, dict) else {}
        self._node(schema, at, ())
        if self._optional > MAX_OPTIONAL:
            raise refuse(
                at, f"Schema is too complex: {self._optional} optional parameters, limit {MAX_OPTIONAL}"
            )
        if self._unions > MAX_UNIONS:
            raise refuse(at, f"Schema is too complex: {self._unions} union parameters, limit {MAX_UNIONS}")

    def _node(self, node: Any, at: str, seen: tuple[str, ...], depth: int = 0) -> None:
        self._nodes += 1
        if self._nodes > _MAX_NODES or depth > _MAX_DEPTH:
            raise refuse(at, "Schema is too complex")
        if not isinstance(node, dict):
            raise refuse(at, "Input should be a valid dictionary")
        if "$ref" in node:
            self._reference(node["$ref"], at, seen, depth)
            return
        for word in ("anyOf", "oneOf", "allOf"):
            if isinstance(members := node.get(word), list):
                self._unions += word != "allOf"
                for index, member in enumerate(members):
                    self._node(member, f"{at}.{word}.{index}", seen, depth + 1)
        kind = node.get("type")
        if isinstance(kind, list):
            self._unions += 1
        for name in kind if isinstance(kind, list) else [kind]:
            self._typed(node, name, at, seen, depth)

    def _reference(self, target: object, at: str, seen: tuple[str, ...], depth: int) -> None:
        name = str(target).rpartition("/")[2]
        if target == "#" or name in seen:
            raise refuse(at, "Recursive schemas are not supported")
        if name not in self._definitions:
            raise refuse(at, f"$ref {str(target)!r:.100} does not name a definition of this schema")
        self._node(self._definitions[name], f"{at}.$defs.{name}", (*seen, name), depth + 1)

    def _typed(self, node: Raw, kind: object, at: str, seen: tuple[str, ...], depth: int) -> None:
        if kind is None:
            return
        if not isinstance(kind, str) or kind not in _TYPES:
            raise refuse(f"{at}.type", f"{kind!r:.64} is not a JSON schema type")
        for word in _UNSUPPORTED.get(kind, ()):
            if word in node:
                raise refuse(at, f"For '{kind}' type, property '{word}' is not supported")
        if kind == "object":
            if node.get("additionalProperties") is not False:
                raise refuse(at, "For 'object' type, 'additionalProperties' must be explicitly set to false")
            properties = as_object(node.get("properties", {}), f"{at}.properties")
            required = node.get("required", [])
            self._optional += (
                sum(name not in required for name in properties) if isinstance(required, list) else 0
            )
            for name, member in properties.items():
                self._node(member, f"{at}.properties.{name:.64}", seen, depth + 1)
        elif kind == "array" and "items" in node:
            self._node(node["items"], f"{at}.items", seen, depth + 1)


def check_beside_format(has_citations: bool) -> None:
    """Structured output and citations exclude each other."""
    if has_citations:
        raise RequestError("output_config.format: citations cannot be combined with structured outputs.")
