"""Which place a request goes to: as preferred, told why, the same in every process, and at home while it can."""

import datetime
import random
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.catalogue import Catalogue, Model
from trimtab.routing import (
    Candidate,
    Chooser,
    ChoosingSettings,
    Commitment,
    Homes,
    Place,
    Spent,
    Standings,
)

CATALOGUE = Catalogue.load()


def known(name: str) -> Model:
    model = CATALOGUE.find(name)
    assert model is not None
    return model


OPUS, SONNET = known("claude-opus-4-7"), known("claude-sonnet-4-6")
DAY = datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC)


class World:
    """A chooser with everything that it looks at, and a clock that stands still."""

    def __init__(
        self, settings: ChoosingSettings | None = None, homes: Homes | None = None, **more: object
    ) -> None:
        self.now = 1000.0
        self.standings = Standings(lambda: self.now, lambda: self.now, lambda: 0.0)
        self.homes = Homes() if homes is None else homes
        self.chooser = Chooser(
            settings or ChoosingSettings(),
            CATALOGUE,
            self.standings,
            self.homes,
            monotonic=lambda: self.now,
            now=lambda: DAY,
            **more,  # type: ignore[arg-type]
        )

    def breaks(self, key: str, model: Model = OPUS) -> None:
        for _ in range(5):
            self.standings.ended(key, model.id, "failed", started=self.standings.began(key, model.id))

    def mended(self, key: str, model: Model = OPUS) -> None:
        self.standings.ended(key, model.id, "ok", started=self.standings.began(key, model.id))

    def measures(self, key: str, tokens_per_s: int, times: int = 20) -> None:
        for _ in range(times):
            self.standings.ended(
                key, OPUS.id, "ok", first_content_ms=500.0, output_tokens=tokens_per_s, generating_ms=1000.0
            )

    def goes(
        self, candidates: tuple[Candidate, ...], conversation: str = "c", model: Model = OPUS
    ) -> list[str]:
        return [one.place.key for one in self.chooser.choose(model, candidates, conversation).order]


def candidates(*places: Place) -> tuple[Candidate, ...]:
    return tuple(Candidate(place, "m") for place in places)


def place(name: str, platform: str = "anthropic", **more: object) -> Place:
    return Place(name, platform, {}, **more)  # type: ignore[arg-type]


BOTH = candidates(place("claude"), place("bedrock", "bedrock"))


def test_as_configured_unless_something_is_said() -> None:
    choice = World().chooser.choose(OPUS, BOTH, "c")
    assert choice.order == BOTH
    assert choice.reasons == ("claude: first in order",)


def test_a_place_that_fails_is_put_last_and_the_reasons_say_who_and_why() -> None:
    world = World()
    world.breaks("claude")
    choice = world.chooser.choose(OPUS, BOTH, "c")
    assert [one.place.key for one in choice.order] == ["bedrock", "claude"]
    assert choice.reasons == (
        "bedrock: number 2 in order",
        "claude is left out for now: 5 calls in a row failed; tried again in 5 s",
    )
    assert world.goes(BOTH, model=SONNET) == ["claude", "bedrock"], "it fails for one model only"


def test_with_no_place_left_the_first_is_tried_all_the_same() -> None:
    world = World()
    world.breaks("claude")
    world.standings.ended("bedrock", OPUS.id, "limited", retry_after_s=60)
    choice = world.chooser.choose(OPUS, BOTH, "c")
    assert choice.order == BOTH
    assert choice.reasons[0] == "claude: no other place is left"
    assert len(choice.reasons) == 3


def test_with_no_place_left_one_that_failed_is_tried_before_one_that_refused() -> None:
    world = World()
    world.standings.ended("claude", OPUS.id, "limited", retry_after_s=60)
    world.breaks("bedrock")
    assert world.goes(BOTH) == ["bedrock", "claude"]


def test_a_conversation_that_had_to_leave_comes_back_when_its_cache_there_is_gone_and_not_before() -> None:
    world = World()
    assert world.goes(BOTH)[0] == "claude"
    world.breaks("claude")
    assert world.goes(BOTH)[0] == "bedrock"
    world.now += 6
    world.mended("claude")
    assert world.goes(BOTH, "another")[0] == "claude", "new conversations go there again at once"
    for _ in range(4):
        assert world.goes(BOTH)[0] == "bedrock"
        world.now += 60
    assert "went there when it had to leave" in world.chooser.choose(OPUS, BOTH, "c").reasons[0]
    world.now += 60
    assert world.goes(BOTH)[0] == "claude"


def test_a_conversation_stays_while_it_goes_on_though_another_place_got_better() -> None:
    world = World(ChoosingSettings(prefer="speed"))
    world.measures("claude", 60)
    world.measures("bedrock", 40)
    assert world.goes(BOTH)[0] == "claude"
    world.measures("claude", 10, 200)
    world.now += 1
    assert world.goes(BOTH, "new")[0] == "bedrock"
    for _ in range(10):
        assert world.goes(BOTH)[0] == "claude"
        assert world.chooser.choose(OPUS, BOTH, "c").reasons == ("claude: this conversation is there",)
        world.now += 299
    world.now += 2
    assert world.goes(BOTH)[0] == "bedrock", "after five minutes of silence its cache is gone"


def test_conversations_go_anew_each_time_where_they_need_not_stay() -> None:
    world = World(ChoosingSettings(sticky=False))
    world.breaks("claude")
    assert world.goes(BOTH)[0] == "bedrock"
    world.now += 6
    world.mended("claude")
    assert world.goes(BOTH)[0] == "claude"
    assert len(world.homes) == 0


def test_homes_outlive_a_change_of_configuration() -> None:
    homes = Homes()
    before = World(ChoosingSettings(prefer="weights"), homes)
    went = {name: before.goes(BOTH, name)[0] for name in map(str, range(50))}
    assert set(went.values()) == {"claude", "bedrock"}
    after = World(ChoosingSettings(), homes)
    assert {name: after.goes(BOTH, name)[0] for name in went} == went


def test_a_conversation_whose_place_its_key_may_no_longer_use_goes_elsewhere() -> None:
    world = World()
    assert world.goes(BOTH)[0] == "claude"
    assert world.goes(BOTH[1:] + candidates(place("vertex", "vertex")))[0] == "bedrock"


@pytest.mark.parametrize(("first", "second"), [(1.0, 1.0), (3.0, 1.0), (0.5, 9.5)])
def test_conversations_are_shared_out_by_weight_and_every_process_agrees(first: float, second: float) -> None:
    places = candidates(place("a", weight=first), place("b", weight=second))
    settings = ChoosingSettings(prefer="weights")
    one, other = World(settings), World(settings)
    names = [f"p:{random.Random(at).getrandbits(64):x}" for at in range(4000)]
    went = [one.goes(places, name)[0] for name in names]
    assert went == [other.goes(places, name)[0] for name in names]
    assert went.count("a") / len(went) == pytest.approx(first / (first + second), abs=0.03)


def test_when_a_place_is_added_or_goes_only_its_own_conversations_move() -> None:
    settings = ChoosingSettings(prefer="weights", sticky=False)
    two = candidates(place("a"), place("b"))
    three = (*two, *candidates(place("c", weight=2.0)))
    world = World(settings)
    for name in map(str, range(500)):
        before, after = world.goes(two, name), world.goes(three, name)
        assert after[0] in ("c", before[0])
        assert [key for key in after if key != "c"] == before


def test_keys_of_a_pool_share_the_conversations_whatever_is_preferred() -> None:
    pool = candidates(place("claude", account="1"), place("claude", account="2"), place("bedrock", "bedrock"))
    world = World()
    went = [world.goes(pool, str(at)) for at in range(200)]
    firsts = [order[0] for order in went]
    assert 60 < firsts.count("claude#1") < 140
    assert set(firsts) == {"claude#1", "claude#2"}
    assert all(order[2] == "bedrock" for order in went)
    world.standings.ended("claude#1", OPUS.id, "limited", retry_after_s=30)
    assert {world.goes(pool, str(at))[0] for at in range(200)} == {"claude#2"}


def test_the_regional_premium_and_a_discount_are_in_the_price() -> None:
    world = World(ChoosingSettings(prefer="cost"))
    regional = candidates(place("eu", "bedrock", regional=True), place("global", "bedrock"))
    choice = world.chooser.choose(OPUS, regional, "c")
    assert choice.reasons == ("global: the cheapest, eu takes 10% more",)
    contract = candidates(
        place("eu", "bedrock", regional=True, discount=Decimal("0.2")), place("global", "bedrock")
    )
    assert world.goes(contract, "d")[0] == "eu"


def test_an_under_used_commitment_is_preferred_until_it_will_be_kept() -> None:
    spent = {"bedrock": Spent(0, 0)}
    world = World(
        ChoosingSettings(prefer="cost", sticky=False),
        commitments={
            "bedrock": Commitment(365 * 10**9, datetime.date(2026, 11, 22), datetime.date(2027, 11, 21))
        },
        spent=spent.get,
    )
    dear = candidates(place("claude"), place("bedrock", "bedrock", regional=True))
    assert world.goes(dear)[0] == "bedrock"
    spent["bedrock"] = Spent(0, 7 * 10**9)
    world.now += 1
    assert world.goes(dear)[0] == "claude"
    del spent["bedrock"]
    world.now += 1
    assert world.goes(dear)[0] == "claude", "what is not known has no effect"


def test_where_speed_counts_a_place_not_measured_is_tried_by_a_few_conversations() -> None:
    world = World(ChoosingSettings(prefer="speed"))
    world.measures("claude", 80)
    world.measures("bedrock", 20)
    three = (*BOTH, *candidates(place("vertex", "vertex")))
    went = [world.goes(three, f"c{at}")[0] for at in range(3200)]
    assert 60 < went.count("vertex") < 150
    assert went.count("bedrock") == 0
    tried = f"c{went.index('vertex')}"
    assert world.goes(three, tried)[0] == "vertex", "a conversation that began there stays"
    world.measures("vertex", 200)
    world.now += 1
    assert world.goes(three, "new")[0] == "vertex"


def test_a_caller_that_names_the_order_gets_it() -> None:
    world = World(ChoosingSettings(prefer="cost"))
    dear_first = candidates(place("eu", "bedrock", regional=True), place("claude"))
    assert world.goes(dear_first)[0] == "claude"
    choice = world.chooser.choose(OPUS, dear_first, "c", in_order=True)
    assert choice.order == dear_first
    assert choice.reasons == ("eu: first in order",)
    assert world.goes(dear_first)[0] == "claude", "and its conversation is at home where it was"


def test_health_is_asked_for_every_request_though_a_ranking_holds_for_a_second() -> None:
    world = World()
    assert world.goes(BOTH, "a")[0] == "claude"
    world.breaks("claude")
    assert world.goes(BOTH, "b")[0] == "bedrock"


@given(
    st.integers(1, 6),
    st.sets(st.integers(0, 5)),
    st.sampled_from(["order", "cost", "speed", "balanced", "weights"]),
    st.text(max_size=30),
    st.booleans(),
)
def test_every_candidate_is_in_the_order_once_and_those_kept_away_last(
    count: int, broken: set[int], prefer: str, conversation: str, sticky: bool
) -> None:
    world = World(ChoosingSettings(prefer=prefer, sticky=sticky))  # type: ignore[arg-type]
    places = candidates(*(place(f"p{at}") for at in range(count)))
    world.goes(places, conversation)
    for at in broken:
        world.breaks(f"p{at}")
    order = world.goes(places, conversation)
    assert sorted(order) == sorted(one.place.key for one in places)
    away = [key for key in order if world.standings.keeps_away(key, OPUS.id) is not None]
    assert order[len(order) - len(away) :] == away
    assert world.goes(places, conversation)[0] == order[0] or not sticky or conversation == ""
