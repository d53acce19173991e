"""The circuit breaker: when it opens, that it never stays so, and that one call tries it at a time."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from trimtab.routing.breaker import FIRST_S, JITTER, MOST_S, PROBE_S, Breaker, Started


def still() -> float:
    return 0.0


def opened(at: float = 100.0, times: int = 5) -> Breaker:
    breaker = Breaker(still)
    for _ in range(times):
        breaker.failed(at, Started(at))
    return breaker


def test_five_failures_in_a_row_open_it_and_four_do_not() -> None:
    assert opened(times=4).away(100.0) is None
    assert opened().away(100.0) == "5 calls in a row failed; tried again in 5 s"
    interrupted = opened(times=4)
    interrupted.succeeded(100.0, Started(100.0))
    for _ in range(4):
        interrupted.failed(100.0, Started(100.0))
    assert interrupted.away(100.0) is None, "a success in between begins the count anew"


def test_half_of_the_calls_in_half_a_minute_failing_opens_it() -> None:
    breaker = Breaker(still)
    for second in range(10):
        now = 100.0 + second
        breaker.succeeded(now, Started(now))
        assert not breaker.is_open
        breaker.failed(now, Started(now))
    assert breaker.away(109.0) == "10 of 20 calls in 30 s failed; tried again in 5 s"


def test_failures_of_long_ago_do_not_open_it() -> None:
    breaker = Breaker(still)
    for second in range(0, 400, 4):  # half of all calls fail, but never 20 in half a minute
        now = 100.0 + second
        breaker.succeeded(now, Started(now))
        breaker.failed(now, Started(now))
    assert not breaker.is_open
    assert breaker.counted(now + 31) == (0, 0)


def test_open_twice_as_long_each_time_to_a_minute_and_short_again_after_a_success() -> None:
    breaker, now, waits = opened(), 100.0, []
    for _ in range(6):
        waits.append(breaker.open_for(now))
        now += waits[-1]
        trying = Started(now)
        assert breaker.away(now) is None
        breaker.began(trying)
        breaker.failed(now, trying)
    assert waits == [5, 10, 20, 40, 60, 60]
    now += 60
    trying = Started(now)
    breaker.began(trying)
    breaker.succeeded(now, trying)
    assert not breaker.is_open
    for _ in range(5):
        breaker.failed(now, Started(now))
    assert breaker.open_for(now) == FIRST_S


def test_waits_differ_by_chance_so_that_processes_do_not_come_back_together() -> None:
    breaker = Breaker(lambda: 1.0)
    for _ in range(5):
        breaker.failed(0.0, None)
    assert breaker.open_for(0.0) == pytest.approx(FIRST_S * (1 + JITTER))


def test_one_call_tries_it_and_the_others_wait_for_what_it_finds() -> None:
    breaker = opened()
    trying = Started(105.0)
    breaker.began(trying)
    assert breaker.away(105.0) == "5 calls in a row failed; a call is trying it"
    breaker.began(Started(105.1))  # one that goes there for want of a better place does not try in its stead
    breaker.unclear(Started(105.1))
    assert breaker.away(106.0) is not None
    breaker.succeeded(106.0, trying)
    assert breaker.away(106.0) is None


def test_a_cancelled_try_makes_way_at_once_and_a_lost_one_after_a_while() -> None:
    breaker = opened()
    trying = Started(105.0)
    breaker.began(trying)
    breaker.unclear(trying)
    assert breaker.away(105.0) is None
    breaker.began(Started(105.0))  # never heard of again
    assert breaker.away(105.0 + PROBE_S - 0.1) is not None
    assert breaker.away(105.0 + PROBE_S) is None


def test_late_news_of_calls_from_before_change_nothing() -> None:
    old = Started(50.0)
    breaker = opened()
    breaker.succeeded(101.0, old)
    assert breaker.is_open, "an answer that was under way does not say that new calls succeed"
    breaker.failed(101.0, old)
    assert breaker.open_for(101.0) == 4, "nor do calls that failed together make the wait longer"
    trying = Started(105.0)
    breaker.began(trying)
    breaker.failed(106.0, old)
    assert breaker.open_for(106.0) == 0, "nor do they end the try"
    breaker.succeeded(107.0, trying)
    for _ in range(9):
        breaker.failed(108.0, old)
    assert not breaker.is_open, "a platform that is back is not left again for calls that it dropped before"


def test_a_call_that_had_no_other_place_to_go_and_succeeds_closes_it() -> None:
    breaker = opened()
    breaker.succeeded(102.0, Started(101.0))
    assert breaker.away(102.0) is None


def test_what_trips_it_says_why_and_has_waits_of_its_own() -> None:
    breaker = Breaker(still)
    breaker.trip(10.0, Started(9.0), "it refused our credentials", 30.0, 600.0)
    breaker.trip(10.0, Started(9.0), "it refused our credentials", 30.0, 600.0)  # sent at the same time
    assert breaker.away(10.0) == "it refused our credentials; tried again in 30 s"
    trying = Started(40.0)
    breaker.began(trying)
    breaker.trip(41.0, trying, "it refused our credentials", 30.0, 600.0)
    assert breaker.open_for(41.0) == 60


class AnyHistory(RuleBasedStateMachine):
    """Calls begin, end in any way or never, in any order, whether the breaker wants them or not."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.breaker = Breaker(lambda: 0.5)
        self.out: list[Started] = []
        self.tries: list[Started] = []

    def begin(self) -> None:
        started = Started(self.now)
        tries = self.breaker.is_open
        self.breaker.began(started)
        self.out.append(started)
        if tries:
            self.tries.append(started)

    @rule()
    def obeys(self) -> None:
        if self.breaker.away(self.now) is None:
            self.begin()

    @rule()
    def goes_all_the_same(self) -> None:
        if self.breaker.away(self.now) is not None:
            started = Started(self.now)
            self.breaker.began(started)
            self.out.append(started)

    @rule(seconds=st.sampled_from([0.0, 0.01, 1.0, 5.0, 6.0, 29.0, 31.0, 80.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.out)
    @rule(which=st.integers(0, 30), how=st.sampled_from(["ok", "failed", "unclear", "trip", "lost"]))
    def ends(self, which: int, how: str) -> None:
        started = self.out.pop(which % len(self.out))
        if started in self.tries:
            self.tries.remove(started)
        if how == "ok":
            self.breaker.succeeded(self.now, started)
        elif how == "failed":
            self.breaker.failed(self.now, started)
        elif how == "unclear":
            self.breaker.unclear(started)
        elif how == "trip":
            self.breaker.trip(self.now, started, "so it is", 5.0, 60.0)

    @invariant()
    def never_stays_open(self) -> None:
        longest = max(MOST_S * (1 + JITTER), PROBE_S)
        assert self.breaker.away(self.now + longest) is None
        assert self.breaker.open_for(self.now) <= longest

    @invariant()
    def one_call_tries_it(self) -> None:
        if not self.breaker.is_open:
            self.tries.clear()
        fresh = [one for one in self.tries if one.at > self.now - PROBE_S]
        if fresh and self.breaker.open_for(self.now) == 0:
            assert self.breaker.away(self.now) is not None


AnyHistory.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAnyHistory = AnyHistory.TestCase


@given(st.lists(st.sampled_from("of"), min_size=0, max_size=200))
@settings(max_examples=100, deadline=None)
def test_a_place_that_fails_less_than_half_the_time_and_never_five_in_a_row_stays_open_for_calls(
    history: list[str],
) -> None:
    breaker, now, row = Breaker(still), 10.0, 0
    for at, one in enumerate(history):
        now += 0.1
        row = row + 1 if one == "f" else 0
        if row == 5:
            return
        if one == "f":
            breaker.failed(now, Started(now))
        else:
            breaker.succeeded(now, Started(now))
        so_far = history[: at + 1]
        if len(so_far) >= 20 and so_far.count("f") * 2 >= len(so_far):
            return
        assert breaker.away(now) is None
