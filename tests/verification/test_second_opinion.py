"""A second opinion: two arms that say the same in different words agree, and nothing else does."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judged_cases import Asked, answered, asked, built, heard, judged_by

from trimtab.errors import BudgetSpent, ConfigError
from trimtab.messages.exchange import Answered, ToolCall
from trimtab.verification import VerificationSettings, Verifiers
from trimtab.verification.second_opinion import SecondOpinion, second_opinion


def call(name: str, arguments: str, value: Any = None, *, readable: bool = True) -> ToolCall:
    return ToolCall("c", name, arguments.encode(), value, readable)


def calls(*made: ToolCall) -> Answered:
    return answered("", tool_calls=made, stop="tool_use")


MAIL = call("mail", '{"to":"a","n":1}', {"to": "a", "n": 1})
MAIL_AGAIN = call("mail", '{ "n": 1.0, "to": "a" }', {"n": 1.0, "to": "a"})
MAIL_B = call("mail", '{"to":"b","n":1}', {"to": "b", "n": 1})
MAIL_A = call("mail", '{"to":"A","n":1}', {"to": "A", "n": 1})
FIND = call("find", "{}", {})
BROKEN = call("mail", '{"to":', None, readable=False)

ROWS: list[tuple[str, dict[str, Any], Any, Any, str]] = [
    ("the same number in words of its own", {}, "The answer is 18.", "So she makes **$18**", "accept"),
    ("the same number, written otherwise", {}, "#### 1,234.50", "\\boxed{1234.5}", "accept"),
    ("a number at the end", {"compare": "number"}, "So 5 x 12 = 60 apples.", "That makes 60.", "accept"),
    ("near: another number", {}, "The answer is 18.", "The answer is 18.5.", "escalate"),
    ("near: another unit", {}, "The answer is 18 km.", "The answer is 18 miles.", "escalate"),
    ("the same choice", {"compare": "choice"}, "The answer is (B).", "B", "accept"),
    ("near: another choice", {"compare": "choice"}, "The answer is (B).", "The answer is D", "escalate"),
    (
        "the same label",
        {"compare": "label", "labels": ["spam", "not spam"]},
        "Label: Not spam",
        "not spam",
        "accept",
    ),
    (
        "near: a label within a label",
        {"compare": "label", "labels": ["spam", "not spam"]},
        "spam",
        "not spam",
        "escalate",
    ),
    (
        "the same fields",
        {"compare": "json", "fields": ["a"]},
        '{"a": 1, "note": "x"}',
        '```json\n{"note": "y", "a": 1.0}\n```',
        "accept",
    ),
    ("near: another field", {"compare": "json", "fields": ["a"]}, '{"a": 1}', '{"a": "2"}', "escalate"),
    (
        "near: a field is missing",
        {"compare": "json", "fields": ["a", "b"]},
        '{"a": 1, "b": 2}',
        '{"a": 1}',
        "unsure",
    ),
    ("prose", {}, "It depends.\n\nOn the one hand so,\non the other hand not.", "It depends.", "unsure"),
    ("near: prose that ends alike", {}, "Yes.\n\nAsk me in 3 days.", "No.\n\nAsk me in 3 days.", "unsure"),
    ("one of them has no number", {"compare": "number"}, "The answer is 18.", "I cannot say.", "unsure"),
    ("whole texts", {"compare": "whole_text"}, "Good  morning!", "good morning", "accept"),
    ("near: whole texts", {"compare": "whole_text"}, "Good morning", "Good evening", "escalate"),
    ("nothing", {}, "", "The answer is 18.", "unsure"),
    ("the other is cut", {}, "The answer is 18.", answered("The answer is 18.", stop="max_tokens"), "unsure"),
    ("the other breaks off", {}, "18", answered("18", complete=False), "unsure"),
    ("the other refuses", {}, "18", answered("18", stop="refusal"), "unsure"),
    ("it is a refusal itself", {}, answered("18", stop="refusal"), "18", "unsure"),
    ("the same call", {}, calls(MAIL), calls(MAIL_AGAIN), "accept"),
    (
        "the same call, said beside it",
        {},
        calls(MAIL),
        answered("I mail.", tool_calls=(MAIL,), stop="tool_use"),
        "accept",
    ),
    ("near: other arguments", {}, calls(MAIL), calls(MAIL_B), "escalate"),
    ("near: another case in an argument", {}, calls(MAIL), calls(MAIL_A), "escalate"),
    ("near: another tool", {}, calls(MAIL), calls(FIND), "escalate"),
    ("near: one call more", {}, calls(MAIL), calls(MAIL, FIND), "escalate"),
    ("near: the same call twice", {}, calls(MAIL), calls(MAIL, MAIL), "escalate"),
    ("another order", {}, calls(MAIL, FIND), calls(FIND, MAIL), "unsure"),
    (
        "another order, which says nothing",
        {"tool_order": "ignored"},
        calls(MAIL, FIND),
        calls(FIND, MAIL),
        "accept",
    ),
    ("a call and a text", {}, calls(MAIL), "Shall I mail?", "escalate"),
    ("a text and a call", {}, "The answer is 18.", calls(MAIL), "escalate"),
    ("a call that cannot be read", {}, calls(BROKEN), calls(BROKEN), "unsure"),
    ("the other's call cannot be read", {}, calls(MAIL), calls(BROKEN), "unsure"),
]


def as_answer(given: Any) -> Answered:
    return answered(given) if isinstance(given, str) else given


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_an_agreement_is_the_same_answer_and_nothing_less(row: Any) -> None:
    _, options, one, other, says = row
    ask = Asked(heard(as_answer(other)))
    finding = judged_by(built(second_opinion, **options), as_answer(one), asked("How much?"), ask=ask)
    assert finding.says == says, finding
    assert finding.confidence is None


def test_the_other_arm_is_asked_the_very_request_and_a_verdict_shows_both_answers() -> None:
    ask = Asked(heard(answered("The answer is 19.")))
    verifier = built(second_opinion, arm="gpt-5@low", confidence_agree=0.94, confidence_disagree=0.31)
    finding = judged_by(verifier, answered("The answer is 18."), ask=ask)
    assert ask.calls == [("gpt-5@low", None)]
    assert (finding.says, finding.confidence) == ("escalate", 0.31)
    assert (finding.evidence["answer"], finding.evidence["other_answer"]) == ("18", "19")
    assert finding.evidence["simulated"] is True
    agreed = judged_by(
        verifier, answered("It is 18, so the answer is 18"), ask=Asked(heard(answered("#### 18")))
    )
    assert (agreed.says, agreed.confidence) == ("accept", 0.94)


def test_no_opinion_is_bought_that_could_not_be_compared() -> None:
    ask = Asked(heard(answered("18")))
    cut = answered("The answer is 1", stop="max_tokens")
    for answer in (answered("So and so.\n\nOr otherwise, who knows."), answered(""), calls(BROKEN), cut):
        assert judged_by(built(second_opinion), answer, ask=ask).says == "unsure"
    assert ask.calls == []


def test_an_arm_is_no_second_voice_for_itself_unless_it_is_said_to_be() -> None:
    own = "claude-sonnet-4-6@medium"
    ask = Asked(heard(answered("18"), arm=own))
    assert judged_by(built(second_opinion, arm=own), answered("18"), arm=own, ask=ask).says == "unsure"
    assert ask.calls == []
    assert judged_by(built(second_opinion, arm="default"), answered("18"), arm=own, ask=ask).says == "unsure"
    counts = built(second_opinion, arm=own, same_arm="counts")
    assert judged_by(counts, answered("18"), arm=own, ask=ask).says == "accept"


def test_of_several_other_answers_all_must_agree() -> None:
    def says(*texts: str) -> str:
        ask = Asked(heard(*(answered(text) for text in texts)))
        return judged_by(built(second_opinion), answered("18"), ask=ask).says

    assert says("18", "18.0") == "accept"
    assert says("18", "19") == "unsure"
    assert says("19", "20") == "escalate"
    assert says() == "unsure"


def test_an_arm_that_does_not_answer_makes_it_unsure_and_says_why() -> None:
    ask = Asked(BudgetSpent("the key has spent what it may"))
    with pytest.raises(BudgetSpent):  # the panel makes it unsure
        judged_by(built(second_opinion), answered("18"), ask=ask)


@given(st.integers(-(10**12), 10**12), st.integers(-(10**12), 10**12), st.integers(0, 4), st.integers(0, 4))
def test_agreement_is_symmetric_and_does_not_see_how_a_number_is_written(
    one: int, other: int, a: int, b: int
) -> None:
    ways = ["The answer is {}.", "{:,}", "#### {}", "\\boxed{{{}}}", '{{"answer": {}}}']
    verifier = built(second_opinion)
    assert isinstance(verifier, SecondOpinion)
    first, second = answered(ways[a].format(one)), answered(ways[b].format(other))
    there = verifier.compared(first, second)
    back = verifier.compared(second, first)
    assert there.same is back.same
    assert (there.one, there.other) == (back.other, back.one)
    assert there.same is (one == other)


TEXTS = st.text(alphabet="ab1 .{}\"':,$\n#*", max_size=40)


@given(TEXTS, TEXTS, st.sampled_from(["auto", "number", "choice", "json", "literal", "text", "whole_text"]))
def test_agreement_is_symmetric_for_any_texts_and_every_answer_agrees_with_itself(
    one: str, other: str, kind: str
) -> None:
    verifier = built(second_opinion, compare=kind)
    assert isinstance(verifier, SecondOpinion)
    there = verifier.compared(answered(one), answered(other))
    back = verifier.compared(answered(other), answered(one))
    assert there.same is back.same
    assert verifier.compared(answered(one), answered(one)).same is not False


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text("ab", max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("xyz", max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON, JSON)
def test_calls_are_compared_by_what_their_arguments_say(one: Any, other: Any) -> None:
    verifier = built(second_opinion)
    assert isinstance(verifier, SecondOpinion)
    made = verifier.compared(calls(call("f", "", one)), calls(call("f", "", other)))
    back = verifier.compared(calls(call("f", "", other)), calls(call("f", "", one)))
    assert made.same is back.same is same_json(one, other)


def same_json(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool) or type(one) is not type(other):
        numbers = (int, float)
        if isinstance(one, bool) or isinstance(other, bool):
            return one is other
        return isinstance(one, numbers) and isinstance(other, numbers) and one == other
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same_json(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    return bool(one == other)


def test_options_that_say_nothing_are_refused() -> None:
    def refused(**options: Any) -> str:
        with pytest.raises(ConfigError) as problem:
            built(second_opinion, **options)
        return str(problem.value)

    assert "verifiers.one.arm" in refused(arm=" ")
    assert "verifiers.one.fields" in refused(fields=["a"])
    assert "verifiers.one.labels" in refused(labels=["a"], compare="number")
    assert "must be one of auto" in refused(compare="numbers")
    assert "verifiers.one.confidence_agree" in refused(confidence_agree=94)


def test_it_comes_in_by_the_door_that_everybody_uses() -> None:
    verifiers = Verifiers(VerificationSettings(), {"two": {"kind": "second_opinion"}}, lambda key: key)
    assert verifiers.check("two", "here").verifier.spends == "money"
