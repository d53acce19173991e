"""The platform's refusals as a program sees them that does its own waiting."""

import sys

import anthropic
from client import SONNET, ask, client, failure, tell

api = client(api_key=sys.argv[2])
errors = []
for text in ("529 7", "529 3", "429 9"):
    try:
        api.messages.create(model=SONNET, max_tokens=8, messages=ask(text))
    except anthropic.APIStatusError as problem:
        headers = problem.response.headers
        limits = {k: v for k, v in headers.items() if k.startswith("anthropic-ratelimit-")}
        errors.append({**failure(problem), "limits": limits, "text": problem.response.text})
tell({"errors": errors})
