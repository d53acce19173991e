"""Two simulated platforms behind a real gateway that differ in one known thing: that is what is reported, and no more."""

from pathlib import Path
from typing import Any

import pytest
from serving_harness import Site, run, site

from trimtab.evals import Gateway
from trimtab.evals.parity import Asked, Report, check_parity, shipped_cases
from trimtab.providers.http import Deadlines, HttpClient, Target

ENTRY = '[platforms.{}]\nkind = "simulator"\nlatency_scale = 0.0\nscript = "{}.yaml"\n'
MODEL = "claude-opus-4-7"


async def checked(s: Site, *only: str, repeat: int = 1, model: str = MODEL) -> Report:
    """The shipped cases (of these names), on both."""
    client = HttpClient(Target("http", "127.0.0.1", s.port), Deadlines(), tls=None)
    cases = tuple(case for case in shipped_cases() if not only or case.name in only)
    asked = Asked(first="one", second="two", cases=cases, models=(model,), repeat=repeat)

    async def at_once(seconds: float) -> None:
        pass

    try:
        return await check_parity(Gateway(client), asked, run="r1", told=lambda *_: None, sleep=at_once)
    finally:
        await client.aclose()


def compared(
    folder: Path, second: str, *only: str, repeat: int = 1, entry: str = ENTRY, model: str = MODEL
) -> Report:
    """The report on an unscripted simulator and one with these rules."""
    (folder / "one.yaml").write_text("version: 1\n")
    (folder / "two.yaml").write_text(f"version: 1\n{second}")
    found: list[Report] = []

    async def work() -> None:
        config = ENTRY.format("one", "one") + entry.format("two", "two")
        async with site(folder, config) as s:
            found.append(await checked(s, *only, repeat=repeat, model=model))

    run(work)
    return found[0]


def test_two_equal_platforms_are_the_same_in_every_case(tmp_path: Path) -> None:
    report = compared(tmp_path, "")
    assert (report.different, report.inconclusive, report.same) == (0, 0, len(shipped_cases())), [
        one for one in report.judged if one.outcome != "same"
    ]
    assert report.simulated == ("one", "two")
    assert (report.only_first, report.only_second) == ((), ())
    assert report.same_texts[0] == report.same_texts[1] > 30
    [cost] = [ratio for ratio in report.ratios if ratio.what == "cost"]
    assert cost.median == 1.0
    assert report.cost_nanousd > 0


MESSAGE = '{{"id":"m","type":"message","role":"assistant","model":"{}","content":[{{"type":"text","text":"ready"}}],"stop_reason":"end_turn","stop_sequence":null,"usage":{{"input_tokens":{},"output_tokens":4}}}}'  # fmt: skip


def rule(reply: str, match: str = "{}") -> str:
    return f"rules:\n- match: {match}\n  reply: {reply}\n"


def raw(body: str, status: int = 200, kind: str = "application/json") -> str:
    quoted = body.replace("'", "''")
    return f"{{raw: {{body: '{quoted}', status: {status}, content_type: '{kind}'}}}}"


EVENTS = (
    "event: message_start\\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"claude-opus-4-7\",\"content\":[],\"usage\":{\"input_tokens\":14,\"output_tokens\":1}}}\\n\\n"
    "event: content_block_start\\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"ready\"}}\\n\\n"
    "event: message_delta\\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":4}}\\n\\n"
    "event: message_stop\\ndata: {\"type\":\"message_stop\"}\\n\\n"
)  # fmt: skip


@pytest.mark.parametrize(
    ("script", "name", "differences"),
    [
        (rule("{stop_reason: max_tokens}"), "text.plain", [("stop reason", "end_turn", "max_tokens")]),
        (rule("{usage: {input_tokens: 999}}"), "text.plain", [("input tokens", "14", "999")]),
        (
            rule("{usage: {cache_read_input_tokens: 0, cache_creation_input_tokens: 0}}"), "caching.system",
            [("step 1: cache", "writes 5m", "not used"), ("step 2: cache", "reads", "not used")],
        ),
        (
            rule("{tool_use: {name: get_weather, input: {city: Oslo}}}"), "tools.forced",
            [("tools", "get_weather(town)", "get_weather(city)")],
        ),
        (
            rule("{tool_use: [{name: get_weather, input: {town: a}}, {name: get_weather, input: {town: b}}]}"), "tools.forced",
            [("blocks", "tool_use", "tool_use x2"), ("tools", "get_weather(town)", "get_weather(town), get_weather(town)")],
        ),
        (
            rule("{refusal: {category: cyber}}"), "text.stream",
            [("stop reason", "end_turn", "refusal"), ("blocks", "text", "none")],
        ),
        (rule("{text: 'name, colour'}"), "output.schema", [("output", "JSON with colour, name", "text")]),
        (
            rule("{error: {status: 400, message: not here}}"), "documents.pdf",
            [("status", "200", "400 invalid_request_error")],
        ),
        (rule("{error: {status: 413}}"), "text.turns", [("status", "200", "413 request_too_large")]),
        (rule(raw(MESSAGE.format("claude-other", 14))), "text.plain", [("model", MODEL, "claude-other")]),
        (rule(raw("<html>")), "text.plain", [("answer", "message", "neither message nor count")]),
        (rule(raw(MESSAGE.format(MODEL, 14))), "text.stream", [("answer", "stream", "message")]),
        (
            rule("{error: {status: 400}}", "{endpoint: count_tokens, contains: ships}"), "counting.text",
            [("status", "200", "400 invalid_request_error")],
        ),
        (
            rule("{stream_error: {after_events: 2, type: invalid_request_error}}"), "text.stream",
            [("status", "200", "200, and the stream ends with invalid_request_error")],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isprintable() else "",
)  # fmt: skip
def test_one_known_difference_is_reported_and_nothing_else(
    tmp_path: Path, script: str, name: str, differences: list[tuple[str, str, str]]
) -> None:
    report = compared(tmp_path, script, name)
    [one] = report.judged
    found = [(d.fact, d.first, d.second) for d in one.differences]
    assert found == differences
    assert one.outcome == "different"


def test_a_stream_in_another_order_is_named_by_what_breaks_the_rules(tmp_path: Path) -> None:
    body = f'rules:\n- match: {{stream: true}}\n  reply:\n    raw:\n      content_type: text/event-stream\n      body: "{EVENTS.replace(chr(34), chr(92) + chr(34))}"\n'  # fmt: skip
    report = compared(tmp_path, body, "text.stream")
    [one] = report.judged
    assert one.outcome == "different"
    assert [(d.fact, d.first) for d in one.differences] == [("stream", "in order")]
    assert "message_delta while a block is open" in one.differences[0].second


@pytest.mark.parametrize("status", [429, 500, 529])
def test_a_platform_without_room_is_inconclusive(tmp_path: Path, status: int) -> None:
    report = compared(tmp_path, rule(f"{{error: {{status: {status}}}}}"), "text.plain", "text.stream")
    assert [one.outcome for one in report.judged] == ["inconclusive"] * 2
    assert all(one.doubts[0].startswith(f"two: {status} ") for one in report.judged)


def test_a_platform_that_is_short_of_room_once_is_asked_again_and_is_the_same(tmp_path: Path) -> None:
    report = compared(tmp_path, rule("{error: {status: 529}}", "{first: 2}"), "text.plain")
    assert report.same == 1


def test_a_call_that_the_model_makes_only_sometimes_is_told_apart_by_repeating(tmp_path: Path) -> None:
    never = rule("{text: no tool for me}")
    [once] = compared(tmp_path, never, "tools.auto").judged
    assert once.outcome == "inconclusive"
    assert any(doubt.startswith("tools: one get_weather(town), two none") for doubt in once.doubts)
    [often] = compared(tmp_path, never, "tools.auto", repeat=4).judged
    assert often.outcome == "different"
    assert {d.fact for d in often.differences} == {"stop reason", "blocks", "tools"}


def test_signed_thinking_that_only_its_maker_takes_is_found_by_handing_conversations_over(
    tmp_path: Path,
) -> None:
    other = ENTRY + "seed = 7\n"
    report = compared(tmp_path, "", entry=other)
    different = {one.case: [(d.fact, d.first, d.second) for d in one.differences] for one in report.judged if one.outcome == "different"}  # fmt: skip
    refused, taken = "400 invalid_request_error", "200"
    assert different == {
        "handover.from-first": [("status", taken, refused)],
        "handover.from-second": [("status", refused, taken)],
        "handover.tool-from-first": [("status", taken, refused)],
        "handover.tool-from-second": [("status", refused, taken)],
    }
    assert report.inconclusive == 0


def test_a_key_that_may_not_use_a_platform_can_compare_nothing(tmp_path: Path) -> None:
    with pytest.raises(
        Exception, match="x-trimtab-platform: 'two' is not a configured platform; there are one"
    ):
        compared(tmp_path, "", entry="")


def test_answers_are_asked_for_at_one_entry_only(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("version: 1\n")
    (tmp_path / "two.yaml").write_text("version: 1\n")
    seen: list[dict[str, Any]] = []

    async def work() -> None:
        async with site(tmp_path, ENTRY.format("one", "one") + ENTRY.format("two", "two")) as s:
            report = await checked(s, "text.plain")
            for side in report.judged[0].requests:
                seen.append(await s.record(side[0]))

    run(work)
    assert [record["plan"]["platform"] for record in seen] == ["one", "two"]
    assert all(record["tags"] == ["parity"] for record in seen)
    assert [record["session"] for record in seen] == [
        "h:parity-r1-text.plain-1-a",
        "h:parity-r1-text.plain-1-b",
    ]
