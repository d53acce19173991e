"""Chat request bodies: read as sent, changed only by splicing."""

import json
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import RequestError
from trimtab.messages.chat import ChatBody

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
READ = {
    "model",
    "messages",
    "stream",
    "stream_options",
    "n",
    "max_tokens",
    "max_completion_tokens",
    "output_config",
}
SPACES = st.text(alphabet=" \t\r\n", max_size=5)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, dict[str, object]]:
    """A valid body in a random layout: order of keys, white space, escapes."""
    fields: dict[str, object] = {
        "model": draw(st.sampled_from(["gpt", "Qwen/Qwen3-32B", "mödel"])),
        "messages": [{"role": "user", "content": draw(st.text())}],
        "stream": True,
        **draw(st.dictionaries(st.text().filter(lambda key: key not in READ), JSON, max_size=5)),
    }
    options = draw(
        st.sampled_from(
            [None, {}, {"include_usage": False}, {"include_obfuscation": False}, {"include_usage": True}]
        )
    )
    if draw(st.booleans()):
        fields["stream_options"] = options
    items = draw(st.permutations(list(fields.items())))
    ascii_only, before, behind = draw(st.booleans()), draw(SPACES), draw(SPACES)
    written = [
        f"{before}{json.dumps(key, ensure_ascii=ascii_only)}{behind}:{before}"
        f"{json.dumps(value, ensure_ascii=ascii_only)}{behind}"
        for key, value in items
    ]
    return f"{behind}{{{','.join(written)}}}{before}".encode(), fields


def body(**fields: object) -> ChatBody:
    return ChatBody(json.dumps({"model": "m", "messages": [], **fields}).encode())


@given(bodies())
def test_a_body_that_nothing_changes_stays_the_same_bytes(case: tuple[bytes, dict[str, object]]) -> None:
    raw, fields = case
    read = ChatBody(raw)
    assert read.model == fields["model"]
    assert read.asking(model=read.model) is raw


@given(bodies(), st.text(min_size=1), st.booleans())
def test_what_is_spliced_changes_the_model_and_the_question_for_usage_and_nothing_else(
    case: tuple[bytes, dict[str, object]], model: str, usage: bool
) -> None:
    raw, fields = case
    made = json.loads(ChatBody(raw).asking(model=model, usage=usage))
    wanted = dict(fields)
    wanted["model"] = model
    if usage:
        given_options = fields.get("stream_options") or {}
        assert isinstance(given_options, dict)
        wanted["stream_options"] = {**given_options, "include_usage": True}
    assert made == wanted


def test_bytes_around_the_model_stay_as_they_were() -> None:
    raw = b'{ "messages" : [ ] ,"tools":[{"a": 1.50}],\n"model":"m" , "x":"\\u00e9"}'
    assert ChatBody(raw).asking(model="Qwen/Q") == raw.replace(b'"m"', b'"Qwen/Q"')


@given(
    st.binary(max_size=200) | bodies().map(lambda case: case[0]), st.integers(0, 200), st.binary(max_size=3)
)
def test_no_bytes_of_a_client_raise_anything_but_a_refusal(raw: bytes, at: int, put: bytes) -> None:
    with suppress(RequestError):
        ChatBody(raw[:at] + put + raw[at:]).asking(model="other", usage=True)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'{"messages":[]}', "model: Field required"),
        (b'{"model":"m"}', "messages: Field required"),
        (b'{"model":"m","messages":{}}', "messages: Input should be a valid list"),
        (b'{"model":"m","model":"n","messages":[]}', "model: Duplicate"),
        (b'{"model":"m","messages":[],"n":0}', "n: 0"),
        (b'{"model":"m","messages":[],"n":129}', "n: 129"),
        (b'{"model":"m","messages":[],"n":"2"}', "n:"),
        (b'{"model":"m","messages":[],"max_tokens":-1}', "max_tokens: -1"),
        (b'{"model":"m","messages":[],"max_completion_tokens":1.5}', "max_completion_tokens: 1.5"),
        (b'{"model":"m","messages":[],"stream":1}', "stream"),
        (b'{"model":"m","messages":[],"stream_options":7}', "stream_options"),
        (b'{"model":"m","messages":[],"max_tokens":9,"max_tokens":1}', "max_tokens: Duplicate"),
        (b"[]", "JSON object"),
        (b"\xff", "JSON"),
    ],
)
def test_what_routing_and_money_depend_on_is_refused_where_it_cannot_be_read(raw: bytes, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        ChatBody(raw)


def test_a_key_that_stands_twice_inside_the_options_is_refused_when_they_must_change() -> None:
    raw = b'{"model":"m","messages":[],"stream":true,"stream_options":{"a":1,"a":2}}'
    with pytest.raises(RequestError, match="Duplicate"):
        ChatBody(raw).asking(model="m", usage=True)


def test_the_larger_of_the_two_limits_counts_and_null_is_none() -> None:
    assert body(max_tokens=5, max_completion_tokens=9).max_tokens == 9
    assert body(max_tokens=12, max_completion_tokens=9).max_tokens == 12
    assert body(max_tokens=None).max_tokens is None
    assert body(n=None).answers == 1
    assert body(n=3).answers == 3


def test_options_that_ask_for_usage_are_left_alone() -> None:
    asking = body(stream=True, stream_options={"include_usage": True})
    assert asking.wants_usage
    assert asking.asking(model="m", usage=True) is asking.raw
    assert not body(stream_options={"include_usage": False}).wants_usage
    assert not body(stream_options=None).wants_usage


def test_a_caller_is_known_by_the_new_field_or_the_old_one() -> None:
    assert body(user="u1").user_id() == "u1"
    assert body(user="u1", safety_identifier="s1").user_id() == "s1"
    assert body(user=7).user_id() is None


def test_a_growing_conversation_keeps_its_digest() -> None:
    turns: list[object] = [{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}]
    first = body(messages=turns).prefix_digest().digest()
    later = body(messages=[*turns, {"role": "assistant", "content": "A"}], n=2).prefix_digest().digest()
    assert first == later
    assert body(messages=turns[1:]).prefix_digest().digest() != first


def test_raw_members_are_what_the_client_wrote() -> None:
    assert isinstance(body(tools=[]).fields["tools"], msgspec.Raw)
