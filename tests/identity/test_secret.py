"""A secret that was copied wrongly is told from one that nobody has, and what is made is as random as its source."""

import os
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import AuthenticationFailed
from trimtab.identity.secret import SECRET_CHARS, check_form, digest_of, make_secret, prefix_of

ALPHABET = string.ascii_letters + string.digits + "-_"


def problem_with(text: str) -> str:
    with pytest.raises(AuthenticationFailed) as raised:
        check_form(text)
    return str(raised.value)


@given(st.binary(min_size=32, max_size=32))
def test_what_is_made_is_accepted_and_goes_through_a_header_as_it_is(seed: bytes) -> None:
    secret = make_secret(lambda n: seed[:n])
    check_form(secret)
    assert len(secret) == SECRET_CHARS == 50
    assert secret.isascii()
    assert set(secret) <= set(ALPHABET)
    assert len(digest_of(secret)) == 32
    assert secret.startswith(prefix_of(secret))
    assert len(prefix_of(secret)) == 9


@given(st.binary(min_size=32, max_size=32), st.integers(3, SECRET_CHARS - 1), st.sampled_from(ALPHABET))
def test_one_mistyped_character_is_found(seed: bytes, place: int, other: str) -> None:
    secret = make_secret(lambda n: seed[:n])
    if secret[place] == other:
        return
    assert "checksum" in problem_with(secret[:place] + other + secret[place + 1 :])


@given(st.binary(min_size=32, max_size=32), st.integers(3, SECRET_CHARS - 1))
def test_a_secret_that_was_cut_off_is_told_so(seed: bytes, length: int) -> None:
    text = problem_with(make_secret(lambda n: seed[:n])[:length])
    assert f"{length} characters instead of 50" in text
    assert "cut off" in text


@given(st.text(max_size=200))
def test_any_text_gets_an_answer_that_repeats_none_of_it(text: str) -> None:
    said = problem_with("tt-" + text)
    assert len(text) < 9 or text not in said
    if not text.startswith("tt-"):
        said = problem_with(text)
        assert len(text) < 9 or text not in said


def test_the_message_says_what_was_shown_instead() -> None:
    secret = make_secret(os.urandom)
    assert "begin with 'tt-'" in problem_with("sk-ant-api03-abc")
    assert "begin with 'tt-'" in problem_with("")
    assert "nothing around them" in problem_with(secret + '"')
    assert "nothing around them" in problem_with(secret + " ")
    assert "nothing around them" in problem_with("tt-naïve")
    assert "something added" in problem_with(secret + "a")
    assert "60,000 characters" in problem_with("tt-" + "a" * 59_997)


def test_two_secrets_share_nothing() -> None:
    secrets = {make_secret(os.urandom) for _ in range(1000)}
    assert len(secrets) == 1000
    assert len({secret[3:12] for secret in secrets}) == 1000
