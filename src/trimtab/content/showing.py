"""Kept content as people and programs read it: both sides as text, of a stream the message that it spells too."""

import datetime
from typing import Any

from trimtab.messages import assembled
from trimtab.messages.meter import unpacked
from trimtab.store.content import Content


def shown(found: Content) -> dict[str, Any]:
    """JSON values. Pure; whatever was kept, it never raises."""
    answer = _side(found.answer, found.answer_bytes, found.answer_cut)
    if answer is not None and found.answer is not None:
        plain = unpacked(found.answer, found.answer_encoding.encode("latin-1", "replace"))
        if plain is not None:
            answer["text"] = plain.decode("utf-8", "replace")
            if found.answer_kind == "sse":
                spelled = assembled(plain)
                answer |= {"message": spelled.message, "complete": spelled.complete, "error": spelled.error}
    arrived = datetime.datetime.fromtimestamp(found.at_ms / 1000, datetime.UTC)
    return {
        "request_id": found.request_id,
        "at": arrived.isoformat(timespec="milliseconds"),
        "at_ms": found.at_ms,
        "purpose": found.purpose,
        "simulated": found.simulated,
        "mode": found.mode,
        "request": _side(found.request, found.request_bytes, found.request_cut),
        "answer": answer,
    }


def _side(side: bytes | None, size: int, cut: bool) -> dict[str, Any] | None:
    if side is None:
        return None
    return {"bytes": size, "cut": cut, "text": side.decode("utf-8", "replace")}
