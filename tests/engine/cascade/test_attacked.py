"""Clients that go, platforms that break off and verifiers that misbehave: the money and the record stay true."""

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from judged_requests import JUDGE_ID, judge_call
from serving_harness import (
    EVENTS,
    VERSION,
    Site,
    chunk,
    head,
    one_answer,
    parsed,
    site,
    take_request,
    upstream,
)
from waiting import until_given

from trimtab.app.assemble import build
from trimtab.app.settings import reload_settings
from trimtab.catalogue import Arm
from trimtab.engine.cascade import Afterwards
from trimtab.engine.cascade.asking import Asking
from trimtab.engine.cascade.paired import Beside, Called
from trimtab.errors import RequestError
from trimtab.verification import Heard

OPINION = """
[routes.auto]
ladder = ["claude-sonnet-4-6@medium", "claude-opus-4-7@high"]
verify = ["opinion"]
[verifiers.opinion]
kind = "second_opinion"
arm = "claude-haiku-4-5"
timeout_s = 1
[verification]
hold_headers_s = 0.1
keep_alive_s = 0.1
"""
SCRIPT = """
version: 1
rules:
- match: {contains: cut opinion, model: claude-haiku-4-5}
  reply: {text: "The answer is 7", stall: {where: before_head, seconds: 3600}}
- match: {model: claude-haiku-4-5}
  reply: {text: "So the answer is 8."}
- match: {contains: hang, model: claude-opus-4-7}
  reply: {text: "late", stall: {where: before_head, seconds: 3600}}
- match: {}
  reply: {text: "The answer is 7"}
"""


def asked(text: str, **fields: Any) -> dict[str, Any]:
    message = {"role": "user", "content": text}
    return {"model": "trimtab/auto", "max_tokens": 64, "messages": [message], **fields}


async def records(there: Site) -> list[dict[str, Any]]:
    database = there.application.parts.ground.database
    rows = await asyncio.to_thread(database.read, lambda view: view.rows("SELECT detail FROM requests"))
    return [json.loads(row[0]) for row in rows]


async def held(there: Site) -> set[str]:
    lines = there.application.metrics.render().decode().splitlines()
    names = ("trimtab_held_usd ", "trimtab_held_simulated_usd ")
    return {line.split()[1] for line in lines if line.startswith(names)}


def whole_and_children(found: list[dict[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    (parent,) = (record for record in found if record["purpose"] == "live")
    return parent, [record for record in found if record["purpose"] == "judge"]


def test_what_a_cut_opinion_costs_is_counted_though_nothing_was_heard_of_it(tmp_path: Path) -> None:
    async def work(there: Site) -> None:
        _, headers, _ = await there.post(asked("cut opinion"))
        found = await until_given(lambda: records(there), lambda rows: len(rows) == 3)
        parent, children = whole_and_children(found)
        cost = sum(child["cost_nanousd"] for child in children)
        assert cost > 0
        assert parent["checks_nanousd"] == cost
        verdicts = [verdict for made in parent["attempts"] for verdict in made["verdicts"]]
        assert sorted(name for verdict in verdicts for name in verdict["calls"]) == sorted(
            child["id"] for child in children
        )
        whole = parent["cost_nanousd"] + cost
        assert headers["x-trimtab-cost-usd"] == f"{whole // 10**9}.{whole % 10**9:09d}"

    async def run() -> None:
        async with site(tmp_path, OPINION, SCRIPT) as there:
            await work(there)

    asyncio.run(run())


def test_who_goes_in_a_later_step_leaves_a_record_of_the_checks_and_of_why_it_was_made(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with site(tmp_path, OPINION, SCRIPT) as there:
            body = json.dumps(asked("hang", stream=True)).encode()
            _, writer = await asyncio.open_connection("127.0.0.1", there.port)
            writer.write(head("POST", "/v1/messages", VERSION, len(body)) + body)
            await until_given(lambda: records(there), lambda rows: len(rows) == 1)  # the opinion
            await until_given(lambda: held(there), lambda amounts: amounts != {"0.0"})  # the second step
            writer.close()
            found = await until_given(lambda: records(there), lambda rows: len(rows) == 2)
            await until_given(lambda: held(there), lambda amounts: amounts == {"0.0"})
            parent, (child,) = whole_and_children(found)
            assert (parent["result"], len(parent["attempts"])) == ("cancelled", 2)
            assert parent["checks_nanousd"] == child["cost_nanousd"] > 0
            (why,) = parent["escalations"]
            assert why.startswith("claude-opus-4-7@high: ")

    asyncio.run(run())


PENDING = """
[routes.auto]
ladder = ["claude-sonnet-4-6@medium"]
verify = ["not_truncated"]
[verification]
hold_headers_s = 0.1
keep_alive_s = 0.1
"""
OVERLOADED = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
WHOLE = b'{"type":"message","model":"m","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}'


def as_json(status: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        status,
        len(body),
        body,
    )


def as_stream(encoding: bytes, body: bytes) -> bytes:
    headers = (
        b"content-type: text/event-stream\r\ncontent-encoding: %b\r\ntransfer-encoding: chunked" % encoding
    )
    return b"HTTP/1.1 200 OK\r\n%b\r\n\r\n%b0\r\n\r\n" % (headers, chunk(body))


@pytest.mark.parametrize(
    ("answer", "expected", "again"),
    [
        (as_json(b"529 Overloaded", OVERLOADED), b"event: error\ndata: " + OVERLOADED, True),
        (as_json(b"502 Bad Gateway", b"<html>\n</html>"), b"the platform answered with status 502", True),
        (as_json(b"200 OK", WHOLE), b"in one piece, where a stream was asked for", True),
        (as_stream(b"gzip", gzip.compress(b"".join(EVENTS))), b"".join(EVENTS), False),
        (as_stream(b"gzip", b"".join(EVENTS)), b"cannot be unpacked", True),
        (as_stream(b"br", b"\x01\x02"), b"packed its stream as 'br'", True),
    ],
    ids=["overloaded", "page", "no stream", "packed", "not packed", "packed unreadably"],
)
def test_whatever_comes_after_a_head_is_a_stream_and_an_error_may_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes, expected: bytes, again: bool
) -> None:
    """With an idempotency key: what failed once its head had gone out is not given again as the answer."""
    monkeypatch.setenv("TEST_KEY", "k")
    calls = 0

    async def run() -> None:
        shown = asyncio.Event()

        async def platform(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal calls
            while True:
                await take_request(reader)
                calls += 1
                await shown.wait()
                writer.write(answer)

        async with upstream(platform) as named, site(tmp_path, PENDING + named) as there:
            body = json.dumps(asked("hello", stream=True)).encode()
            sent = head("POST", "/v1/messages", VERSION + b"idempotency-key: once\r\n", len(body)) + body
            reader, writer = await asyncio.open_connection("127.0.0.1", there.port)
            writer.write(sent)
            begun = await asyncio.wait_for(reader.readuntil(b"event: ping"), 60)
            assert b"x-trimtab-arm: pending" in begun
            assert b"content-encoding" not in begun
            shown.set()
            rest = await asyncio.wait_for(reader.readuntil(b"\r\n0\r\n\r\n"), 60)
            writer.close()
            assert expected in rest
            assert rest.count(b"event: error") == again
            before = calls
            reader, writer = await asyncio.open_connection("127.0.0.1", there.port)
            writer.write(sent)
            status, headers, _ = parsed(await asyncio.wait_for(one_answer(reader), 60))
            writer.close()
            assert (calls > before) is again, (status, headers)
            assert await held(there) == {"0.0"}

    asyncio.run(run())


ANSWERED = (
    b'{"type":"message","model":"m","content":[{"type":"text","text":"The answer is 7"}],"stop_reason":"end_turn",'
    b'"usage":{"input_tokens":1,"output_tokens":1}}'
)
AFTER = """
[routes.auto]
ladder = ["claude-sonnet-4-6@medium"]
verify = ["opinion"]
verify_when = "after"
[verifiers.opinion]
kind = "second_opinion"
arm = "claude-haiku-4-5"
"""


def test_an_answer_that_is_judged_after_keeps_its_platforms_over_a_new_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEY", "k")

    async def run() -> None:
        asks, may_answer = asyncio.Event(), asyncio.Event()

        async def platform(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                _, body = await take_request(reader)
                if b"haiku" in body:
                    asks.set()
                    await may_answer.wait()
                writer.write(as_json(b"200 OK", ANSWERED))

        async with upstream(platform) as named, site(tmp_path, AFTER + named) as there:
            status, _, _ = await there.post(asked("hello"))
            assert status == 200
            await asyncio.wait_for(asks.wait(), 60)
            application = there.application
            application.put_in_force(build(reload_settings(application.settings), application.parts))
            for _ in range(20):  # the old platforms would be closed in the meantime
                await asyncio.sleep(0)
            may_answer.set()
            found = await until_given(lambda: records(there), lambda rows: len(rows) == 2)
            parent, (child,) = whole_and_children(found)
            (verdict,) = parent["attempts"][0]["verdicts"]
            assert (verdict["says"], child["result"]) == ("accept", "ok"), verdict

    asyncio.run(run())


def test_a_simulated_answer_never_follows_a_real_one_whatever_a_platform_says_of_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each rung has one place, and the second one's platform says in its answer only that it is simulated."""
    monkeypatch.setenv("TEST_KEY", "k")

    async def run() -> None:
        async def platform(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                _, body = await take_request(reader)
                simulated = b"content-type: application/json\r\nx-trimtab-simulated: true\r\n"
                answer = as_json(b"200 OK", ANSWERED)
                if b"opus" in body:
                    answer = answer.replace(b"content-type: application/json\r\n", simulated)
                writer.write(answer)

        config = OPINION.replace('verify = ["opinion"]', 'verify = ["never"]') + (
            '[verifiers.never]\nkind = "style"\nmust_contain = ["yes"]\n'
        )
        async with upstream(platform) as named, site(tmp_path, config + named) as there:
            status, headers, _ = await there.post(asked("hello"))
            assert status == 200
            (record,) = await until_given(lambda: records(there), lambda rows: len(rows) == 1)
            assert "x-trimtab-simulated" not in headers
            assert headers["x-trimtab-arm"] == "claude-sonnet-4-6@medium"
            assert not record.get("simulated")
            assert "gives simulated answers" in record["attempts"][1]["error"]
            assert await held(there) == {"0.0"}

    asyncio.run(run())


def test_what_waits_to_be_judged_after_has_a_bound_in_answers_and_in_bytes() -> None:
    async def run() -> None:
        afterwards, go = Afterwards(most=3, most_bytes=100), asyncio.Event()

        async def work() -> None:
            await go.wait()

        assert afterwards.takes(1000), "one alone is judged, however long it is"
        afterwards.begin(work(), 60)
        assert afterwards.takes(40)
        assert not afterwards.takes(41)
        afterwards.begin(work(), 10)
        afterwards.begin(work(), 10)
        assert not afterwards.takes(1)
        go.set()
        await afterwards.begun_so_far()
        await asyncio.sleep(0)
        assert len(afterwards) == 0
        assert afterwards.takes(100)

    asyncio.run(run())


def test_opinions_that_are_asked_for_at_once_stay_within_what_is_left_together() -> None:
    """A verifier that asks three models side by side, each of which alone could be paid for."""
    most, price, under_way = 10, 6, [0]
    spent: list[Heard] = []

    class Models:
        async def same(self, request: Any, arm: Any, beside: Beside) -> Called:
            assert beside.most_nanousd is not None
            if beside.most_nanousd < price:
                raise RequestError("may cost more than what is left")
            under_way[0] += 1
            assert under_way[0] == 1
            await asyncio.sleep(0)
            under_way[0] -= 1
            assert beside.recorded is not None
            beside.recorded(judge_call(cost_nanousd=price))
            return Called((), str(arm), JUDGE_ID, price, True, b"")

    async def run() -> list[Any]:
        beside = Beside(purpose="judge", most_nanousd=most)
        asking = Asking(Models(), None, Arm, beside, spent.append)  # type: ignore[arg-type]
        return await asyncio.gather(*(asking("m") for _ in range(3)), return_exceptions=True)

    one, *others = asyncio.run(run())
    assert one.cost_nanousd == price
    assert all(isinstance(other, RequestError) for other in others)
    assert [heard.cost_nanousd for heard in spent] == [price]
