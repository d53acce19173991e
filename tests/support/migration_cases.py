"""Request bodies that hold each of the 18 cases which people meet when they move a program to a newer model.

Written for Opus 4.6, except where a comment says otherwise. What it is not: what any model says to them.
"""

import base64
import json
import struct
from typing import Any, NamedTuple

from class_samples import samples

OLD, NEW = "2023-06-01", "2026-10-21"


class Case(NamedTuple):
    fields: dict[str, Any]
    version: str = OLD
    betas: tuple[str, ...] = ()

    def body(self, model: str) -> bytes:
        whole = {
            "model": model, "max_tokens": 4000, "messages": [ASKS], **self.fields,
        }  # fmt: skip
        return json.dumps(whole).encode()

    def headers(self) -> list[tuple[bytes, bytes]]:
        headers = [(b"anthropic-version", self.version.encode()), (b"x-api-key", b"k")]
        return headers + ([(b"anthropic-beta", ",".join(self.betas).encode())] if self.betas else [])


def png(width: int, height: int) -> dict[str, Any]:
    data = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + struct.pack(">II", width, height) + b"\x08\x02\0\0\0"
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(data).decode()}
    return {"type": "image", "source": source}


SAMPLES = samples()
ASKS = {"role": "user", "content": "hi"}
TOOL = {"name": "look", "input_schema": {"type": "object"}}
CALL = {"type": "tool_use", "id": "t1", "name": "look", "input": {}}
COMPUTER = {"name": "computer", "display_width_px": 800, "display_height_px": 600}
BUDGETS = ("task-budgets-2026-03-13",)
BUDGET = {"type": "tokens", "total": 50000}
FORMAT = {"type": "json_schema", "schema": {"type": "object", "additionalProperties": False}}
CITED = {
    "type": "document",
    "source": {"type": "text", "media_type": "text/plain", "data": "x"},
    "citations": {"enabled": True},
}
DOCUMENT = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}

CASES: dict[str, Case] = {
    "01-thinking-enabled": Case({"thinking": {"type": "enabled", "budget_tokens": 2000}}),
    "02-sampling": Case({"temperature": 0.2}),
    "03-fast": Case({"speed": "fast"}, betas=("fast-mode-2026-02-01",)),
    "04-prefill": Case({"messages": [ASKS, {"role": "assistant", "content": "{"}]}),
    "05-temperature-and-top-p": Case({"temperature": 0.5, "top_p": 0.5}),
    "06-system-turn": Case({"messages": [ASKS, {"role": "system", "content": "be kind"}]}),
    "07-effort-xhigh": Case({"output_config": {"effort": "xhigh"}}),
    "07-effort-max": Case({"output_config": {"effort": "max"}}),
    "08-task-budget": Case({"output_config": {"task_budget": BUDGET}}, betas=BUDGETS),
    "08-task-budget-small": Case({"output_config": {"task_budget": {"type": "tokens", "total": 500}}}, betas=BUDGETS),
    "09-display-with-disabled": Case({"thinking": {"type": "disabled", "display": "summarized"}}),
    "10-budget-over-max-tokens": Case({"thinking": {"type": "enabled", "budget_tokens": 9000}}),
    "11-text-editor": Case({"tools": [{"type": "text_editor_20250124", "name": "str_replace_editor"}]}),
    "11-text-editor-name": Case({"tools": [{"type": "text_editor_20250728", "name": "str_replace_editor"}]}),
    "11-toolset": Case({"tools": [{"type": "computer_toolset_20260801"}]}),
    "11-computer": Case(
        {"tools": [{"type": "computer_20251124", **COMPUTER}]}, betas=("computer-use-2025-11-24",)
    ),
    "12-dropped-thinking": Case(
        {
            "thinking": {"type": "enabled", "budget_tokens": 2000},
            "tools": [TOOL],
            "messages": [
                ASKS,
                {"role": "assistant", "content": [CALL]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1"}]},
            ],
        }
    ),
    "12-unsigned-thinking": Case(
        {
            "messages": [
                ASKS,
                {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "x"}]},
                ASKS,
            ]
        }
    ),
    "13-many-large-images": Case({"messages": [{"role": "user", "content": [png(10, 10)] * 20 + [png(2001, 2001)]}]}),
    "14-citations-beside-format": Case(
        {"output_config": {"format": FORMAT}, "messages": [{"role": "user", "content": [CITED]}]}
    ),
    "15-all-deferred": Case({"tools": [{**TOOL, "defer_loading": True}]}),
    "16-missing-results": Case({"tools": [TOOL], "messages": [ASKS, {"role": "assistant", "content": [CALL]}, ASKS]}),
    "17-inference-geo": Case({"inference_geo": "us"}),
    "18-version-sampling": Case({"temperature": 1}, NEW),
    "18-version-document": Case(
        {"messages": [ASKS, {"role": "assistant", "content": [DOCUMENT]}, ASKS]}, NEW
    ),
    "plain": Case({}),
    "thinking-adaptive": Case({"thinking": {"type": "adaptive"}, "max_tokens": 64000}),
    "thinking-disabled": Case({"thinking": {"type": "disabled"}}),
    "forced-tool": Case({"tools": [TOOL], "tool_choice": {"type": "any"}}),
    "old-betas": Case({}, betas=("effort-2025-11-24", "output-128k-2025-02-19")),
    "agent": Case(
        {
            "system": [
                {
                    "type": "text",
                    "text": SAMPLES["english_docs"].text * 8,
                    "cache_control": {"type": "ephemeral"},
                }
            ],
            "tools": json.loads(SAMPLES["json_schema"].text),
            "messages": [
                {"role": "user", "content": SAMPLES["english_article"].text},
                {"role": "assistant", "content": SAMPLES["python_code"].text},
                {"role": "user", "content": [{"type": "text", "text": SAMPLES["markdown_tables"].text}, png(1920, 1080)]},
            ],
        }
    ),
}  # fmt: skip
"""Names begin with the number of the case. The rest are what a move changes silently, or not at all."""

PAIRS = (
    ("claude-opus-4-5", "claude-opus-4-7"),
    ("claude-opus-4-6", "claude-opus-4-7"),
    ("claude-opus-4-7", "claude-opus-5-5"),
    ("claude-sonnet-4-6", "claude-sonnet-5-5"),
)


def entry(name: str, model: str) -> str:
    """A line of a file with the request and its headers."""
    case = CASES[name]
    headers = {key.decode(): value.decode() for key, value in case.headers() if key != b"x-api-key"}
    return json.dumps({"custom_id": name, "headers": headers, "body": json.loads(case.body(model))})
