"""Request bodies: read as sent, changed only by splicing."""

import hashlib
import json
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import RequestError
from trimtab.messages import MessagesBody, named_model

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
        (b'{"model":"m","max_tokens":1e999,"messages":[]}', "max_tokens: 1e999: Input should be less than or equal to 1000000000"),
        (b'{"model":"m","max_tokens":1000000001,"messages":[]}', "max_tokens: 1000000001: Input should be less than"),
        (b'{"model":"m","max_tokens":' + b"9" * 400 + b',"messages":[]}', "max_tokens: 9{80}: Input should be less than"),
        (b'{"model":"m","max_tokens":' + b"9" * 5000 + b',"messages":[]}', "max_tokens: 9{80}: Input should be less than"),
        (b'{"model":"m","max_tokens":-' + b"9" * 5000 + b',"messages":[]}', "max_tokens: -9{79}: Input should be greater than"),
        (b'{"model":"m","max_tokens":1e300,"messages":[]}', "max_tokens: 1e300: Input should be less than"),
        (b'{"model":"m","max_tokens":1,"messages":[],"output_config":{"effort":"\\ud800"}}', "not valid JSON"),
        (b'{"' + b"k" * 300 + b'":1,"model":"m","max_tokens":1,"messages":[]}', "^k{80}: Top-level keys should have at most 256"),
        (b'{"' + b"k" * 200 + b'":1,"' + b"k" * 200 + b'":1,"model":"m"}', "^k{80}: Duplicate"),
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


@given(st.integers(0, 3 * 16384), st.sampled_from(["ü", "→", "🙂"]), st.integers(1, 3), st.booleans())
def test_what_is_not_utf8_is_found_where_it_stands(size: int, letter: str, cut: int, at_end: bool) -> None:
    good = f'{{"model":"m","max_tokens":1,"messages":["{letter * 3}{"x" * size}{letter}'.encode()
    assert MessagesBody(good + f'{"é" * 20_000}"]}}'.encode()).model == "m"
    bad = good[: -min(cut, len(letter.encode()) - 1)]
    raw = bad if at_end else bad + b"x" * 20_000 + b'"]}'
    with pytest.raises(UnicodeDecodeError) as plainly:
        raw.decode()
    with pytest.raises(RequestError, match=f"invalid UTF-8 at byte {plainly.value.start}$"):
        MessagesBody(raw)


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


def deep(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def under(frames: int, work: Callable[[], object]) -> object:
    """Calls `work` from a deeper stack, as a server does."""
    return work() if frames == 0 else under(frames - 1, work)


def test_nesting_that_only_a_shallow_stack_can_read_is_a_request_error() -> None:
    nested = deep(650)
    raw = (
        b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":%b}],'
        b'"output_config":{"x":%b},"thinking":{"x":%b},"metadata":{"x":%b}}' % ((nested,) * 4)
    )
    with pytest.raises(RequestError, match="nested too deeply"):
        under(400, lambda: MessagesBody(raw))
    body = MessagesBody(raw)
    for read in (lambda: body.thinking_type, body._effort):
        with pytest.raises(RequestError, match="nested too deeply"):
            under(400, read)
    assert under(400, body.user_id) is None
    assert under(400, lambda: body.text_field("metadata")) is None
    under(400, body.prefix_digest)


@pytest.mark.parametrize("depth", [*range(700, 1010, 10), 100_000])
@pytest.mark.parametrize("name", ["output_config", "thinking", "metadata", "x"])
def test_no_depth_escapes_as_another_error(name: str, depth: int) -> None:
    raw = b'{"model":"m","max_tokens":1,"messages":[],"%b":{"x":%b}}' % (name.encode(), deep(depth))
    said = "nested too deeply"
    try:
        body = MessagesBody(raw)
        assert body.user_id() is None
        assert body.thinking_type in (None, "")
        body.prefix_digest()
    except RequestError as problem:
        said = str(problem)
    assert "nested too deeply" in said


def test_a_key_of_escapes_is_refused_before_it_is_walked() -> None:
    raw = b'{"model":"m","max_tokens":1,"messages":[],"' + b'\\"' * 2_000_000 + b'":1}'
    with pytest.raises(RequestError, match="at most 256 characters") as caught:
        MessagesBody(raw)
    assert len(str(caught.value)) < 200


def test_the_scan_ends_at_the_first_key_too_many() -> None:
    # What stands behind the 257th key is not even valid JSON: it was never read.
    many = b",".join(b'"k%d":%b' % (n, b"1" * 300) for n in range(300))
    with pytest.raises(RequestError, match="more than 256 top-level fields"):
        MessagesBody(b"{" + many + b",!")


def test_a_short_body_of_many_keys_is_refused_too() -> None:
    many = b",".join(b'"k%d":1' % n for n in range(257))
    with pytest.raises(RequestError, match="more than 256 top-level fields"):
        MessagesBody(b"{" + many + b"}")


def test_a_key_that_stands_twice_is_seen_however_long_the_body_and_however_it_is_spelt() -> None:
    for padding in (b"", b"x" * 70_000):
        for again in (b"model", b"mod\\u0065l"):
            raw = b'{"model":"a","max_tokens":1,"messages":["%b"],"%b":"b"}' % (padding, again)
            with pytest.raises(RequestError, match="model: Duplicate top-level key"):
                MessagesBody(raw)


@pytest.mark.parametrize(
    ("thinking", "kind"),
    [
        (b"null", None),
        (b"{}", ""),
        (b'{"type":"adaptive","x":[1,{}]}', "adaptive"),
        (b'{"t\\u0079pe":"dis\\u0061bled"}', "disabled"),
        (b'{"type":null}', ""),
        (b'{"type":5}', ""),
    ],
)
def test_the_type_of_thinking_is_read_as_json(thinking: bytes, kind: str | None) -> None:
    assert (
        MessagesBody(b'{"model":"m","max_tokens":1,"messages":[],"thinking":%b}' % thinking).thinking_type
        == kind
    )
    assert MessagesBody(b'{"model":"m","max_tokens":1,"messages":[]}').thinking_type is None


@pytest.mark.parametrize("thinking", [b"[]", b"true", b'"adaptive"', b"0"])
def test_thinking_that_is_no_object_is_refused(thinking: bytes) -> None:
    body = MessagesBody(b'{"model":"m","max_tokens":1,"messages":[],"thinking":%b}' % thinking)
    with pytest.raises(RequestError, match="thinking: Input should be a valid dictionary"):
        _ = body.thinking_type


def test_members_that_are_not_asked_for_are_not_kept() -> None:
    members = b",".join(b'"%d":0' % n for n in range(100_000))
    raw = b'{"model":"m","max_tokens":1,"messages":[],"output_config":{%b},"thinking":{%b,"type":"x"},"metadata":{%b}}'
    tracemalloc.start()
    try:
        body = MessagesBody(raw % (members, members, members))
        assert (body.effort, body.thinking_type, body.user_id()) == (None, "x", None)
        body.spliced(effort="low")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5 * len(raw % (members, members, members))


@pytest.mark.parametrize("config", [b"{}", b"{ \n}", b'{ "format":{}}'])
def test_effort_is_put_into_any_config_that_carries_none(config: bytes) -> None:
    raw = b'{"model":"m","max_tokens":1,"messages":[],"output_config":%b}' % config
    body = MessagesBody(raw)
    assert body.effort is None
    changed = json.loads(body.spliced(effort="low"))
    assert changed == {**json.loads(raw), "output_config": {**json.loads(config), "effort": "low"}}


def test_an_effort_of_null_is_the_clients_too() -> None:
    body = MessagesBody(b'{"model":"m","max_tokens":1,"messages":[],"output_config":{"effort":null}}')
    assert (body.effort, body.has_effort) == (None, True)
    with pytest.raises(ValueError, match="never replaced"):
        body.spliced(effort="low")


def prefix(messages: str, system: str = '"s"') -> str:
    raw = f'{{"model":"m","max_tokens":1,"system":{system},"messages":{messages}}}'.encode()
    return MessagesBody(raw).prefix_digest().hexdigest()


@given(
    st.lists(st.sampled_from(["assistant", "system"]), max_size=3),
    st.integers(0, 200_000),
    st.sampled_from(["a", "é", "🙂", '\\"']),
    st.integers(1, 3),
)
def test_a_growing_conversation_keeps_its_digest(
    before: list[str], size: int, letter: str, more: int
) -> None:
    turns = [f'{{"role":"{role}","content":"{letter * (size // 3)}"}}' for role in before]
    turns.append(f'{{"role":"user","content":"{letter * (size // len(letter.encode()))}"}}')
    later = ['{"role":"assistant","content":"yes"}', '{"role":"user","content":"more"}'] * more
    assert prefix(f"[{','.join(turns)}]") == prefix(f"[{','.join(turns + later)}]")
    assert prefix(f"[{','.join(turns)}]") != prefix(f"[ {','.join(['{}', *turns])}]")


def _in_one_window(messages: str, system: str = '"s"') -> str:
    """The digest as it was first written down: the first 64 KB of the messages at once."""
    digest = hashlib.sha256(b"%d:" % len(system.encode()) + system.encode()[: 64 * 1024])
    text = messages.encode()[: 64 * 1024].decode(errors="ignore")
    at = 1
    for _ in range(16):
        at += len(text[at : at + 1024]) - len(text[at : at + 1024].lstrip(" \t\r\n,"))
        if not text.startswith("{", at):
            break
        try:
            turn, end = json.JSONDecoder(strict=False).raw_decode(text, at)
        except ValueError:
            digest.update(b"\0" + text[at:].encode())
            break
        digest.update(b"\0" + text[at:end].encode())
        at = end
        if turn.get("role") == "user":
            break
    return digest.hexdigest()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["assistant", "system", "user"]),
            st.sampled_from([0, 5, 1000, 7000, 8100, 8191, 8200, 20_000, 66_000]) | st.integers(8000, 8300),
            st.sampled_from(["a", "é", "🙂", '\\"']),
            st.sampled_from(["", " ", "\n" * 1000, "\n" * 1023, " " * 1024, "\t" * 9000]),
        ),
        max_size=20,
    )
)
def test_the_window_that_is_read_first_changes_no_digest(turns: list[tuple[str, int, str, str]]) -> None:
    written = [
        f'{blank}{{"role":"{role}","content":"{letter * (size // len(letter.encode()))}"}}{blank}'
        for role, size, letter, blank in turns
    ]
    messages = f"[{','.join(written)}]"
    assert prefix(messages) == _in_one_window(messages)


ODD_TURNS = (
    '{"role":"\\u0075ser","content":"a"}', '{"role":"user","role":"x"}', '{"role":"x","role":"user"}', '{"role":1}',
    '{"role":["user"]}', '{"role":null}', '{"content":{"role":"user"}}', '{ "role" : "user" }',
    '{"content":[{"type":"text","text":"]}{["}],"role":"user"}', '{"role":"assistant"}', '{}', "[]", '"user"', "1", "null",
    '{"role":"é"}', '{"a":' + "[" * 60 + "]" * 60 + "}",
)  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(ODD_TURNS), st.sampled_from(["", " ", "\n\t"])), max_size=20))
def test_a_short_list_of_odd_turns_has_the_digest_that_a_long_one_begins_with(
    turns: list[tuple[str, str]],
) -> None:
    messages = f"[{','.join(blank + turn + blank for turn, blank in turns)}]"
    assert prefix(messages) == _in_one_window(messages)


def test_the_digest_reads_a_bounded_part_of_the_body() -> None:
    head = '{"role":"user","content":[' + "0," * 40_000
    assert prefix(f"[{head}1]}}]") == prefix(f"[{head}2]}}]")
    assert prefix("[]", '"' + "s" * 70_000 + 'a"') == prefix("[]", '"' + "s" * 70_000 + 'b"')
    assert prefix("[]", '"' + "s" * 70_000 + '"') != prefix("[]", '"' + "s" * 70_001 + '"')
    body = MessagesBody(b'{"model":"m","max_tokens":1,"messages":[' + b"0," * 2_000_000 + b"0]}")
    tracemalloc.start()
    try:
        body.prefix_digest()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize(
    "messages", ["[]", "[5]", "[[]]", '[{"role":5}]', '[{"role":"user","n":%s}]' % ("9" * 5000)]
)
def test_odd_messages_have_a_digest_too(messages: str) -> None:
    assert prefix(messages) == prefix(messages)


@pytest.mark.parametrize(
    ("raw", "model"),
    [
        (b'{"model":"m"}', "m"),
        (b'{"model":"' + b"m" * 1000 + b'"}', "m" * 256),
        (b'{"model":5}', ""),
        (b'{"model":"\\ud800"}', ""),
        (b'{"model":"\xff"}', ""),
        (b'{"x":' + deep(5000) + b"}", ""),
        (b"[]", ""),
        (b"", ""),
    ],
)
def test_the_model_of_a_refused_body_is_read_where_it_can_be(raw: bytes, model: str) -> None:
    assert named_model(raw) == model
