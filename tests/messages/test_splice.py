"""Bodies changed by splicing: the new value is there, everything else is where and as it was."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.errors import RequestError
from trimtab.messages import GONE, MessagesBody

KEYS = st.sampled_from(["a", "b", 'q"\\', "ü", ""])
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(2, 2**70), st.text(max_size=4), st.floats(2, 1e300))
VALUES = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4)), max_leaves=12
)  # fmt: skip
DUMPS = st.sampled_from([{}, {"indent": 2}, {"separators": (",", ":")}, {"ensure_ascii": False}])


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "max_tokens": 5, "messages": [], **fields}).encode()


def mended(value: Any, data: st.DataObject) -> Any:
    """The value with some members and elements removed, replaced or added."""
    if isinstance(value, dict):
        value = {key: mended(inner, data) for key, inner in value.items() if data.draw(st.integers(0, 3))}
        if data.draw(st.booleans()):
            value["new"] = data.draw(SCALARS)
    elif isinstance(value, list):
        value = [mended(inner, data) if data.draw(st.integers(0, 3)) else GONE for inner in value]
        value += [data.draw(SCALARS)] * data.draw(st.integers(0, 2))
    elif data.draw(st.integers(0, 5)) == 0:
        value = data.draw(SCALARS)
    return value


def without_gone(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_gone(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [without_gone(inner) for inner in value if inner is not GONE]
    return value


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(st.sampled_from(["x", "y", "z"]), VALUES, min_size=1), DUMPS, st.data())
def test_a_changed_body_says_the_new_values_and_the_others_in_their_own_bytes(
    fields: dict[str, Any], dump: dict[str, Any], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(["model", "max_tokens", "messages", *fields]))
    whole = {"model": "m", "max_tokens": 5, "messages": [], **fields}
    raw = json.dumps({name: whole[name] for name in order}, **dump).encode()
    read = MessagesBody(raw)
    before = json.loads(raw)
    changes: dict[str, Any] = {"model": "other"}
    for name in fields:
        match data.draw(st.integers(0, 3)):
            case 0:
                changes[name] = GONE
            case 1:
                changes[name] = mended(copy.deepcopy(before[name]), data)
    if data.draw(st.booleans()):
        changes["w"] = {"k": [1]}
    sent = read.changed(changes)
    expected = {name: value for name, value in {**before, **changes}.items() if value is not GONE}
    after = json.loads(sent)
    assert after == without_gone(expected)
    again = MessagesBody(sent)
    for name in before.keys() - changes.keys():
        assert bytes(again.fields[name]) == bytes(read.fields[name])
    assert [name for name in after if name in before] == [name for name in order if name in after]


def test_what_stays_of_a_value_stays_in_its_own_bytes() -> None:
    raw = b'{"model":"m","max_tokens":1,"messages":[ {"role" : "user","content":"caf\\u00e9 \\/"} ],"x":{ "a" : 1.50,"b":[1, 2 ,3]}}'
    read = MessagesBody(raw)
    messages = [{"role": "user", "content": "café / and more"}]
    sent = read.changed({"messages": messages, "x": {"a": 1.5, "b": [1, GONE, 3, 4]}})
    assert sent == raw.replace(b"\\/", b"\\/ and more").replace(
        b"[1, 2 ,3]", b"[1 ,3,4]".replace(b"1 ,3", b"1 ,3")
    )


def test_no_change_gives_the_very_bytes() -> None:
    raw = body(x={"a": [1, {"b": None}]})
    assert MessagesBody(raw).changed({"x": {"a": [1, {"b": None}]}, "model": "m"}) is raw


def test_an_object_that_must_change_and_says_a_thing_twice_is_refused() -> None:
    raw = b'{"model":"m","max_tokens":1,"messages":[],"x":{"a":1,"a":2,"b":3}}'
    assert MessagesBody(raw).changed({"max_tokens": 2}).endswith(b'"x":{"a":1,"a":2,"b":3}}')
    with pytest.raises(RequestError, match="a: Duplicate key"):
        MessagesBody(raw).changed({"x": {"a": 2, "b": 4}})


@pytest.mark.parametrize(
    ("raw", "gone", "expected"),
    [
        (b'{"model":"m","messages":[]}', (), b'{"v":"1","b":["x"],"messages":[]}'),
        (b'{ "a": 1 , "model" : "m" }', (), b'{ "a": 1 , "v":"1","b":["x"] }'),
        (b'{"stream":true,"model":"m","messages":[]}', ("stream",), b'{"v":"1","b":["x"],"messages":[]}'),
        (b'{"model":"m","stream":true, "messages":[]}', ("stream",), b'{"v":"1","b":["x"], "messages":[]}'),
        (b'{"messages":[],"model":"m", "stream":true }', ("stream",), b'{"messages":[],"v":"1","b":["x"] }'),
        (b'{"c":1,"model":"m","d":2,"messages":[]}', ("c", "d"), b'{"v":"1","b":["x"],"messages":[]}'),
    ],
)
def test_other_members_take_the_place_of_the_model_and_the_rest_stays(
    raw: bytes, gone: tuple[str, ...], expected: bytes
) -> None:
    if b"messages" not in raw:
        raw, expected = raw[:-1] + b',"messages":[]}', expected[:-1] + b',"messages":[]}'
    body = MessagesBody(raw, max_tokens_required=False)
    assert body.without_model({"v": "1", "b": ["x"]}, gone) == expected


def test_messages_are_counted_and_what_is_no_list_counts_as_none() -> None:
    assert MessagesBody(body(messages=[{}, {}, {}])).count_messages() == 3
