"""A text put at the end of the latest user turn of a body, of either surface, by splicing.

What it is not: a change of anything that was sent: all that stands before the text stays byte for byte, so that what is
cached up to the end of that turn stays cached.
"""

import msgspec

from trimtab.messages.body import MessagesBody
from trimtab.messages.splice import Edit, apply_edits, key_at, skip_blank

_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_STR = msgspec.json.Decoder(str)
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])

LOOKED_AT = 4
"""Turns from the end in which a user's is looked for: behind it stands an answer that was begun, at most."""

_ONLY_RESULTS = (b'"server_tool_use"', b'"caller"')
"""Signs in a model's turn that the one after it may hold tool results only. Source: vendor pages on server tools and on
programmatic tool calling (2026-11)."""


def with_note(body: MessagesBody, note: str) -> bytes | None:
    """The body with `note` as the last text of its latest user turn; `None` where no user turn takes one.

    A text content is continued after an empty line, a list of blocks gets one more. Cost: a scan of the messages.
    """
    start, end = body.place("messages")
    try:
        turns = _LIST.decode(body.fields["messages"])
    except (msgspec.DecodeError, RecursionError):
        return None
    at = end
    for n in range(len(turns) - 1, max(-1, len(turns) - 1 - LOOKED_AT), -1):
        written = bytes(turns[n])
        at = body.raw.rfind(written, start, at)
        turn = _members(written)
        if turn is None or _role(turn) not in ("user", "tool"):
            continue
        before = bytes(turns[n - 1]) if n else b""
        if any(sign in before for sign in _ONLY_RESULTS):
            return None
        edit = _edit(body.raw, at, turn, note)
        return None if edit is None else apply_edits(body.raw, [edit])
    return None


def _members(written: bytes) -> dict[str, msgspec.Raw] | None:
    try:
        return _MEMBERS.decode(written)
    except (msgspec.DecodeError, RecursionError):
        return None


def _role(turn: dict[str, msgspec.Raw]) -> str | None:
    try:
        return _STR.decode(turn["role"])
    except (KeyError, msgspec.DecodeError):
        return None


def _edit(raw: bytes, at: int, turn: dict[str, msgspec.Raw], note: str) -> Edit | None:
    """What is inserted into the content of the turn that begins at `at`."""
    at = skip_blank(raw, at) + 1
    for name, value in turn.items():
        found, at = key_at(raw, at)
        text = bytes(value)
        if found != name or not raw.startswith(text, at):
            return None  # a key stands twice: which of the two is read is the platform's choice
        end = at + len(text)
        if name == "content":
            return _inserted(text, end, note)
        at = skip_blank(raw, end) + 1
    return None


def _inserted(content: bytes, end: int, note: str) -> Edit | None:
    if content[:1] == b'"':
        return end - 1, end - 1, msgspec.json.encode("\n\n" + note)[1:-1]
    if content[:1] != b"[":
        return None
    block = msgspec.json.encode({"type": "text", "text": note})
    comma = b"" if content[1:-1].strip() == b"" else b","
    return end - 1, end - 1, comma + block
