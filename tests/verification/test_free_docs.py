"""docs/verification.md says what the verifiers do that look at form and words: its configurations are read, and every
option is in it."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from judged_cases import answered, built, judged_by

from trimtab.verification.code_blocks import blocks
from trimtab.verification.forbidden import ForbiddenOptions, forbidden_text
from trimtab.verification.regular import RegularOptions, regular_answer
from trimtab.verification.style import StyleOptions, style

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "verification.md").read_text(encoding="utf-8")

OURS = {"style": style, "forbidden_text": forbidden_text, "regular_answer": regular_answer}

NAMED = {
    name: options
    for block in blocks(PAGE)
    if block.marks == ("toml",)
    for name, options in tomllib.loads(block.text).get("verifiers", {}).items()
    if options.get("kind") in OURS and len(options) > 2
}


def section(title: str) -> str:
    return PAGE.split(f"\n### `{title}`")[1].partition("\n### ")[0]


@pytest.mark.parametrize(
    ("kind", "options"),
    [("style", StyleOptions), ("forbidden_text", ForbiddenOptions), ("regular_answer", RegularOptions)],
)
def test_every_option_is_in_the_section_of_its_verifier(kind: str, options: Any) -> None:
    words = {word.strip("`,: ") for part in section(kind).split("`")[1::2] for word in part.split(",")}
    assert set(options.__struct_fields__) - words == set()


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("short-reply", "Dear Ms. Doe, it is sent.", "Dear Ms. Doe, it is **sent**."),
        ("no-leaks", "This is not for internal only use.", "This is for internal only use."),
        ("score", "So the answer is 42.", "So the answer is 142."),
        ("mood", "Neutral.", "I feel it is blue."),
    ],
)
def test_the_verifiers_of_the_page_tell_right_from_wrong(name: str, good: str, bad: str) -> None:
    options = dict(NAMED[name])
    verifier = built(OURS[options.pop("kind")], **options)
    assert [judged_by(verifier, answered(text)).says for text in (good, bad)] == ["accept", "escalate"]
