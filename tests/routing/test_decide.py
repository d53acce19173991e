"""Which platform and which id: the parts of a decision that the pipeline's tests do not reach."""

import datetime

import msgspec
import pytest

from trimtab.catalogue import Catalogue, NanoUSD, TierSettings, resolve_tiers
from trimtab.catalogue.tiers import TierBinding
from trimtab.errors import NotFound, PermissionDenied, RequestError
from trimtab.routing import Ask, Decision, Place, TierRouter

CATALOGUE = Catalogue.load()


def place(name: str, platform: str) -> Place:
    ids = {
        model.id: known for model in CATALOGUE.models if (known := model.platform_id(platform)) is not None
    }
    return Place(name, platform, ids)


def router(*places: tuple[str, str]) -> TierRouter:
    tiers = resolve_tiers(TierSettings(), CATALOGUE, str)
    return TierRouter(CATALOGUE, tiers, tuple(place(*names) for names in places))


def test_the_first_entry_that_serves_the_model_gets_it() -> None:
    both = router(("aws", "bedrock"), ("claude", "anthropic"))
    decision = both.decide(Ask(model="claude-opus-4-6"))
    assert (decision.plan.platform, decision.candidates[0].send_model) == (
        "aws",
        "anthropic.claude-opus-4-6-v1",
    )
    # Haiku 3.5 is not on Foundry: the next entry serves it.
    decision = router(("azure", "foundry"), ("claude", "anthropic")).decide(
        Ask(model="claude-3-5-haiku-20241022")
    )
    assert decision.plan.platform == "claude"


def test_an_alias_keeps_its_bytes_where_the_platform_knows_it() -> None:
    decision = router(("claude", "anthropic")).decide(Ask(model="claude-opus-4-5"))
    assert decision.candidates[0].send_model == "claude-opus-4-5"
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


def test_a_key_may_use_the_models_that_it_is_permitted_by_name_alias_or_tier() -> None:
    r = router(("claude", "anthropic"))
    models = ("claude-opus-4-5-20251101", "claude-sonnet-4-6")
    assert r.decide(Ask(model="claude-opus-4-5", models=models)).plan.arm.model == models[0]
    assert r.decide(Ask(model="trimtab/auto", models=models)).plan.arm.model == models[1]
    with pytest.raises(
        PermissionDenied, match=r"'claude-haiku-4-5-20251001', which .* may use claude-opus-4-5"
    ):
        r.decide(Ask(model="claude-haiku-4-5", models=models))
    with pytest.raises(
        PermissionDenied, match=r"tier escalation is 'claude-opus-4-7', which this key may not use"
    ):
        r.decide(Ask(model="trimtab/escalation", models=models))
    with pytest.raises(PermissionDenied, match="may use none"):
        r.decide(Ask(model="claude-haiku-4-5", models=()))


def test_a_key_may_name_the_tiers_that_it_is_permitted_and_auto_counts_as_what_it_means() -> None:
    r = router(("claude", "anthropic"))
    assert r.decide(Ask(model="trimtab/fast", tiers=("fast",))).plan.tier == "fast"
    with pytest.raises(PermissionDenied, match=r"'trimtab/control' is tier control, .* may name fast$"):
        r.decide(Ask(model="trimtab/control", tiers=("fast",)))
    with pytest.raises(PermissionDenied, match=r"'trimtab/auto' is tier default, .* may name fast$"):
        r.decide(Ask(model="trimtab/auto", tiers=("fast",)))
    auto = r.decide(Ask(model="trimtab/auto", tiers=("fast",), default_tier="fast")).plan
    assert (auto.tier, auto.reasons[0]) == ("fast", "trimtab/auto is the default tier of this key, fast")
    assert r.decide(Ask(model="claude-opus-4-7", tiers=("fast",))).plan.tier is None, "a pin names no tier"


def test_a_key_reaches_only_the_platform_entries_that_it_is_permitted() -> None:
    both = router(("aws", "bedrock"), ("claude", "anthropic"))
    assert both.decide(Ask(model="claude-opus-4-6", platforms=("claude",))).plan.platform == "claude"
    with pytest.raises(PermissionDenied, match=r"no platform that this key may use \(azure\)"):
        both.decide(Ask(model="claude-opus-4-6", platforms=("azure",)))


def test_a_request_narrows_itself_to_the_entries_that_it_names_in_its_own_order() -> None:
    three = router(("aws", "bedrock"), ("claude", "anthropic"), ("azure", "foundry"))
    ask = Ask(model="claude-opus-4-6", wanted_platforms=("claude",))
    plan = three.decide(ask).plan
    assert (plan.platform, plan.reasons[1]) == (
        "claude",
        "platform claude, from the x-trimtab-platform header",
    )
    plan = three.decide(Ask(model="claude-opus-4-6", wanted_platforms=("azure", "aws"))).plan
    assert plan.platform == "azure"
    assert "one of platforms azure, aws, from the x-trimtab-platform header" in plan.reasons
    # Haiku 3.5 is not on Foundry: the next one that the request names serves it.
    haiku = Ask(model="claude-3-5-haiku-20241022", wanted_platforms=("azure", "claude"))
    assert three.decide(haiku).plan.platform == "claude"
    assert three.decide(Ask(model="claude-opus-4-6")).plan.platform == "aws", "others are decided as before"


@pytest.mark.parametrize(
    ("ask", "error", "says"),
    [
        (
            Ask(model="claude-opus-4-6", wanted_platforms=("claude", "bedrok")),
            RequestError,
            "x-trimtab-platform: 'bedrok' is not a configured platform; there are aws, claude, azure",
        ),
        (
            Ask(model="claude-opus-4-6", wanted_platforms=("bedrok",), platforms=("azure", "claude")),
            RequestError,
            "x-trimtab-platform: 'bedrok' is not a configured platform; there are claude, azure",
        ),
        (
            Ask(model="claude-opus-4-6", wanted_platforms=("claude", "aws"), platforms=("azure", "claude")),
            PermissionDenied,
            "x-trimtab-platform: 'aws': this key may not use this platform; it may use claude, azure",
        ),
        (
            Ask(model="claude-opus-4-6", wanted_platforms=("claude",), platforms=()),
            PermissionDenied,
            "x-trimtab-platform: 'claude': this key may not use this platform; it may use none",
        ),
        (
            Ask(model="claude-3-5-haiku-20241022", wanted_platforms=("azure",)),
            NotFound,
            "x-trimtab-platform: 'claude-3-5-haiku-20241022' is not served by azure; platforms that serve it: aws, claude",
        ),
        (
            Ask(
                model="claude-3-5-haiku-20241022", wanted_platforms=("azure",), platforms=("azure", "claude")
            ),
            NotFound,
            "x-trimtab-platform: 'claude-3-5-haiku-20241022' is not served by azure; platforms that serve it: claude",
        ),
    ],
)
def test_an_entry_that_cannot_serve_is_one_clear_refusal_and_never_widens_what_the_key_permits(
    ask: Ask, error: type[RequestError], says: str
) -> None:
    three = router(("aws", "bedrock"), ("claude", "anthropic"), ("azure", "foundry"))
    with pytest.raises(RequestError) as refused:
        three.decide(ask)
    assert (type(refused.value), str(refused.value)) == (error, says)


def test_a_decision_changes_on_the_day_on_which_a_place_comes_online() -> None:
    day = datetime.date(2026, 11, 30)
    later = msgspec.structs.replace(place("aws", "bedrock"), online_from=datetime.date(2026, 12, 1))
    tiers = resolve_tiers(TierSettings(), CATALOGUE, str)
    r = TierRouter(CATALOGUE, tiers, (later, place("claude", "anthropic")), None, lambda: day)
    ask = Ask(model="claude-opus-4-6")
    assert r.decide(ask).plan.platform == "claude"
    assert "left out: aws is online from 2026-12-01" in r.decide(ask).plan.reasons
    day = datetime.date(2026, 12, 1)
    assert r.decide(ask).plan.platform == "aws"
    assert r.decide(ask).plan.reasons == ("the request pins this model",)


def test_a_tier_goes_to_its_platforms_and_the_callers_order_wins_over_the_tiers() -> None:
    bound = TierBinding("claude-opus-4-6", ("azure", "aws"))
    tiers = resolve_tiers(TierSettings(escalation=bound), CATALOGUE, str)
    places = tuple(place(*one) for one in (("claude", "anthropic"), ("aws", "bedrock"), ("azure", "foundry")))
    r = TierRouter(CATALOGUE, tiers, places)

    def entries(decision: Decision) -> list[str]:
        return [one.place.name for one in decision.candidates]

    decision = r.decide(Ask(model="trimtab/escalation"))
    assert (entries(decision), decision.plan.platform) == (["azure", "aws"], "azure")
    assert not decision.in_order, "a preference may change it"
    named = r.decide(Ask(model="trimtab/escalation", wanted_platforms=("claude", "aws", "azure")))
    assert entries(named) == ["aws", "azure"]
    assert named.in_order
    assert entries(r.decide(Ask(model="claude-opus-4-6"))) == ["claude", "aws", "azure"]
    with pytest.raises(PermissionDenied, match="of this tier is served by azure, aws only"):
        r.decide(Ask(model="trimtab/escalation", platforms=("claude",)))


def test_data_that_must_stay_in_a_region_stays_there_with_one_place_too() -> None:
    tiers = resolve_tiers(TierSettings(), CATALOGUE, str)
    r = TierRouter(CATALOGUE, tiers, (place("claude", "anthropic"),), ("eu",))
    with pytest.raises(PermissionDenied, match="data may go to eu only, and claude declares no data region"):
        r.decide(Ask(model="claude-opus-4-6"))


def test_an_unknown_model_is_unknown_whatever_the_key_may_use() -> None:
    with pytest.raises(NotFound):
        router(("claude", "anthropic")).decide(Ask(model="claude-opus-99", models=("claude-opus-4-7",)))


class Known:
    """What requests cost before, as far as it is known."""

    def __init__(self) -> None:
        self.changes = 0
        self.asked: list[tuple[str, str | None, str, bool]] = []

    def cost(self, model: str, effort: str | None, task_class: str, simulated: bool) -> NanoUSD | None:
        self.asked.append((model, effort, task_class, simulated))
        return NanoUSD(12_000_000) if self.changes and effort == "high" else None


def test_a_plan_says_what_such_requests_cost_before_once_that_is_known() -> None:
    known = Known()
    at = msgspec.structs.replace(place("claude", "anthropic"), simulated=True)
    r = TierRouter(CATALOGUE, resolve_tiers(TierSettings(), CATALOGUE, str), (at,), costs=known)
    ask = Ask(model="trimtab/escalation", scenario="coding")
    assert r.decide(ask).plan.expected_cost_nanousd is None
    assert r.decide(ask) is r.decide(ask)
    assert known.asked == [("claude-opus-4-7", "high", "coding", True)]
    known.changes += 1
    assert r.decide(ask).plan.expected_cost_nanousd == 12_000_000
    assert r.decide(Ask(model="trimtab/default")).plan.expected_cost_nanousd is None
    counting = Ask(model="trimtab/escalation", scenario="coding", accepts_effort=False)
    assert r.decide(counting).plan.expected_cost_nanousd is None
