"""Redacted prompts and answers are JSON again, and hold nothing that was planted in them."""

import gzip
import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.content import redacted_answer, redacted_request
from trimtab.messages import encode_event

PLANTED = [
    "sk-ant-api03-" + "Zx9_" * 12,
    "ghp_" + "a1B2" * 9,
    "ann@example.com",
    "+49 170 1234567",
    "4111 1111 1111 1111",
    "DE89 3704 0044 0532 0130 00",
    "192.168.17.4",
]

words = st.text(max_size=20)


@st.composite
def texts_with_something_planted(draw: st.DrawFn) -> str:
    planted = draw(st.sampled_from(PLANTED))
    return f"{draw(words)} {planted} {draw(words)}"


def documents(text: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    leaf = (
        st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | words | text
    )
    return st.recursive(
        leaf,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words | text, inner, max_size=4),
        max_leaves=12,
    )


def everything_in(value: Any) -> str:
    """All texts as they are read, one after another."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return "\x01".join([*map(everything_in, value), *map(everything_in, value.values())])
    if isinstance(value, list):
        return "\x01".join(map(everything_in, value))
    return str(value)


@given(documents(texts_with_something_planted()), st.booleans())
def test_a_redacted_request_is_json_without_anything_planted(body: Any, escaped: bool) -> None:
    redacted = redacted_request(json.dumps(body, ensure_ascii=escaped).encode())
    if body is None:
        return
    assert redacted is not None
    told = everything_in(json.loads(redacted))
    assert not [one for one in PLANTED if one in told]


def event(kind: str, **fields: Any) -> bytes:
    return encode_event(kind, json.dumps({"type": kind, **fields}).encode())


@given(st.lists(texts_with_something_planted(), min_size=1, max_size=3), st.data())
def test_a_secret_that_is_cut_into_deltas_does_not_survive(texts: list[str], data: st.DataObject) -> None:
    kinds = ("text", "thinking", "partial_json", "a_kind_to_come")
    sent = event("message_start", message={"id": "m", "type": "message", "content": []})
    for index, text in enumerate(texts):
        field = data.draw(st.sampled_from(kinds))
        spelled = json.dumps({"q": text}) if field == "partial_json" else text
        sent += event("content_block_start", index=index, content_block={"type": "text"})
        cuts = sorted(data.draw(st.sets(st.integers(0, len(spelled)), max_size=6)) | {0, len(spelled)})
        for a, b in itertools.pairwise(cuts):
            sent += event(
                "content_block_delta", index=index, delta={"type": f"{field}_delta", field: spelled[a:b]}
            )
        sent += event("content_block_stop", index=index)
    sent = sent[: data.draw(st.just(len(sent)) | st.integers(1, len(sent)))]
    redacted = redacted_answer(sent, event_stream=True, encoding=b"")
    if redacted is None:
        return
    told = everything_in(json.loads(redacted))
    assert not [one for one in PLANTED if one in told]
    assert not [one for one in PLANTED if one in redacted.decode()]


def test_images_and_documents_are_named_and_not_kept() -> None:
    body = {
        "messages": [
            {"role": "user", "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a whole letter"}},
                {"type": "image", "source": {"type": "url", "url": "https://ann:pw@example.com/x.png"}},
            ]},
        ],
    }  # fmt: skip
    redacted = redacted_request(json.dumps(body).encode())
    assert redacted is not None
    image, letter, link = json.loads(redacted)["messages"][0]["content"]
    assert image["source"]["data"] == "[redacted: image/png, 12 characters]"
    assert letter["source"]["data"] == "[redacted: text/plain, 14 characters]"
    assert "pw@" not in link["source"]["url"]


def test_what_a_secrets_name_holds_is_hidden_whatever_it_looks_like() -> None:
    body = {
        "mcp_servers": [{"authorization_token": "plain", "url": "u"}],
        "tools": [{"input": {"password": "hunter2", "PIN": 1234, "pin_count": 2, "card": 4111111111111111}}],
        "max_tokens": 64,
        "schema": {"properties": {"password": {"type": "string", "description": "The password."}}},
    }
    redacted = redacted_request(json.dumps(body).encode())
    assert redacted is not None
    told = json.loads(redacted)
    assert told["mcp_servers"][0] == {"authorization_token": "[redacted: secret]", "url": "u"}
    assert told["tools"][0]["input"] == {
        "password": "[redacted: secret]",
        "PIN": "[redacted: secret]",
        "pin_count": 2,
        "card": "[redacted: card]",
    }
    assert told["max_tokens"] == 64
    assert told["schema"] == body["schema"]


def test_two_names_that_become_one_placeholder_are_both_kept() -> None:
    redacted = redacted_request(b'{"ann@example.com": 1, "bob@example.com": 2}')
    assert redacted is not None
    assert list(json.loads(redacted).values()) == [1, 2]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"not json", b"\xff\xfe", b"[" * 100_000, b'{"a": "' + b"x" * 100]
)
def test_what_cannot_be_read_is_not_kept(body: bytes) -> None:
    assert redacted_request(body) is None
    assert redacted_answer(body, event_stream=False, encoding=b"") is None


def test_an_answer_that_a_platform_packed_is_unpacked_and_one_that_cannot_be_is_not_kept() -> None:
    packed = gzip.compress(b'{"content": "mail ann@example.com"}')
    redacted = redacted_answer(packed, event_stream=False, encoding=b"gzip")
    assert redacted == b'{"content":"mail [redacted: email]"}'
    assert redacted_answer(packed, event_stream=False, encoding=b"br") is None
    assert redacted_answer(packed[:-30], event_stream=False, encoding=b"gzip") is None


def test_half_a_character_can_be_written() -> None:
    assert redacted_request(b'{"a": "\\ud83d ok"}') == '{"a":"\ufffd ok"}'.encode()
