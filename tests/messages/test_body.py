"""Request bodies: read as sent, changed only by splicing."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import RequestError
from trimtab.messages import MessagesBody

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
KNOWN = ("model", "max_tokens", "messages", "stream", "output_config", "thinking", "metadata")
EXTRAS = st.dictionaries(st.text().filter(lambda key: key not in KNOWN), JSON, max_size=5)
SPACES = st.text(alphabet=" \t\r\n", max_size=70)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, dict[str, object]]:
    """A valid body in a random layout: key order, white space, escaped keys, non-ASCII or not."""
    fields: dict[str, object] = {
        "model": draw(st.sampled_from(["trimtab/auto", "claude-sonnet-4-6", "mödel"])),
        "max_tokens": draw(st.integers(0, 10**9)),
        "messages": [{"role": "user", "content": draw(st.text())}],
        **draw(EXTRAS),
    }
    if draw(st.booleans()):
        fields["output_config"] = draw(st.none() | st.just({}) | st.dictionaries(st.just("format"), JSON))
    items = draw(st.permutations(list(fields.items())))
    ascii_only = draw(st.booleans())
    space = draw(st.lists(SPACES, min_size=6, max_size=6))
    rendered = []
    for key, value in items:
        name = json.dumps(key, ensure_ascii=ascii_only)
        if key == "model" and draw(st.booleans()):
            name = '"m\\u006fdel"'
        rendered.append(
            f"{space[0]}{name}{space[1]}:{space[2]}{json.dumps(value, ensure_ascii=ascii_only)}{space[3]}"
        )
    return f"{space[4]}{{{','.join(rendered)}}}{space[5]}".encode(), fields


@given(bodies())
def test_a_body_that_nothing_changes_stays_the_same_bytes(case: tuple[bytes, dict[str, object]]) -> None:
    raw, fields = case
    body = MessagesBody(raw)
    assert body.spliced() is raw
    assert body.spliced(model=body.model) is raw
    assert body.model == fields["model"]
    assert body.max_tokens == fields["max_tokens"]


@given(bodies(), st.text(min_size=1, max_size=40))
def test_splicing_the_model_changes_only_its_value(case: tuple[bytes, dict[str, object]], name: str) -> None:
    raw, fields = case
    changed = MessagesBody(raw).spliced(model=name)
    assert json.loads(changed) == {**fields, "model": name}
    old, new = json.dumps(fields["model"]).encode(), json.dumps(name).encode()
    at = next(i for i in range(len(raw) + 1) if raw[i : i + 1] != changed[i : i + 1] or i == len(raw))
    # Everything before the value and everything after it is untouched, byte for byte.
    tail = 0
    while tail < min(len(raw), len(changed)) - at and raw[-1 - tail] == changed[-1 - tail]:
        tail += 1
    assert len(raw) - at - tail <= max(
        len(old), len(json.dumps(fields["model"], ensure_ascii=False).encode())
    )
    del new


@given(bodies())
def test_effort_and_thinking_are_put_in_where_the_client_sent_none(
    case: tuple[bytes, dict[str, object]],
) -> None:
    raw, fields = case
    changed = json.loads(MessagesBody(raw).spliced(effort="high", adaptive_thinking=True))
    config = fields.get("output_config") or {}
    assert isinstance(config, dict)
    assert changed.pop("thinking") == {"type": "adaptive"}
    assert changed.pop("output_config") == {**config, "effort": "high"}
    assert changed == {key: value for key, value in fields.items() if key != "output_config"}


def test_null_thinking_is_replaced_and_null_output_config_too() -> None:
    raw = b'{"model":"m","thinking":null,"output_config":null,"max_tokens":1,"messages":[]}'
    changed = json.loads(MessagesBody(raw).spliced(effort="low", adaptive_thinking=True))
    assert changed["thinking"] == {"type": "adaptive"}
    assert changed["output_config"] == {"effort": "low"}


def test_keys_that_end_in_backslashes_and_quotes_are_read_to_their_end() -> None:
    raw = rb'{"a\\":1,"b\\\"":2,"c\"":3,"model":"m","max_tokens":1,"messages":[]}'
    assert MessagesBody(raw).spliced(model="n") == raw.replace(b'"m"', b'"n"')


def test_an_integer_may_be_written_as_json_allows() -> None:
    for text in (b"1024", b"1024.0", b"1.024e3"):
        body = MessagesBody(b'{"model":"m","max_tokens":%b,"messages":[]}' % text)
        assert body.max_tokens == 1024


def test_the_clients_effort_is_never_replaced() -> None:
    body = MessagesBody(b'{"model":"m","output_config":{"effort":"low"},"max_tokens":1,"messages":[]}')
    assert body.effort == "low"
    with pytest.raises(ValueError, match="never replaced"):
        body.spliced(effort="high")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"[]", "should be a JSON object"),
        (b'"x"', "should be a JSON object"),
        (b'{"model":"m","max_tokens":1,"messages":[]}x', "not valid JSON"),
        (b'\xef\xbb\xbf{"model":"m","max_tokens":1,"messages":[]}', "not valid JSON"),
        (b'{"model":"m\xff","max_tokens":1,"messages":[]}', "invalid UTF-8 at byte 11"),
        (b'{"max_tokens":1,"messages":[]}', "model: Field required"),
        (b'{"model":null,"max_tokens":1,"messages":[]}', "model: None: String should have at least 1 character"),
        (b'{"model":"","max_tokens":1,"messages":[]}', "at least 1 character"),
        (b'{"model":7,"max_tokens":1,"messages":[]}', "model: Input should be a valid string"),
        (b'{"model":"' + b"m" * 300 + b'","max_tokens":1,"messages":[]}', "at most 256 characters"),
        (b'{"model":"m","messages":[]}', "max_tokens: Field required"),
        (b'{"model":"m","max_tokens":"1","messages":[]}', "max_tokens: Input should be a valid integer"),
        (b'{"model":"m","max_tokens":1.5,"messages":[]}', "max_tokens: Input should be a valid integer"),
        (b'{"model":"m","max_tokens":1e999,"messages":[]}', "max_tokens: Input should be a valid integer|not valid JSON"),
        (b'{"model":"m","max_tokens":true,"messages":[]}', "max_tokens: Input should be a valid integer"),
        (b'{"model":"m","max_tokens":-1,"messages":[]}', "greater than or equal to 0"),
        (b'{"model":"m","max_tokens":1}', "messages: Field required"),
        (b'{"model":"m","max_tokens":1,"messages":{}}', "messages: Input should be a valid list"),
        (b'{"model":"m","max_tokens":1,"messages":[],"stream":"yes"}', "stream: Input should be a valid boolean"),
        (b'{"model":"m","max_tokens":1,"messages":[],"output_config":[]}', "output_config: Input should be"),
        (b'{"model":"m","max_tokens":1,"messages":[],"output_config":{"effort":3}}', "output_config.effort"),
        (b'{"model":"m","max_tokens":1,"messages":[],"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
    ],
)  # fmt: skip
def test_bad_bodies_are_named_as_the_vendor_names_them(raw: bytes, message: str) -> None:
    with pytest.raises(RequestError, match=message.replace("[", r"\[")):
        MessagesBody(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"model":"a","model":"b","max_tokens":1,"messages":[]}',
        b'{"model":"a","max_tokens":1,"messages":[],"model":"a"}',
        b'{"model":"aa","max_tokens":1,"messages":[],"m\\u006fdel":"b"}',
        b'{"model":"a","max_tokens":1,"messages":[],"x":{"y":1},"x":{}}',
        b'{"messages":[1,2,3],"model":"a","max_tokens":1,"messages":[]}',
        # A repeated key whose first value is as long as its last, followed by text that looks like a pair.
        b'{"model":"a\\",\\"b","max_tokens":1,"messages":[],"model":"0123456"}',
    ],
)
def test_a_key_that_stands_twice_is_refused(raw: bytes) -> None:
    with pytest.raises(RequestError, match="Duplicate top-level key"):
        MessagesBody(raw)


@given(bodies(), st.data())
def test_any_repeated_key_is_found(case: tuple[bytes, dict[str, object]], data: st.DataObject) -> None:
    raw, fields = case
    name = data.draw(st.sampled_from(sorted(fields)))
    value = data.draw(st.just(fields[name]) | JSON)
    opened = raw.index(b"{") + 1
    pair = f"{json.dumps(name)}:{json.dumps(value)}".encode()
    closed = raw.rindex(b"}")
    twice = data.draw(
        st.sampled_from(
            [raw[:opened] + pair + b"," + raw[opened:], raw[:closed] + b"," + pair + raw[closed:]]
        )
    )
    with pytest.raises(RequestError):
        MessagesBody(twice)


@given(
    st.binary(max_size=300)
    | st.builds(lambda a, b: a[0][: b % (len(a[0]) + 1)], bodies(), st.integers(0, 400))
)
def test_no_bytes_make_the_reader_fail_otherwise_than_by_a_request_error(raw: bytes) -> None:
    try:
        MessagesBody(raw)
    except RequestError:
        pass


def test_megabytes_of_white_space_and_many_keys_cost_little() -> None:
    blank = b" " * 20_000_000
    body = MessagesBody(b"{" + blank + b'"model":"m","max_tokens":1,"messages":[]}')
    assert body.model == "m"
    many = b",".join(b'"k%d":1' % n for n in range(100_000))
    with pytest.raises(RequestError, match="more than 256 top-level fields"):
        MessagesBody(b'{"model":"m","max_tokens":1,"messages":[],' + many + b"}")


def test_the_stable_prefix_is_the_system_and_the_first_user_turn() -> None:
    def digest(*turns: str, system: str = "s") -> str:
        messages = [
            {"role": "user" if n % 2 == 0 else "assistant", "content": text} for n, text in enumerate(turns)
        ]
        raw = json.dumps({"model": "m", "max_tokens": 1, "system": system, "messages": messages}).encode()
        return MessagesBody(raw).prefix_digest().hexdigest()

    assert digest("hello") == digest("hello", "hi", "and now?")
    assert digest("hello") != digest("hello!")
    assert digest("hello") != digest("hello", system="t")
