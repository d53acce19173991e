"""No secret reaches a log, however it got into the text."""

import base64
import json
import string
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trimtab.config import Secret
from trimtab.telemetry.redaction import HIDDEN, MIN_KNOWN_CHARS, Redactor

URL_SAFE = string.ascii_letters + string.digits + "-_"
PRINTABLE = "".join(chr(c) for c in range(0x20, 0x7F))

secret_values = st.text(PRINTABLE, min_size=12, max_size=80).filter(lambda text: text.strip() == text)
around = st.text(max_size=60)


def redactor(*values: str) -> Redactor:
    return Redactor(Secret(value, "env:X") for value in values)


@given(before=around, value=secret_values, after=around)
@example(before="", value="a'b\"c\\d e f g", after="")
def test_a_known_secret_is_never_shown_in_any_form(before: str, value: str, after: str) -> None:
    clean = redactor(value).clean
    assert value not in clean(before + value + after)
    for form in (
        repr(value),
        json.dumps(value),
        quote(value),
        quote(value, safe=""),
        str([value]),
        repr({"k": value}),
    ):
        assert form.strip("'\"[]") not in clean(f"{before} {form} {after}")
    encoded = base64.b64encode(value.encode()).decode()
    assert encoded not in clean(f"{before} {encoded} {after}")


@given(
    before=around,
    key=st.sampled_from(["sk-ant-api03-", "sk-ant-", "tt-"]).flatmap(
        lambda lead: st.text(URL_SAFE, min_size=43, max_size=90).map(lambda rest: lead + rest)
    ),
    after=around,
)
def test_a_key_that_nobody_told_us_of_is_recognised(before: str, key: str, after: str) -> None:
    # A letter right before `tt-` makes another word of it; everything else may stand there.
    for text in (f"{before} {key}{after}", f"{before}'{key}'{after}", f"{before}/{key}/{after}"):
        said = redactor().clean(text)
        assert key not in said
        assert key[-20:] not in said or key[-20:] in before + after


@pytest.mark.parametrize(
    "text",
    [
        "authorization: Bearer abcdef0123456789",
        "Authorization: bearer  abcdef0123456789",
        "authorization=Basic YWJjZGVmMDEyMzQ1Njc4OTphYmNkZWYwMTIzNDU2Nzg5 abcdef".replace(" abcdef", ""),
        "x-api-key: abcdef0123456789",
        "X-API-KEY: abcdef0123456789",
        "(b'x-api-key', b'abcdef0123456789')",
        "('authorization', 'Token abcdef0123456789')",
        '{"api_key": "abcdef0123456789"}',
        "{'password': 'abcdef0123456789'}",
        "connect: password=abcdef0123456789 host=db",
        "https://example.org/?api_key=abcdef0123456789&x=1",
        "postgresql://trimtab:abcdef0123456789@db.internal:5432/trimtab",
        "postgresql://trimtab:abcdef@0123456789@db.internal/trimtab",
        "cookie: session=abcdef; other=0123456789",
    ],
)
@pytest.mark.parametrize("shape", ["{}", "got {} and more", "Fehler ‘{}’ 日本", "a\n{}\nb"])
def test_headers_queries_addresses_and_reprs_lose_their_secret(text: str, shape: str) -> None:
    said = redactor().clean(shape.format(text))
    assert "abcdef" not in said
    assert "0123456789" not in said
    assert HIDDEN in said
    assert said == redactor().clean(said), "cleaning twice changes nothing"


@pytest.mark.parametrize(
    "text",
    [
        "request 01a1fe55e32a784fae48cc42dcbfdb7e: task-list of the basic authentication, cookies off",
        "trimtab.toml: platforms.claude.api_key: 'env:NO_SUCH_KEY': the variable is not set; set it",
        "max_tokens: 64, tokens=5, the password policy, an API key; a bearer",
        "platform claude fails: cannot connect to https://api.anthropic.com:443: refused",
        "the store postgresql://trimtab@db.internal:5432/trimtab answers again",
        "attic tt-short and ask-me-anything",
    ],
)
def test_ordinary_lines_stay_as_they_are(text: str) -> None:
    assert redactor().clean(text) == text


def test_of_two_secrets_where_one_begins_the_other_nothing_remains() -> None:
    said = redactor("abcdefgh", "abcdefghijklmnop").clean("it is abcdefghijklmnop")
    assert said == f"it is {HIDDEN}"


def test_a_value_too_short_to_protect_does_not_blot_out_words() -> None:
    assert redactor("ok"[:MIN_KNOWN_CHARS]).clean("all is ok") == "all is ok"


def test_a_secret_of_a_new_configuration_is_hidden_from_then_on() -> None:
    known = redactor("first-secret-value")
    known.learn([Secret("second-secret-value", "env:Y")])
    assert known.clean("first-secret-value second-secret-value") == f"{HIDDEN} {HIDDEN}"


@given(st.text(st.characters(), max_size=300))
def test_no_text_breaks_it(text: str) -> None:
    assert isinstance(redactor("some-secret-value").clean(text), str)


def test_lone_surrogates_and_megabytes_of_near_misses_come_through() -> None:
    """Were a pattern quadratic, this would take hours."""
    clean = redactor("some-secret-value").clean
    assert "\udc80" in clean("\udc80 some-secret-value")
    for piece in ("sk-", "sk-ant", "tt-", "tt-a ", "bearer ", "bearer    ", "://a", "://", ":", "x-api-key", "password=",
                  "api_key:", "cookie", "cookie: ", "authorization: basic ", "'", "= ", "@", "://a:", " ", "a"):  # fmt: skip
        assert clean(piece * (1_000_000 // len(piece)))
