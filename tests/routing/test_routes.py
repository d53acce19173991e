"""Which route takes a request, and that a pinned model stays pinned unless a route says that it takes it."""

import msgspec
import pytest
from effort_bench import EffortBench, level

from trimtab.catalogue import Arm
from trimtab.errors import NotFound, PermissionDenied
from trimtab.records import NOBODY, Caller
from trimtab.routing import Ask, RouteSettings, Wanted
from trimtab.routing.routes import RouteMatch

S46, O47, H45 = "claude-sonnet-4-6", "claude-opus-4-7", "claude-haiku-4-5-20251001"
TEAM = Caller(key="k1", team="red", user="ann")


def bench(**routes: RouteSettings) -> EffortBench:
    return EffortBench(routes=routes)


def served(b: EffortBench, model: str, caller: Caller = NOBODY, **own: str) -> tuple[str, str, str | None]:
    """The route, the model and the tier."""
    job = b.job(model, {f"x-trimtab-{name}": value for name, value in own.items()}, caller=caller)
    return job.plan.route, job.plan.arm.model, job.plan.tier


def test_a_request_that_names_a_route_gets_it_and_others_get_the_first_that_takes_them() -> None:
    b = bench(
        night=RouteSettings(match=RouteMatch(tags=("batch",)), tier="fast"),
        red=RouteSettings(match=RouteMatch(teams=("red",), users=("ann",)), model=f"{O47}@low"),
        rest=RouteSettings(match=RouteMatch(), tier="control"),
        named=RouteSettings(tier="escalation"),
        plain=RouteSettings(effort="low"),
    )
    assert served(b, "trimtab/auto", TEAM) == ("red", O47, None)
    assert served(b, "trimtab/auto", TEAM, tags="x, batch") == ("night", H45, "fast")
    assert served(b, "trimtab/auto", msgspec.structs.replace(TEAM, user="bob")) == (
        "rest",
        "claude-opus-4-6",
        "control",
    )
    assert served(b, "trimtab/named", TEAM) == ("named", O47, "escalation")
    assert served(b, "trimtab/plain", TEAM) == ("plain", S46, "default")
    assert level(b.job("trimtab/plain")) == "low"
    assert b.job("trimtab/auto", caller=TEAM).plan.reasons[0] == f"route red serves this request by {O47}"
    with pytest.raises(NotFound, match="'trimtab/nmaed' is not known here; did you mean 'trimtab/named'"):
        b.job("trimtab/nmaed")


def test_the_reason_names_what_was_asked_for_and_whether_what_is_called_stands_on_the_ladder() -> None:
    b = bench(
        r=RouteSettings(effort="low"),
        up=RouteSettings(ladder=(f"{S46}@low", f"{O47}@high"), verify=("json",)),
    )
    assert b.job("trimtab/r").plan.reasons[0] == "trimtab/r is the default tier; route r holds for it"
    ask = Ask(model="trimtab/up", route=b.router.taken(Wanted("trimtab/up", "messages", NOBODY, ())))
    for rung, said in (
        (f"{O47}@high", f"; this is its rung {O47}@high"),
        (f"{S46}@max", f"; this is its rung {S46}@max"),
        ("claude-opus-4-6", "; this is claude-opus-4-6, which is not on it"),
    ):
        asked = msgspec.structs.replace(ask, rung=Arm.parse(rung))
        assert b.router.decide(asked).plan.reasons[0].endswith(said)


def test_a_pinned_model_and_a_named_tier_stay_unless_the_route_names_them_and_the_rest_of_the_route_holds() -> (
    None
):
    by_team = RouteMatch(teams=("red",))
    b = bench(r=RouteSettings(match=by_team, model=O47, effort="low", most_effort="medium", scenario="agent"))
    for model in (S46, "trimtab/control"):
        job = b.job(model, caller=TEAM)
        assert (job.plan.route, job.plan.arm.model == O47) == ("r", False)
        assert (level(job), job.task_class) == ("low", "agent")
        assert "route r holds for it" in job.plan.reasons[0]
    assert level(b.job(S46, caller=TEAM, output_config={"effort": "max"})) == "medium"
    assert b.job(S46).plan.route == ""
    for pattern, model in ((S46, S46), ("claude-opus-4-5", "claude-opus-4-5-20251101"), ("claude-son*", S46), ("trimtab/control", "trimtab/control"), ("claude-2", "claude-2")):  # fmt: skip
        takes = bench(r=RouteSettings(match=RouteMatch(models=(pattern,)), model=O47))
        assert served(takes, model) == ("r", O47, None)
        assert served(takes, "claude-opus-4-6")[0] == ""


def test_a_request_that_a_route_moves_is_made_to_fit_as_one_to_a_tier() -> None:
    """It was written for the model that it names."""
    b = EffortBench(pinned="observe", routes={"r": RouteSettings(match=RouteMatch(models=(S46,)), model=O47)})
    assert b.job(S46, temperature=0.2).adaptations == ("temperature removed",)
    kept = EffortBench(pinned="observe", routes={"r": RouteSettings(match=RouteMatch(), model=O47)})
    assert kept.job(S46, temperature=0.2).adaptations == ()


def test_the_route_named_auto_is_what_auto_means_at_its_place_in_the_file() -> None:
    b = bench(
        red=RouteSettings(match=RouteMatch(teams=("red",)), tier="fast"),
        auto=RouteSettings(model=f"{O47}@medium"),
    )
    assert served(b, "trimtab/auto") == ("auto", O47, None)
    assert served(b, "trimtab/auto", TEAM) == ("red", H45, "fast")
    assert served(b, S46) == ("", S46, None)
    keyed = bench(auto=RouteSettings(match=RouteMatch(keys=("k1",)), model=O47))
    assert served(keyed, "trimtab/auto", TEAM) == ("auto", O47, None)
    assert served(keyed, "trimtab/auto") == ("", S46, "default")
    assert served(keyed, S46, TEAM) == ("", S46, None)


def test_a_route_never_widens_what_a_key_permits() -> None:
    b = bench(
        up=RouteSettings(match=RouteMatch(models=(S46,)), tier="escalation"),
        arm=RouteSettings(model=O47),
    )
    narrow = msgspec.structs.replace(TEAM, models=(S46, H45), tiers=("fast",))
    for model in (S46, "trimtab/up"):
        with pytest.raises(PermissionDenied, match="which this key may not"):
            b.job(model, caller=narrow)
    with pytest.raises(PermissionDenied, match="may not use"):
        b.job("trimtab/arm", caller=narrow)


def test_surfaces_are_told_apart_and_tags_that_cannot_be_kept_are_refused_as_ever() -> None:
    b = bench(r=RouteSettings(match=RouteMatch(surfaces=("chat",)), effort="low"))
    assert b.job(S46).plan.route == ""
    assert not EffortBench().router.has_routes
    assert b.router.virtual_models[-1] == "trimtab/r"
