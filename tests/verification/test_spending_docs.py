"""docs/verification.md says what the verifiers do that spend: its configurations are read, its tests run, and every option
and figure is in it."""

import datetime
import tomllib
from pathlib import Path
from typing import Any

import pytest
from judged_cases import Asked, answered, asked, heard, judged_by

from trimtab.catalogue import Catalogue
from trimtab.sandbox import Limits, Sandbox
from trimtab.verification import VerificationSettings, Verifiers
from trimtab.verification.code_blocks import blocks
from trimtab.verification.code_tests import CodeTestsOptions
from trimtab.verification.judge_prompt import DEFAULT_RUBRIC, SYSTEM, Criterion
from trimtab.verification.rubric import RubricOptions
from trimtab.verification.second_opinion import SecondOpinionOptions

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "verification.md").read_text(encoding="utf-8")

OURS = ("code_tests", "second_opinion", "rubric")

NAMED = {
    name: options
    for block in blocks(PAGE)
    if block.marks == ("toml",)
    for name, options in tomllib.loads(block.text).get("verifiers", {}).items()
    if options.get("kind") in OURS
}


def section(title: str) -> str:
    return PAGE.split(f"\n### `{title}`")[1].partition("\n### ")[0]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("code_tests", CodeTestsOptions),
        ("second_opinion", SecondOpinionOptions),
        ("rubric", RubricOptions),
        ("rubric", Criterion),
    ],
)
def test_every_option_is_in_the_section_of_its_verifier(kind: str, options: Any) -> None:
    words = {word.strip("`,: ") for part in section(kind).split("`")[1::2] for word in part.split(",")}
    assert set(options.__struct_fields__) - words == set()


def test_every_verifier_that_is_configured_on_the_page_can_be_built() -> None:
    verifiers = Verifiers(VerificationSettings(), NAMED, lambda key: key)
    assert {verifiers.check(name, name).verifier.spends for name in NAMED} == {"processor", "money"}
    assert {options["kind"] for options in NAMED.values()} == set(OURS)


def test_the_tests_of_the_page_run_and_tell_right_from_wrong() -> None:
    verifiers = Verifiers(VerificationSettings(), NAMED, lambda key: key)

    def says(name: str, answer: str, prompt: str = "") -> str:
        verifier = verifiers.check(name, name).verifier
        return judged_by(verifier, answered(answer), asked(prompt), run=Sandbox().run).says

    sort = "```python\ndef sort_by_age(given):\n    return sorted(given, key=lambda one: one[{}])\n```"
    assert [says("sorting", sort.format(by)) for by in (1, 0)] == ["accept", "escalate"]
    add = "```sh\nadd() {{ echo $(($1 {} $2)); }}\n```"
    assert [says("shell-add", add.format(sign)) for sign in "+-"] == ["accept", "escalate"]
    prompt = next(block.text for block in blocks(PAGE) if block.marks == ("text",))
    code = "```python\ndef add(a, b):\n    return a {} b\n```"
    assert [says("code_tests", code.format(sign), prompt) for sign in "+-"] == ["accept", "escalate"]


def test_the_second_opinion_of_the_page_compares_numbers() -> None:
    verifiers = Verifiers(VerificationSettings(), NAMED, lambda key: key)
    verifier = verifiers.check("other-voice", "x").verifier
    ask = Asked(heard(answered("That makes 1234.5 dollars.")))
    assert judged_by(verifier, answered("The answer is $1,234.50."), ask=ask).says == "accept"
    assert ask.calls == [("claude-haiku-4-5", None)]


def test_the_prices_of_the_page_are_those_of_the_catalogue() -> None:
    catalogue = Catalogue.load()
    day = datetime.date(2026, 11, 22)

    def dollars(model: str, input_tokens: float, output_tokens: int) -> float:
        found = catalogue.find(model)
        assert found is not None
        row = catalogue.price_row(found, day)
        return float((float(row.input) * input_tokens + float(row.output) * output_tokens) / 1_000_000)

    asked_once = {
        model: dollars(model, 1000, 500)
        for model in ("claude-sonnet-4-6", "claude-haiku-4-5", "claude-opus-4-7")
    }
    assert asked_once == pytest.approx(
        {"claude-sonnet-4-6": 0.0105, "claude-haiku-4-5": 0.0035, "claude-opus-4-7": 0.0175}
    )
    for figure in ("$0.0105", "$0.0035", "$0.0175"):
        assert figure in section("second_opinion")
    instructions = (len(SYSTEM) + len(DEFAULT_RUBRIC)) / 3.6
    assert 480 <= instructions <= 620
    assert dollars("claude-opus-4-7", 1500 + 550, 100) == pytest.approx(0.013, abs=0.0005)
    assert Limits() == Limits(
        processes=32, file_bytes=16 * 2**20, folder_bytes=64 * 2**20, output_bytes=2**20, wall_s=10, cpu_s=10
    )
