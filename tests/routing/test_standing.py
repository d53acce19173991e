"""What a process knows of its places: who is kept away and why, and what the others are measured at."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.routing import Ending, Standings
from trimtab.routing.standing import MOST_ROWS

OPUS, SONNET = "claude-opus-4-7", "claude-sonnet-4-6"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def standings(clock: Clock) -> Standings:
    return Standings(clock, clock, lambda: 0.0)


def fail(standings: Standings, place: str, model: str, times: int = 5) -> None:
    for _ in range(times):
        standings.ended(place, model, "failed", started=standings.began(place, model))


def test_a_place_of_which_nothing_is_known_may_be_called(standings: Standings) -> None:
    assert standings.keeps_away("claude", OPUS) is None
    assert standings.speed("claude", OPUS) == (None, None, 0.0)
    assert standings.room("claude", OPUS) is None
    assert standings.snapshot() == ()


def test_a_place_that_fails_for_one_model_is_kept_away_from_for_that_model_only(standings: Standings) -> None:
    fail(standings, "claude", OPUS)
    assert standings.keeps_away("claude", OPUS) == "5 calls in a row failed; tried again in 5 s"
    assert standings.keeps_away("claude", SONNET) is None
    assert standings.keeps_away("bedrock", OPUS) is None


def test_when_its_wait_is_over_one_call_tries_it_and_its_first_content_lets_the_others_in(
    standings: Standings, clock: Clock
) -> None:
    fail(standings, "claude", OPUS)
    clock.now += 5
    trying = standings.began("claude", OPUS)
    assert standings.keeps_away("claude", OPUS) == "5 calls in a row failed; a call is trying it"
    assert standings.snapshot()[0].state == "half_open"
    standings.answers("claude", OPUS, trying)
    assert standings.keeps_away("claude", OPUS) is None
    standings.ended("claude", OPUS, "ok", started=trying)
    assert standings.snapshot()[0].state == "closed"


def test_models_that_share_a_rate_limit_are_kept_away_together_and_the_keys_of_a_pool_are_not() -> None:
    clock = Clock()
    standings = Standings(
        clock, clock, lambda: 0.0, {("claude#1", OPUS): "opus-4", ("claude#1", "claude-opus-4-6"): "opus-4"}
    )
    standings.ended("claude#1", OPUS, "limited", retry_after_s=9)
    assert standings.keeps_away("claude#1", OPUS) == "its rate limit is reached; tried again in 9 s"
    assert standings.keeps_away("claude#1", "claude-opus-4-6") is not None, (
        "never called, but it shares the limit"
    )
    assert standings.keeps_away("claude#1", SONNET) is None
    assert standings.keeps_away("claude#2", OPUS) is None
    standings.ended("claude#1", "claude-opus-4-6", "limited", retry_after_s=1)
    clock.now += 8.9
    assert standings.keeps_away("claude#1", OPUS) is not None, "the later deadline holds"
    clock.now += 0.1
    assert standings.keeps_away("claude#1", OPUS) is None


def test_a_wait_is_read_from_the_head_where_the_engine_does_not_give_it(standings: Standings) -> None:
    standings.ended("claude", OPUS, "limited", headers=[(b"retry-after", b"33")])
    assert standings.keeps_away("claude", OPUS) == "its rate limit is reached; tried again in 33 s"
    assert standings.snapshot()[0].state == "closed", "a platform that refuses answers: it is not failing"


def test_a_change_of_the_catalogue_keeps_the_deadlines_that_are_known(standings: Standings) -> None:
    standings.ended("claude", OPUS, "limited", retry_after_s=9)
    standings.use_buckets({("claude", OPUS): "opus-4", ("claude", "claude-opus-4-6"): "opus-4"})
    assert standings.snapshot()[0].bucket == "opus-4"
    assert standings.keeps_away("claude", "claude-opus-4-6") is not None
    standings.ended("claude", SONNET, "limited", retry_after_s=9, bucket="opus-4")
    assert standings.snapshot()[1].bucket == "opus-4"


def test_a_spent_account_is_kept_away_from_for_every_model_and_tried_by_one(
    standings: Standings, clock: Clock
) -> None:
    standings.ended("claude", OPUS, "spent", started=standings.began("claude", OPUS))
    assert standings.keeps_away("claude", OPUS) == "its spend limit is reached; tried again in 300 s"
    assert standings.keeps_away("claude", SONNET) is not None
    clock.now += 300
    trying = standings.began("claude", SONNET)
    assert standings.keeps_away("claude", OPUS) == "its spend limit is reached; a call is trying it"
    standings.ended("claude", SONNET, "ok", started=trying)
    assert standings.keeps_away("claude", OPUS) is None


def test_refused_credentials_keep_away_longer_than_failures(standings: Standings) -> None:
    standings.ended("claude", OPUS, "denied", started=standings.began("claude", OPUS))
    assert standings.keeps_away("claude", OPUS) == "it refused our credentials; tried again in 30 s"


def test_speed_follows_what_was_measured_lately(standings: Standings, clock: Clock) -> None:
    for _ in range(10):
        standings.ended("claude", OPUS, "ok", first_content_ms=200.0, output_tokens=100, generating_ms=1000.0)
    assert standings.speed("claude", OPUS) == (200.0, 100.0, 10.0)
    standings.ended("claude", OPUS, "ok", first_content_ms=200.0, output_tokens=300, generating_ms=0.0)
    assert standings.speed("claude", OPUS)[1] == 100.0, (
        "an answer in one piece says nothing of tokens per second"
    )
    clock.now += 1200
    assert standings.speed("claude", OPUS)[2] < 0.02, "old measurements are worth little"
    standings.ended("claude", OPUS, "ok", first_content_ms=900.0, output_tokens=10, generating_ms=1000.0)
    waited, speed, _ = standings.speed("claude", OPUS)
    assert waited == pytest.approx(900, rel=0.02)
    assert speed == pytest.approx(10, rel=0.15)


def test_what_is_left_of_a_rate_limit_is_shown_with_the_rest(standings: Standings) -> None:
    head = [
        (b"anthropic-ratelimit-requests-limit", b"100"),
        (b"anthropic-ratelimit-requests-remaining", b"40"),
    ]
    standings.ended("claude", OPUS, "ok", headers=head)
    assert standings.room("claude", OPUS) == 0.4
    shown = standings.snapshot()[0]
    assert (shown.place, shown.model, shown.bucket, shown.room) == ("claude", OPUS, OPUS, 0.4)
    assert (shown.calls, shown.failures, shown.away, shown.away_for_s) == (1, 0, None, 0)


def test_what_is_known_is_bounded_however_often_the_configuration_changes(standings: Standings) -> None:
    for index in range(MOST_ROWS + 5):
        standings.ended(f"entry-{index}", OPUS, "limited", retry_after_s=60)
    assert len(standings.snapshot()) == MOST_ROWS
    assert standings.keeps_away("entry-0", OPUS) is None
    assert standings.keeps_away(f"entry-{MOST_ROWS + 4}", OPUS) is not None


ENDINGS: list[Ending] = ["ok", "failed", "limited", "spent", "denied", "unclear"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["claude", "bedrock#1"]),
            st.sampled_from([OPUS, SONNET]),
            st.sampled_from(ENDINGS),
            st.one_of(st.none(), st.floats(0, 1e9)),
            st.floats(0, 700),
            st.booleans(),
        ),
        max_size=60,
    )
)
@settings(max_examples=100, deadline=None)
def test_whatever_happened_every_place_may_be_called_again_within_the_longest_wait(
    history: list[tuple[str, str, Ending, float | None, float, bool]],
) -> None:
    clock = Clock()
    standings = Standings(
        clock, clock, lambda: 1.0, {("claude", OPUS): "shared", ("claude", SONNET): "shared"}
    )
    for place, model, ending, wait, passed, lost in history:
        started = standings.began(place, model)
        clock.now += passed
        if not lost:
            standings.ended(place, model, ending, started=started, retry_after_s=wait)
    assert all(one.away_for_s <= 3600 * 1.2 for one in standings.snapshot())
    clock.now += 3600 * 1.2
    for place in ("claude", "bedrock#1"):
        for model in (OPUS, SONNET):
            assert standings.keeps_away(place, model) is None
