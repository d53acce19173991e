"""Texts, words and patterns are found wherever they stand, in bounded time, and mistakes in them are named."""

import random
import re
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from searches import examples

from trimtab.errors import ConfigError
from trimtab.textmodel import cased_fold, fold
from trimtab.textmodel.patterns import Patterns, Rule


def where(key: str) -> str:
    return f"trimtab.toml: verifiers.tidy.{key}"


def patterns(*rules: Rule) -> Patterns:
    return Patterns(rules, where)


def text(one: str, *, cased: bool = False) -> Rule:
    return Rule(name="texts", text=one, cased=cased)


def word(one: str) -> Rule:
    return Rule(name="words", text=one, kind="word")


def pattern(one: str, *, cased: bool = False) -> Rule:
    return Rule(name="patterns[0]", text=one, kind="pattern", cased=cased)


def found(scanner: Patterns, said: str) -> list[str]:
    return [said[one.start : one.end] for one in scanner.find(said)]


@pytest.mark.parametrize(
    ("rule", "said", "expected"),
    [
        (text("Internal Only"), "this is INTERNAL ONLY, really", ["INTERNAL ONLY"]),
        (text("API", cased=True), "api API ＡＰＩ", ["API", "ＡＰＩ"]),
        (text("straße"), "STRASSE, Straße", ["STRASSE", "Straße"]),
        (
            text("secret"),
            "s\u200be\u00adcret ｓｅｃｒｅｔ 𝐬𝐞𝐜𝐫𝐞𝐭",
            ["s\u200be\u00adcret", "ｓｅｃｒｅｔ", "𝐬𝐞𝐜𝐫𝐞𝐭"],
        ),
        (text("café"), "cafe\u0301 CAFÉ cafe", ["cafe\u0301", "CAFÉ"]),
        (text("한국"), "한국", ["한국"]),
        (word("cat"), "concat cat_ (cat) catcat cat2 cat", ["cat", "cat"]),
        (word("c++"), "c++, c++11 objc++", ["c++", "c++"]),
        (pattern(r"\d{3}-\d{4}"), "é 555-1234 or ５５５-１２３４", ["555-1234", "５５５-１２３４"]),
        (pattern("key_[a-z]+"), "KEY_ABC", ["KEY_ABC"]),
        (pattern("key_[a-z]+", cased=True), "KEY_ABC key_abc", ["key_abc"]),
        (pattern("(?m)^as an ai"), "Well,\nAs an AI", ["As an AI"]),
        (pattern(r"(a)(b)|c\z"), "ab c", ["ab", "c"]),
        (text("x"), "\ud800x\udfff", ["x"]),
    ],
)
def test_what_is_looked_for_is_found_however_it_is_spelled(
    rule: Rule, said: str, expected: list[str]
) -> None:
    assert found(patterns(rule), said) == expected
    others = [text(f"nowhere {number}") for number in range(5)]
    assert found(patterns(*others, rule), said) == expected, "the same among many"


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        (pattern("(a"), "'(a': is no pattern that RE2 knows: missing ): (a"),
        (pattern("(?=a)b"), "RE2 has no look-around"),
        (pattern(r"(a)\1"), "RE2 has no back-references"),
        (pattern("a)|(b"), "unexpected )"),
        (pattern("a{1,2000}"), "a repetition may be at most 1000"),
        (pattern(r"\pL{1,1000}"), "pattern too large - compile failed; make repetitions smaller"),
        (pattern(r"x\pL{1,20}"), "instructions, and may have 5000; make repetitions smaller"),
        (pattern("a*"), "matches an empty text, so every text"),
        (pattern("\ud800"), "is no pattern that RE2 knows"),
        (pattern("x" * 1001), "may have at most 1000 characters, and has 1001"),
        (text(" \u200b"), "is empty, so that it would be found in every text"),
    ],
)
def test_a_rule_that_cannot_be_used_is_one_error_that_says_which_and_why(rule: Rule, problem: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(problem)) as caught:
        patterns(text("fine"), rule)
    assert str(caught.value).startswith(f"trimtab.toml: verifiers.tidy.{rule.name}: ")


def test_too_many_rules_are_refused() -> None:
    with pytest.raises(ConfigError, match="2001: may be at most 2000"):
        patterns(*(text(f"a{number}") for number in range(2001)))


def test_two_thousand_rules_find_what_one_finds() -> None:
    words = [
        f"{first}{second}{third}x"
        for first in string.ascii_lowercase
        for second in "abcdefgh"
        for third in "abcde"
    ]
    rules = [*(text(one) for one in words), *(pattern(rf"{one}\s+\d{{3,}}") for one in words[:900])]
    scanner = patterns(*rules)
    said = f"none of these is here {words[7]} 123, {words[-1]}."
    assert {(one.rule, said[one.start : one.end]) for one in scanner.find(said)} == {
        (7, words[7]),
        (len(words) + 7, f"{words[7]} 123"),
        (len(words) - 1, words[-1]),
    }


def test_many_large_patterns_find_what_one_finds() -> None:
    scanner = patterns(
        *(pattern(rf"{letter}[\pL\pN]{{1,3}}{number}q") for letter in "abc" for number in range(4))
    )
    assert found(scanner, "aé9q, c" + "é" * 3 + "1q") == ["cééé1q"]


def test_a_search_that_takes_long_can_be_ended() -> None:
    """Patterns that RE2 cannot remember its way through: 60 of them take 8 s for 300 KB."""
    rules = [pattern(rf"(?:[a-m]{{0,9}}x[^q]{{0,40}}){{1,6}}{number:04}") for number in range(60)]
    steps = 0

    def go_on() -> None:
        nonlocal steps
        steps += 1
        if steps == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        patterns(*rules).find("".join(random.Random(1).choices("abcdefghijklmxyz019", k=1_000)), go_on=go_on)


def test_a_match_is_found_wherever_it_stands_in_a_long_text() -> None:
    scanner = patterns(
        text("needle"), pattern(r"end\z"), *(pattern(rf"no{number}x\d+") for number in range(9))
    )
    for before in (65_533, 131_070, 200_000):
        said = "é" * (before // 2) + " needle " + "y" * 70_000 + " end"
        assert found(scanner, said) == ["end", "needle"]


def test_no_more_matches_are_given_than_were_asked_for() -> None:
    assert len(patterns(text("a")).find("a" * 1000, most=3)) == 3
    assert sum(1 for _ in patterns(text("a")).each("a" * 1000)) == 1000


LETTERS = st.text(alphabet="abAB _1é½ß\u200bＡ\u0301", max_size=30)


@given(
    st.lists(st.text(alphabet="abé", min_size=1, max_size=3), min_size=1, max_size=6, unique=True), LETTERS
)
@settings(max_examples=examples(150, 5000), deadline=None)
def test_each_match_holds_what_was_looked_for_and_none_is_missed(needles: list[str], said: str) -> None:
    scanner = patterns(*(text(one) for one in needles))
    places = list(scanner.each(said))
    for one in places:
        assert fold(needles[one.rule]) in fold(said[one.start : one.end])
    for number, needle in enumerate(needles):
        assert (fold(needle) in fold(said)) == any(one.rule == number for one in places)


@given(st.text(alphabet="ab.", min_size=1, max_size=3), st.text(alphabet="ab. _é\n", max_size=40))
@settings(max_examples=examples(150, 5000), deadline=None)
def test_words_and_patterns_are_found_as_the_standard_library_finds_them(needle: str, said: str) -> None:
    """On texts without what folding changes."""
    expected = [one.span() for one in re.finditer(re.escape(needle), said, re.IGNORECASE)]
    assert [(one.start, one.end) for one in patterns(pattern(re.escape(needle))).each(said)] == expected
    if needle.isalnum():
        alone = [one.span() for one in re.finditer(rf"\b{needle}\b", said, re.IGNORECASE)]
        assert [(one.start, one.end) for one in patterns(word(needle)).each(said)] == alone


@given(
    st.one_of(st.text(max_size=60), st.from_regex(r"[a-z(\[{|*+?\\^$.)\]}0-9,]{0,20}", fullmatch=True)),
    st.text(max_size=60),
)
@settings(max_examples=examples(200, 10_000), deadline=None)
def test_no_pattern_and_no_text_raise_anything_but_an_error_of_configuration(source: str, said: str) -> None:
    try:
        scanner = patterns(pattern(source), word(source or "x"))
    except ConfigError:
        return
    for one in scanner.find(said):
        assert 0 <= one.start < one.end <= len(said)


@pytest.mark.parametrize(
    "source", ["(a+)+b", "(a|a)*b", "(a*)*c", "(x+x+)+y", r"(?:a?){30}a{30}b", "a.*b.*c.*d", ".*.*=.*"]
)
def test_patterns_that_take_others_exponential_time_end(source: str) -> None:
    """Each would keep a backtracking engine busy for longer than this universe will last."""
    assert patterns(pattern(source)).find("a" * 200_000 + "x" * 200_000) == ()


@pytest.mark.parametrize("piece", ["a\u0301\u0316", "ﷺ", "½", "\u200b", "가", "ß", "İ", "\ud800", "e\u0301"])
def test_time_to_trace_a_place_is_linear_in_a_text_that_folding_changes(piece: str) -> None:
    said = piece * (100_000 // len(piece)) + " needle"
    (match,) = patterns(text("needle")).find(said)
    assert said[match.start : match.end] == "needle"


@given(st.text(max_size=50))
@settings(max_examples=examples(100, 5000), deadline=None)
def test_folding_twice_changes_nothing(said: str) -> None:
    assert fold(fold(said)) == fold(said)
    assert cased_fold(cased_fold(said)) == cased_fold(said)
