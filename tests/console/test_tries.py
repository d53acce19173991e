"""How often somebody may try to log in."""

import pytest

from trimtab.console import tries as module
from trimtab.console.tries import (
    ADDRESS_AT_ONCE,
    NAME_AT_ONCE,
    NAME_EVERY_S,
    PAIR_AT_ONCE,
    PAIR_EVERY_S,
    SITE_AT_ONCE,
    Tries,
    network_of,
    site_of,
)
from trimtab.errors import RateLimited


class Watch:
    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def tries(watch: Watch) -> Tries:
    return Tries(watch)


def refused(tries: Tries, name: str, client: str) -> bool:
    try:
        tries.take(name, client)
    except RateLimited:
        return True
    return False


def test_a_few_mistakes_are_free_and_then_each_try_has_its_time(tries: Tries, watch: Watch) -> None:
    assert [refused(tries, "ann", "10.0.0.1") for _ in range(PAIR_AT_ONCE + 1)] == [False] * 5 + [True]
    watch.s += PAIR_EVERY_S - 1
    assert refused(tries, "ann", "10.0.0.1")
    watch.s += 1
    assert not refused(tries, "ann", "10.0.0.1")
    assert refused(tries, "ann", "10.0.0.1")


def test_an_attacker_elsewhere_does_not_keep_the_owner_of_a_name_out(tries: Tries) -> None:
    while not refused(tries, "ann", "6.6.6.6"):
        pass
    assert not refused(tries, "ann", "10.0.0.1")


def test_one_address_cannot_try_many_names(tries: Tries) -> None:
    done = [refused(tries, f"user{n}", "6.6.6.6") for n in range(ADDRESS_AT_ONCE + 5)]
    assert done == [False] * ADDRESS_AT_ONCE + [True] * 5
    assert not refused(tries, "user1", "10.0.0.1")


def test_many_addresses_have_one_try_each_and_then_share_one_rate(tries: Tries, watch: Watch) -> None:
    for n in range(NAME_AT_ONCE):
        assert not refused(tries, "ann", f"6.6.{n}.1")
    assert all(refused(tries, "ann", f"6.6.{n}.1") for n in range(NAME_AT_ONCE))
    watch.s += NAME_EVERY_S
    assert [refused(tries, "ann", f"6.6.{n}.1") for n in range(5)] == [False] + [True] * 4


def test_whatever_others_do_an_address_without_a_mistake_may_try(tries: Tries, watch: Watch) -> None:
    for n in range(40 * NAME_AT_ONCE):
        refused(tries, "ann", f"6.{n % 200}.{n // 200}.1")
        watch.s += 0.1
    assert not refused(tries, "ann", "10.0.0.1")
    tries.succeeded("ann", "10.0.0.1")
    assert not refused(tries, "ann", "10.0.0.1"), "nor does having logged in count as a mistake"


def test_a_mistake_is_not_forgotten_by_waiting_while_others_try(tries: Tries, watch: Watch) -> None:
    assert not refused(tries, "ann", "10.0.0.1")
    watch.s += 3600
    for n in range(NAME_AT_ONCE):
        assert not refused(tries, "ann", f"6.6.{n}.1")
    assert refused(tries, "ann", "10.0.0.1")


def test_one_site_with_many_networks_does_not_have_a_free_try_for_each(tries: Tries) -> None:
    done = [refused(tries, "ann", f"2001:db8:7:{n:x}::1") for n in range(NAME_AT_ONCE + SITE_AT_ONCE)]
    assert sum(done) == SITE_AT_ONCE
    assert site_of("2001:db8:7:1::1") == "2001:db8:7::/48"
    assert site_of("10.1.2.3") == "10.1.2.0/24"
    assert not refused(tries, "ann", "2001:db8:8::1")


def test_one_who_logs_in_gets_his_own_tries_back_and_nobody_elses(tries: Tries) -> None:
    """Else somebody with an account could try out others' passwords without end, logging in between."""
    for n in range(ADDRESS_AT_ONCE):
        assert not refused(tries, f"user{n}", "6.6.6.6")
    assert refused(tries, "eve", "6.6.6.6")
    tries.succeeded("user0", "6.6.6.6")
    assert not refused(tries, "ann", "6.6.6.6")
    assert refused(tries, "ann", "6.6.6.6")


def test_logging_in_often_is_no_mistake(tries: Tries) -> None:
    for _ in range(3 * NAME_AT_ONCE):
        assert not refused(tries, "ann", "10.0.0.1")
        tries.succeeded("ann", "10.0.0.1")


def test_a_network_of_ipv6_is_one_address(tries: Tries) -> None:
    assert network_of("2001:db8:1:2:3:4:5:6") == network_of("2001:db8:1:2::1") == "2001:db8:1:2::/64"
    assert network_of("2001:db8:1:3::1") != network_of("2001:db8:1:2::1")
    assert network_of("::ffff:10.0.0.1") == "10.0.0.1"
    assert network_of("fe80::1%eth0") == "fe80::/64"
    assert network_of("") == ""


def test_memory_is_bounded_whatever_comes(tries: Tries, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_REMEMBERED", 100)
    for n in range(1000):
        tries.take(f"{n}" + "x" * 10_000, f"{n % 250}.{n // 250}.6.6")
    assert len(tries) <= 400
