"""JSON schemas drawn with values that satisfy them, and the same values with one thing wrong."""

from typing import Any

from hypothesis import strategies as st

NAMES = ["a", "b", "city", "a/b", "m~n", "é"]
"""Not the empty one, which the library leaves out of pointers."""
texts = st.text(max_size=8)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@st.composite
def satisfied(draw: st.DrawFn, depth: int = 3) -> tuple[dict[str, Any], Any]:
    """A schema and a value that satisfies it."""
    kinds = ["string", "integer", "enum", "null"] + (["object", "array", "anyOf"] if depth else [])
    kind = draw(st.sampled_from(kinds))
    if kind == "string":
        text = draw(texts)
        return {"type": "string", "maxLength": len(text), "minLength": len(text)}, text
    if kind == "integer":
        number = draw(st.integers(-1000, 1000))
        return {"type": "integer", "minimum": number, "maximum": number + draw(st.integers(0, 3))}, number
    if kind == "enum":
        options = draw(st.lists(texts, min_size=1, max_size=3))
        return {"enum": options}, draw(st.sampled_from(options))
    if kind == "null":
        return {"type": ["null", "string"]}, None
    if kind == "array":
        schema, value = draw(satisfied(depth - 1))
        count = draw(st.integers(1, 3))
        return {"type": "array", "items": schema, "minItems": count, "maxItems": count}, [value] * count
    if kind == "anyOf":
        schema, value = draw(satisfied(depth - 1))
        return {"anyOf": [{"const": "nothing that is drawn"}, schema]}, value
    members = {
        name: draw(satisfied(depth - 1))
        for name in draw(st.sets(st.sampled_from(NAMES), min_size=1, max_size=3))
    }
    schema = {
        "type": "object",
        "properties": {name: one[0] for name, one in members.items()},
        "required": list(members),
        "additionalProperties": False,
    }
    return schema, {name: one[1] for name, one in members.items()}


@st.composite
def spoilt(draw: st.DrawFn) -> tuple[dict[str, Any], Any, str]:
    """A schema, a value that does not satisfy it, and the JSON pointer to what is wrong."""
    schema, value = draw(satisfied())
    choices = list(_ways("", schema, value))
    pointer, made = draw(st.sampled_from(choices))
    return schema, made, pointer


def _ways(pointer: str, schema: dict[str, Any], value: Any) -> Any:
    """Every way to spoil it: (pointer, the whole value spoilt). What is wrong in a form of `anyOf` is told of its place."""
    if "anyOf" in schema:
        yield pointer, {"neither": "of them"}
        return
    yield pointer, {"wrong": "kind"} if schema.get("type") != "object" else [1]
    if schema.get("type") == "object":
        for name, inner in schema["properties"].items():
            yield pointer, {key: one for key, one in value.items() if key != name}
            step = name.replace("~", "~0").replace("/", "~1")
            for place, made in _ways(f"{pointer}/{step}", inner, value[name]):
                yield place, {**value, name: made}
        yield pointer, {**value, "unwanted": 1}
    elif schema.get("type") == "array":
        yield pointer, [*value, value[0]]
        for place, made in _ways(f"{pointer}/0", schema["items"], value[0]):
            yield place, [made, *value[1:]]
