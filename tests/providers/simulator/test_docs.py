"""docs/simulator.md says what the code does: its example runs, and every key and setting is in it."""

from pathlib import Path
from typing import Any

import pytest

from trimtab.providers.simulator import SimulatorSettings
from trimtab.providers.simulator.script import (
    Case,
    ErrorReply,
    Match,
    RawReply,
    Reply,
    Script,
    Stall,
    StreamError,
    read_script,
)

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGE = (DOCS / "simulator.md").read_text(encoding="utf-8")
EXAMPLE = (DOCS / "examples" / "simulator-script.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "kind", [SimulatorSettings, Script, Match, Reply, Case, ErrorReply, RawReply, StreamError, Stall]
)
def test_every_key_is_documented(kind: Any) -> None:
    keys = {word.strip("{},`: ") for part in PAGE.split("`")[1::2] for word in part.replace(",", " ").split()}
    assert set(kind.__struct_fields__) - keys - {"version"} == set()


def test_every_script_of_the_page_is_one() -> None:
    scripts = [part.partition("```")[0] for part in PAGE.split("```yaml\n")[1:]]
    assert len(scripts) > 1
    for script in scripts:
        assert read_script(script.encode(), "simulator.md").rules


def test_the_page_shows_the_example_as_it_is() -> None:
    assert EXAMPLE in PAGE


def test_the_example_does_what_it_says(make: Any) -> None:
    client = make(EXAMPLE)
    opus = {"model": "claude-opus-4-7"}
    assert [client.ask(**opus).status for _ in range(2)] == [529, 200]
    deploy = client.ask("How do I deploy?", stream=True)
    assert deploy.was_cut
    assert len(deploy.events) == 6
    assert client.ask("How do I deploy?").status == 200
    assert client.ask(headers={"x-team": "patience"}).response.before_head_s == 3
    call = client.ask("Open a ticket, please").json["content"][1]
    assert (call["name"], call["input"]) == ("open_ticket", {"title": "Printer on fire", "priority": 1})
    assert client.ask("Build a weapon").json["stop_details"]["category"] == "general_harms"
    assert client.ask("The capital of Peru?").text in ("Lima", "Quito", "Cusco")


def test_the_rates_of_the_page_are_those_that_it_says(make: Any) -> None:
    client = make(next(part.partition("```")[0] for part in PAGE.split("```yaml\n") if "chance:" in part))

    def said(model: str) -> list[str]:
        return [client.ask(f"Invoice {n}", model=model).text for n in range(400)]

    haiku, sonnet = said("claude-haiku-4-5"), said("claude-sonnet-4-6")
    assert abs(haiku.count('{"total": ') / 400 - 0.1) < 0.06
    assert abs(haiku.count("118.40") / 400 - 0.9 * 0.95 * 0.7) < 0.1
    assert abs(sonnet.count("118.40") / 400 - 0.95 * 0.85) < 0.08
    refused = [n for n, text in enumerate(sonnet) if not text]
    assert 5 < len(refused) < 40
    assert {haiku[n] for n in refused} <= {"", '{"total": '}
    assert client.ask("Invoice 1", model="claude-opus-4-7").usage.output_tokens == 400


def test_the_request_of_the_page_is_answered(client: Any) -> None:
    assert client.ask("What is 17 * 23?", max_tokens=100).text == "17 * 23 = 391"
