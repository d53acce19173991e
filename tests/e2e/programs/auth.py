"""Both ways to show a key, and what the SDK sends by itself."""

from client import SONNET, ask, client, seen, tell

by_key = client(api_key="sk-ant-e2e-client").messages.create(
    model=SONNET, max_tokens=32, messages=ask("What is 3 + 4?")
)
by_token = client(auth_token="e2e-token").messages.create(
    model=SONNET, max_tokens=32, messages=ask("What is 3 + 4?")
)
by_header = client(
    api_key="sk-ant-e2e-client", default_headers={"Authorization": "Bearer other"}
).messages.create(model=SONNET, max_tokens=32, messages=ask("What is 3 + 4?"))
tell({"key": seen(by_key), "token": seen(by_token), "both": seen(by_header)})
