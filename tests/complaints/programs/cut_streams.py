"""Streams that the platform does not finish, as the SDK's own helper sees them."""

import sys

import anthropic
from client import SONNET, ask, client, tell

api = client(api_key=sys.argv[2])


def heard(text: str) -> dict:
    pieces: list[str] = []
    problem: str | None = None
    try:
        with api.messages.stream(model=SONNET, max_tokens=100, messages=ask(text)) as stream:
            pieces.extend(stream.text_stream)
            stream.get_final_message()
    except Exception as caught:  # any: what matters is that there is one
        problem = type(caught).__name__
    return {"asked": text, "class": problem, "text": "".join(pieces)}


assert issubclass(anthropic.APIError, Exception)
tell({"problems": [heard(f"{count} {how}") for count in (3, 8) for how in ("cut", "end", "half")]})
