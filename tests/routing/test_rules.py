"""The operator's rules of where a request may go: what they leave out is never called, and the caller hears why."""

import datetime
import re

import pytest

from trimtab.catalogue import Arm, Catalogue, TierPlaces, Tiers
from trimtab.errors import ConfigError, NotFound, PermissionDenied
from trimtab.routing import Candidate, Place, check_rules, check_served
from trimtab.routing.rules import ANYWHERE, next_day, permitted

TODAY = datetime.date(2026, 11, 22)


def place(
    name: str, region: str | None = None, online_from: datetime.date | None = None, account: str = ""
) -> Place:
    return Place(name, "anthropic", {}, account, data_region=region, online_from=online_from)


def candidates(*places: Place) -> tuple[Candidate, ...]:
    return tuple(Candidate(one, "m") for one in places)


def names(candidates: tuple[Candidate, ...]) -> list[str]:
    return [one.place.key for one in candidates]


def test_without_a_rule_everything_stays_as_it_is() -> None:
    all_of_them = candidates(place("a"), place("b", "eu"))
    left = permitted(all_of_them, "m", ANYWHERE, None, TODAY)
    assert left.candidates == all_of_them
    assert left.left_out is None


def test_data_stays_in_the_regions_that_are_named_and_who_declares_none_is_left_out() -> None:
    left = permitted(
        candidates(place("a"), place("b", "eu"), place("c", "us"), place("d", "ch")),
        "m",
        ANYWHERE,
        ("eu", "ch"),
        TODAY,
    )
    assert names(left.candidates) == ["b", "d"]
    assert left.left_out == "left out: a declares no data region; the data region of c is us"


def test_the_regions_of_a_tier_hold_beside_those_of_all_requests() -> None:
    tier = TierPlaces(data_regions=("eu",))
    left = permitted(candidates(place("b", "eu"), place("d", "ch")), "m", tier, ("eu", "ch"), TODAY)
    assert names(left.candidates) == ["b"]


def test_a_request_whose_data_may_go_nowhere_is_refused_with_the_rule_and_what_to_do() -> None:
    with pytest.raises(
        PermissionDenied,
        match=re.escape(
            "model: 'm' may be served by no platform here: data may go to eu only, and the data region of c is us; "
            "b declares no data region; ask the operator, or name another model"
        ),
    ):
        permitted(candidates(place("c", "us"), place("b")), "m", ANYWHERE, ("eu",), TODAY)


def test_a_place_is_called_from_its_first_day_on() -> None:
    both = candidates(place("a", online_from=datetime.date(2026, 12, 1)), place("b", online_from=TODAY))
    left = permitted(both, "m", ANYWHERE, None, TODAY)
    assert names(left.candidates) == ["b"]
    assert left.left_out == "left out: a is online from 2026-12-01"
    assert permitted(both, "m", ANYWHERE, None, datetime.date(2026, 12, 1)).candidates == both
    with pytest.raises(
        NotFound, match="'m' is not served here yet: a is online from 2026-12-01; name another"
    ):
        permitted(both[:1], "m", ANYWHERE, None, TODAY)


def test_a_decision_holds_until_the_next_place_comes_online() -> None:
    days = [datetime.date(2026, 12, 24), datetime.date(2026, 12, 1), TODAY]
    places = [place(str(at), online_from=day) for at, day in enumerate(days)]
    assert next_day([*places, place("x")], TODAY) == datetime.date(2026, 12, 1)
    assert next_day(places, datetime.date(2026, 12, 24)) is None


def test_a_tier_goes_to_its_platforms_in_its_order_with_all_keys_of_each() -> None:
    three = candidates(place("a", account="1"), place("a", account="2"), place("b"), place("c"))
    left = permitted(three, "m", TierPlaces(platforms=("b", "a")), None, TODAY)
    assert names(left.candidates) == ["b", "a#1", "a#2"]
    with pytest.raises(
        PermissionDenied, match="'m' of this tier is served by z only, and this request may use a, b, c"
    ):
        permitted(three, "m", TierPlaces(platforms=("z",)), None, TODAY)


def tiers(**places: TierPlaces) -> Tiers:
    arm = Arm("claude-opus-4-7")
    return Tiers(arm, arm, arm, Arm("claude-haiku-4-5"), places)


@pytest.mark.parametrize(
    ("places", "regions", "says"),
    [
        (
            TierPlaces(platforms=("bedrok",)),
            None,
            "tiers.escalation.platforms: 'bedrok': no such platform entry; there are claude, aws-eu, aws-us",
        ),
        (
            TierPlaces(data_regions=("mars",)),
            None,
            "tiers.escalation.data_regions: 'mars': no platform entry declares this data_region; those declared are "
            "eu, us",
        ),
        (
            TierPlaces(platforms=("aws-eu",), data_regions=("us",)),
            None,
            "tiers.escalation.data_regions: 'us': no platform entry declares this data_region; those declared are eu",
        ),
        (
            TierPlaces(data_regions=("us",)),
            ("eu",),
            "tiers.escalation.data_regions: 'us': choosing.data_regions permits eu only; both must hold",
        ),
        (
            TierPlaces(platforms=("claude", "aws-us")),
            ("eu",),
            "tiers.escalation.platforms: none of claude, aws-us declares a data_region of eu",
        ),
        (
            ANYWHERE,
            ("moon",),
            "choosing.data_regions: 'moon': no platform entry declares this data_region; those declared are eu, us",
        ),
    ],
)
def test_a_rule_that_names_what_is_not_there_is_one_clear_line(
    places: TierPlaces, regions: tuple[str, ...] | None, says: str
) -> None:
    declared = {"claude": None, "aws-eu": "eu", "aws-us": "us"}
    with pytest.raises(ConfigError) as refused:
        check_rules(tiers(escalation=places), regions, declared, str)
    assert str(refused.value) == says


def test_rules_that_can_be_kept_are_taken() -> None:
    declared = {"claude": None, "aws-eu": "eu", "aws-us": "us"}
    check_rules(tiers(), None, declared, str)
    check_rules(tiers(fast=TierPlaces(("aws-us", "aws-eu"), ("eu",))), ("eu", "us"), declared, str)


def test_a_platform_of_a_tier_must_serve_its_model() -> None:
    catalogue = Catalogue.load()
    served = {"claude": {"claude-opus-4-7": "x"}, "local": {"llama": "llama"}}
    check_served(tiers(escalation=TierPlaces(platforms=("claude",))), catalogue, served, str)
    with pytest.raises(ConfigError) as refused:
        check_served(tiers(escalation=TierPlaces(platforms=("claude", "local"))), catalogue, served, str)
    assert str(refused.value) == (
        "tiers.escalation.platforms: 'local': does not serve claude-opus-4-7, which is tier escalation; those that do: "
        "claude"
    )
