"""The example of the page on fail-over, as a user would try it."""

import json
import re
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "failover.md").read_text()


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found.group(1)


def ask(server: Any, **fields: Any) -> tuple[dict[str, str], bytes]:
    body = {
        "model": "claude-sonnet-4-6",
        "max_tokens": 50,
        "messages": [{"role": "user", "content": "Hello"}],
        **fields,
    }
    request = urllib.request.Request(
        f"{server.url}/v1/messages", json.dumps(body).encode(),
        {"content-type": "application/json", "anthropic-version": "2023-06-01"},
    )  # fmt: skip
    with urllib.request.urlopen(request, timeout=60) as answer:
        return {name.lower(): value for name, value in answer.headers.items()}, answer.read()


def test_the_example_of_the_page_is_answered_by_the_second_entry(serve: Callable[..., Any]) -> None:
    server = serve(
        block("toml"),
        before=lambda config: (config.parent / "overloaded.yaml").write_text(block("yaml")) and None,
    )
    for stream in (False, True):
        headers, body = ask(server, stream=stream)
        assert (headers["x-trimtab-platform"], headers["x-trimtab-attempts"]) == ("second", "2")
        assert body.count(b'"type":"message"') == 1
        record = server.record(headers["x-trimtab-request"])
        first, second = record["attempts"]
        assert (first["platform"], first["status"], first["result"]) == ("first", 529, "error")
        assert (second["platform"], second["status"], second["result"]) == ("second", 200, "ok")
        assert record["plan"]["platform"] == "first"
        assert record["cost_nanousd"] == second["cost_nanousd"] > 0
