"""The model list, one model, pages of models, and token counts."""

import anthropic
from client import OPUS, SONNET, ask, client, failure, tell

api = client()
listed = [model.id for model in api.models.list()]
page = api.models.list(limit=2)
first = [model.id for model in page.data]
paged = [model.id for model in page]
one = api.models.retrieve(SONNET)

try:
    api.models.retrieve("claude-of-nowhere")
    missing: dict = {}
except anthropic.NotFoundError as problem:
    missing = failure(problem)

short = api.messages.count_tokens(model=OPUS, messages=ask("Hello"))
long = api.messages.count_tokens(model=OPUS, messages=ask("Hello, world. " * 200), system="Be brief.")
tooled = api.messages.count_tokens(
    model=OPUS,
    messages=ask("Hello"),
    tools=[{"name": "f", "description": "A tool.", "input_schema": {"type": "object", "properties": {}}}],
)
virtual = api.messages.count_tokens(model="trimtab/default", messages=ask("Hello"))

tell(
    {
        "listed": listed,
        "first_page": first,
        "paged": paged,
        "one": {
            "id": one.id,
            "type": one.type,
            "display_name": one.display_name,
            "created": one.created_at.isoformat(),
        },
        "missing": missing,
        "tokens": {
            "short": short.input_tokens,
            "long": long.input_tokens,
            "tooled": tooled.input_tokens,
            "virtual": virtual.input_tokens,
        },
    }
)
