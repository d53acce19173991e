"""A request and its answers as those read them who judge: the same view for every surface, streamed or whole.

What it is not: the bytes that go anywhere; nothing is ever sent from what is read here. Invariants: whatever came is
read without raising; what cannot be read says so.
"""

from trimtab.messages.exchange.answer import Answered, Stop, ToolCall
from trimtab.messages.exchange.question import Question, Tool, ToolChoice, Turn
from trimtab.messages.exchange.reading import Surface, answers_of, question_of

__all__ = [
    "Answered",
    "Question",
    "Stop",
    "Surface",
    "Tool",
    "ToolCall",
    "ToolChoice",
    "Turn",
    "answers_of",
    "question_of",
]
