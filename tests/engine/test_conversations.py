"""Which messages of a conversation another model answered."""

import json

from trimtab.engine import Conversations
from trimtab.messages import MessagesBody


def body(messages: int) -> MessagesBody:
    return MessagesBody(json.dumps({"model": "m", "max_tokens": 1, "messages": [{}] * messages}).encode())


def test_what_came_before_a_change_of_model_is_foreign_and_what_comes_after_is_not() -> None:
    known = Conversations()
    assert [known.goes_to("c", body(count), "a") for count in (1, 3)] == [0, 0]
    assert [known.goes_to("c", body(count), "b") for count in (5, 7, 9)] == [5, 5, 5]
    assert known.goes_to("c", body(11), "a") == 11
    assert known.goes_to("other", body(11), "b") == 0


def test_of_a_conversation_that_was_rewritten_nothing_is_known() -> None:
    known = Conversations()
    known.goes_to("c", body(9), "a")
    assert known.goes_to("c", body(11), "b") == 11
    assert [known.goes_to("c", body(count), "b") for count in (3, 13)] == [0, 0]


def test_only_so_many_conversations_are_remembered_and_the_oldest_are_forgotten_first() -> None:
    known = Conversations(limit=2)
    for name in ("a", "b", "a", "c"):
        known.goes_to(name, body(1), "m")
    assert len(known) == 2
    assert known.goes_to("a", body(4), "other") == 4
    assert known.goes_to("b", body(4), "other") == 0
