"""The wire of the Chat Completions API: request bodies, usage and ends of answers, error bodies.

What it is not: a translation to or from Messages; a request goes out on the surface on which it came in.
Invariant: what is not changed on purpose leaves exactly as it came, byte for byte.
"""

from trimtab.messages.chat.body import ChatBody
from trimtab.messages.chat.errors import chat_error_body, chat_error_event
from trimtab.messages.chat.hiding import UsageHider
from trimtab.messages.chat.images import chat_image_blocks
from trimtab.messages.chat.meter import ChatReplyMeter, ChatStreamMeter

__all__ = [
    "ChatBody",
    "ChatReplyMeter",
    "ChatStreamMeter",
    "UsageHider",
    "chat_error_body",
    "chat_error_event",
    "chat_image_blocks",
]
