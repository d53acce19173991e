"""Answers keep the form that an operator asks for; every rule that is broken is named with what was found."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judged_cases import answered, built, judged_by
from searches import examples

from trimtab.errors import ConfigError
from trimtab.messages.exchange import Answered, ToolCall
from trimtab.verification.style import MAX_CHARS, style

LETTER = "Dear Ms. Doe,\n\nThank you. We will write soon.\n\nBest regards"
REPORT = "## Summary\nGood.\n\n## Next Steps:\n- one\n- two\n\n```Python\nx = 1\n```"
CALLS = (ToolCall("t1", "look", b"{}", {}),)

ROWS: dict[str, tuple[dict[str, Any], Answered, str, dict[str, Any]]] = {
    # what: options, the answer, what is said, evidence
    "long enough": ({"min_chars": 5, "max_chars": 5}, answered("12345"), "accept", {}),
    "one character too long": ({"max_chars": 5}, answered("123456"), "escalate", {"max_chars": 6}),
    "one character too short": ({"min_chars": 5}, answered("1234"), "escalate", {"min_chars": 4}),
    "words": ({"min_words": 11, "max_words": 11}, answered(LETTER), "accept", {}),
    "a word too many": ({"max_words": 10}, answered(LETTER), "escalate", {"max_words": 11}),
    "sentences": ({"max_sentences": 4, "min_sentences": 4}, answered(LETTER), "accept", {}),
    "a sentence too many": ({"max_sentences": 3}, answered(LETTER), "escalate", {"max_sentences": 4}),
    "lines": ({"min_lines": 5, "max_lines": 5}, answered(LETTER + "\n"), "accept", {}),
    "a line too few": ({"min_lines": 6}, answered(LETTER), "escalate", {"min_lines": 5}),
    "contains": ({"must_contain": ["THANK you", "write\nsoon"]}, answered(LETTER), "accept", {}),
    "contains all but one": (
        {"must_contain": ["thank you", "goodbye"]},
        answered(LETTER),
        "escalate",
        {"must_contain": "goodbye"},
    ),
    "contains it in other case": ({"must_contain": "THANK", "cased": True}, answered(LETTER), "escalate", {}),
    "begins and ends": (
        {"must_start_with": ["Hello", "dear"], "must_end_with": "regards"},
        answered(f" {LETTER}\n"),
        "accept",
        {},
    ),
    "begins later": (
        {"must_start_with": "Dear"},
        answered(f"Sure! {LETTER}"),
        "escalate",
        {"must_start_with": "Dear"},
    ),
    "ends earlier": (
        {"must_end_with": "regards"},
        answered(f"{LETTER}!"),
        "escalate",
        {"must_end_with": "regards"},
    ),
    "headings": ({"headings": ["next steps", "Summary"]}, answered(REPORT), "accept", {}),
    "a heading that is only text": (
        {"headings": ["Summary"]},
        answered("Summary\nGood."),
        "escalate",
        {"headings": "Summary"},
    ),
    "a heading within code": ({"headings": "x"}, answered("```\n# x\n```"), "escalate", {"headings": "x"}),
    "code with its language": (
        {"code": "required", "code_language": "python"},
        answered(REPORT),
        "accept",
        {},
    ),
    "code of another language": (
        {"code": "required", "code_language": "sql"},
        answered(REPORT),
        "escalate",
        {"code_language": 1},
    ),
    "no code": ({"code": "required"}, answered("`x = 1`"), "escalate", {"code": 0}),
    "code that is not wanted": ({"code": "none"}, answered(REPORT), "escalate", {"code": 1}),
    "code that is not closed": ({"code": "none"}, answered("~~~\nx"), "escalate", {"code": 1}),
    "plain": (
        {"markdown": "none"},
        answered("2 * 3 * 4 is a_b_c, #1 and - well - more | or less"),
        "accept",
        {},
    ),
    "a list": ({"markdown": "none"}, answered("So:\n- one"), "escalate", {"markdown": 1}),
    "bold": ({"markdown": "none"}, answered("That is **bold**."), "escalate", {"markdown": 1}),
    "no emojis": ({"max_emojis": 0}, answered("Done ✓ © → ½"), "accept", {}),
    "an emoji": ({"max_emojis": 0}, answered("Done 👍🏽"), "escalate", {"max_emojis": 1}),
    "one family is one": ({"max_emojis": 1}, answered("👨‍👩‍👧"), "accept", {}),
    "several rules": (
        {"max_words": 2, "max_emojis": 0, "markdown": "none"},
        answered("# One two three 🎉"),
        "escalate",
        {"max_words": 3, "max_emojis": 1, "markdown": 1},
    ),
    "tools and nothing said": ({"min_words": 3}, answered("", tool_calls=CALLS), "accept", {}),
    "nothing at all": ({"max_words": 3}, answered(" \n"), "unsure", {}),
    "cut off before its end": ({"must_end_with": "regards"}, answered("Dear", complete=False), "unsure", {}),
    "cut off, and too long already": (
        {"max_words": 1},
        answered("Dear Ms.", complete=False),
        "escalate",
        {"max_words": 2},
    ),
    "cut off, and wrong from the beginning": (
        {"must_start_with": "Dear"},
        answered("Sure", complete=False),
        "escalate",
        {},
    ),
}


@pytest.mark.parametrize("what", ROWS)
def test_an_answer_keeps_its_form_or_the_rule_that_it_breaks_is_named(what: str) -> None:
    options, answer, says, evidence = ROWS[what]
    found = judged_by(built(style, **options), answer)
    assert found.says == says, found
    if evidence:
        assert dict(found.evidence) == evidence
        assert found.reason


def test_the_reason_says_what_was_found_and_how_many_rules_more() -> None:
    found = judged_by(built(style, max_words=2, max_emojis=0), answered("One two three 🎉"))
    assert found.reason == "it has 3 words, and may have 2; and 1 more rule"


def test_more_than_is_measured_is_not_accepted() -> None:
    text = answered("a" * (MAX_CHARS + 1))
    assert judged_by(built(style, min_words=1), text).says == "unsure"
    assert judged_by(built(style, max_chars=MAX_CHARS), text).says == "escalate"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "verifiers.one.max_words: .*nothing is asked for"),
        ({"cased": True}, "nothing is asked for"),
        ({"max_word": 3}, "did you mean 'max_words'"),
        ({"max_words": -1}, "verifiers.one.max_words"),
        ({"max_words": 1.5}, "verifiers.one.max_words"),
        ({"min_words": 3, "max_words": 2}, "verifiers.one.min_words: 3: is more than max_words = 2"),
        ({"must_contain": ["x", ""]}, "verifiers.one.must_contain: '': is empty"),
        ({"code_language": "python"}, "needs code = 'required' beside it"),
        ({"markdown": "none", "headings": ["x"]}, "ask for one or the other"),
        ({"markdown": "some"}, "verifiers.one.markdown"),
    ],
)
def test_options_that_are_wrong_are_one_error_each(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        built(style, **options)


@given(st.text(max_size=200), st.integers(0, 60), st.booleans())
@settings(max_examples=examples(150, 5000), deadline=None)
def test_bounds_hold_for_any_text_and_are_never_both_broken(text: str, bound: int, complete: bool) -> None:
    answer = answered(text, complete=complete)
    most = judged_by(built(style, max_chars=bound), answer)
    least = judged_by(built(style, min_chars=bound + 1), answer)
    if text.strip():
        assert (most.says == "accept") == (len(text) <= bound)
        assert (least.says == "accept") == (len(text) > bound)
        assert (
            {most.says, least.says} <= {"accept", "escalate"}
            if complete
            else {"accept", "escalate", "unsure"}
        )
    else:
        assert most.says == least.says == "unsure"
