"""A table of effort: what each model and effort took of tokens, money and time for each class of work, and how often it
succeeded. Data only, frozen; an artefact once it is published.

What it is not: how it is made (`building`), or the choice that is made by it. Invariants: a figure is there only where
`CONVERSATIONS_MIN` independent conversations stand behind it, and always with its interval of 95 %; real and simulated
requests are never in one table.
"""

from collections.abc import Iterator
from typing import Literal

import msgspec

from trimtab.catalogue import EFFORTS
from trimtab.stats import Interval
from trimtab.stats.clusters import Mean, Rate

CONVERSATIONS_MIN = 20
"""Figures of fewer conversations are not shown: "no data". With 20, the interval of a rate of 80 % is 36 points wide
and holds it in 92 to 97 % of cases (`stats.clusters`); with fewer it is both wider and wrong more often."""

Unit = Literal["request", "conversation"]
"""What one outcome, cost and time is of. A class in which sessions and tasks were judged, more of them than requests,
is counted by conversation."""


class Figure(msgspec.Struct, frozen=True):
    """A figure with its interval."""

    value: float
    low: float
    high: float


class Success(msgspec.Struct, frozen=True):
    """How often it succeeded, of what was told of."""

    value: float
    low: float
    high: float
    effective: float
    """How many independent outcomes say as much."""
    told: int
    """Requests or conversations that were told of."""
    conversations: int

    @property
    def rate(self) -> Rate:
        """For comparing it with another."""
        return Rate(self.value, self.effective, self.conversations)


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One model and effort in one class of work. Figures are of one request or one conversation: `ClassTable.unit`."""

    model: str
    effort: str
    """Empty where none was set: the model's default."""
    asked: int
    """Whole answers, or conversations that have one."""
    conversations: int
    cost_nanousd: Figure | None = None
    cost_error: float = 0.0
    input_tokens: Figure | None = None
    """Means. Of all kinds, those read from the cache included."""
    output_tokens: Figure | None = None
    """Thinking included."""
    thinking_tokens: Figure | None = None
    p50_ms: Figure | None = None
    """From arrival to the end of the answer; of a conversation the sum."""
    p95_ms: Figure | None = None
    """Needs some 80 answers."""
    success: Success | None = None
    told: int = 0
    """How many outcomes were told, also where they are too few for a figure."""
    told_conversations: int = 0

    @property
    def arm(self) -> str:
        """As people write it."""
        return f"{self.model}@{self.effort}" if self.effort else self.model

    @property
    def cost(self) -> Mean | None:
        """For comparing it with another."""
        if self.cost_nanousd is None:
            return None
        return Mean(self.cost_nanousd.value, self.cost_error, self.conversations)


class ClassTable(msgspec.Struct, frozen=True, kw_only=True):
    """One class of work."""

    task_class: str
    """Empty: requests of no class."""
    unit: Unit
    cells: tuple[Cell, ...]
    """By model, then from the least effort to the most."""
    left_out: int = 0
    """Conversations that used several arms, so that none of them can be said to have succeeded or failed."""

    def cell(self, model: str, effort: str) -> Cell | None:
        """That of an arm."""
        return next((cell for cell in self.cells if (cell.model, cell.effort) == (model, effort)), None)


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What one request, or one conversation, of a class may be expected to take. Each with its interval, if any."""

    unit: Unit
    conversations: int
    tokens: Figure | None
    """Output tokens, thinking included."""
    cost_nanousd: Figure | None
    p50_ms: Figure | None
    success: Success | None


class EffortTable(msgspec.Struct, frozen=True, kw_only=True):
    """All classes of work, of requests that arrived in [from, to)."""

    from_ms: int
    to_ms: int
    simulated: bool
    requests: int
    """That were looked at."""
    complete: bool = True
    """Whether these were all; else the newest of them."""
    classes: tuple[ClassTable, ...] = ()
    version: str = ""
    """Of the published artefact; empty before it is one."""

    def of(self, task_class: str) -> ClassTable | None:
        """The table of one class."""
        return next((one for one in self.classes if one.task_class == task_class), None)

    def expected(self, model: str, effort: str, task_class: str) -> Expected | None:
        """What an arm may be expected to take; `None` where nothing is known of it in this class."""
        table = self.of(task_class)
        cell = None if table is None else table.cell(model, effort)
        if table is None or cell is None or (cell.cost_nanousd is None and cell.success is None):
            return None
        return Expected(
            unit=table.unit,
            conversations=cell.conversations,
            tokens=cell.output_tokens,
            cost_nanousd=cell.cost_nanousd,
            p50_ms=cell.p50_ms,
            success=cell.success,
        )

    def encoded(self) -> bytes:
        """As it is published; without its version, which is made of this."""
        return msgspec.json.encode(msgspec.structs.replace(self, version=""))


def decoded(content: bytes, version: str) -> EffortTable:
    """A published table. Raises `msgspec.DecodeError` for what is none."""
    table = msgspec.json.decode(content, type=EffortTable)
    return msgspec.structs.replace(table, version=version)


def arm_order(cell: Cell) -> tuple[str, int]:
    """By model, then by effort; the model's default last."""
    levels: list[str] = list(EFFORTS)
    return cell.model, levels.index(cell.effort) if cell.effort in levels else len(levels)


def arms_of(table: ClassTable) -> Iterator[tuple[str, list[Cell]]]:
    """Cells by model."""
    models = dict.fromkeys(cell.model for cell in table.cells)
    for model in models:
        yield model, [cell for cell in table.cells if cell.model == model]


def figure(value: float, interval: Interval) -> Figure:
    """A figure."""
    return Figure(value, interval.low, interval.high)
