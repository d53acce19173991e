"""The Messages wire: request bodies read without re-encoding, usage, server-sent events, error bodies.

What it is not: validation of the whole vendor schema (the platform does that), or translation.
Invariant: what is not changed on purpose leaves exactly as it came, byte for byte.
"""

from trimtab.messages.assembly import Assembled, assembled
from trimtab.messages.body import MessagesBody, named_model
from trimtab.messages.latest_turn import with_note
from trimtab.messages.meter import ReplyMeter, StreamMeter
from trimtab.messages.splice import GONE, Gone
from trimtab.messages.sse import SSEParser, encode_event
from trimtab.messages.usage import CacheCreation, IterationUsage, ServerToolUse, Usage, merge_usage
from trimtab.messages.validator import StreamValidator
from trimtab.messages.wire import error_body, error_event

__all__ = [
    "GONE",
    "Assembled",
    "CacheCreation",
    "Gone",
    "IterationUsage",
    "MessagesBody",
    "ReplyMeter",
    "SSEParser",
    "ServerToolUse",
    "StreamMeter",
    "StreamValidator",
    "Usage",
    "assembled",
    "encode_event",
    "error_body",
    "error_event",
    "merge_usage",
    "named_model",
    "with_note",
]
