"""Virtual models: a role instead of a model; the operator's tiers say which."""

from client import ask, client, seen, tell, trimtab_headers

api = client()


def by(model: str, **options: object) -> dict:
    raw = api.messages.with_raw_response.create(
        model=model, max_tokens=64, messages=ask("What is 8 * 9?"), **options
    )
    return {**seen(raw.parse()), "headers": trimtab_headers(raw)}


roles = {role: by(f"trimtab/{role}") for role in ("auto", "default", "escalation", "control", "fast")}
with api.messages.stream(model="trimtab/escalation", max_tokens=64, messages=ask("What is 8 * 9?")) as stream:
    stream.until_done()
    streamed = {**seen(stream.get_final_message()), "headers": trimtab_headers(stream.response)}
effort = by("trimtab/default", output_config={"effort": "low"})
asked = by("claude-sonnet-4-6", extra_headers={"x-trimtab-effort": "high", "x-trimtab-session": "s-1"})

tell({"roles": roles, "streamed": streamed, "effort": effort, "asked": asked})
