"""Which platform and which id: the parts of a decision that the pipeline's tests do not reach."""

import pytest

from trimtab.catalogue import Catalogue, TierSettings, resolve_tiers
from trimtab.errors import NotFound
from trimtab.routing import Ask, Place, TierRouter

CATALOGUE = Catalogue.load()


def router(*places: tuple[str, str]) -> TierRouter:
    tiers = resolve_tiers(TierSettings(), CATALOGUE, str)
    return TierRouter(CATALOGUE, tiers, tuple(Place(name, platform) for name, platform in places))


def test_the_first_entry_that_serves_the_model_gets_it() -> None:
    both = router(("aws", "bedrock"), ("claude", "anthropic"))
    decision = both.decide(Ask(model="claude-opus-4-6"))
    assert (decision.plan.platform, decision.send_model) == ("aws", "anthropic.claude-opus-4-6-v1")
    # Haiku 3.5 is not on Foundry: the next entry serves it.
    decision = router(("azure", "foundry"), ("claude", "anthropic")).decide(
        Ask(model="claude-3-5-haiku-20241022")
    )
    assert decision.plan.platform == "claude"


def test_an_alias_keeps_its_bytes_where_the_platform_knows_it() -> None:
    decision = router(("claude", "anthropic")).decide(Ask(model="claude-opus-4-5"))
    assert decision.send_model == "claude-opus-4-5"
    assert decision.plan.arm.model == "claude-opus-4-5-20251101"


def test_a_model_that_no_entry_serves_is_named_with_the_entries() -> None:
    with pytest.raises(NotFound, match=r"'claude-3-5-haiku-20241022' is not served .*\(azure\)"):
        router(("azure", "foundry")).decide(Ask(model="claude-3-5-haiku-20241022"))


def test_decisions_are_pure_and_say_why() -> None:
    r = router(("claude", "anthropic"))
    ask = Ask(model="trimtab/escalation", wanted_effort="xhigh")
    assert r.decide(ask) == r.decide(ask)
    plan = r.decide(ask).plan
    assert plan.reasons == (
        "the request names tier escalation",
        "effort xhigh from the x-trimtab-effort header",
    )
    assert (str(plan.arm), plan.propensity) == ("claude-opus-4-7@xhigh", 1.0)
    assert r.decide(Ask(model="trimtab/auto")).plan.reasons == ("trimtab/auto is the default tier",)
