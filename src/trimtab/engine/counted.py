"""What budgets count a call by: before it, at the most and as expected, and after it, by what was billed.

What it is not: the counting (`budgets`), or the bill (`bill`). Invariant: what is not known counts as the most that it
can be.
"""

from trimtab.budgets import Ledger, Use
from trimtab.budgets.expected import Expectations, expected
from trimtab.catalogue import Catalogue
from trimtab.engine.bill import Bill
from trimtab.engine.chat import check_bounded_by as check_bounded_chat
from trimtab.engine.inbound import Inbound, tags_of
from trimtab.engine.job import Job, most_output, priced_at
from trimtab.engine.other_models import check_own_model, is_kept_to_models
from trimtab.engine.tool_lists import ToolLists
from trimtab.engine.unbounded import check_bounded, is_bounded
from trimtab.messages import MessagesBody, Usage
from trimtab.messages.chat import ChatBody
from trimtab.records import billed_tokens

COUNTED = ("live", "task")
"""Purposes that are counted on budgets."""


def check_budgets(body: MessagesBody | ChatBody, inbound: Inbound, ledger: Ledger, lists: ToolLists) -> None:
    """Refuse what has no worst case to whoever is counted on a hard budget. What is refused to the caller's key anyhow
    was checked for already. Raises `PermissionDenied`."""
    caller = inbound.caller
    tags = tags_of(inbound.own.get("x-trimtab-tags"))
    hard, strict = ledger.hard_budgets(caller, inbound.arrived_ms, tags)
    if isinstance(body, ChatBody):
        if strict is not None:
            check_bounded_chat(body, strict)
        return
    if hard is not None and not is_kept_to_models(caller):
        check_own_model(body, hard, lists)
    if strict is not None and inbound.endpoint == "messages" and not is_bounded(caller):
        check_bounded(body, strict, lists)


def use_of(job: Job, *, calls: bool = True) -> Use:
    """What a job may be counted by, at the most; one for which nobody is called, as a request only."""
    generates = calls and job.endpoint != "count_tokens"
    return Use(
        job.arrived_ms,
        job.tags,
        job.input_bound if generates else 0,
        most_output(job) if generates else 0,
        job.counts or job.purpose in COUNTED,
    )


def expected_of(
    job: Job, catalogue: Catalogue, expectations: Expectations, simulated: bool
) -> tuple[int, int, int]:
    """What a call is expected to come to: nano-dollars, input tokens (priced as uncached), output tokens. 2.5 us: only
    where a budget holds it."""
    model, effort, by = job.model, job.plan.arm.effort, job.provider
    usual = expectations.usual(model.id, effort, job.task_class, simulated)
    known = expected(usual, effort or model.default_effort, catalogue.efforts.usual_output)
    into = known.input_of(job.request_bytes, job.input_bound)
    output = min(known.output_tokens * job.answers, most_output(job))
    usage = Usage(
        input_tokens=into,
        output_tokens=output,
        speed="fast" if job.fast else None,
        inference_geo="us" if job.us_only else None,
    )
    usd = catalogue.price(
        model, usage, priced_at(job), platform=by.platform, regional=by.regional, discount=by.discount
    )
    return usd, into, output


def billed_in_and_out(billed: Bill) -> tuple[int, int] | None:
    """Tokens, cache reads and writes among those that went in; `None` where nobody knows them."""
    _, source, usage = billed
    if source == "unbilled":
        return 0, 0
    if usage is None or (source == "estimated" and not usage.input_said):
        return None
    plain, five, hour, read, output, _ = billed_tokens(usage)
    return plain + five + hour + read, output
