"""The whole story of one recorded request, read from the store: its record, its steps, what was called for it beside,
and what became of it.

What it is not: the story's prompt and answer (`store.content`), or who may hear it; whoever can open the store may.
Invariant: every figure is the record's own, or a sum of records.
"""

from collections.abc import Sequence

import msgspec

from trimtab.admin.request_steps import Steps, steps_of
from trimtab.errors import NotFound, shortened
from trimtab.records import Outcome
from trimtab.store import Database, Row, Transaction
from trimtab.store.feedback import Feedback, FeedbackStore
from trimtab.store.figures import Within, arm_text, key_names, relatives


class CalledBeside(msgspec.Struct, frozen=True, kw_only=True):
    """A call that was made for a request and has a record of its own: a check's, an audit's."""

    id: str
    purpose: str
    arm: str
    result: str
    cost_nanousd: int
    verifier: str
    """Whose call it was, where a verdict names it."""


class RequestExplained(msgspec.Struct, frozen=True, kw_only=True):
    """For people who ask why."""

    record: Outcome
    key_name: str
    tried: Steps
    beside: tuple[CalledBeside, ...]
    """At most 100, the oldest first."""
    beside_nanousd: dict[str, int]
    """What those cost, by purpose."""
    told: tuple[Feedback, ...]
    """What became of it, as people told, with the answers that they corrected."""


def explain_request(database: Database, request_id: str) -> RequestExplained:
    """Everything that the store knows of a request. Blocks. Raises `NotFound`, `StoreError`."""
    record = _record(database, request_id)
    around = relatives(database, record.id, record.at_ms, "", record.parent, record.config_version, Within())
    named = key_names(database, [record.key]) if record.key else {}
    beside = _beside(record, around.children)
    feedback = FeedbackStore(database)
    costs: dict[str, int] = {}
    for one in beside:
        costs[one.purpose] = costs.get(one.purpose, 0) + one.cost_nanousd
    return RequestExplained(
        record=record,
        key_name=named.get(record.key, ("", ""))[0],
        tried=steps_of(record),
        beside=beside,
        beside_nanousd=costs,
        told=feedback.with_edited(feedback.of_whole(record.id, record.task)),
    )


def _record(database: Database, request_id: str) -> Outcome:
    def work(view: Transaction) -> Row | None:
        return view.row("SELECT detail FROM requests WHERE id = ?", (request_id,))

    found = database.read(work) if request_id.isascii() and "\0" not in request_id else None
    if found is None:
        raise NotFound(
            f"no request {shortened(request_id, 80)!r} is recorded here; the id is in the x-trimtab-request header of "
            "every answer, and one that is still being answered has no record"
        )
    return msgspec.json.decode(found[0], type=Outcome)


def _beside(record: Outcome, children: Sequence[Row]) -> tuple[CalledBeside, ...]:
    """Rows in the order of `store.figures.listing.RELATIVE`."""
    asked = {
        call: verdict.verifier
        for attempt in record.attempts
        for verdict in attempt.verdicts
        for call in verdict.calls
    }
    return tuple(
        CalledBeside(
            id=request_id,
            purpose=purpose,
            arm=arm_text(model, effort),
            result=result,
            cost_nanousd=cost_nanousd,
            verifier=asked.get(request_id, ""),
        )
        for request_id, _, purpose, model, effort, result, cost_nanousd in children
    )
