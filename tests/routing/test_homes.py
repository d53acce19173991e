"""Where conversations are at home: kept for a while, bounded, and each model by itself."""

from trimtab.routing.homes import Home, Homes


def test_a_home_ends_with_its_time_and_each_request_makes_that_longer() -> None:
    homes = Homes()
    homes.settle("c", "m", Home("claude", 300.0, away=False))
    home = homes.of("c", "m", 299.0)
    assert home is not None
    assert homes.of("c", "other model", 299.0) is None
    homes.stay("c", "m", home, 599.0)
    assert homes.of("c", "m", 598.0) is home
    assert homes.of("c", "m", 599.0) is None


def test_the_time_away_from_its_own_place_is_not_made_longer() -> None:
    homes = Homes()
    homes.settle("c", "m", Home("bedrock", 300.0, away=True))
    home = homes.of("c", "m", 299.0)
    assert home is not None
    homes.stay("c", "m", home, 599.0)
    assert homes.of("c", "m", 300.0) is None


def test_of_too_many_conversations_the_one_not_heard_of_for_longest_is_forgotten() -> None:
    homes = Homes(limit=3)
    for name in "abc":
        homes.settle(name, "m", Home("claude", 9.0, away=False))
    first = homes.of("a", "m", 0.0)
    assert first is not None
    homes.stay("a", "m", first, 9.0)
    homes.settle("d", "m", Home("claude", 9.0, away=False))
    assert len(homes) == 3
    assert homes.of("b", "m", 0.0) is None
    assert homes.of("a", "m", 0.0) is not None
