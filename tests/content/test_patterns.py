"""What looks like a secret or names a person does not survive, wherever it stands."""

import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.content.patterns import WINDOW_CHARS, luhn, redacted_text

SECRETS = [
    "sk-ant-api03-" + "Zx9_" * 12,
    "tt-" + "aB3-" * 11,
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_" + "a1B2" * 9,
    "github_pat_" + "a1B2_" * 8,
    "glpat-" + "x7Yz" * 5,
    "xoxb-1234567890-abcdefghij",
    "sk_live_" + "a1b2" * 6,
    "AIza" + "Sy0_" * 8 + "abc",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----",
    r"-----BEGIN PRIVATE KEY-----\nMIIEow\nMIIEox\n-----END PRIVATE KEY-----",
]
PEOPLE = {
    "email": ["ann@example.com", "Jörg.Müller+x@mail.example.co.uk", "a_b-c%d@sub.example.org"],
    "phone": ["+49 170 1234567", "+1 (555) 123-4567", "+442071234567", "(555) 123-4567", "555-123-4567", "030 1234 5678"],
    "card": ["4111111111111111", "4111 1111 1111 1111", "5500-0000-0000-0004", "378282246310005", "3782 822463 10005"],
    "iban": ["DE89370400440532013000", "DE89 3704 0044 0532 0130 00", "GB29 NWBK 6016 1331 9268 19", "FR14 2004 1010 0505 0001 3M02 606"],
    "ip": ["192.168.17.4", "8.8.8.8", "2001:db8:85a3::8a2e:370:7334", "fe80::1"],
}  # fmt: skip
KNOWN = [
    *((("secret", one)) for one in SECRETS),
    *((kind, one) for kind, ones in PEOPLE.items() for one in ones),
]

around = st.text(max_size=40)
apart = st.sampled_from([" ", "\n", '"', "'", "(", ",", "\t", "<"])
behind = st.sampled_from([" ", "\n", '"', "'", ")", ", ", "\t", ">"])


@pytest.mark.parametrize(("kind", "planted"), KNOWN)
def test_what_is_known_gets_a_placeholder_that_says_what_was_there(kind: str, planted: str) -> None:
    said = redacted_text(f"Please use {planted} for this.")
    assert said == f"Please use [redacted: {kind}] for this."


@given(st.sampled_from(KNOWN), around, apart, behind, around)
def test_nothing_planted_survives_whatever_stands_around_it(
    known: tuple[str, str], before: str, left: str, right: str, after: str
) -> None:
    planted = known[1]
    assert planted not in redacted_text(before + left + planted + right + after)


@given(st.sampled_from(KNOWN), st.integers(-80, 80), st.sampled_from(["word ", "1 ", "a@b ", "\n", "::"]))
def test_nothing_survives_where_two_windows_meet(known: tuple[str, str], off: int, filler: str) -> None:
    lead = (filler * (WINDOW_CHARS // len(filler) + 1))[: WINDOW_CHARS + off - len(known[1]) // 2]
    assert known[1] not in redacted_text(f"{lead} {known[1]} {filler * 50}")


@given(st.integers(0, 10**15 - 1), st.integers(13, 19), st.sampled_from(["", " ", "-"]))
def test_every_number_with_a_cards_check_digit_is_taken_for_one(number: int, size: int, mark: str) -> None:
    digits = f"4{number:015d}"[: size - 1].ljust(size - 1, "7")
    card = next(digits + last for last in string.digits if luhn(digits + last))
    shown = mark.join(card[at : at + 4] for at in range(0, size, 4))
    assert shown not in redacted_text(f"card {shown}, thanks")


@pytest.mark.parametrize(
    "text",
    [
        "claude-sonnet-4-5-20250929 answered in 12:34:56 with 12345 tokens of 1,048,576",
        "see toolu_01A09q90qw90lq917835lq9, msg_01XFDUDYJgAACzvnptvVoYEL and 550e8400-e29b-41d4-a716-446655440000",
        "std::vector<int> a; x = b::c; 3.14159 * 2.71828; v1.2.3; 10:30",
        "2026-11-21T17:45:36Z 1763746000000 0x7ffd deadbeef",
        "the token count is 5; passwords are hard; a key: value pair; @decorator; foo@bar",
        "4111 1111 1111 1112",
        "skill-based task-list",
    ],
)
def test_ordinary_words_and_numbers_stay(text: str) -> None:
    assert redacted_text(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("password: hunter2", "password: [redacted: secret]"),
        ("Authorization: Bearer abcdef123456", "Authorization: Bearer [redacted: secret]"),
        ("Authorization: Basic YW5uOnB3", "Authorization: Basic [redacted: secret]"),
        ("postgres://ann:s3cret@db/x", "postgres://ann:[redacted: secret]@db/x"),
        ('{"api_key": "abc123"}', '{"api_key": "[redacted: secret]"}'),
        ("api_key = 'env:NAME'", "api_key = 'env:NAME'"),
        ("data:image/png;base64," + "iVBORw0K" * 40, "data:image/png;base64,[redacted: base64]"),
        ("host:2001:db8::1 up", "host:[redacted: ip] up"),
        ("17 4111 1111 1111 1111", "17 [redacted: card]"),
    ],
)
def test_a_secret_with_a_name_and_long_base64_are_found(text: str, shown: str) -> None:
    assert redacted_text(text) == shown


@given(st.text(max_size=2000))
def test_no_text_raises(text: str) -> None:
    assert isinstance(redacted_text(text), str)


@pytest.mark.parametrize(
    "piece",
    ["1 ", "1", "AA11 ", "a@", "-----BEGIN PRIVATE KEY-----", "A", "a:", "sk-", "://:", "password= ", "1.1.1.", "+1-",
     "eyJ", "authorization: bearer ", 'cookie: "', "aaaa\n" * 15, "0 ", "(555) "],
)  # fmt: skip
def test_no_text_makes_the_search_endless(piece: str) -> None:
    """A search that is not linear would take hours for so much; docs/content.md says what it takes."""
    text = piece * (300_000 // len(piece))
    assert redacted_text(text)


def test_random_secrets_in_a_long_prompt_are_all_gone() -> None:
    random_source = random.Random(7)
    planted = [
        "sk-ant-" + "".join(random_source.choices(string.ascii_letters + string.digits, k=40))
        for _ in range(200)
    ]
    words = ["the", "quick", "brown", "fox", "12", "files:", "/etc/passwd", "€", "日本語"]
    text = "".join(f"{' '.join(random_source.choices(words, k=60))} {one}\n" for one in planted)
    said = redacted_text(text)
    assert not [one for one in planted if one in said or one[-20:] in said]
    assert said.count("[redacted: secret]") == 200
