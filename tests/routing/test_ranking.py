"""The order of places from what is known of them, and the words for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.routing import Candidate, ChoosingSettings, Pace, Place
from trimtab.routing.ranking import Facts, rank

A_DOLLAR = 10**9


def facts(name: str, price: float = 1.0, account: str = "", weight: float = 1.0, **known: object) -> Facts:
    place = Place(name, "anthropic", {}, account=account, weight=weight)
    return Facts(Candidate(place, "m"), int(price * A_DOLLAR), **known)  # type: ignore[arg-type]


def groups(ranked: object) -> list[list[str]]:
    found: dict[int, list[str]] = {}
    for one in ranked:  # type: ignore[attr-defined]
        found.setdefault(one.group, []).append(one.facts.key)
    return list(found.values())


def whys(ranked: object) -> list[str]:
    return [one.why for one in ranked]  # type: ignore[attr-defined]


ORDER = ChoosingSettings()
COST = ChoosingSettings(prefer="cost")
SPEED = ChoosingSettings(prefer="speed")
BALANCED = ChoosingSettings(prefer="balanced")


def test_in_order_means_as_configured_whatever_is_known_and_keys_of_a_pool_are_equal() -> None:
    ranked = rank([facts("b", 9.0, room=0.0), facts("a", 1.0, "1"), facts("c"), facts("a", 1.0, "2")], ORDER)
    assert groups(ranked) == [["b"], ["a#1", "a#2"], ["c"]]
    assert whys(ranked)[:2] == ["first in order", "number 2 in order, one of 2 keys"]


def test_the_cheapest_is_first_and_says_by_how_much() -> None:
    ranked = rank([facts("claude", 1.1), facts("bedrock", 1.0), facts("vertex", 2.0)], COST)
    assert groups(ranked) == [["bedrock"], ["claude"], ["vertex"]]
    assert whys(ranked) == ["the cheapest, claude takes 10% more", "number 2 by cost", "number 3 by cost"]


def test_places_within_five_percent_of_the_best_are_equal_and_a_chain_of_small_steps_is_not_one_group() -> (
    None
):
    ranked = rank([facts("a", 1.0), facts("b", 1.04), facts("c", 1.08), facts("d", 1.12)], COST)
    assert groups(ranked) == [["a", "b"], ["c", "d"]]
    assert whys(ranked)[0] == "as good as b within 5 % by cost, so conversations are shared out"


def test_an_under_used_commitment_makes_a_dearer_place_the_first_and_says_so() -> None:
    under = Pace("under", 0.5, 0.3, 0.6, 0.6)
    ranked = rank([facts("claude", 1.0), facts("bedrock", 1.1, pace=under)], COST)
    assert groups(ranked) == [["bedrock"], ["claude"]]
    assert whys(ranked)[0].endswith("; 60% of its commitment would be used, so 60% of its price counts")
    kept = Pace("on", 0.5, 0.5, 1.0, 1.0)
    assert groups(rank([facts("claude", 1.0), facts("bedrock", 1.1, pace=kept)], COST))[0] == ["claude"]


def test_where_the_price_does_not_count_nothing_is_said_of_a_commitment() -> None:
    under = Pace("under", 0.5, 0.3, 0.6, 0.6)
    for settings in (SPEED, ChoosingSettings(prefer="balanced", cost=0.0)):
        ranked = rank([facts("claude", 1.0), facts("bedrock", 1.1, pace=under)], settings)
        assert not any("commitment" in why for why in whys(ranked))


def test_speed_counts_the_wait_and_the_whole_of_a_usual_answer() -> None:
    quick_start = facts("a", first_content_ms=300.0, tokens_per_s=40.0, measured=50.0)
    quick_end = facts("b", first_content_ms=900.0, tokens_per_s=80.0, measured=50.0)
    assert groups(rank([quick_start, quick_end], SPEED)) == [["b"], ["a"]]
    assert whys(rank([quick_start, quick_end], SPEED))[0].startswith("the fastest, a takes 8")


def test_two_slow_calls_condemn_nobody_and_fifty_do() -> None:
    others = [
        facts("a", first_content_ms=500.0, tokens_per_s=60.0, measured=100.0),
        facts("b", first_content_ms=500.0, tokens_per_s=60.0, measured=100.0),
    ]
    two = facts("c", first_content_ms=550.0, tokens_per_s=52.0, measured=1.0)
    assert groups(rank([*others, two], SPEED)) == [["a", "b", "c"]]
    fifty = facts("c", first_content_ms=550.0, tokens_per_s=52.0, measured=50.0)
    assert groups(rank([*others, fifty], SPEED)) == [["a", "b"], ["c"]]
    assert groups(rank([*others, facts("c")], SPEED)) == [["a", "b", "c"]], "not measured: as the mean"
    assert groups(rank([facts("a"), facts("b")], SPEED)) == [["a", "b"]]


def test_a_balance_weighs_money_speed_and_room_by_what_the_operator_says() -> None:
    cheap_slow = facts("a", 1.0, first_content_ms=2000.0, tokens_per_s=30.0, measured=50.0, room=0.9)
    dear_quick = facts("b", 1.3, first_content_ms=500.0, tokens_per_s=60.0, measured=50.0, room=0.9)
    assert groups(rank([cheap_slow, dear_quick], BALANCED))[0] == ["b"]
    for_money = ChoosingSettings(prefer="balanced", cost=5.0)
    assert groups(rank([cheap_slow, dear_quick], for_money))[0] == ["a"]
    for_room = ChoosingSettings(prefer="balanced", cost=0.0, latency=0.0, throughput=0.0, room=1.0)
    ranked = rank([facts("a", room=0.5), facts("b", room=0.9), facts("untold")], for_room)
    assert groups(ranked) == [["b"], ["untold"], ["a"]], "a platform that does not say is taken for the mean"
    assert whys(ranked)[0] == "the best by cost, speed and room, 0.20 before untold"


@pytest.mark.parametrize("settings", [COST, SPEED, BALANCED])
def test_a_place_whose_rate_limit_is_nearly_used_up_comes_after_the_others(
    settings: ChoosingSettings,
) -> None:
    ranked = rank([facts("a", 1.0, room=0.03), facts("b", 1.5, room=0.5)], settings)
    assert groups(ranked) == [["b"], ["a"]]
    assert whys(ranked)[1].endswith("; 3% of its rate limit is left")
    assert groups(rank([facts("a", room=0.03), facts("b", 1.5, room=0.01)], COST)) == [["a"], ["b"]]


def test_weights_are_shares_of_one_group() -> None:
    ranked = rank([facts("a", weight=3.0), facts("b", 5.0)], ChoosingSettings(prefer="weights"))
    assert groups(ranked) == [["a", "b"]]
    assert whys(ranked) == [
        "its share is 75% of the conversations",
        "its share is 25% of the conversations",
    ]


def test_the_keys_of_a_pool_share_the_weight_of_their_entry() -> None:
    pool = [facts("a", account="1", weight=3.0), facts("a", account="2", weight=3.0), facts("b", weight=1.0)]
    ranked = rank(pool, ChoosingSettings(prefer="weights"))
    assert [one.weight for one in ranked] == [1.5, 1.5, 1.0]
    assert whys(ranked)[0] == "its share is 38% of the conversations"


known = st.builds(
    facts,
    st.sampled_from(["a", "b", "c", "d"]),
    st.floats(0, 1e4),
    st.sampled_from(["", "1", "2"]),
    st.floats(0.001, 1000),
    first_content_ms=st.one_of(st.none(), st.floats(0, 1e7)),
    tokens_per_s=st.one_of(st.none(), st.floats(0, 1e6)),
    measured=st.floats(0, 1e6),
    room=st.one_of(st.none(), st.floats(0, 1)),
    pace=st.one_of(st.none(), st.just(Pace("under", 0.5, 0.1, 0.2, 0.2))),
)


@given(
    st.lists(known, min_size=1, max_size=6, unique_by=lambda one: one.key),
    st.sampled_from([ORDER, COST, SPEED, BALANCED, ChoosingSettings(prefer="weights")]),
)
def test_every_place_is_ranked_once_whatever_was_measured(
    places: list[Facts], settings: ChoosingSettings
) -> None:
    ranked = rank(places, settings)
    assert sorted(one.facts.key for one in ranked) == sorted(one.key for one in places)
    assert [one.group for one in ranked] == sorted(one.group for one in ranked)
    assert ranked == rank(places, settings)
    assert all(one.why for one in ranked)
