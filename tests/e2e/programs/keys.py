"""Keys as a program on the SDK meets them: shown in each way, wrong in each way. Lines of the input are keys."""

import sys

import anthropic
from client import ask, client, failure, seen, tell

SECRETS = sys.argv[2].split(",")


def tried(model: str, **options: object) -> dict[str, object]:
    # A key that the server has not seen yet may be answered with "try again", which the SDK does.
    options.setdefault("max_retries", 5)
    try:
        return seen(
            client(**options).messages.create(model=model, max_tokens=32, messages=ask("What is 3 + 4?"))
        )
    except anthropic.APIStatusError as problem:
        return failure(problem)


good, revoked, nobodys = SECRETS
with client(api_key=good).messages.stream(
    model="trimtab/auto", max_tokens=32, messages=ask("What is 3 + 4?")
) as stream:
    streamed = stream.get_final_message()

tell(
    {
        "key": tried("trimtab/auto", api_key=good),
        "token": tried("trimtab/auto", auth_token=good),
        "stream": seen(streamed),
        "models": [model.id for model in client(api_key=good).models.list(limit=100)],
        "forbidden": tried("claude-opus-4-7", api_key=good),
        "revoked": tried("trimtab/auto", api_key=revoked),
        "unknown": tried("trimtab/auto", api_key=nobodys),
        "cut": tried("trimtab/auto", api_key=good[:30]),
        "vendors": tried("trimtab/auto", api_key="sk-ant-api03-something"),
        "two": tried("trimtab/auto", api_key=good, default_headers={"Authorization": f"Bearer {nobodys}"}),
    }
)
