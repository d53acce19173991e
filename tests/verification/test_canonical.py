"""Final answers are written in one way, whichever way a model wrote them."""

import gzip
import itertools
import json
import os
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from searches import examples

from trimtab.verification.canonical import Kind, Reading, agree, canonical, same
from trimtab.verification.final_answer import final_answer
from trimtab.verification.numerals import number, numbers_in, written

TABLES = Path(os.environ.get("TRIMTAB_DATA", "/nowhere")) / "routing"

NUMBERS = {
    "18": "18",
    "$1,234.50": "1234.5 usd",
    "$ 1 234,5": "1234.5 usd",
    "1.234,56 €": "1234.56 eur",
    "1,234": "1234",
    "0,125": "0.125",
    "1,25": "1.25",
    "12,34,567": "1234567",
    "1.000.000": "1000000",
    "1'000": "1000",
    "50%": "50 %",
    "50 percent": "50 %",
    "\\frac{3}{4}": "0.75",
    "$\\dfrac{1}{3}$": "1/3",
    "1 1/2": "1.5",
    "1½": "1.5",
    "2/6 cup": "1/3",
    "2.5e3 km": "2500 km",
    "6.02 × 10²³": "602000000000000000000000",
    "10⁸": "100000000",
    "1.5x10^{-3} m": "0.0015 m",
    "1e400": "1e400",
    "\u22125": "-5",
    "-$5": "-5 usd",
    "about 18 eggs.": "18",
    "18 dollars per day": "18 usd",
    "3 in total": "3",
    "**18**": "18",
    "5 \\text{ cm}": "5 cm",
    "0.50": "0.5",
    "-0": "0",
}

NO_NUMBERS = [
    *(
        "",
        ".",
        "-",
        "$",
        "eggs",
        "1.2.3",
        "10:30",
        "2026/11/22",
        "1/0",
        "x=5",
        "5^2",
        "4th",
        "10x",
        "1, 2, 3",
    ),
    *("1 2 3", "1,234,56", "1e401", "1e99999", "٣", "²", "9" * 200, "3 + 4", "[0]", "18 (9 × 2)"),
]


@pytest.mark.parametrize(("text", "value"), NUMBERS.items())
def test_a_number_is_the_same_however_it_is_written(text: str, value: str) -> None:
    read = number(text)
    assert read is not None
    assert f"{read.value} {read.unit}".strip() == value


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_what_is_no_number_is_not_read_as_one(text: str) -> None:
    assert number(text) is None


def test_numbers_of_a_sentence_have_their_signs_and_currencies() -> None:
    text = "She has 3 eggs, 1,234.5 kg and -7, x2 SHA256 5-3 $12.50. It is 3.14.15 of .5 or 1/2, 100% of 1e5."
    there = [f"{one.value} {one.unit}".strip() for one in numbers_in(text)]
    assert there == ["3", "1234.5", "-7", "5", "3", "12.5 usd", "0.5", "0.5", "100 %", "100000"]


FOUND = {
    '```json\n{"reasoning": "3 * 6", "answer": "18"}\n```': "18",
    '{"answer": 18.0} and {"answer": 19}': "18",
    '{broken {"a": {"answer": 17}, "answer": "$18"}': "18",
    '"reasoning": "...", "answer": "18",': "18",
    "So \\boxed{17}, no: \\(\\boxed{\\frac{36}{2}}\\)": "18",
    "He runs 6 * 3 = <<6*3=18>>18.\n#### 18\n\n": "18",
    "The answer is 17. Wait. The final answer is **$18**. Let me know!": "18",
    "**Answer:** 18 eggs": "18",
    "The correct answer would be: 18.": "18",
    "Die Antwort lautet 18.": "18",
    "答案是:18": "18",
    "Final answer:\n\n18": "18",
    "3 days.\nShe sells **18** of 24.": "18",
    "There are 24.\nEach can have 18 slices.": "18",
    "The answer is $5 + $13 = $18": "18",
    "\\boxed{17} is half of it. The answer is 18.": "18",
    "The answer is \\boxed{18}": "18",
    "At 2:30 pm.\nBetween 6:15 and 9:45 there are 18.": "18",
    "The answer is 18:00": "18",
    "18": "18",
}


@pytest.mark.parametrize("text", FOUND)
def test_the_final_answer_is_found_where_models_put_it(text: str) -> None:
    for kind in ("number", "auto"):
        if kind == "auto" and ("13" in text or ":00" in text):
            continue  # a formula or a time is text, unless a number is wanted
        read = canonical(text, kind)  # type: ignore[arg-type]
        assert read is not None
        assert read.value == FOUND[text], kind


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        *(
            (one, "B")
            for one in ("(B)", "B.", "B) Paris", "**B**", "Option B", "b", "(b)", "The answer is B because")
        ),
        ("The answer is (B). Wait, the answer is (C).", "C"),
        ("It heats up.\nSo it must be (D), as shown.", "D"),
        ("\\boxed{\\text{(E)}}", "E"),
        ("The correct option is A since it is", "A"),
        *(
            (one, None)
            for one in ("A dog", "a dog", "I think B", "B or C", "B, C", "B/C", "Neither A nor B", "K", "")
        ),
        ("The answer is (B) or (C)", None),
        ("It is (B).\nOr is it (A) or (B)?", None),
    ],
)
def test_a_choice_is_one_letter_or_none(text: str, letter: str | None) -> None:
    read = canonical(text, "choice")
    assert (read.value if read else None) == letter


@pytest.mark.parametrize(
    ("text", "day"),
    [
        *(
            (one, "2026-11-22")
            for one in (
                "2026-11-22",
                "22 November 2026",
                "Sunday, Nov 22nd, 2026",
                "22.11.2026",
                "11/22/2026",
                "2026-11-22T10:00:00Z",
                "The answer is 22 November 2026.",
            )
        ),
        *((one, None) for one in ("03/04/2026", "2026-02-30", "May 2026", "2026-11", "yesterday")),
    ],
)
def test_a_date_is_a_day_or_none(text: str, day: str | None) -> None:
    read = canonical(text, "date")
    assert (read.value if read else None) == day


def test_which_figure_is_the_day_can_be_said() -> None:
    for day_first, day in ((True, "2026-04-03"), (False, "2026-03-04")):
        read = canonical("03/04/2026", "date", Reading(day_first=day_first))
        assert read is not None
        assert read.value == day


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Positive.", "positive"),
        ("The answer is: **The Positive**", "positive"),
        ("Label: positive", "positive"),
        ("very positive", "very positive"),
        ("not positive", None),
        ("positive or negative", None),
        ("positively", None),
        ("No, it is not", None),
    ],
)
def test_a_label_is_one_of_the_set_or_none(text: str, label: str | None) -> None:
    read = canonical(text, "label", Reading(labels=("positive", "negative", "very positive")))
    assert (read.value if read else None) == label


AGREE: list[tuple[str, str, Kind, bool | None]] = [
    ("$1,234.50", "The answer is 1234.5 dollars.", "auto", True),
    ("18 eggs", "#### 18", "auto", True),
    ("5 km", "5 m", "auto", False),
    ("50%", "\\boxed{50}", "auto", True),
    ("1/3", "0.333", "auto", False),
    ("B. Paris", "The answer is (B)", "auto", True),
    ("J. Smith", "J. Doe", "auto", False),
    ("The answer is Dr. Smith", "The answer is Dr. Doe", "auto", False),
    ("The answer is: Paris.", "**Answer:** paris", "auto", True),
    ("The answer is [0]", "The answer is 0", "auto", False),
    ("'abc'", '{"answer": "abc"}', "auto", True),
    ("{'l': [1,2]}", '{"l":[1, 2]}', "literal", True),
    ("aB", "ab", "auto", False),
    ('{"b": 1.0, "a": "Yes "}', 'Here: {"a": "yes", "b": 1}', "json", True),
    ('{"a": 1}', '{"a": 1, "b": 2}', "json", False),
    ('{"a": "1"}', '{"a": 1}', "json", False),
    ("It depends on many things.\nSome say this.", "The answer is 3", "auto", None),
    ("Long prose.\nAnd no answer.", "Long prose.\nAnd no answer.", "auto", None),
    ("", "18", "auto", None),
]


@pytest.mark.parametrize(("one", "other", "kind", "expected"), AGREE)
def test_two_answers_agree_only_where_they_say_the_same(
    one: str, other: str, kind: Kind, expected: bool | None
) -> None:
    assert agree(one, other, kind).same is expected
    assert agree(other, one, kind).same is expected


def test_objects_are_compared_by_the_fields_that_are_named() -> None:
    reading = Reading(fields=("a",))
    assert agree('{"a": 1, "b": 2}', '{"b": 3, "a": 1}', "json", reading).same is True
    assert agree('{"a": 1}', '{"b": 3}', "json", reading).same is None


@given(
    st.fractions(max_denominator=10**6),
    st.sampled_from(
        ["{}", " {} ", "**{}**", "The answer is {}.", "\\boxed{{{}}}", '{{"answer": "{}"}}', "#### {}"]
    ),
)
@settings(max_examples=examples(100, 1000), deadline=None)
def test_a_number_that_is_written_in_one_way_is_read_as_itself(value: Fraction, frame: str) -> None:
    read = canonical(frame.format(written(value)))
    assert read is not None
    assert (read.kind, read.value) == ("number", written(value))
    assert same(read, read)


PIECES = st.sampled_from(
    [
        *(
            "answer",
            "The answer is",
            ":",
            "{",
            "}",
            '{"answer":',
            '"',
            "\\boxed{",
            "\\frac{1}{",
            "####",
            "**",
            "(",
            "B",
            ")",
        ),
        *(
            "1",
            ",",
            ".",
            "/",
            "e",
            "-",
            "$",
            "%",
            " ",
            "\n",
            "\u00a0",
            "½",
            "²",
            "Ａ",
            "İ",
            "ß",
            "\ud800",
            "1e9",
            "×10^",
        ),
    ]
)
KINDS: tuple[Kind, ...] = ("auto", "number", "label", "choice", "json", "date", "literal", "text")


@given(st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=60).map("".join)), st.sampled_from(KINDS))
@settings(max_examples=examples(300, 10_000), deadline=None)
def test_no_text_makes_it_raise_or_write_much(text: str, kind: Kind) -> None:
    read = canonical(text, kind)
    assert read is None or len(read.value) <= 4000
    assert agree(text, text, kind).same in (True, None)


@pytest.mark.parametrize(
    "piece",
    [
        "{",
        '{"a":',
        "answer is ",
        "answer",
        "\\boxed{",
        "####",
        "1,",
        "1",
        "[",
        "9" * 150 + " ",
        "**",
        "{}",
        "a. ",
    ],
)
def test_time_and_memory_grow_with_no_text_beyond_a_bound(piece: str) -> None:
    """What is looked at is bounded. The square of this length would keep the test for hours."""
    text = piece * (5_000_000 // len(piece))
    for kind in KINDS:
        read = canonical(text, kind)
        assert read is None or len(read.value) <= 4000


def tables(name: str) -> list[dict]:  # type: ignore[type-arg]
    path = TABLES / f"{name}.jsonl.gz"
    if not path.exists():
        pytest.skip("the tables of outcomes are not here; TRIMTAB_DATA names their folder")
    return [json.loads(line) for line in gzip.open(path, "rt", encoding="utf-8")]


def test_published_scores_are_found_again_from_the_answers() -> None:
    """GSM to the last answer; CRUX but for 27 of 3,200, where lists are the same but for their quotes, or escapes are."""
    wrong: Counter[str] = Counter()
    pairs: Counter[tuple[str, bool | None]] = Counter()
    for row in tables("zeroeval_dev"):
        kind: Kind = "number" if row["task"] == "gsm" else "literal"
        gold = canonical(row["gold"], kind)
        assert gold is not None
        answers = list(row["models"].values())
        for one in answers:
            read = canonical(one["answer"], kind)
            wrong[row["task"]] += (read is not None and same(read, gold)) != bool(one["correct"])
        for one, other in itertools.combinations(answers, 2):
            if one["correct"] or other["correct"]:
                right = "same" if one["correct"] == other["correct"] else "different"
                pairs[right, agree(one["answer"], other["answer"]).same] += 1
    assert wrong["gsm"] == 0
    assert wrong["crux"] <= 27
    assert pairs["same", True] >= 10_500
    assert pairs["same", False] <= 30
    assert pairs["different", True] <= 60


def test_the_place_says_whether_the_model_marked_its_answer() -> None:
    for text, marked in (
        ("\\boxed{3}", True),
        ("The answer is 3", True),
        ("3", False),
        ("So.\nIt is 3 m", False),
    ):
        final = final_answer(text)
        assert final is not None
        assert final.marked is marked
