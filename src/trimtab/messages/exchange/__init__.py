"""A request and its answers as those read them who judge: the same view for every surface, streamed or whole.

What it is not: the bytes that go to a client; a request that is made here is asked beside its own, and its answer only
compared. Invariants: whatever came is read without raising; what cannot be read says so.
"""

from trimtab.messages.exchange.answer import Answered, Stop, ToolCall
from trimtab.messages.exchange.crossing import Crossed, as_other_surface
from trimtab.messages.exchange.question import Question, Tool, ToolChoice, Turn
from trimtab.messages.exchange.reading import Surface, answers_of, question_of

__all__ = [
    "Answered",
    "Crossed",
    "Question",
    "Stop",
    "Surface",
    "Tool",
    "ToolCall",
    "ToolChoice",
    "Turn",
    "answers_of",
    "as_other_surface",
    "question_of",
]
