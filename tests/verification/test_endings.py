"""An answer that was cut, or that refuses, is not taken for an answer; one that speaks of refusals is."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judged_cases import answered, asked, built, judged_by

from trimtab.errors import ConfigError
from trimtab.messages.exchange import Answered, ToolCall
from trimtab.verification.endings import not_refused, not_truncated

ENDS: dict[str, tuple[dict[str, Any], str]] = {
    # what: of the answer, what is said
    "it ended": ({"stop": "end"}, "accept"),
    "it calls a tool": ({"stop": "tool_use"}, "accept"),
    "at a word that was to end it": ({"stop": "stop_sequence"}, "accept"),
    "it is to be asked to go on": ({"stop": "paused"}, "accept"),
    "it refused": ({"stop": "refusal"}, "accept"),
    "at the limit of tokens": ({"stop": "max_tokens"}, "escalate"),
    "at the end of the context": ({"stop": "context"}, "escalate"),
    "an error": ({"stop": "error", "complete": False}, "escalate"),
    "it broke off": ({"stop": "none", "complete": False}, "escalate"),
    "it broke off behind its reason": ({"stop": "end", "complete": False}, "escalate"),
    "no reason": ({"stop": "none"}, "unsure"),
    "a reason that nobody knows": ({"stop": "unknown", "stop_reason": "moon"}, "unsure"),
    "a reason that nobody knows, and broken off": ({"stop": "unknown", "complete": False}, "escalate"),
}


@pytest.mark.parametrize("what", ENDS)
def test_an_answer_that_was_cut_is_sent_on(what: str) -> None:
    fields, says = ENDS[what]
    assert judged_by(built(not_truncated), answered("Half a", **fields)).says == says


def test_no_words_are_cut_where_none_were_asked_for() -> None:
    cut = answered("", stop="max_tokens")
    assert judged_by(built(not_truncated), cut, asked(max_tokens=0)).says == "accept"
    found = judged_by(built(not_truncated), cut, asked(max_tokens=1))
    assert (found.says, found.evidence["max_tokens"]) == ("escalate", 1)


REFUSES = [
    "I can't help with that.",
    "I can\u2019t help with that.",
    "I'm sorry, but I can't assist with that request.",
    "Sorry, I cannot help you with this.",
    "I apologize, but I am not able to provide instructions for this.",
    "**I'm sorry, but I can't help with that.**",
    "  \n I CANNOT  comply with this request.",
    "Unfortunately, I'm unable to help with hacking.",
    "I won't help you.",
    "I must decline. There are people who can help.",
    "I can't in good conscience write this.",
    "I appreciate the question, but I'm not comfortable helping with this.",
    "I'm not going to do that.",
]
HELPS = [
    "",
    "Here is what you asked for.",
    "Yes.",
    "I can't help but admire this proof.",
    "I can't find the file that you mention.",
    "I'm sorry, but I can't find config.toml in this folder.",
    "I'm sorry for your loss. Here is a letter.",
    "Unfortunately, I cannot do this in less than linear time; here is why.",
    "I can't provide an exact figure, but it is about 40.",
    '"I can\'t help with that." is what the model said.',
    "> I can't help with that.\n\nThis quote shows a refusal.",
    "The assistant said: I'm sorry, but I can't help with that.",
    "`I can't help with that` is the usual phrase.",
    "I can help with that.",
    "I cannot help youngsters, he thought.",
    "I was unable to help with it then, and I am now.",
    "Am I sorry, but I can't help with that? No.",
    "1. I can't help with that.",
]


@pytest.mark.parametrize("text", REFUSES)
def test_a_short_answer_that_begins_with_a_refusal_is_sent_on_and_a_long_one_is_unsure(text: str) -> None:
    verifier = built(not_refused)
    found = judged_by(verifier, answered(text))
    assert found.says == "escalate"
    assert found.evidence["begins"] in " ".join(text.replace("\u2019", "'").casefold().split())
    assert judged_by(verifier, answered(text + " But here is what I can do." * 50)).says == "unsure"


@pytest.mark.parametrize("text", HELPS)
def test_an_answer_that_speaks_of_a_refusal_is_none(text: str) -> None:
    assert judged_by(built(not_refused), answered(text)).says == "accept"


@pytest.mark.parametrize("text", REFUSES)
def test_a_refusal_further_on_is_none(text: str) -> None:
    assert judged_by(built(not_refused), answered("The log says: " + text)).says == "accept"


def test_what_the_model_or_its_api_calls_a_refusal_is_one() -> None:
    verifier = built(not_refused)
    assert judged_by(verifier, answered("Some words", stop="refusal")).says == "escalate"
    found = judged_by(verifier, answered("", refusal="x" * 5000))
    assert found.says == "escalate"
    assert len(str(found.evidence["refusal"])) < 200
    assert judged_by(verifier, answered("Fine.", refusal=" ")).says == "accept"


def test_an_answer_that_calls_tools_does_not_refuse() -> None:
    calls = (ToolCall("t", "ask_a_person", b"{}", {}),)
    assert judged_by(built(not_refused), answered(REFUSES[0], tool_calls=calls)).says == "accept"


def test_phrases_and_lengths_can_be_set() -> None:
    own = built(not_refused, phrases=["Dabei kann ich  nicht helfen"], short_chars=60)
    assert judged_by(own, answered("Dabei kann ich nicht helfen.")).says == "escalate"
    assert judged_by(own, answered("Dabei kann ich nicht helfend eingreifen.")).says == "accept"
    assert judged_by(own, answered("Dabei kann ich nicht helfen, " + "aber " * 20)).says == "unsure"
    assert judged_by(own, answered(REFUSES[0])).says == "escalate"
    only = built(not_refused, phrases=["Nein"], shipped=False)
    assert judged_by(only, answered(REFUSES[0])).says == "accept"
    assert judged_by(only, answered("Nein!")).says == "escalate"


@pytest.mark.parametrize(
    ("factory", "options"),
    [
        (not_truncated, {"limit": 1}),
        (not_refused, {"phrases": [" ** "]}),
        (not_refused, {"phrases": ["a" * 201]}),
        (not_refused, {"phrases": ["a"] * 1001}),
        (not_refused, {"short_chars": -1}),
    ],
)
def test_options_that_are_wrong_are_refused(factory: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"verifiers\.one"):
        built(factory, **options)


@given(st.builds(Answered, text=st.text(), stop=st.sampled_from(["end", "none", "unknown", "refusal"]), complete=st.booleans()))  # fmt: skip
def test_whatever_an_answer_holds_something_is_said_of_it(answer: Answered) -> None:
    for factory in (not_refused, not_truncated):
        assert judged_by(built(factory), answer).says in ("accept", "escalate", "unsure")
