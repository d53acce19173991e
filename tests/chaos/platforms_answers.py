"""What a caller got, read with suspicion: is it one answer, of one attempt, whole, or honest about being none?

What it is not: our own reader of streams, with which it shares no code.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from platforms_framing import PIECES

Verdict = Literal["whole", "broken", "refused", "wrong", "nothing", "cut", "left"]
"""`whole`: the answer. `broken`: a part of it, and then an error event, or a connection cut inside an event.
`refused`: an error answer of the vendor's shape, and nothing else. `nothing`: no answer came. `cut`: the connection
ended between two events, and nobody said so. `left`: the caller went away.
`wrong`: what must never be: two answers, words of two attempts, an end that looks like one."""

PIECE = re.compile(r"([a-z0-9-]+)/([a-z0-9-]+):(\d) ")


@dataclass(frozen=True)
class Said:
    """One request of a caller's, and what came of it. Times by CLOCK_MONOTONIC."""

    name: str
    caller: str
    began: float
    ended: float
    status: int
    verdict: Verdict
    why: str
    """Where it is not whole."""
    attempt: str
    """Whose words they are; empty where there are none."""
    stream: bool
    retry_after: str | None = None


def read_whole(name: str, status: int, body: bytes) -> tuple[Verdict, str, str]:
    """Of an answer in one piece: verdict, reason, attempt."""
    try:
        said = json.loads(body)
    except ValueError:
        return "wrong", f"{status} not JSON: {body[:80]!r}", ""
    if status != 200:
        return _refusal(status, said)
    if said.get("type") != "message" or said.get("stop_reason") != "end_turn":
        return "wrong", f"200 with {body[:80]!r}", ""
    words = "".join(block["text"] for block in said["content"])
    return _words(name, words, said["id"], whole=True)


def read_stream(
    name: str, events: Sequence[dict[str, Any]], *, ended: bool, torn: bool = False
) -> tuple[Verdict, str, str]:
    """Of a stream: verdict, reason, attempt. `ended`: the answer had its proper end. `torn`: it stopped inside an
    event."""
    kinds = [event["type"] for event in events if event["type"] != "ping"]
    starts = kinds.count("message_start")
    if starts > 1:
        return "wrong", f"{starts} message_start", ""
    if kinds and kinds[0] not in ("message_start", "error"):
        return "wrong", f"it begins with {kinds[0]}", ""
    message = next((event["message"]["id"] for event in events if event["type"] == "message_start"), "")
    words = "".join(
        event["delta"]["text"]
        for event in events
        if event["type"] == "content_block_delta" and event["delta"]["type"] == "text_delta"
    )
    if "error" in kinds:
        if kinds[-1] != "error" or kinds.count("error") > 1 or not ended or torn:
            return "wrong", f"an error event that is not the end: {kinds}", ""
        verdict, why, attempt = _words(name, words, message, whole=False)
        if verdict == "wrong":
            return verdict, why, attempt
        return "broken", str(events[-1]["error"]), attempt
    if not ended:
        if not torn:
            return "cut", f"cut between events, and nobody said so: {kinds}", ""
        verdict, why, attempt = _words(name, words, message, whole=False)
        return ("wrong", why, attempt) if verdict == "wrong" else ("broken", "cut inside an event", attempt)
    order = ["message_start", "content_block_start", *["content_block_delta"] * PIECES]
    order += ["content_block_stop", "message_delta", "message_stop"]
    if kinds != order:
        return "wrong", f"ended properly as {kinds}", ""
    return _words(name, words, message, whole=True)


def events_of(body: bytes) -> tuple[list[dict[str, Any]], bool]:
    """The events of a stream, and whether something stands after the last whole one."""
    *blocks, rest = body.split(b"\n\n")
    return [json.loads(block.partition(b"data: ")[2]) for block in blocks if b"data: " in block], bool(rest)


def _refusal(status: int, said: Any) -> tuple[Verdict, str, str]:
    error = said.get("error") if isinstance(said, dict) else None
    if not isinstance(error, dict) or said.get("type") != "error":
        return "wrong", f"{status} with {str(said)[:80]}", ""
    return "refused", f"{status} {error.get('type')}: {error.get('message')}", ""


def _words(name: str, words: str, message: str, *, whole: bool) -> tuple[Verdict, str, str]:
    """Whether these words are of one attempt of this caller's, in order, and (`whole`) all of them."""
    pieces = PIECE.findall(words)
    if PIECE.sub("", words):
        return "wrong", f"words that nobody said: {words!r}", ""
    attempts = {attempt for _, attempt, _ in pieces}
    if len(attempts) > 1 or any(who != name for who, _, _ in pieces):
        return "wrong", f"words of several answers: {words!r}", ""
    attempt = next(iter(attempts), message.removeprefix("msg_"))
    if message and message != f"msg_{attempt}":
        return "wrong", f"begun by {message}, words of {attempt}", attempt
    if [int(n) for _, _, n in pieces] != list(range(len(pieces))):
        return "wrong", f"words twice, or missing: {words!r}", attempt
    if whole and len(pieces) != PIECES:
        return "wrong", f"{len(pieces)} of {PIECES} pieces, and a proper end", attempt
    return "whole", "", attempt
