"""Effort on every platform, for every model and level: passes, is refused, or is said to have become another.

The table is written by hand from the vendor's page on effort (2026-11), not made from the catalogue.
"""

import json

import pytest
from normaliser_drive import CATALOGUE, NEW, NORMALISER, OLD, headers_of

from trimtab.catalogue import EFFORTS, Model
from trimtab.errors import RuleRefused
from trimtab.messages import MessagesBody
from trimtab.normaliser import Asked, Mode, Normalised

PLATFORMS = ("anthropic", "anthropic_on_aws", "bedrock", "bedrock_mantle", "vertex", "foundry")

# xhigh on Mythos Preview is disputed; the catalogue has it, marked as unverified. What becomes of low, medium, high, xhigh and max in mode adapt; "-": removed.
ALL_FIVE = "low medium high xhigh max"
NO_XHIGH = "low medium high high max"
TO_HIGH = "low medium high high high"
NONE = "- - - - -"
BECOMES = {
    "claude-opus-4-6": NO_XHIGH,
    "claude-sonnet-4-6": NO_XHIGH,
    "claude-opus-4-5-20251101": TO_HIGH,
    "claude-sonnet-4-5-20250929": NONE,
    "claude-haiku-4-5-20251001": NONE,
    "claude-3-5-sonnet-20241022": NONE,
    "claude-3-5-haiku-20241022": NONE,
}

NOT_SERVED = {("bedrock_mantle", model) for model in BECOMES if model != "claude-haiku-4-5-20251001"} | {
    ("foundry", "claude-3-5-sonnet-20241022"),
    ("foundry", "claude-3-5-haiku-20241022"),
    ("foundry", "claude-mythos-preview"),
}


def asked_with(platform: str, model: Model, effort: str, mode: Mode) -> Normalised:
    raw = json.dumps(
        {"model": model.id, "max_tokens": 8000, "output_config": {"effort": effort}, "messages": [{"role": "user", "content": "hi"}]}
    ).encode()  # fmt: skip
    asked = Asked(
        body=MessagesBody(raw, max_tokens_required=False), headers=headers_of(), model=model, send_model=model.id,
        version=OLD, versions=(OLD, NEW), platform=platform,
    )  # fmt: skip
    return NORMALISER.normalise(asked, mode, tier=None if mode == "observe" else "default")


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("model", CATALOGUE.models, ids=lambda model: model.id)
def test_effort_passes_is_refused_or_is_said_to_have_become_another(platform: str, model: Model) -> None:
    assert (model.platform_id(platform) is None) is ((platform, model.id) in NOT_SERVED)
    becomes = BECOMES.get(model.id, ALL_FIVE).split()
    for effort, expected in zip(EFFORTS, becomes, strict=True):
        adapted = asked_with(platform, model, effort, "adapt")
        told = [text for text in adapted.adaptations if text.startswith("output_config.effort")]
        sent = json.loads(adapted.body) if adapted.body else {"output_config": {"effort": effort}}
        if expected == effort:
            assert sent["output_config"] == {"effort": effort}
            assert told == []
            asked_with(platform, model, effort, "strict")
        else:
            kept = None if expected == "-" else {"effort": expected}
            assert sent.get("output_config") == kept
            change = " removed" if expected == "-" else f"={expected}"
            assert told == [f"output_config.effort{change}"]
            with pytest.raises(RuleRefused, match="does not support"):
                asked_with(platform, model, effort, "strict")
        assert asked_with(platform, model, effort, "observe").body is None, "a pinned effort is the caller's"


@pytest.mark.parametrize("platform", PLATFORMS)
def test_an_effort_that_is_no_level_is_left_to_the_platform_to_refuse(platform: str) -> None:
    """It is not dropped: the caller hears of its mistake."""
    for model in CATALOGUE.models:
        if model.effort_levels:
            for mode in ("adapt", "strict", "observe"):
                result = asked_with(platform, model, "huge", mode)  # type: ignore[arg-type]
                assert result.body is None or json.loads(result.body)["output_config"] == {"effort": "huge"}
