"""docs/verification.md says what the verifiers of form and endings do: every option is in it, and its configurations
are read."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from judged_cases import answered, judged_by

from trimtab.verification import VerificationSettings, Verifiers
from trimtab.verification.code_blocks import blocks
from trimtab.verification.endings import NotRefusedOptions
from trimtab.verification.formats import JsonOptions, JsonSchemaOptions
from trimtab.verification.schema_work import MAX_PARTS
from trimtab.verification.schemas import MAX_PATTERNS, MAX_SCHEMA_BYTES, MAX_WORK, PATTERN_BYTES
from trimtab.verification.tool_calls import ToolCallsOptions

PAGE = (Path(__file__).resolve().parents[2] / "docs/verification.md").read_text(encoding="utf-8")
KINDS: dict[str, Any] = {
    "json": JsonOptions,
    "json_schema": JsonSchemaOptions,
    "tool_calls": ToolCallsOptions,
    "not_refused": NotRefusedOptions,
}


def section(kind: str) -> str:
    return PAGE.split(f"\n### `{kind}`")[1].partition("\n### ")[0]


@pytest.mark.parametrize("kind", KINDS)
def test_every_option_is_in_the_section_of_its_verifier(kind: str) -> None:
    words = {word.strip("`,: ") for part in section(kind).split("`")[1::2] for word in part.split(",")}
    assert set(KINDS[kind].__struct_fields__) - words == set()


def test_the_limits_of_the_page_are_those_of_the_code() -> None:
    assert (MAX_SCHEMA_BYTES, MAX_PARTS, MAX_PATTERNS, MAX_WORK) == (256 * 1024, 5000, 64, 4_000_000)
    assert PATTERN_BYTES == 2**20
    for figure in ("256 KiB", "5,000 parts", "64 expressions", "four million", "1 MiB"):
        assert figure in section("json_schema")


def test_the_kinds_come_in_by_entry_points_and_what_the_page_configures_works(tmp_path: Path) -> None:
    named = {
        name: options
        for kind in (*KINDS, "not_truncated")
        for block in blocks(section(kind))
        if block.marks == ("toml",)
        for name, options in tomllib.loads(block.text)["verifiers"].items()
    }
    (tmp_path / "invoice.json").write_text('{"type": "object"}')
    named["invoice"]["schema_file"] = str(tmp_path / "invoice.json")
    verifiers = Verifiers(VerificationSettings(), named, lambda key: key)
    says = {
        name: judged_by(verifiers.check(name, name).verifier, answered("Je ne peux pas vous aider.")).says
        for name in (*named, *KINDS, "not_truncated")
    }
    assert says == {
        "invoice": "escalate",
        "no-refusals": "escalate",
        "json": "escalate",
        "json_schema": "accept",
        "tool_calls": "accept",
        "not_refused": "accept",
        "not_truncated": "accept",
    }
