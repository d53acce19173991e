"""Passwords: what is accepted, what fits, and what the hash costs."""

import argon2
import pytest

from trimtab.errors import RequestError
from trimtab.identity import passwords
from trimtab.identity.passwords import MAX_CHARS, Passwords, check_password

GOOD = "correct horse battery"


def test_a_password_fits_its_own_hash_and_no_other_does() -> None:
    door = Passwords()
    hashed = door.hash(GOOD)
    assert door.fits(GOOD, hashed)
    assert not door.fits(GOOD + "x", hashed)
    assert not door.fits("", hashed)
    assert GOOD not in hashed
    assert door.hash(GOOD) != hashed  # a salt of its own


def test_a_name_that_nobody_has_costs_the_same_hashing_as_one_that_somebody_has() -> None:
    """By construction, not by the clock: the hash that is checked then has the parameters of all others."""
    parameters = argon2.extract_parameters(passwords._NOBODYS)
    assert parameters == argon2.extract_parameters(Passwords().hash(GOOD))
    assert (parameters.type, parameters.memory_cost, parameters.time_cost) == (argon2.Type.ID, 32 * 1024, 3)
    for password in ("", GOOD, "nobodys"):
        assert not Passwords().fits(password, None)


def test_an_accent_typed_as_one_character_or_as_two_is_the_same_password() -> None:
    door = Passwords()
    assert door.fits("caf\u00e9 au lait du matin", door.hash("cafe\u0301 au lait du matin"))


def test_a_password_of_any_length_or_characters_is_judged_without_failing() -> None:
    door = Passwords()
    long = "ab cd" * MAX_CHARS
    assert not door.fits(long, door.hash(GOOD))
    assert not door.fits(long, door.hash(long[: MAX_CHARS + 1]))  # never by a part of it
    assert not door.fits("\ud800\0", door.hash(GOOD))
    assert not door.fits(GOOD, "no hash of ours")


@pytest.mark.parametrize(
    ("password", "name", "why"),
    [
        ("short", "ann", "has 5 characters; it must have 12 to 256"),
        ("x" * 257, "ann", "has more than 256 characters"),
        ("aaaaaaaaabab", "ann", "at least 5 different characters"),
        ("Ann-Margret-12", "ann-margret", "hardly more than the user's name"),
    ],
)
def test_a_password_that_is_easy_to_guess_is_refused_and_not_repeated(
    password: str, name: str, why: str
) -> None:
    with pytest.raises(RequestError, match=why) as refused:
        check_password(password, name)
    assert password not in str(refused.value)
    check_password(GOOD, name)
