"""`trimtab explain`: a request's whole story on either engine, as a person reads it and as programs do."""

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cli_shell import CLAUDE, CliShell
from judged_requests import JUDGE_ID, JUDGED_ID, WHY, judge_call, judged_outcome
from serving_harness import ASK, run, site
from waiting import until_given

from trimtab.admin.request_explained import RequestExplained, explain_request
from trimtab.cli.explain import command
from trimtab.cli.explain_shown import print_request
from trimtab.errors import NotFound
from trimtab.records import Outcome, RequestId
from trimtab.store import StoreSettings, open_database, open_store
from trimtab.store.feedback import FeedbackStore, Told


class Shell(CliShell):
    command = command

    def __init__(self, url: str) -> None:
        self.url = url
        Path("trimtab.toml").write_text(f'version = 1\n[store]\nurl = "env:STORE_URL"\n{CLAUDE}')

    def put(self, *records: Outcome) -> None:
        store = open_store(StoreSettings(url=self.url, batch_ms=5), clock_ms=lambda: 1, on_problem=None)
        for record in records:
            store.put(record)
        written = threading.Event()
        while store.status().written < len(records):
            written.wait(0.005)
        assert store.close(30) == 0


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, either_store: str) -> Shell:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("STORE_URL", either_store)
    shell = Shell(either_store)
    shell.put(judged_outcome(), judge_call())
    return shell


def test_the_story_of_a_cascade_is_told_whole_within_80_columns(shell: Shell) -> None:
    database = open_database(StoreSettings(url=shell.url), clock_ms=lambda: 1)
    FeedbackStore(database).tell(Told(request=JUDGED_ID, source="user", score=0.0, note="wrong sum"))
    database.close()
    said = shell.run(JUDGED_ID)
    assert max(map(len, said.splitlines())) <= 80
    plain = " ".join(said.split())
    for text in (
        "trimtab/auto",
        "began with claude-sonnet-4-6@medium",
        "answered claude-opus-4-7@high on other",
        "route auto, tier default",
        "route auto: the cheapest rung first",
        f"step 1, claude-sonnet-4-6@medium: not accepted; escalated: {WHY}",
        "step 2, claude-opus-4-7@high: unsure; no further step: second: unsure, and there is no further rung; "
        "the client was given this answer",
        "$0.0267 for 3 attempts",
        "$0.0021 for 1 call of verifiers",
        "$0.0288",
        "$0.02 expected for one call",
        "this came to $0.0088 more",
        JUDGE_ID,
        "this answer failed: wrong sum",
    ):
        assert text in plain, text
    assert "3 < claude-opus-4-7@high" in plain
    for text in (
        "/answer is missing",
        "required",
        "unsure",
        "640 ms",
        "overloaded_error",
        "another platform",
    ):
        assert text in plain, text


LADDER = """
[routes.auto]
ladder = ["claude-sonnet-4-6@medium", "claude-opus-4-7@high"]
verify = ["says-yes", "voice"]
[verifiers.says-yes]
kind = "style"
must_contain = ["yes"]
[verifiers.voice]
kind = "second_opinion"
arm = "fast"
"""
SCRIPT = """
version: 1
rules:
- match: {model: claude-sonnet-4-6}
  reply: {text: "no"}
- match: {}
  reply: {text: "yes"}
"""


def test_a_cascade_that_was_served_is_explained_from_its_own_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def whole() -> None:
        async with site(tmp_path, LADDER, SCRIPT) as there:
            _, heads, _ = await there.post({**ASK, "model": "trimtab/auto"})
            name = heads["x-trimtab-request"]
            database = there.application.parts.ground.database

            async def told() -> RequestExplained | None:
                try:
                    return await asyncio.to_thread(explain_request, database, name)
                except NotFound:
                    return None

            found = await until_given(told, lambda one: one is not None and bool(one.beside))
            assert found is not None
            first, second = found.tried.steps
            assert (first.arm, first.says, first.given) == ("claude-sonnet-4-6@medium", "escalate", False)
            assert second.because.startswith("says-yes: ")
            assert (second.arm, second.given) == ("claude-opus-4-7@high", True)
            assert [one.verifier for one in second.verdicts] == ["says-yes", "voice"]
            assert (found.beside[0].verifier, found.beside[0].purpose) == ("voice", "judge")
            assert found.beside_nanousd["judge"] == found.record.checks_nanousd > 0
            quoted = [fact for fact in second.verdicts[1].evidence.values() if isinstance(fact, str)]
            assert not any("yes" in fact for fact in quoted), "nothing of the answer is kept"
            assert second.verdicts[1].evidence["other_arm"]
            assert found.record.plan is not None
            assert found.record.plan.direct_cost_nanousd
            print_request(found)

    run(whole)
    said = " ".join(capsys.readouterr().out.split())
    assert "began with claude-sonnet-4-6@medium answered claude-opus-4-7@high" in said
    assert "expected for one call of the rung" in said


def test_programs_get_the_record_its_steps_and_what_was_called_beside(shell: Shell) -> None:
    found: Any = shell.json(JUDGED_ID)
    assert msgspec.convert(found["record"], Outcome) == judged_outcome()
    steps = found["tried"]["steps"]
    assert [(one["number"], one["arm"], one["says"], one["given"]) for one in steps] == [
        (1, "claude-sonnet-4-6@medium", "escalate", False),
        (2, "claude-opus-4-7@high", "unsure", True),
    ]
    assert [one["attempts"] for one in steps] == [[0], [1, 2]]
    assert (steps[1]["because"], steps[1]["cost_nanousd"], steps[1]["checks_nanousd"]) == (
        WHY,
        18_000_000,
        2_100_000,
    )
    assert found["tried"]["whole_nanousd"] == 28_800_000
    assert found["beside_nanousd"] == {"judge": 2_100_000}
    assert [(one["id"], one["verifier"]) for one in found["beside"]] == [(JUDGE_ID, "second")]
    assert shell.json(JUDGE_ID)["record"]["parent"] == JUDGED_ID


def test_a_request_that_was_refused_or_given_again_or_never_was_is_told_in_its_own_words(
    shell: Shell,
) -> None:
    refused = judged_outcome(
        id=RequestId(f"{1:032x}"), plan=None, attempts=(), result="error", status=400, error="bad \x1b[31mthing",
        escalations=(), answered=None, cost_nanousd=0, checks_nanousd=0,
    )  # fmt: skip
    again = judged_outcome(
        id=RequestId(f"{2:032x}"), attempts=(), escalations=(), answered=None, cost_nanousd=0, checks_nanousd=0,
        cached=JUDGED_ID,
    )  # fmt: skip
    shell.put(refused, again)
    said = shell.run(refused.id)
    assert "refused before there was a decision" in said
    assert "No call went out" in said
    assert "\x1b" not in said
    assert f"the earlier answer of {JUDGED_ID}" in " ".join(shell.run(again.id).split())
    for odd in ("nothing", "", "ü", "a\0b"):
        said = shell.refused(odd)
        assert said.startswith(f"no request {odd!r} is recorded here" if odd != "a\0b" else "no request ")
        assert "x-trimtab-request" in said
    assert json.loads(shell.run(again.id, "--json"))["tried"]["given"] is None
