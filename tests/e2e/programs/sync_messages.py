"""Plain calls: create, headers, several turns, a system prompt, the beta namespace, stop sequences, limits."""

from client import OPUS, SONNET, ask, client, seen, tell, trimtab_headers

api = client()

raw = api.messages.with_raw_response.create(
    model=SONNET, max_tokens=256, messages=ask("What is 17 * 23? Answer with the number only.")
)
plain = {**seen(raw.parse()), "headers": trimtab_headers(raw), "request_id": raw.headers.get("request-id")}

turns = api.messages.create(
    model=OPUS,
    max_tokens=256,
    system=[{"type": "text", "text": "You are terse.", "cache_control": {"type": "ephemeral"}}],
    messages=[
        *ask("Say hello in French."),
        {"role": "assistant", "content": "Bonjour."},
        {"role": "user", "content": [{"type": "text", "text": "And in Japanese (日本語)? 🎌"}]},
    ],
    metadata={"user_id": "e2e-user"},
    output_config={"effort": "low"},
)

short = api.messages.create(
    model=SONNET, max_tokens=3, messages=ask("Write a long story about a lighthouse.")
)

beta = api.beta.messages.create(
    model=SONNET, max_tokens=64, messages=ask("What is 2 + 2?"), betas=["a-beta-of-tomorrow-2031-01-01"]
)

# One connection, many calls: keep-alive works.
repeated = [
    api.messages.create(model=SONNET, max_tokens=32, messages=ask(f"What is {n} + 1?")).stop_reason
    for n in range(5)
]

tell({"plain": plain, "turns": seen(turns), "short": seen(short), "beta": seen(beta), "repeated": repeated})
