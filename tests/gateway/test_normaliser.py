"""The normaliser behind a real socket: what a tier's caller gets, what a pinned one gets, and what is on record."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from serving_harness import run, site, take_request, upstream

OPUS = "claude-opus-4-7"
SIGNED = {"type": "thinking", "thinking": "hm", "signature": "c2lnbg=="}
CALL = {"type": "tool_use", "id": "t1", "name": "look", "input": {}}
DONE = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1"}]}
WRITTEN_FOR_SONNET: dict[str, Any] = {
    "max_tokens": 4000,
    "temperature": 0.2,
    "thinking": {"type": "enabled", "budget_tokens": 3000},
    "tools": [{"type": "text_editor_20250124", "name": "str_replace_editor"}],
    "messages": [{"role": "user", "content": "Answer in JSON."}, {"role": "assistant", "content": "{"}],
}
CHANGES = [
    "output_config.effort=low", "thinking=adaptive", "thinking.display=summarized", "temperature removed",
    "tools.0.type=text_editor_20250728", "tools.0.name=str_replace_based_edit_tool",
    "messages.2=asks to continue the prefill",
]  # fmt: skip
ANSWER = (
    b'{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":"end_turn",'
    b'"usage":{"input_tokens":5,"output_tokens":1}}'
)


class Platform:
    """Keeps the bodies that it is sent."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.heads: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, body = await take_request(reader)
            self.heads.append(head)
            self.bodies.append(body)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(ANSWER))  # fmt: skip
            writer.write(ANSWER)

    @property
    def last(self) -> Any:
        return json.loads(self.bodies[-1])


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Platform:
    monkeypatch.setenv("TEST_KEY", "k")
    return Platform()


def test_a_tier_takes_what_its_model_refuses_from_a_caller_who_pins_it(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            status, named, _ = await s.post({"model": "trimtab/escalation", **WRITTEN_FOR_SONNET})
            assert status == 200
            assert named["x-trimtab-adaptations"].split(", ") == CHANGES
            assert named["x-trimtab-arm"] == f"{OPUS}@low+adaptive"
            record = await s.record(named["x-trimtab-request"])
            assert record["adaptations"] == CHANGES
            assert record["plan"]["arm"] == {"model": OPUS, "effort": "low", "thinking": "adaptive"}
            assert "observations" not in record

            status, named, body = await s.post({"model": OPUS, **WRITTEN_FOR_SONNET})
            assert (status, json.loads(body)["error"]["type"]) == (400, "invalid_request_error")
            assert b'\\"thinking.type.enabled\\" is not supported for this model.' in body
            assert named["x-trimtab-platform"] == "sim", "the platform said so"
            assert "x-trimtab-adaptations" not in named
            record = await s.record(named["x-trimtab-request"])
            assert "adaptations" not in record
            assert [note.partition(":")[0] for note in record["observations"]] == [
                "thinking-enabled-rejected", "thinking-not-shown", "sampling-rejected",
                "text-editor-version", "prefill",
            ]  # fmt: skip

    run(work)


def test_a_pinned_request_goes_out_byte_for_byte_whatever_the_model_makes_of_it(
    tmp_path: Path, platform: Platform
) -> None:
    async def work() -> None:
        async with upstream(platform) as entry, site(tmp_path, entry) as s:
            body = json.dumps({"model": OPUS, **WRITTEN_FOR_SONNET}, indent=1).encode()
            status, named, _ = await s.post(body)
            assert (status, platform.bodies) == (200, [body])
            assert "x-trimtab-adaptations" not in named

    run(work)


def test_a_tiers_request_that_its_model_takes_only_changes_its_model(
    tmp_path: Path, platform: Platform
) -> None:
    async def work() -> None:
        async with upstream(platform) as entry, site(tmp_path, entry) as s:
            body = (
                b'{ "max_tokens":9,"messages":[{"content":"hi" ,"role":"user"}],"model" : "trimtab/default" }'
            )
            assert (await s.post(body))[0] == 200
            assert platform.bodies == [body.replace(b"trimtab/default", b"claude-sonnet-4-6")]

    run(work)


def test_strict_refuses_in_the_vendors_words_and_says_which_rule_of_ours_it_was_before_anything_is_spent(
    tmp_path: Path, platform: Platform
) -> None:
    async def work() -> None:
        config = '[normaliser]\ntiers = "strict"\npinned = "strict"\n'
        async with upstream(platform) as entry, site(tmp_path, config + entry) as s:
            why = 'Trimtab: rule sampling-rejected, normaliser.{}, {}; change the request; "adapt" mends it: removes them'
            for model, setting, meant in (
                ("trimtab/escalation", 'tiers = "strict"', f"tier escalation is {OPUS}"),
                (OPUS, 'pinned = "strict"', f"model {OPUS}"),
            ):
                status, named, body = await s.post({"model": model, "max_tokens": 9, "temperature": 0.2, "messages": [{"role": "user", "content": "hi"}]})  # fmt: skip
                error = json.loads(body)["error"]
                note = why.format(setting, meant)
                says = f"`temperature` is deprecated for this model. ({note})"
                assert (status, error["type"], error["message"]) == (400, "invalid_request_error", says)
                record = await s.record(named["x-trimtab-request"])
                assert record["error"].endswith(says)
                assert record["observations"] == [note]
                assert (record["status"], record["cost_nanousd"], record.get("attempts")) == (400, 0, None)
            assert platform.bodies == []

    run(work)


def test_switched_off_nothing_is_changed_and_nothing_noted(tmp_path: Path, platform: Platform) -> None:
    async def work() -> None:
        config = '[normaliser]\ntiers = "off"\npinned = "off"\n'
        async with upstream(platform) as entry, site(tmp_path, config + entry) as s:
            body = json.dumps({"model": "trimtab/escalation", **WRITTEN_FOR_SONNET}).encode()
            _, named, _ = await s.post(body)
            assert platform.bodies == [body.replace(b"trimtab/escalation", OPUS.encode())]
            assert "observations" not in await s.record(named["x-trimtab-request"])

    run(work)


def test_an_effort_header_over_the_models_levels_is_lowered_and_said_in_words_where_it_has_none(
    tmp_path: Path, platform: Platform
) -> None:
    async def work() -> None:
        async with upstream(platform) as entry, site(tmp_path, entry) as s:
            ask = {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
            wants = b"anthropic-version: 2023-06-01\r\nx-trimtab-effort: %b\r\n"
            for model, wanted, sent, said, arm in (
                ("trimtab/default", b"xhigh", {"effort": "high"}, "output_config.effort=high", "claude-sonnet-4-6@high"),
                ("claude-sonnet-4-6", b"xhigh", {"effort": "high"}, "output_config.effort=high", "claude-sonnet-4-6@high"),
                ("trimtab/default", b"max", {"effort": "max"}, "output_config.effort=max", "claude-sonnet-4-6@max"),
                ("trimtab/fast", b"low", None, "system=says effort low", "claude-haiku-4-5-20251001@low"),
            ):  # fmt: skip
                status, named, _ = await s.post({"model": model, **ask}, headers=wants % wanted)
                assert status == 200
                assert platform.last.get("output_config") == sent
                assert named["x-trimtab-adaptations"] == said
                assert named["x-trimtab-arm"] == arm
            assert platform.last["system"].startswith("Answer directly and briefly")
            assert (await s.post({"model": "trimtab/fast", **ask}, headers=wants % b"huge"))[0] == 400

    run(work)


def test_in_mode_strict_an_effort_that_the_model_lacks_is_refused_whoever_names_it(
    tmp_path: Path, platform: Platform
) -> None:
    async def work() -> None:
        config = '[normaliser]\ntiers = "strict"\npinned = "strict"\n'
        async with upstream(platform) as entry, site(tmp_path, config + entry) as s:
            ask = {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
            version = b"anthropic-version: 2023-06-01\r\n"
            for header, says in (
                (b"x-trimtab-effort: xhigh\r\n", b"claude-sonnet-4-6 takes low, medium, high, max"),
                (b"x-trimtab-scenario: agent\r\n", b"claude-sonnet-4-6 takes low, medium, high, max"),
            ):
                for model in ("trimtab/default", "claude-sonnet-4-6"):
                    status, _, body = await s.post({"model": model, **ask}, headers=version + header)
                    assert (status, says in body) == (400, True), body
            assert platform.bodies == []

    run(work)


def test_a_scenario_sets_the_effort_and_is_the_class_of_the_record(
    tmp_path: Path, platform: Platform
) -> None:
    async def work() -> None:
        config = """
[scenarios]
triage = "low"
[scenarios.agent]
effort = "high"
thinking = "summarized"
[tiers]
escalation = {arm = "claude-opus-4-7", scenario = "agent"}
"""
        async with upstream(platform) as entry, site(tmp_path, config + entry) as s:
            ask = {"max_tokens": 9000, "messages": [{"role": "user", "content": "hi"}]}
            version = b"anthropic-version: 2023-06-01\r\n"
            for model, header, effort, task_class in (
                ("trimtab/escalation", b"", "high", "agent"),
                ("trimtab/escalation", b"x-trimtab-scenario: research\r\n", "max", "research"),
                ("claude-opus-4-7", b"x-trimtab-scenario: triage\r\n", "low", "triage"),
                ("trimtab/escalation", b"x-trimtab-effort: low\r\n", "low", "agent"),
            ):
                status, named, _ = await s.post({"model": model, **ask}, headers=version + header)
                assert (status, platform.last["output_config"]) == (200, {"effort": effort})
                record = await s.record(named["x-trimtab-request"])
                assert record["task_class"] == task_class
                shown = {"type": "adaptive", "display": "summarized"} if task_class == "agent" else None
                assert platform.last.get("thinking") == shown
            _, _, body = await s.post(
                {"model": "claude-opus-4-7", **ask}, headers=version + b"x-trimtab-scenario: x\r\n"
            )
            assert (
                b"'x' is no scenario here; there are quick, general, coding, agent, research, triage" in body
            )

    run(work)


def test_a_tiers_effort_that_a_request_rules_out_is_said_once_as_it_went_out(
    tmp_path: Path, platform: Platform
) -> None:
    async def work() -> None:
        tiers = '[tiers]\nescalation = "claude-opus-5@xhigh"\n'
        async with upstream(platform) as entry, site(tmp_path, tiers + entry) as s:
            ask = {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
            _, named, _ = await s.post(
                {"model": "trimtab/escalation", "thinking": {"type": "disabled"}, **ask}
            )
            assert platform.last["output_config"] == {"effort": "high"}
            assert named["x-trimtab-adaptations"] == "output_config.effort=high"
            assert named["x-trimtab-arm"] == "claude-opus-5@high"

    run(work)


def test_counting_counts_what_would_be_sent(tmp_path: Path, platform: Platform) -> None:
    async def work() -> None:
        async with upstream(platform) as entry, site(tmp_path, entry) as s:
            ask = {key: WRITTEN_FOR_SONNET[key] for key in ("messages", "tools", "thinking")}
            status, named, _ = await s.post(
                {"model": "trimtab/escalation", **ask}, path="/v1/messages/count_tokens"
            )
            assert (status, len(platform.last["messages"])) == (200, 3)
            assert platform.last["tools"][0]["type"] == "text_editor_20250728"
            assert "messages.2=asks to continue the prefill" in named["x-trimtab-adaptations"]

    run(work)


def test_output_that_the_model_cannot_give_is_not_reserved(tmp_path: Path, platform: Platform) -> None:
    async def work() -> None:
        async with upstream(platform) as entry, site(tmp_path, entry) as s:
            _, named, _ = await s.post({"model": "trimtab/fast", "max_tokens": 999_999, "messages": [{"role": "user", "content": "hi"}]})  # fmt: skip
            assert platform.last["max_tokens"] == 64000
            [attempt] = (await s.record(named["x-trimtab-request"]))["attempts"]
            assert attempt["reserved_nanousd"] < 64_001 * 5_000 * 11 // 10

    run(work)


def test_thinking_of_the_model_before_is_taken_out_when_the_tier_changes_and_the_new_ones_stays(
    tmp_path: Path, platform: Platform
) -> None:
    async def work() -> None:
        async with upstream(platform) as entry, site(tmp_path, entry) as s:
            ask = {"max_tokens": 9000, "thinking": {"type": "adaptive"}, "tools": [{"name": "look", "input_schema": {"type": "object"}}]}  # fmt: skip
            turns: list[dict[str, Any]] = [{"role": "user", "content": "look around"}]

            async def send(tier: str) -> tuple[list[list[str]], str]:
                _, named, _ = await s.post({"model": f"trimtab/{tier}", **ask, "messages": turns})
                sent = [turn["content"] for turn in platform.last["messages"] if turn["role"] == "assistant"]
                return [[block["type"] for block in content] for content in sent], named.get("x-trimtab-adaptations", "")  # fmt: skip

            await send("default")
            turns += [{"role": "assistant", "content": [SIGNED, {"type": "text", "text": "A room."}]}, {"role": "user", "content": "and now?"}]  # fmt: skip
            assert await send("default") == ([["thinking", "text"]], "")
            assert await send("escalation") == ([["text"]], "messages.thinking=1 blocks removed")
            turns += [{"role": "assistant", "content": [SIGNED, CALL]}, DONE]
            kinds, said = await send("escalation")
            assert kinds == [["text"], ["thinking", "tool_use"]], "what the model itself thought stays"
            assert said == "messages.thinking=1 blocks removed"
            turns[0] = {"role": "user", "content": "another conversation"}
            assert await send("escalation") == ([["thinking", "text"], ["thinking", "tool_use"]], "")

    run(work)


def test_a_misspelt_mode_is_refused_with_the_ones_there_are(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path, '[normaliser]\ntiers = "adept"\n'):
            pass

    with pytest.raises(
        Exception, match=r"normaliser\.tiers: 'adept': must be one of strict, adapt, observe, off"
    ):
        run(work)
