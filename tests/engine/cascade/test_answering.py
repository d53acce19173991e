"""Requests whose answers are judged, from the client's side: a gateway in this loop, the simulator behind it."""

import asyncio
import json
from pathlib import Path
from typing import Any

from judged_site import asked, at, told
from serving_harness import VERSION, Site, head
from waiting import until_given

LADDER = """
[routes.auto]
ladder = ["claude-sonnet-4-6@medium", "claude-sonnet-4-6@high", "claude-opus-4-7@high"]
verify = ["says-yes"]
{more}
[verifiers.says-yes]
kind = "style"
must_contain = ["yes"]
"""
SCRIPT = """
version: 1
rules:
- match: {contains: down, model: claude-opus-4-7}
  reply: {error: {status: 529}}
- match: {contains: high is out, model: claude-sonnet-4-6, effort: high}
  reply: {error: {status: 529}}
- match: {contains: hang, model: claude-opus-4-7}
  reply: {text: "yes, late", stall: {where: after_head, seconds: 3600}}
- match: {contains: slow, model: claude-sonnet-4-6, effort: medium}
  reply: {text: "no", stall: {where: before_head, seconds: 1}}
- match: {contains: at once}
  reply: {text: "yes at once"}
- match: {contains: never}
  reply: {text: "no way"}
- match: {model: claude-sonnet-4-6, effort: medium}
  reply: {text: "no, says medium"}
- match: {model: claude-sonnet-4-6, effort: high}
  reply: {text: "no, says high"}
- match: {model: claude-opus-4-7}
  reply: {text: "yes, says opus"}
"""
MEDIUM, HIGH, OPUS = "claude-sonnet-4-6@medium", "claude-sonnet-4-6@high", "claude-opus-4-7@high"


def steps(record: dict[str, Any]) -> list[tuple[str, str]]:
    """Of each attempt its arm, and what the verifiers came to."""
    found = []
    for attempt in record["attempts"]:
        arm = attempt["arm"]
        said = [verdict["says"] for verdict in attempt.get("verdicts", [])]
        found.append((f"{arm['model']}@{arm['effort']}", said[0] if said else ""))
    return found


def test_an_answer_that_is_not_accepted_is_asked_for_again_on_the_next_rungs(tmp_path: Path) -> None:
    async def work(there: Site) -> None:
        status, headers, body = await there.post(asked("hello"))
        assert status == 200
        assert json.loads(body)["content"][0]["text"] == "yes, says opus"
        shown = [headers[f"x-trimtab-{name}"] for name in ("arm", "verdict", "steps", "attempts")]
        assert shown == [OPUS, "accept", "3", "3"]
        record = await told(there, headers["x-trimtab-request"])
        assert steps(record) == [(MEDIUM, "escalate"), (HIGH, "escalate"), (OPUS, "accept")]
        assert record["cost_nanousd"] == sum(attempt["cost_nanousd"] for attempt in record["attempts"])
        assert [text.partition(":")[0] for text in record["escalations"]] == [HIGH, OPUS]
        assert record["plan"]["direct_cost_nanousd"] > 0
        assert there.held == "0.0"

    at(tmp_path, work, LADDER.format(more=""), SCRIPT)


def test_an_accepted_answer_is_the_first_and_only_call(tmp_path: Path) -> None:
    async def work(there: Site) -> None:
        _, headers, _ = await there.post(asked("at once"))
        assert "x-trimtab-attempts" not in headers
        assert [headers[f"x-trimtab-{name}"] for name in ("arm", "verdict", "steps")] == [
            MEDIUM,
            "accept",
            "1",
        ]
        record = await told(there, headers["x-trimtab-request"])
        assert steps(record) == [(MEDIUM, "accept")]
        assert "escalations" not in record

    at(tmp_path, work, LADDER.format(more=""), SCRIPT)


def test_a_stream_holds_only_what_was_accepted(tmp_path: Path) -> None:
    async def work(there: Site) -> None:
        _, headers, body = await there.post(asked("hello", stream=True))
        assert headers["x-trimtab-arm"] == OPUS
        assert body.count(b"event: message_start") == body.count(b"event: message_stop") == 1
        assert b"opus" in body
        assert b"medium" not in body
        record = await told(there, headers["x-trimtab-request"])
        assert record["stream"]
        assert record["result"] == "ok"
        assert [attempt["usage"]["output_tokens"] for attempt in record["attempts"]] == [4, 4, 5]

    at(tmp_path, work, LADDER.format(more=""), SCRIPT)


def test_a_stream_that_waits_gets_its_head_and_signs_of_life_first(tmp_path: Path) -> None:
    more = "[verification]\nhold_headers_s = 0.2\nkeep_alive_s = 0.1\n"

    async def work(there: Site) -> None:
        _, headers, body = await there.post(asked("slow please", stream=True))
        assert headers["x-trimtab-arm"] == "pending"
        assert "x-trimtab-verdict" not in headers
        before, _, after = body.partition(b"event: message_start")
        assert before.count(b"event: ping") >= 2
        assert after.count(b"event: message_stop") == 1
        assert b"yes, says opus" in after
        record = await told(there, headers["x-trimtab-request"])
        assert steps(record)[-1] == (OPUS, "accept")
        assert record["plan"]["arm"]["model"] == "claude-opus-4-7"

    at(tmp_path, work, LADDER.format(more="") + more, SCRIPT)


def test_where_no_step_is_accepted_the_last_of_the_best_is_given_and_said_so(tmp_path: Path) -> None:
    async def work(there: Site) -> None:
        _, headers, _ = await there.post(asked("never"))
        assert [headers[f"x-trimtab-{name}"] for name in ("arm", "verdict")] == [OPUS, "escalate"]
        record = await told(there, headers["x-trimtab-request"])
        assert len(record["escalations"]) == 3
        assert (
            "3 steps were made" in record["escalations"][-1] or "no further rung" in record["escalations"][-1]
        )

    at(tmp_path, work, LADDER.format(more=""), SCRIPT)


def test_a_step_that_fails_never_costs_the_answer_that_is_there(tmp_path: Path) -> None:
    async def work(there: Site) -> None:
        status, headers, body = await there.post(asked("opus is down"))
        assert status == 200
        assert json.loads(body)["content"][0]["text"] == "no, says high"
        assert [headers[f"x-trimtab-{name}"] for name in ("arm", "verdict", "attempts")] == [
            HIGH,
            "escalate",
            "3",
        ]
        record = await told(there, headers["x-trimtab-request"])
        assert record["answered"] == 1
        assert steps(record) == [(MEDIUM, "escalate"), (HIGH, "escalate"), (OPUS, "")]
        assert record["result"] == "ok"
        assert "no answer" in record["escalations"][-1]

    at(tmp_path, work, LADDER.format(more=""), SCRIPT)


def test_a_step_without_an_answer_does_not_end_the_cascade(tmp_path: Path) -> None:
    async def work(there: Site) -> None:
        _, headers, body = await there.post(asked("high is out"))
        assert json.loads(body)["content"][0]["text"] == "yes, says opus"
        assert [headers[f"x-trimtab-{name}"] for name in ("verdict", "steps", "attempts")] == [
            "accept",
            "2",
            "3",
        ]
        record = await told(there, headers["x-trimtab-request"])
        assert steps(record) == [(MEDIUM, "escalate"), (HIGH, ""), (OPUS, "accept")]
        assert "answered" not in record

    at(tmp_path, work, LADDER.format(more=""), SCRIPT)


def test_the_deadline_cuts_a_later_step_and_the_earlier_answer_is_given(tmp_path: Path) -> None:
    async def work(there: Site) -> None:
        status, headers, body = await there.post(asked("hang", stream=True))
        assert status == 200
        assert headers["x-trimtab-arm"] == HIGH
        assert b"no, says high" in body
        record = await told(there, headers["x-trimtab-request"])
        assert steps(record)[-1] == (OPUS, "")
        assert record["attempts"][-1]["result"] == "truncated"
        assert "deadline" in record["attempts"][-1]["error"]

    at(tmp_path, work, LADDER.format(more="within_s = 2"), SCRIPT)


def test_no_call_is_made_that_could_cost_more_than_the_request_may(tmp_path: Path) -> None:
    async def work(there: Site) -> None:
        _, headers, _ = await there.post(asked("hello"))
        record = await told(there, headers["x-trimtab-request"])
        assert steps(record) == [(MEDIUM, "escalate"), (HIGH, "escalate")]
        assert "not escalated" in record["escalations"][-1] or "the most" in record["escalations"][-1]
        assert record["cost_nanousd"] <= 2_000_000
        status, _, body = await there.post(asked("hello", max_tokens=1000))
        assert status == 402
        assert "this request may cost $0.002 at the most" in json.loads(body)["error"]["message"]

    at(tmp_path, work, LADDER.format(more="most_usd = 0.002"), SCRIPT)


def test_a_check_that_a_request_names_itself_judges_a_pinned_model_too(tmp_path: Path) -> None:
    async def work(there: Site) -> None:
        pinned = {**asked("hello"), "model": "claude-opus-4-6"}
        _, headers, _ = await there.post(pinned, headers=VERSION + b"x-trimtab-verify: says-yes\r\n")
        assert [headers[f"x-trimtab-{name}"] for name in ("verdict", "steps")] == ["escalate", "1"]
        assert "no other rung" in (await told(there, headers["x-trimtab-request"]))["escalations"][0]
        status, _, body = await there.post(pinned, headers=VERSION + b"x-trimtab-verify: says-no\r\n")
        assert status == 400
        assert "x-trimtab-verify: 'says-no': no such verifier; did you mean 'says-yes'?" in body.decode()

    at(tmp_path, work, LADDER.format(more=""), SCRIPT)


def test_auto_goes_on_to_the_escalation_tier_without_any_configuration(tmp_path: Path) -> None:
    async def work(there: Site) -> None:
        verify = VERSION + b"x-trimtab-verify: json\r\n"
        _, headers, _ = await there.post(asked("hello"), headers=verify)
        record = await told(there, headers["x-trimtab-request"])
        assert [one["arm"]["model"] for one in record["attempts"]] == ["claude-sonnet-4-6", "claude-opus-4-7"]
        for name in ("trimtab/default", "claude-sonnet-4-6"):
            _, headers, _ = await there.post({**asked("hello"), "model": name}, headers=verify)
            assert (headers["x-trimtab-steps"], headers["x-trimtab-verdict"]) == ("1", "escalate")

    at(tmp_path, work, "", SCRIPT)


def test_an_answer_that_goes_out_first_is_judged_for_the_record(tmp_path: Path) -> None:
    config = LADDER.format(more='verify_when = "after"').replace(f'"{HIGH}", "{OPUS}"', "")

    async def work(there: Site) -> None:
        for stream in (False, True):
            _, headers, body = await there.post(asked("hello", stream=stream))
            assert b"no, says medium" in body
            assert "x-trimtab-verdict" not in headers
            assert steps(await told(there, headers["x-trimtab-request"])) == [(MEDIUM, "escalate")]

    at(tmp_path, work, config, SCRIPT)


def test_who_goes_while_an_answer_is_held_back_ends_everything(tmp_path: Path) -> None:
    async def work(there: Site) -> None:
        for stream, later in ((True, False), (True, True), (False, False)):
            body = json.dumps(asked(f"hang {stream} {later}", stream=stream)).encode()
            reader, writer = await asyncio.open_connection("127.0.0.1", there.port)
            writer.write(head("POST", "/v1/messages", VERSION, len(body)) + body)
            if later:
                got = await asyncio.wait_for(reader.readuntil(b"event: ping"), 60)
                assert b"x-trimtab-arm: pending" in got
            else:
                await until_given(lambda: held(there), lambda amount: amount != "0.0")
            writer.close()
            await until_given(lambda: held(there), lambda amount: amount == "0.0")
        listed = await until_given(lambda: records(there), lambda found: len(found) == 3)
        assert {record["result"] for record in listed} == {"cancelled"}
        for record in listed:
            assert [arm for arm, _ in steps(record)] == [MEDIUM, HIGH, OPUS][: len(record["attempts"])]

    more = "[verification]\nhold_headers_s = 0.5\nkeep_alive_s = 0.1\n"
    at(tmp_path, work, LADDER.format(more="") + more, SCRIPT)


async def held(there: Site) -> str:
    text = there.application.metrics.render().decode()
    return next(
        line.split()[1] for line in text.splitlines() if line.startswith("trimtab_held_simulated_usd ")
    )


async def records(there: Site) -> list[dict[str, Any]]:
    database = there.application.parts.ground.database
    rows = await asyncio.to_thread(database.read, lambda view: view.rows("SELECT detail FROM requests"))
    return [json.loads(row[0]) for row in rows]
