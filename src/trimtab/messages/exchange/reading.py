"""From the bytes of a request and of its answers to what those read who judge.

What it is not: a check of either. Invariant: whatever came is read without raising; what cannot be read is left out.
"""

from typing import Literal

from trimtab.messages.exchange.answer import Answered
from trimtab.messages.exchange.chat_answers import streamed_chat_answers, whole_chat_answers
from trimtab.messages.exchange.chat_question import chat_question
from trimtab.messages.exchange.messages_answers import streamed_messages_answers, whole_messages_answers
from trimtab.messages.exchange.messages_question import messages_question
from trimtab.messages.exchange.question import Question
from trimtab.messages.meter import unpacked

Surface = Literal["messages", "chat"]


def answers_of(
    body: bytes, surface: Surface, *, event_stream: bool, encoding: bytes = b""
) -> tuple[Answered, ...]:
    """The answers that came for one request, in the order of their choices; none where what came holds none, or is
    packed in a way that is not known here.

    `encoding` is the reply's `content-encoding`. What broke off is not `complete`. Never raises. Cost: about 4 us for
    each event of a stream; a JSON body is decoded once.
    """
    plain = unpacked(body, encoding)
    if plain is None:
        return ()
    if surface == "messages":
        return streamed_messages_answers(plain) if event_stream else whole_messages_answers(plain)
    return streamed_chat_answers(plain) if event_stream else whole_chat_answers(plain)


def question_of(body: bytes, surface: Surface) -> Question:
    """What a request asks, as far as it can be read. Never raises. Cost: one scan of the body, and its texts are
    decoded; images are passed over."""
    return messages_question(body) if surface == "messages" else chat_question(body)
