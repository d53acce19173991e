"""What budgets that hold what is expected would hold for calls now, and by how much they can be passed.

What it is not: the holding (`budgets`). Invariant: the figures are those that a serving process takes, and each says
whether it was measured.
"""

from collections.abc import Mapping

import msgspec

from trimtab.budgets.expected import KINDS, PRIOR_EFFORT, Expectations, expected, read_published
from trimtab.catalogue import EFFORTS, Catalogue, Effort
from trimtab.records import Outcome
from trimtab.store import Transaction
from trimtab.store.artefacts import newest_content
from trimtab.store.figures.usual import UsualCall

MOST_SHOWN = 20
"""Kinds of calls, those with the most calls first."""


class ExpectedOf(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of calls: what is held for one of them where a budget holds what is expected."""

    model: str
    """Empty: any of which too little is known."""
    effort: str
    """Empty: none was set."""
    task_class: str
    """`*`: any."""
    simulated: bool
    output_tokens: int
    """Never more than its max_tokens."""
    input_permille: int
    """Input tokens for 1,000 bytes of request."""
    calls: int | None
    """That were measured; `None`: none, the figures are shipped."""
    most_output_tokens: int | None = None
    """What any of these calls wrote."""

    @property
    def beyond(self) -> int | None:
        """Output tokens by which one of the measured calls passed what would be held for it now, at the most."""
        return None if self.most_output_tokens is None else self.most_output_tokens - self.output_tokens


def expected_now(view: Transaction) -> tuple[ExpectedOf, ...]:
    """What was measured, real before simulated, and what is shipped for the rest."""
    found = []
    for simulated in (False, True):
        calls = sorted(_measured(view, simulated), key=lambda one: -one.calls)
        found += [_of(one, simulated) for one in calls[:MOST_SHOWN]]
    for effort in EFFORTS:
        known = expected(None, effort, _prior())
        found.append(
            ExpectedOf(
                model="",
                effort=effort,
                task_class="*",
                simulated=False,
                output_tokens=known.output_tokens,
                input_permille=known.input_permille,
                calls=None,
            )
        )
    return tuple(found)


def expected_of_record(view: Transaction, record: Outcome) -> tuple[ExpectedOf, ...]:
    """The same for the kind of calls that a recorded request is of; nothing for one that was refused."""
    if record.plan is None:
        return ()
    arm = record.plan.arm
    expectations = Expectations()
    expectations.now_is(_measured(view, record.simulated), simulated=record.simulated)
    usual = expectations.usual(arm.model, arm.effort, record.task_class, record.simulated)
    if usual is not None:
        return (_of(usual, record.simulated),)
    model = Catalogue.load().find(arm.model)
    effort = arm.effort or (None if model is None else model.default_effort)
    known = expected(None, effort, _prior())
    return (
        ExpectedOf(
            model=arm.model,
            effort=effort or PRIOR_EFFORT,
            task_class=record.task_class,
            simulated=record.simulated,
            output_tokens=known.output_tokens,
            input_permille=known.input_permille,
            calls=None,
        ),
    )


def _measured(view: Transaction, simulated: bool) -> tuple[UsualCall, ...]:
    content = newest_content(view, KINDS[simulated])
    read = None if content is None else read_published(content)
    return () if read is None else read.calls


def _of(one: UsualCall, simulated: bool) -> ExpectedOf:
    return ExpectedOf(
        model=one.model,
        effort=one.effort,
        task_class=one.task_class,
        simulated=simulated,
        output_tokens=one.output_tokens,
        input_permille=one.input_permille,
        calls=one.calls,
        most_output_tokens=one.most_output_tokens,
    )


def _prior() -> Mapping[Effort, int]:
    return Catalogue.load().efforts.usual_output
