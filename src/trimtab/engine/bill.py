"""What one call cost, from what was seen of its answer.

What it is not: prices (`catalogue`) or money held (`budgets`). Invariant: never under-counts; what may have been billed
and is not known is estimated high.
"""

from typing import TypeAlias

import msgspec

from trimtab.catalogue import Catalogue, NanoUSD, upper_bound_tokens
from trimtab.engine.job import Job, most_output, priced_at
from trimtab.errors import RequestError, UpstreamRefused, UpstreamTimeout
from trimtab.messages import ReplyMeter, ServerToolUse, StreamMeter, Usage
from trimtab.messages.chat import ChatReplyMeter, ChatStreamMeter
from trimtab.records import CostSource

Bill = tuple[NanoUSD, CostSource, Usage | None]
"""What a call cost, where that comes from, and the usage that it was priced by."""


Stream: TypeAlias = StreamMeter | ChatStreamMeter | None
Whole: TypeAlias = ReplyMeter | ChatReplyMeter | None
"""What was read of an answer: of an event stream, or of a JSON document."""


def bill(
    job: Job,
    status: int,
    problem: BaseException | None,
    stream: Stream,
    whole: Whole,
    worst_case: NanoUSD,
    catalogue: Catalogue,
) -> Bill:
    """The bill of a call that has ended. `status` is 0 where no head came; `worst_case` is what was reserved."""
    meter = stream or whole
    usage = meter.usage if meter is not None else None
    if _unbilled(job, status, problem, stream, whole):
        return NanoUSD(0), "unbilled", usage
    if meter is not None and usage is not None and meter.final:
        return _priced(job, usage, catalogue), "reported", usage
    if usage is None or not usage.input_said:
        return worst_case, "estimated", usage
    estimate = _estimate(job, usage, stream)
    return _priced(job, estimate, catalogue), "estimated", estimate


def _priced(job: Job, usage: Usage, catalogue: Catalogue) -> NanoUSD:
    by = job.provider
    return catalogue.price(
        job.model, usage, priced_at(job), platform=by.platform, regional=by.regional, discount=by.discount
    )


def _unbilled(job: Job, status: int, problem: BaseException | None, stream: Stream, whole: Whole) -> bool:
    if job.endpoint == "count_tokens" or status >= 300 or isinstance(problem, UpstreamRefused):
        return True
    if isinstance(problem, UpstreamTimeout) and problem.phase == "connect":
        return True
    if isinstance(problem, RequestError) and status == 0:  # the platform has no words for it: not sent
        return True
    if job.provider.platform == "bedrock_converse":
        return False  # what AWS itself filters is a refusal there, and AWS does not say that it is free
    # Source: vendor refusal page (2026-11): a refusal before any output is not billed.
    if stream is not None:
        return stream.stop_reason == "refusal" and not stream.saw_content
    return whole is not None and whole.stop_reason == "refusal" and not whole.has_content


def _estimate(job: Job, reported: Usage, meter: Stream) -> Usage:
    """What an answer that was cut may come to, from the input that its start reported."""
    output, extra_input, searches = most_output(job), 0, 0
    if meter is not None:
        if not job.may_think:
            output = min(upper_bound_tokens(meter.content_bytes), output)
        extra_input = upper_bound_tokens(meter.tool_result_bytes)
        searches = meter.server_tool_uses
    told = reported.server_tool_use
    if searches > ((told.web_search_requests or 0) if told is not None else 0):
        told = ServerToolUse(web_search_requests=searches)
    return msgspec.structs.replace(
        reported,
        input_tokens=(reported.input_tokens or 0) + extra_input,
        output_tokens=max(output, reported.output_tokens or 0),
        server_tool_use=told,
        iterations=None,
        speed=reported.speed or ("fast" if job.fast else None),
        inference_geo=reported.inference_geo or ("us" if job.us_only else None),
    )
