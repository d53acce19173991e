"""Permuted keys give the same cache key, changed values never do; nor do other headers, models or callers."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.cache import Question
from trimtab.cache.key import key_of, scope_of
from trimtab.cache.rules import what_matters, why_not
from trimtab.messages.canonical import digest_of, read_exactly
from trimtab.records import NOBODY, Caller, RequestId, Surface

BODY: dict[str, Any] = {
    "model": "claude-sonnet-4-6",
    "max_tokens": 100,
    "temperature": 0,
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {"role": "user", "content": "What is 2 + 2?"},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "t1", "name": "add", "input": {"a": 2, "b": 2.5}}],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "4.5"}]},
    ],
    "tools": [
        {
            "name": "add",
            "input_schema": {"type": "object", "properties": {"cache_control": {"type": "string"}}},
        }
    ],
    "metadata": {"user_id": "ann"},
}
HEADERS = [(b"anthropic-version", b"2023-06-01"), (b"anthropic-beta", b"a, b"), (b"user-agent", b"curl")]
ANN = Caller(key="key_1", organisation="acme", team="red", user="ann")


def question(body: Any = None, **changes: Any) -> Question:
    raw = body if isinstance(body, bytes) else json.dumps(BODY if body is None else body).encode()
    asked = Question(
        id=RequestId("r1"),
        arrived_ms=1_800_000_000_000,
        surface="messages",
        path="/v1/messages",
        query=b"",
        headers=HEADERS,
        body=raw,
        stream=False,
        arm="claude-sonnet-4-6",
        model="claude-sonnet-4-6",
        platforms=frozenset(("claude",)),
        simulated=False,
        caller=ANN,
        own={},
    )
    return msgspec.structs.replace(asked, **changes)


def key(body: Any = None, scope: str = "key=key_1", **changes: Any) -> str:
    asked = question(body, **changes)
    return key_of(asked, scope, digest_of(what_matters(asked.surface, read_exactly(asked.body))))


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(path for name, one in inner for path in paths(one, (*at, name)))]


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[path[0]] = put(value[path[0]], path[1:], new)
    return copied


def permuted(data: st.DataObject, value: Any) -> Any:
    if isinstance(value, dict):
        return {name: permuted(data, value[name]) for name in data.draw(st.permutations(list(value)))}
    return [permuted(data, one) for one in value] if isinstance(value, list) else value


@given(st.data())
def test_members_in_another_order_white_space_and_escapes_give_the_same_key(data: st.DataObject) -> None:
    written = json.dumps(
        permuted(data, BODY),
        indent=data.draw(st.sampled_from([None, 0, 3])),
        ensure_ascii=data.draw(st.booleans()),
    )
    assert key(written.replace("2.5", "25e-1").encode()) == key()


NOT_MATTERING = {("metadata",), ("metadata", "user_id")}
PLACES = [path for path in paths(BODY) if path and path not in NOT_MATTERING]


@given(st.sampled_from(PLACES), st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just([]))
def test_a_value_that_is_changed_anywhere_gives_another_key(path: tuple[Any, ...], new: Any) -> None:
    old: Any = BODY
    for step in path:
        old = old[step]
    if json.dumps(old) == json.dumps(new) or (
        path == ("temperature",) and new is not True and new == 0 and new is not False
    ):
        return
    assert key(put(BODY, path, new)) != key()


@pytest.mark.parametrize("path", [path for path in PLACES if len(path) < 5])
def test_a_member_that_is_left_out_gives_another_key(path: tuple[Any, ...]) -> None:
    holder: Any = BODY
    for step in path[:-1]:
        holder = holder[step]
    left = (
        {name: one for name, one in holder.items() if name != path[-1]}
        if isinstance(holder, dict)
        else [one for n, one in enumerate(holder) if n != path[-1]]
    )
    assert key(put(BODY, path[:-1], left)) != key()


@pytest.mark.parametrize("metadata", [None, {}, {"user_id": "bob"}, {"user_id": None}])
def test_who_the_end_user_is_changes_no_answer(metadata: Any) -> None:
    body = {name: value for name, value in BODY.items() if name != "metadata"}
    assert key(body if metadata is None else {**body, "metadata": metadata}) == key()
    assert key({**body, "metadata": {"user_id": "ann", "about": 1}}) != key()


@pytest.mark.parametrize(
    "changes",
    [
        {"arm": "claude-sonnet-4-6@high"},
        {"model": "claude-opus-4-7"},
        {"path": "/v1/messages/other"},
        {"query": b"beta=true"},
        {"stream": True},
        {"simulated": True},
        {"surface": "chat"},
        {"scope": "key=key_2"},
        {"headers": [(b"anthropic-version", b"2026-10-21"), *HEADERS[1:]]},
        {"headers": [HEADERS[0], (b"anthropic-beta", b"a,c")]},
        {"headers": HEADERS[:1]},
        {"headers": [*HEADERS, (b"x-model-variant", b"b")]},
        {"headers": [*HEADERS, (b"x-a", b"1"), (b"x-a", b"2")]},
    ],
)
def test_whatever_else_can_change_an_answer_gives_another_key(changes: dict[str, Any]) -> None:
    assert key(**changes) != key()
    assert key(headers=[*HEADERS, (b"x-a", b"2"), (b"x-a", b"1")]) != key(
        headers=[*HEADERS, (b"x-a", b"1"), (b"x-a", b"2")]
    )


@pytest.mark.parametrize(
    "headers",
    [
        list(reversed(HEADERS)),
        [HEADERS[0], (b"anthropic-beta", b"b"), (b"anthropic-beta", b"a")],
        [
            *HEADERS[:2],
            (b"user-agent", b"sdk"),
            (b"x-stainless-retry-count", b"1"),
            (b"traceparent", b"00-1"),
        ],
    ],
)
def test_headers_that_change_no_answer_do_not_change_the_key(headers: list[tuple[bytes, bytes]]) -> None:
    assert key(headers=headers) == key()


def test_who_shares_is_told_apart_as_far_as_the_operator_says() -> None:
    bob = Caller(key="key_2", organisation="acme", team="red", user="bob")
    blue = Caller(key="key_3", organisation="acme", team="blue")
    other = Caller(key="key_4", organisation="evil", team="red")
    forged = Caller(key="key_5", organisation="acme\0red", team="")

    def shared(share: Any) -> list[bool]:
        return [
            scope_of(share, ANN) == scope_of(share, one) for one in (ANN, bob, blue, other, NOBODY, forged)
        ]

    assert shared("key") == [True, False, False, False, False, False]
    assert shared("team") == [True, True, False, False, False, False]
    assert shared("organisation") == [True, True, True, False, False, False]
    assert shared("all") == [True] * 6
    assert scope_of("team", Caller(key="k", organisation="acme")) == scope_of("key", Caller(key="k"))


def test_a_request_for_words_may_be_answered_by_an_earlier_answer() -> None:
    assert why_not("messages", read_exactly(json.dumps(BODY).encode()), 1) is None


CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize(
    ("surface", "fields", "reason"),
    [
        ("messages", {"mcp_servers": [{"type": "url"}]}, "field"),
        ("messages", {"container": "c1"}, "field"),
        ("messages", {"fallbacks": [{"model": "x"}]}, "field"),
        ("messages", {"a_field_of_tomorrow": 1}, "field"),
        ("messages", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools"),
        ("messages", {"tools": [{"type": "code_execution_20250825", "name": "x"}]}, "tools"),
        ("messages", {"tools": {"type": "custom"}}, "tools"),
        ("messages", {"tools": [7]}, "tools"),
        ("messages", {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://x"}}]}]}, "links"),
        ("messages", {"system": [{"type": "document", "source": {"type": "url", "url": "https://x"}}]}, "links"),
        ("chat", {"store": True}, "field"),
        ("chat", {"web_search_options": {"a": 1}}, "field"),
        ("chat", {"tools": [{"type": "web_search"}]}, "tools"),
        ("chat", {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x"}}]}]}, "links"),
        ("chat", {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": 7}]}]}, "links"),
    ],
)  # fmt: skip
def test_what_does_more_than_say_something_is_never_answered_by_an_earlier_answer(
    surface: Surface, fields: dict[str, Any], reason: str
) -> None:
    base = BODY if surface == "messages" else CHAT
    assert why_not(surface, read_exactly(json.dumps({**base, **fields}).encode()), 1) == reason


def test_fields_without_a_value_and_tools_of_the_client_are_harmless() -> None:
    bash = {"type": "bash_20250124", "name": "bash"}
    body = {
        **BODY,
        "mcp_servers": [],
        "container": None,
        "tools": [*BODY["tools"], bash, {"type": "custom", "name": "x"}],
    }
    assert why_not("messages", read_exactly(json.dumps(body).encode()), 1) is None
    inside = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]
    chat = {**CHAT, "store": False, "tools": [{"type": "function", "function": {"name": "f"}}]}
    chat["messages"] = [{"role": "user", "content": inside}]
    assert why_not("chat", read_exactly(json.dumps(chat).encode()), 1) is None
    assert why_not("chat", chat, 2) == "several"
