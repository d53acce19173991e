"""A platform that stalls or cuts: the client's own timeout works, and so do Trimtab's deadlines."""

import time

import anthropic
from client import SONNET, ask, client, seen, tell


def impatient() -> dict:
    """The program's own timeout is shorter than the platform's silence."""
    api = client(timeout=0.5)
    began = time.monotonic()
    try:
        api.messages.create(model=SONNET, max_tokens=64, messages=ask("please: silence"))
        problem = None
    except anthropic.APITimeoutError as caught:
        problem = type(caught).__name__
    took = time.monotonic() - began
    after = api.messages.create(model=SONNET, max_tokens=64, messages=ask("What is 1 + 1?"))
    return {"problem": problem, "took_s": took, "after": seen(after)}


def broken(text: str) -> dict:
    """A stream that ends before its end is an error, not a short answer."""
    pieces: list[str] = []
    try:
        with client().messages.stream(model=SONNET, max_tokens=300, messages=ask(text)) as stream:
            pieces.extend(stream.text_stream)
        return {"class": None, "pieces": len(pieces)}
    except anthropic.APIError as problem:
        body = problem.body if isinstance(problem.body, dict) else {}
        return {
            "class": type(problem).__name__,
            "type": body.get("error", {}).get("type"),
            "message": str(problem),
            "pieces": len(pieces),
        }


tell(
    {
        "impatient": impatient(),
        "cut": broken("please: cut"),
        "error_event": broken("please: error event"),
        "stall": broken("please: stall"),
    }
)
