"""The SDK's own retries work through Trimtab. The platform's script fails the first call of each kind."""

import time

import anthropic
from client import SONNET, ask, client, failure, seen, tell, trimtab_headers


def timed(text: str, **options: object) -> dict:
    began = time.monotonic()
    raw = client(max_retries=2).messages.with_raw_response.create(
        model=SONNET, max_tokens=512, messages=ask(text), **options
    )
    return {
        **seen(raw.parse()),
        "retries": raw.retries_taken,
        "took_s": time.monotonic() - began,
        "headers": trimtab_headers(raw),
    }


def streamed(text: str) -> dict:
    with client(max_retries=2).messages.stream(model=SONNET, max_tokens=512, messages=ask(text)) as stream:
        return seen(stream.get_final_message())


def given_up(text: str) -> dict:
    try:
        client(max_retries=0).messages.create(model=SONNET, max_tokens=512, messages=ask(text))
    except anthropic.APIStatusError as problem:
        return {**failure(problem), "classes": [each.__name__ for each in type(problem).__mro__]}
    return {"class": None}


tell(
    {
        "overloaded": timed("please: overloaded once"),
        "limited": timed("please: limited once"),
        "streamed": streamed("please: overload in a stream"),
        "given_up_overloaded": given_up("please: overloaded always"),
        "given_up_limited": given_up("please: limited always"),
    }
)
