"""What an operator forbids is found however it is written, at its place, and nothing of the answer gets out."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judged_cases import answered, built, judged_by
from searches import examples

from trimtab.errors import ConfigError
from trimtab.messages.exchange import Answered, ToolCall
from trimtab.verification.forbidden import MAX_CHARS, MAX_PLACES, forbidden_text

RULES: dict[str, Any] = {
    "texts": ["internal only", "Müller & Söhne"],
    "words": ["ass", "c++"],
    "patterns": [r"sk-[a-z0-9]{8,}", r"\b\d{3}-\d{2}-\d{4}\b", "(?m)^as an ai"],
    "allow": ["not for internal only use", "ass's milk"],
}

CALL = ToolCall("t1", "write", b'{"path": "INTERNAL only.txt"}', {"path": "INTERNAL only.txt"})
UNREADABLE = ToolCall("t1", "write", b'{"path": "internal only', None, False)

ROWS: dict[str, tuple[Answered, str, dict[str, Any]]] = {
    # what: the answer, what is said, evidence
    "nothing of it": (answered("All is well."), "accept", {}),
    "empty": (answered(""), "accept", {}),
    "a text, in capitals": (
        answered("This is\nINTERNAL ONLY."),
        "escalate",
        {"rule": "texts[0]", "at": 8, "line": 2},
    ),
    "a text, other letters": (answered("by MÜLLER & SÖHNE"), "escalate", {"rule": "texts[1]", "at": 3}),
    "decomposed letters": (
        answered("by Mu\u0308ller & So\u0308hne"),
        "escalate",
        {"rule": "texts[1]", "at": 3},
    ),
    "wide letters": (answered("x ｉｎｔｅｒｎａｌ ｏｎｌｙ"), "escalate", {"rule": "texts[0]", "at": 2}),
    "unseen characters": (answered("inter\u200bnal\u00ad only"), "escalate", {"rule": "texts[0]", "at": 0}),
    "mathematical letters": (answered("𝐢𝐧𝐭𝐞𝐫𝐧𝐚𝐥 𝐨𝐧𝐥𝐲"), "escalate", {"rule": "texts[0]", "at": 0}),
    "near: another space": (answered("internal  only, internal-only"), "accept", {}),
    "a word": (answered("What an ass!"), "escalate", {"rule": "words[0]", "at": 8, "word": "ass"}),
    "near: within words": (answered("assassin, class, ass_1, ass2, grass"), "accept", {}),
    "a word with signs": (answered("in C++."), "escalate", {"rule": "words[1]"}),
    "near: more letters": (answered("objc++"), "accept", {}),
    "a pattern": (answered("key SK-0123abcd"), "escalate", {"rule": "patterns[0]", "at": 4}),
    "near: too short": (answered("key sk-0123abc"), "accept", {}),
    "a pattern by words": (answered("SSN 123-45-6789."), "escalate", {"rule": "patterns[1]"}),
    "near: longer digits": (answered("no 1123-45-6789"), "accept", {}),
    "a line's beginning": (answered("Well.\nAs an AI"), "escalate", {"rule": "patterns[2]", "line": 2}),
    "near: within a line": (answered("Not as an AI"), "accept", {}),
    "an exception": (answered("It is Not for Internal only use."), "accept", {}),
    "an exception of a word": (answered("Cheese of ass's milk"), "accept", {}),
    "near: beside an exception": (
        answered("ass's milk of an ass"),
        "escalate",
        {"rule": "words[0]", "at": 17, "places": 1},
    ),
    "cut off, and clean so far": (answered("It is inter", complete=False), "unsure", {}),
    "cut off, and found": (answered("internal only and", complete=False), "escalate", {"places": 1}),
    "in a tool call": (answered("", tool_calls=(CALL,)), "escalate", {"in": "tool call write"}),
    "in a tool call that cannot be read": (
        answered("", tool_calls=(UNREADABLE,)),
        "escalate",
        {"rule": "texts[0]"},
    ),
}


@pytest.mark.parametrize("what", ROWS)
def test_what_is_forbidden_is_found_and_nothing_else(what: str) -> None:
    answer, says, evidence = ROWS[what]
    found = judged_by(built(forbidden_text, **RULES, tool_calls=True), answer)
    assert found.says == says, found
    assert {name: found.evidence.get(name) for name in evidence} == evidence


def test_tool_calls_are_left_alone_unless_they_are_asked_for() -> None:
    assert judged_by(built(forbidden_text, **RULES), answered("", tool_calls=(CALL,))).says == "accept"


def test_case_matters_where_the_operator_says_so() -> None:
    verifier = built(forbidden_text, words=["ORACLE"], cased=True)
    assert judged_by(verifier, answered("the oracle said")).says == "accept"
    assert judged_by(verifier, answered("ORACLE said")).says == "escalate"


def test_evidence_holds_nothing_of_the_answer() -> None:
    found = judged_by(
        built(forbidden_text, patterns=[r"sk-\w+"]), answered("my key is sk-verysecretindeed, keep it")
    )
    said = f"{found.reason} {dict(found.evidence)}"
    assert found.says == "escalate"
    assert "verysecret" not in said
    assert "keep it" not in said


def test_an_answer_that_is_excepted_in_too_many_places_is_unsure() -> None:
    verifier = built(forbidden_text, texts=["a"], allow=["ba"])
    assert judged_by(verifier, answered("ba" * (MAX_PLACES - 1))).says == "accept"
    assert judged_by(verifier, answered("ba" * MAX_PLACES + "a")).says == "unsure"


def test_patterns_that_take_too_long_make_it_unsure() -> None:
    """Patterns that RE2 cannot remember its way through; all of them would take a minute for this."""
    slow = [rf"(?:[a-m]{{0,9}}x[^q]{{0,40}}){{1,6}}{number:04}" for number in range(100)]
    found = judged_by(
        built(forbidden_text, patterns=slow),
        answered("".join(random.Random(1).choices("abcdefghijklmxyz019", k=60_000))),
    )
    assert (found.says, found.reason) == ("unsure", "its patterns need more than 0.5 s for it")


def test_more_than_is_searched_is_not_accepted() -> None:
    verifier = built(forbidden_text, texts=["secret"])
    for text, says in (
        ("a" * MAX_CHARS, "accept"),
        ("a" * MAX_CHARS + "b", "unsure"),
        ("secret" + "a" * MAX_CHARS, "escalate"),
    ):
        assert judged_by(verifier, answered(text)).says == says


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "nothing is forbidden; name texts, words or patterns"),
        ({"texts": ["x"], "word": ["y"]}, "did you mean 'words'"),
        ({"texts": "x"}, "verifiers.one.texts"),
        (
            {"patterns": ["fine", "(a"]},
            r"verifiers.one.patterns\[1\]: '\(a': is no pattern that RE2 knows: missing \)",
        ),
        ({"words": [""]}, r"verifiers.one.words\[0\]: '': is empty"),
        ({"texts": ["x"], "allow": [" "]}, r"verifiers.one.allow\[0\]"),
    ],
)
def test_options_that_are_wrong_are_one_error_each(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        built(forbidden_text, **options)


@given(
    st.text(max_size=60),
    st.sampled_from(["ｓｅｃｒｅｔ", "SECRET", "s\u200becret", "𝒔ecret", "sec\u00adret"]),
    st.text(max_size=60),
)
@settings(max_examples=examples(100, 5000), deadline=None)
def test_whatever_stands_around_it_a_forbidden_text_is_found_and_all_else_is_accepted(
    before: str, secret: str, after: str
) -> None:
    verifier = built(forbidden_text, texts=["secret"])
    found = judged_by(verifier, answered(f"{before} {secret} {after}"))
    assert found.says == "escalate"
    at = int(found.evidence["at"])
    assert at <= len(before) + 1
    if "e" not in (before + after).casefold() and (before + after).isascii():
        assert at == len(before) + 1
        assert judged_by(verifier, answered(before + after)).says == "accept"
