"""Requests of one conversation are known as such, and never those of two callers."""

import json

import pytest

from trimtab.engine.session import MAX_HEADER_CHARS, session_of
from trimtab.errors import RequestError
from trimtab.messages import MessagesBody


def body(**more: object) -> MessagesBody:
    content = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}], **more}
    return MessagesBody(json.dumps(content).encode(), max_tokens_required=True)


@pytest.mark.parametrize(
    ("more", "header"), [({}, "chat-7"), ({"metadata": {"user_id": "ann"}}, None), ({}, None)]
)
def test_the_same_conversation_under_two_keys_is_two_and_under_one_key_is_one(
    more: dict[str, object], header: str | None
) -> None:
    found = [session_of(body(**more), header, key) for key in ("", "key_1", "key_2")]
    assert len(set(found)) == 3
    assert found == [session_of(body(**more), header, key) for key in ("", "key_1", "key_2")]


@pytest.mark.parametrize("header", ["", "x" * (MAX_HEADER_CHARS + 1), "a\x07b"])
def test_a_session_header_that_cannot_be_kept_is_refused(header: str) -> None:
    with pytest.raises(RequestError, match="x-trimtab-session"):
        session_of(body(), header, "")
