"""What a platform does not take: refused, or taken out and said; never sent there, never left out in silence."""

import json
from typing import Any

import msgspec
import pytest
from normaliser_drive import CATALOGUE, NEW, NORMALISER, OLD, Headers, headers_of, model_of

from trimtab.catalogue.platforms import PlatformProfile
from trimtab.errors import NotFound, RequestTooLarge, RuleRefused
from trimtab.messages import MessagesBody
from trimtab.normaliser import Asked, Mode, Normalised, Normaliser, NormaliserSettings, shipped_rules
from trimtab.normaliser.platforms import PLATFORM_CHECKS, PLATFORM_FIXES
from trimtab.normaliser.settings import PlatformMode

OPUS, SONNET, SONNET5, HAIKU = "claude-opus-4-7", "claude-sonnet-4-6", "claude-sonnet-5", "claude-haiku-4-5"
BEDROCKS = ("bedrock", "bedrock_mantle", "bedrock_converse")
GATED = (*BEDROCKS, "vertex")
PLATFORMS = tuple(sorted(set(CATALOGUE.platforms) - {"openai"}))
MODES: tuple[Mode, ...] = ("adapt", "observe", "off")
BUDGET = {"type": "tokens", "total": 50000}
FORMAT = {"type": "json_schema", "schema": {}}
URL = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
FILE = {"type": "document", "source": {"type": "file", "file_id": "file_1"}}
PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}


def said(*blocks: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(blocks)}]


def body_of(model: str, **fields: Any) -> bytes:
    """A body whose blanks and order no encoder of ours would make."""
    whole = {"max_tokens": 4000, "messages": said({"type": "text", "text": "hi"}), **fields, "model": model}
    return json.dumps(whole, separators=(" , ", ":  ")).encode()


def asked_of(platform: str, raw: bytes, headers: Headers, **decided: Any) -> Asked:
    body = MessagesBody(raw)
    return Asked(
        body=body, headers=headers, model=model_of(body.model), send_model=body.model, version=OLD, versions=(OLD, NEW),
        platform=platform, **decided,
    )  # fmt: skip


def held(
    platform: str,
    *betas: str,
    mode: Mode = "adapt",
    chosen: PlatformMode | None = None,
    model: str = OPUS,
    **fields: Any,
) -> Normalised:
    normaliser = NORMALISER
    if chosen is not None:
        normaliser = Normaliser(NormaliserSettings(platform=chosen), shipped_rules(), CATALOGUE.platforms)
    asked = asked_of(platform, body_of(model, **fields), headers_of(OLD, *betas))
    return normaliser.normalise(asked, mode, tier="default" if mode in ("adapt", "strict") else None)


def left(result: Normalised) -> dict[str, Any]:
    """The fields of the changed body."""
    assert result.body is not None
    fields: dict[str, Any] = json.loads(result.body)
    return fields


def betas_sent(result: Normalised) -> list[bytes]:
    assert result.headers is not None
    return [value for name, value in result.headers if name == b"anthropic-beta"]


REMOVED = {
    "cache_control": {"type": "ephemeral"},
    "fallbacks": "default",
    "fallback_credit_token": "t",
    "inference_geo": "global",
    "mcp_servers": [],
    "container": None,
    "speed": "fast",
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("platform", GATED)
@pytest.mark.parametrize("field", REMOVED)
def test_a_field_that_the_platform_refuses_is_taken_out_and_named_in_every_mode(
    platform: str, field: str, mode: Mode
) -> None:
    result = held(platform, mode=mode, model="claude-opus-5-5", **{field: REMOVED[field]})
    assert field not in left(result)
    assert f"{field} removed" in result.adaptations


@pytest.mark.parametrize("platform", [*GATED, "foundry"])
@pytest.mark.parametrize("mode", MODES)
def test_a_task_budget_is_taken_out_where_only_the_vendor_has_it_and_the_effort_beside_it_stays(
    platform: str, mode: Mode
) -> None:
    result = held(
        platform, "task-budgets-2026-03-13", mode=mode, output_config={"task_budget": BUDGET, "effort": "low"}
    )
    assert left(result)["output_config"] == {"effort": "low"}
    assert "output_config.task_budget removed" in result.adaptations
    if platform != "foundry":
        assert betas_sent(result) == []
        assert "anthropic-beta=-task-budgets-2026-03-13" in result.adaptations


def test_a_configuration_of_the_output_that_is_empty_without_its_budget_goes_with_it() -> None:
    assert "output_config" not in left(held("bedrock", output_config={"task_budget": BUDGET}))


def test_all_other_bytes_stay() -> None:
    raw = body_of(OPUS, speed="standard", metadata={"user_id": "u", "z": [1.0, 1e2]})
    [cut] = {raw.replace(b'"speed":  "standard" , ', b"")} - {raw}
    result = NORMALISER.normalise(asked_of("bedrock", raw, headers_of()), "off", tier=None)
    assert result.body == cut


REFUSED: dict[str, tuple[tuple[str, ...], dict[str, Any], str]] = {
    "an image by URL": (GATED, {"messages": said(URL)}, r"messages\.0: image source type 'url' is not supported on .*base64"),
    "a file": (GATED, {"messages": said(FILE)}, "document source type 'file'"),
    "an image in a tool's result": (GATED, {"messages": said({"type": "tool_result", "tool_use_id": "t", "content": [URL]})}, "image source type 'url'"),
    "an image in a document": (GATED, {"messages": said({"type": "document", "source": {"type": "content", "content": [URL]}})}, "image source type 'url'"),
    "web search": (BEDROCKS, {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, r"tools\.0: tool type 'web_search_20250305' is not available on"),
    "a later web search": (("vertex",), {"tools": [{"name": "x", "input_schema": {}}, {"type": "web_search_20260209", "name": "web_search"}]}, r"tools\.1: tool type"),
    "code execution": (GATED, {"tools": [{"type": "code_execution_20260120", "name": "code_execution"}]}, "tool type 'code_execution_20260120'"),
    "an advisor": ((*GATED, "foundry"), {"tools": [{"type": "advisor_20260301", "name": "advisor"}]}, "tool type 'advisor_20260301'"),
    "a toolset": ((*GATED, "foundry"), {"model": "claude-opus-5-5", "tools": [{"type": "computer_toolset_20260801"}]}, "tool type 'computer_toolset_20260801'"),
    "MCP servers": (GATED, {"mcp_servers": [{"type": "url", "url": "https://e", "name": "m"}]}, "mcp_servers: Extra inputs are not permitted on .*; leave it out"),
    "a container": (GATED, {"container": {"skills": [{"type": "anthropic"}]}}, "container: Extra inputs"),
    "US-only inference": ((*GATED, "foundry"), {"inference_geo": "us"}, "inference_geo: Extra inputs"),
    "a format": (("bedrock",), {"output_config": {"format": FORMAT}}, "output_config.format: claude-opus-4-7 does not support structured outputs on Amazon Bedrock"),
}  # fmt: skip


@pytest.mark.parametrize("mode", [*MODES, "strict"])
@pytest.mark.parametrize("what", REFUSED)
def test_what_the_answer_would_miss_is_refused_in_every_mode(what: str, mode: Mode) -> None:
    platforms, fields, says = REFUSED[what]
    for platform in platforms:
        with pytest.raises(RuleRefused, match=says) as refused:
            held(platform, mode=mode, **fields)
        assert CATALOGUE.platforms[platform].name in str(refused.value)  # type: ignore[index]
        assert f"platform {platform}; change the request, or use another platform" in str(refused.value)


@pytest.mark.parametrize("what", REFUSED)
def test_the_vendors_own_api_and_what_is_not_known_get_it_as_it_is(what: str) -> None:
    for platform in ("anthropic", "simulator", ""):
        for mode in ("observe", "off"):
            assert held(platform, mode=mode, **REFUSED[what][1]).body is None  # type: ignore[arg-type]


def test_pictures_and_documents_that_come_with_their_bytes_pass() -> None:
    text = {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": "source url file"},
    }
    for platform in GATED:
        result = held(platform, mode="observe", messages=said(PNG, text, {"type": "text", "text": '"source" {"type":"url"}'}))  # fmt: skip
        assert (result.body, result.adaptations) == (None, ())


def test_tools_of_the_callers_own_and_those_that_the_client_runs_pass() -> None:
    tools = [
        {"name": "web_search_20250305", "input_schema": {}},
        {"type": "custom", "name": "x", "description": "code_execution_", "input_schema": {}},
        {"type": "bash_20250124", "name": "bash"},
        {"type": "memory_20250818", "name": "memory"},
    ]
    for platform in (*GATED, "foundry"):
        assert held(platform, mode="off", tools=tools) == Normalised()


def test_an_image_over_the_size_is_refused_with_both_sizes() -> None:
    big = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 5_242_884}}
    for platform in GATED:
        with pytest.raises(RuleRefused, match="5242884 bytes of base64 > 5242880 bytes"):
            held(platform, messages=said(PNG, big))
        assert held(platform, messages=said({"type": "text", "text": "A" * 5_300_000}, PNG)).body is None
    assert held("foundry", messages=said(big)).body is None


def test_a_request_over_the_size_is_refused_as_the_vendor_refuses_it() -> None:
    with pytest.raises(RequestTooLarge, match=r"Amazon Bedrock \(InvokeModel\): 2\d+ bytes > 20971520 bytes"):
        held("bedrock", messages=said({"type": "text", "text": "A" * 20_971_520}))
    assert RequestTooLarge.status == 413
    assert held("vertex", mode="off", messages=said({"type": "text", "text": "A" * 20_971_520})).body is None


@pytest.mark.parametrize("mode", MODES)
def test_betas_that_the_platform_does_not_know_are_left_out_and_the_others_keep_their_order(
    mode: Mode,
) -> None:
    """One that Bedrock or Vertex does not know is a 400 for the whole request."""
    for platform in GATED:
        result = held(
            platform, "oauth-2025-04-20", "context-1m-2025-08-07", "files-api-2025-04-14", "compact-2026-01-12",
            mode=mode, model=SONNET,
        )  # fmt: skip
        assert betas_sent(result) == [b"context-1m-2025-08-07,compact-2026-01-12"]
        assert result.adaptations == (
            "anthropic-beta=-oauth-2025-04-20",
            "anthropic-beta=-files-api-2025-04-14",
        )
        assert result.body == body_of(SONNET)


def test_betas_that_are_all_known_and_betas_elsewhere_pass_as_they_were_written() -> None:
    known = ("compact-2026-01-12", "context-1m-2025-08-07")
    for platform in GATED:
        assert held(platform, *known, mode="observe", model=SONNET) == Normalised()
    for platform in ("anthropic", "anthropic_on_aws", "foundry"):
        assert held(platform, "one-of-tomorrow-2027-01-01", mode="observe", model=SONNET) == Normalised()


def test_betas_in_the_body_are_held_against_the_same_list() -> None:
    result = held(
        "bedrock", mode="off", anthropic_beta=["files-api-2025-04-14", "compact-2026-01-12", "oauth-2025-04-20"]
    )  # fmt: skip
    assert left(result)["anthropic_beta"] == ["compact-2026-01-12"]
    assert result.adaptations == ("anthropic-beta=-files-api-2025-04-14", "anthropic-beta=-oauth-2025-04-20")
    assert "anthropic_beta" not in left(held("bedrock", anthropic_beta=["files-api-2025-04-14"]))


def test_a_beta_that_a_fix_asks_for_is_held_against_the_list_too() -> None:
    computer = {
        "type": "computer_20251124",
        "name": "computer",
        "display_width_px": 8,
        "display_height_px": 6,
    }
    result = held("vertex", tools=[computer])
    assert betas_sent(result) == [b"computer-use-2025-11-24"]
    result = held("bedrock", output_config={"task_budget": BUDGET})
    assert betas_sent(result) == []
    assert result.adaptations == ("output_config.task_budget removed",)


STRICT: dict[str, tuple[str, dict[str, Any], tuple[str, ...], str]] = {
    "task budget": ("bedrock", {"output_config": {"task_budget": BUDGET}}, (), "output_config.task_budget: Extra inputs are not permitted on Amazon Bedrock"),
    "cache control": ("vertex", {"cache_control": {"type": "ephemeral"}}, (), "cache_control: Extra inputs are not permitted on Google Vertex AI"),
    "beta": ("vertex", {}, ("oauth-2025-04-20",), "anthropic-beta: Unexpected value.s. `oauth-2025-04-20` for the `anthropic-beta` header on Google Vertex AI"),
    "speed": ("anthropic_on_aws", {"speed": "fast"}, (), "speed: Extra inputs are not permitted on Claude Platform on AWS"),
}  # fmt: skip


@pytest.mark.parametrize("what", STRICT)
@pytest.mark.parametrize(("mode", "chosen"), [("strict", None), ("observe", "strict"), ("off", "strict"), ("adapt", "strict")])  # fmt: skip
def test_strict_refuses_also_what_could_be_taken_out_and_says_what_would(
    what: str, mode: Mode, chosen: PlatformMode | None
) -> None:
    platform, fields, betas, says = STRICT[what]
    with pytest.raises(RuleRefused, match=says) as refused:
        held(platform, *betas, mode=mode, chosen=chosen, model="claude-opus-5-5", **fields)
    assert 'normaliser.platform = "adapt" mends it: removes' in str(refused.value)


def test_the_operator_may_take_out_where_models_are_strict_and_may_leave_all_to_the_platform() -> None:
    assert held("bedrock", mode="strict", chosen="adapt", speed="standard").adaptations == ("speed removed",)
    for mode in MODES:
        assert held("bedrock", mode=mode, chosen="off", messages=said(URL), cache_control={}).body is None


def test_a_tool_can_be_forced_on_bedrock_where_the_model_does_not_think() -> None:
    fields = {"model": SONNET5, "tools": [{"name": "x", "input_schema": {}}], "tool_choice": {"type": "any"}}
    for platform in BEDROCKS:
        result = held(platform, mode="observe", **fields)
        assert left(result)["thinking"] == {"type": "disabled"}
        assert left(result)["tool_choice"] == {"type": "any"}
        assert result.adaptations == ("thinking=disabled",)
        assert held(platform, mode="off", **fields, thinking={"type": "disabled"}).body is None
    assert held("vertex", mode="off", **fields).body is None


def test_an_effort_that_a_platform_lacks_for_a_model_is_lowered_there_also_where_the_tier_asks_for_it() -> (
    None
):
    profile = PlatformProfile(name="P", source="x", efforts={OPUS: ("low", "high"), SONNET: ()})
    normaliser = Normaliser(NormaliserSettings(), shipped_rules(), {"vertex": profile})

    def effort(model: str, **more: Any) -> object:
        raw = body_of(model, **more.pop("fields", {}))
        result = normaliser.normalise(asked_of("vertex", raw, headers_of(), **more), "observe", tier=None)
        assert result.body is None or result.adaptations
        return json.loads(result.body or raw).get("output_config")

    assert effort(OPUS, fields={"output_config": {"effort": "max"}}) == {"effort": "high"}
    assert effort(OPUS, fields={"output_config": {"effort": "medium"}}) == {"effort": "low"}
    assert effort(OPUS, set_effort="xhigh") == {"effort": "high"}
    assert effort(SONNET, fields={"output_config": {"effort": "low"}}) is None


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("mode", ["adapt", "strict"])
def test_a_plain_request_to_a_tier_with_an_effort_or_adaptive_thinking_goes_to_every_platform(
    platform: str, mode: Mode
) -> None:
    for decided in (
        {"set_effort": "xhigh"},
        {"set_adaptive": True},
        {"set_effort": "low", "set_adaptive": True},
    ):
        asked = asked_of(platform, body_of(OPUS), headers_of(OLD), **decided)
        assert NORMALISER.normalise(asked, mode, tier="escalation").adaptations == ()


def test_structured_output_passes_for_the_models_that_have_it_there() -> None:
    for model in (SONNET, HAIKU):
        assert held("bedrock", mode="off", model=model, output_config={"format": FORMAT}).body is None


@pytest.mark.parametrize("mode", [*MODES, "strict"])
def test_an_operation_that_the_platform_does_not_have_is_not_found(mode: Mode) -> None:
    profile = PlatformProfile(name="P", source="x", endpoints=("messages",))
    normaliser = Normaliser(NormaliserSettings(), shipped_rules(), {"vertex": profile})
    asked = asked_of("vertex", body_of(OPUS), headers_of(), endpoint="count_tokens")
    with pytest.raises(NotFound, match=r"count_tokens: P has no such operation .*use another platform"):
        normaliser.normalise(asked, mode, tier=None)
    normaliser.normalise(msgspec.structs.replace(asked, endpoint="messages"), mode, tier=None)
    for platform in (*BEDROCKS, "vertex", "foundry", "anthropic_on_aws"):
        NORMALISER.normalise(msgspec.structs.replace(asked, platform=platform), mode, tier=None)


def test_what_is_left_after_taking_out_is_what_strict_lets_pass() -> None:
    everything = {
        **REMOVED,
        "output_config": {"task_budget": BUDGET, "effort": "low"},
        "anthropic_beta": ["a-1", "compact-2026-01-12"],
        "tool_choice": {"type": "any"},
    }
    for platform in (*GATED, "foundry", "anthropic_on_aws"):
        given = (
            {**everything, "mcp_servers": None} if platform in ("foundry", "anthropic_on_aws") else everything
        )
        first = held(platform, "b-2", "context-1m-2025-08-07", mode="off", model=SONNET5, **given)
        assert first.body is not None
        assert first.headers is not None
        again = asked_of(platform, first.body, first.headers)
        strict = Normaliser(NormaliserSettings(platform="strict"), shipped_rules(), CATALOGUE.platforms)
        assert strict.normalise(again, "off", tier=None) == Normalised()


def test_more_changes_than_a_header_has_room_for_are_counted() -> None:
    result = held("vertex", *(f"beta-{number}" for number in range(40)), mode="off")
    assert len(result.adaptations) == 24
    assert result.adaptations[-1] == "and 17 more changes"
    assert betas_sent(result) == []


def test_what_cannot_be_read_is_left_to_the_platform() -> None:
    for fields in (
        {"tools": "x"},
        {"tools": [3]},
        {"output_config": "x"},
        {"anthropic_beta": 3},
        {"container": {}},
    ):
        raw = body_of(OPUS).replace(b'"max_tokens"', json.dumps(fields).encode()[1:-1] + b',"max_tokens"')
        if b'"output_config": "x"' in raw:
            continue  # the body itself is refused
        NORMALISER.normalise(asked_of("bedrock", raw, headers_of()), "off", tier=None)


def test_every_rule_about_platforms_is_about_a_shipped_one_and_every_check_and_fix_is_some_rules() -> None:
    rules = [rule for rule in NORMALISER.rules if rule.about_platforms]
    assert {rule.check for rule in rules} == set(PLATFORM_CHECKS)
    assert {rule.adapt for rule in rules} - {None} == set(PLATFORM_FIXES)
    assert {rule.profile for rule in rules} - {None} <= set(PlatformProfile.__struct_fields__)
    assert all(rule.kind == "refused" for rule in rules)


def test_every_field_of_a_profile_that_says_what_is_not_taken_has_a_rule() -> None:
    ruled = {rule.profile for rule in NORMALISER.rules}
    told = {"name", "applied", "rate_limit_headers", "regional_premium", "unverified", "source"}
    assert set(msgspec.structs.asdict(PlatformProfile(name="", source=""))) - told == ruled - {None}
