"""A record of a cascade as the engine writes it: a cheap answer that a schema does not fit, a judged one that is given."""

from typing import Any

import msgspec

from trimtab.catalogue import Arm
from trimtab.messages import Usage
from trimtab.records import Attempt, Outcome, Plan, RequestId, Verdict

CHEAP, STRONG = Arm("claude-sonnet-4-6", "medium"), Arm("claude-opus-4-7", "high")
JUDGED_ID = RequestId("01a1fe55e32a784fae48cc42dcbfdb7e")
JUDGE_ID = RequestId("01a1fe55e32a784fae48cc42dcbfdb7f")
WHY = "json_schema: /answer is missing"

FIRST = Attempt(
    platform="sim", model="claude-sonnet-4-6", result="ok", status=200, stop_reason="end_turn",
    usage=Usage(input_tokens=1200, output_tokens=340), cost_nanousd=8_700_000, cost_source="reported",
    head_ms=210.0, total_ms=900.0, arm=CHEAP, step=0,
    verdicts=(
        Verdict("json_schema", "escalate", "/answer is missing", {"at": "/answer", "rule": "required", "words": 41}, ms=0.4),
        Verdict("house-style", "accept", evidence={"rules": 3}, ms=0.1),
    ),
)  # fmt: skip
CUT = Attempt(
    platform="sim", model="claude-opus-4-7", result="error", status=529, error="overloaded_error", total_ms=40.0,
    arm=STRONG, step=1,
)  # fmt: skip
SECOND = Attempt(
    platform="other", model="claude-opus-4-7", result="ok", status=200, stop_reason="end_turn",
    usage=Usage(input_tokens=1500, output_tokens=420), cost_nanousd=18_000_000, cost_source="reported",
    head_ms=310.0, total_ms=1600.0, arm=STRONG, step=1,
    verdicts=(
        Verdict("json_schema", "accept", ms=0.5),
        Verdict("second", "unsure", "could not be checked: no such model", {"agree": False, "share": 0.5}, 0.81,
                2_100_000, (JUDGE_ID,), 640.0, failed=True),
    ),
)  # fmt: skip


def judged_outcome(**changes: Any) -> Outcome:
    """A request of three attempts on two steps; the second step's answer was released though its check was unsure."""
    record = Outcome(
        id=JUDGED_ID, at_ms=1_800_000_000_000, purpose="live", surface="messages", endpoint="messages",
        requested_model="trimtab/auto", session="s", result="ok", status=200, stream=False,
        plan=Plan(CHEAP, "sim", tier="default", reasons=("route auto: the cheapest rung first",), route="auto",
                  direct_cost_nanousd=20_000_000),
        attempts=(FIRST, CUT, SECOND), cost_nanousd=26_700_000, simulated=True, total_ms=3200.0, answered=2,
        checks_nanousd=2_100_000,
        escalations=(WHY, "second: unsure, and there is no further rung"),
    )  # fmt: skip
    return msgspec.structs.replace(record, **changes)


def judge_call(**changes: Any) -> Outcome:
    """The call of its second opinion."""
    attempt = msgspec.structs.replace(
        SECOND, verdicts=(), cost_nanousd=2_100_000, arm=None, step=0, platform="sim"
    )
    return msgspec.structs.replace(
        judged_outcome(
            id=JUDGE_ID, purpose="judge", parent=JUDGED_ID, attempts=(attempt,), cost_nanousd=2_100_000,
            checks_nanousd=0, escalations=(), answered=None, plan=Plan(STRONG, "sim"), session="",
        ),
        **changes,
    )  # fmt: skip
