"""The task model of the benchmark of phases: every parameter, written down before the first run.

Nothing here is measured on real work: each figure is an assumption, and says so, unless it names a source. What the
benchmark shows is what follows from them, for the arithmetic of `trimtab.budgets.tasks` as it is shipped.
"""

from dataclasses import dataclass

from trimtab.budgets.tasks.making import PHASES

SHARES = tuple(percent / 100 for _, percent in PHASES)
"""How the budget is divided: the shipped default, 20/40/30/10."""

BASE = 60_000
"""Tokens that a task of middle size needs in all. Assumption: 30 to 50 calls of an agent that edits code."""

SCARCITY = (0.4, 0.6, 0.8, 1.0, 1.3, 2.0)
"""The task's total as a multiple of `BASE`. From far too little to plenty."""

SPREAD = (0.2, 0.5, 0.8, 1.2)
"""Standard deviation of the logarithm of each phase's need, independent of the others. At 0.2 what a phase needs is
known within a fifth; at 1.2 it may be a third or three times as much."""

SIZE_SPREAD = 0.3
"""The same for the size of the whole task, which all its phases share. Assumption."""

TRUE_SHARES = {
    "as planned": (0.20, 0.40, 0.30, 0.10),
    "planned wrongly": (0.40, 0.20, 0.15, 0.25),
}
"""What phases need on the whole. Wrongly: analysis and report need twice the share that they were given, tools and
verification half."""

CALL_TOKENS, CALL_SPREAD = 1_200.0, 0.6
"""Median of what the model newly sees and writes in one call, and the standard deviation of its logarithm. Half of it
is output. Assumption."""

ASKED = 8_192
"""`max_tokens` of each call. An answer that would have been longer than what is granted is cut: paid for, and lost."""

NOTE = 60
"""Tokens by which a phase's first call is longer, because the model is told of its budget. Source: the note's text."""

PROGRESS_NOISE = 0.25
"""Standard deviation of the logarithm of the progress that an agent reports, around what is true. Assumption."""

CURVES = (1.0, 2.0, 4.0)
"""How much the first tokens of a phase are worth more than the last: a phase that got the part f of what it needs is
worth 1 - (1 - f)^k. At 1 every token is worth the same; at 4 a half is worth 94 %."""

RIGHT = 0.7
"""Probability that the work is right before it is verified, with analysis and tools done whole. Assumption."""

ANALYSIS_WEIGHT = 0.5
"""The work is right with RIGHT x analysis^0.5 x tools: poor analysis can be made up for in part. Assumption."""

MENDED = 0.5
"""Part of the wrong work that a whole verification finds and mends. Assumption."""

RESERVE_PERCENT = 10
"""What the undivided budget keeps for the final report; nothing else uses it. The same as the report's share."""

LEAST_REPORT = 0.3
"""A report that got less of what it needs is no report: the task failed. Assumption."""

TASKS, SMOKE_TASKS = 200, 2
"""Tasks for each point. All arms work on the same ones, with calls of the same sizes."""

SEED = 20261123
"""The first run had 20261122. What it showed changed floors and early moves, so the second worked on other tasks."""


@dataclass(frozen=True)
class Arm:
    """A way to use a total."""

    name: str
    strategy: str | None
    """`None`: undivided but for the reserve."""
    progress: bool = False
    """Whether the agent says how far it is."""


ARMS = (
    Arm("undivided", None),
    Arm("completion", "prioritize_completion"),
    Arm("completion, progress told", "prioritize_completion", progress=True),
    Arm("quality, progress told", "prioritize_quality", progress=True),
)

HEEDING = {"heeds": True, "does not heed": False}
"""An agent that heeds its budget goes on to the next phase once the phase's own share is used up. One that does not
goes on until a call is refused: then only floors and the order in which phases lend protect what comes later."""
