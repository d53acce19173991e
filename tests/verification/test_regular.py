"""A final answer has the form that was asked for; what was read is said, and what cannot be told is unsure."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judged_cases import answered, built, judged_by
from searches import examples

from trimtab.errors import ConfigError
from trimtab.messages.exchange import Answered, ToolCall
from trimtab.verification.regular import regular_answer

CALLS = (ToolCall("t1", "look", b"{}", {}),)
SCORE = {"answer": "number", "min": 0, "max": 100, "integer": True}
MOOD = {"answer": "label", "labels": ["positive", "negative", "very positive"]}
CHOICE = {"answer": "choice", "letters": "ABCD"}
DAY = {"answer": "date", "earliest": "2026-01-01", "latest": "2026-12-31"}
CODE = {"answer": "pattern", "pattern": r"[A-Z]{2}-\d{4}"}
LIST = {"answer": "json", "json_type": "array"}

ROWS: dict[str, tuple[dict[str, Any], Answered | str, str, dict[str, Any]]] = {
    # what: options, the answer, what is said, evidence
    "a number": (SCORE, "So the answer is **42**.", "accept", {"read": "42", "found": "mark"}),
    "a number at a bound": (SCORE, "\\boxed{100}", "accept", {"read": "100"}),
    "a number past a bound": (SCORE, "\\boxed{101}", "escalate", {"read": "101"}),
    "a number below a bound": (SCORE, "#### -1", "escalate", {"read": "-1"}),
    "no whole number": (SCORE, "The answer is 41.5", "escalate", {"read": "41.5"}),
    "whole, by a fraction": (SCORE, "The answer is 84/2", "accept", {"read": "42"}),
    "the number of a sentence": (
        SCORE,
        "She sells 24.\nEach gets 42 of them.",
        "accept",
        {"found": "last line"},
    ),
    "the number of a sentence, past a bound": (
        SCORE,
        "Done.\nIt took 5000 tries in 2026.",
        "unsure",
        {"read": "2026"},
    ),
    "no number": (SCORE, "It cannot be known.", "escalate", {}),
    "a number of another unit": (
        {"answer": "number", "unit": "km"},
        "The answer is 5 m",
        "escalate",
        {"unit": "m"},
    ),
    "a number of the unit": (
        {"answer": "number", "unit": "km"},
        "The answer is 5 kilometers",
        "accept",
        {"unit": "km"},
    ),
    "a number without a unit": ({"answer": "number", "unit": "km"}, "The answer is 5", "accept", {}),
    "a huge number": ({"answer": "number", "max": 1e300}, "\\boxed{1e400}", "escalate", {"read": "1e400"}),
    "only a number": ({**SCORE, "place": "whole"}, " 42 \n", "accept", {"read": "42", "found": "whole"}),
    "a number and more": ({**SCORE, "place": "whole"}, "It is 42", "escalate", {}),
    "a marked number, where only it is wanted": (
        {**SCORE, "place": "whole"},
        "The answer is 42",
        "escalate",
        {},
    ),
    "a label": (MOOD, "Label: **Positive**", "accept", {"read": "positive"}),
    "the longer label": (MOOD, "It is very positive.", "accept", {"read": "very positive"}),
    "a label that is denied": (MOOD, "It is not positive.", "unsure", {}),
    "two labels": (MOOD, "positive or negative", "unsure", {}),
    "no label": (MOOD, "neutral", "escalate", {}),
    "near: a longer word": (MOOD, "positively", "escalate", {}),
    "a choice": (CHOICE, "The correct answer is (B).", "accept", {"read": "B"}),
    "a choice that is not offered": (CHOICE, "The answer is (E).", "escalate", {}),
    "two choices": (CHOICE, "The answer is A or B", "escalate", {}),
    "no choice": (CHOICE, "All of them have merits.\nIt depends.", "unsure", {}),
    "a date": (DAY, "The answer is November 22, 2026.", "accept", {"read": "2026-11-22"}),
    "a date too early": (DAY, "2025-12-31", "escalate", {"found": "whole"}),
    "a marked date too early": (DAY, "Answer: 2025-12-31", "escalate", {"read": "2025-12-31"}),
    "a date to be read in two ways": (DAY, "Answer: 03/04/2026", "unsure", {}),
    "a day that is none": (DAY, "Answer: 2026-02-30", "escalate", {}),
    "JSON": (LIST, "[1, 2]", "accept", {"read": "array"}),
    "JSON in a block": (LIST, "```json\n[1, 2]\n```", "accept", {"read": "array"}),
    "JSON as the final answer": (
        LIST,
        'The answer is: [1, "2"]',
        "accept",
        {"read": "array", "found": "mark"},
    ),
    "JSON as a member": (LIST, '{"why": "so", "answer": [1]}', "accept", {"read": "array", "found": "field"}),
    "JSON of another type": (LIST, "{}", "escalate", {"read": "object"}),
    "JSON that is broken": (LIST, "[1, 2", "escalate", {}),
    "JSON, only": ({**LIST, "place": "whole"}, "The answer is: [1]", "escalate", {}),
    "true is no number": ({"answer": "json", "json_type": "number"}, "true", "escalate", {"read": "boolean"}),
    "a pattern": (CODE, "The code is ready. Answer: ab-1234", "accept", {"found": "mark"}),
    "near: more than the pattern": (CODE, "Answer: AB-12345", "escalate", {}),
    "near: a part of a sentence": (CODE, "Here you are.\nIt is AB-1234, I think.", "unsure", {}),
    "a pattern with case": ({**CODE, "cased": True}, "Answer: ab-1234", "escalate", {}),
    "tools": (SCORE, answered("", tool_calls=CALLS), "accept", {}),
    "JSON that is longer than is read": (LIST, f"[{'1,' * 500_000}1]", "unsure", {}),
    "empty": (SCORE, " \n", "escalate", {}),
    "cut off": (SCORE, answered("The answer is 4", complete=False), "unsure", {}),
    "out of tokens": (SCORE, answered("The answer is 4", stop="max_tokens"), "unsure", {}),
}


@pytest.mark.parametrize("what", ROWS)
def test_a_final_answer_has_its_form_or_it_is_said_what_it_lacks(what: str) -> None:
    options, answer, says, evidence = ROWS[what]
    found = judged_by(
        built(regular_answer, **options), answer if isinstance(answer, Answered) else answered(answer)
    )
    assert found.says == says, found
    assert {name: found.evidence.get(name) for name in evidence} == evidence
    assert found.says == "accept" or found.reason


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "verifiers.one.answer"),
        ({"answer": "colour"}, "verifiers.one.answer"),
        ({"answer": "number", "labels": ["x"]}, "labels: .*says nothing of answer = 'number'"),
        ({"answer": "number", "min": 2, "max": 1}, "verifiers.one.min: 2.0: is more than max = 1"),
        ({"answer": "number", "max": float("nan")}, "must be a finite number"),
        ({"answer": "number", "unit": "parsec"}, "is none that is told from others"),
        ({"answer": "label"}, "name the labels that may be answered"),
        ({"answer": "label", "labels": ["Yes", "yes."]}, "is not told from 'Yes'"),
        ({"answer": "label", "labels": ["?"]}, "has no letter or digit"),
        ({"answer": "choice", "letters": "abc"}, "must be capital letters"),
        ({"answer": "date", "earliest": "2026-02-30"}, "verifiers.one.earliest"),
        ({"answer": "date", "earliest": "2026-02-03", "latest": "2026-02-02"}, "is later than latest"),
        ({"answer": "pattern"}, "verifiers.one.pattern"),
        ({"answer": "pattern", "pattern": "(a"}, r"verifiers.one.pattern: '\(a': is no pattern"),
    ],
)
def test_options_that_are_wrong_are_one_error_each(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        built(regular_answer, **options)


@given(
    st.integers(-200, 200),
    st.integers(0, 99),
    st.sampled_from(["\\boxed{{{}}}", "The answer is {}.", "#### {}", "${}"]),
)
@settings(max_examples=examples(150, 5000), deadline=None)
def test_a_number_is_accepted_exactly_within_its_bounds(whole: int, hundredths: int, frame: str) -> None:
    value = f"{whole}.{hundredths:02}"
    found = judged_by(
        built(regular_answer, answer="number", min=-100, max=100), answered(frame.format(value))
    )
    assert found.says == ("accept" if -100 <= float(value) <= 100 else "escalate")


@given(st.text(max_size=80), st.sampled_from([SCORE, MOOD, CHOICE, DAY, CODE, LIST]), st.booleans())
@settings(max_examples=examples(200, 10_000), deadline=None)
def test_whatever_is_answered_there_is_a_verdict(text: str, options: dict[str, Any], whole: bool) -> None:
    verifier = built(regular_answer, **{**options, "place": "whole" if whole else "final"})
    found = judged_by(verifier, answered(text))
    assert found.says in ("accept", "escalate", "unsure")
    assert len(str(dict(found.evidence))) < 600
