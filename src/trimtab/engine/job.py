"""One call to be made, with everything that its record will say.

What it is not: the call under way (`reply`), or who makes it (`metered`).
"""

import datetime
import functools
from collections.abc import Callable

import msgspec

from trimtab.catalogue import Model
from trimtab.engine.pictures import AnswerChange
from trimtab.engine.task_call import TaskCall
from trimtab.providers import Call, Provider
from trimtab.records import NOBODY, Caller, Endpoint, Outcome, Plan, Purpose, RequestId

HOUR_MS = 3_600_000


class Job(msgspec.Struct, frozen=True):
    """One call to be made, with everything that its record will say."""

    id: RequestId
    purpose: Purpose
    endpoint: Endpoint
    requested_model: str
    session: str
    plan: Plan
    model: Model
    send_model: str
    provider: Provider
    call: Call
    max_tokens: int | None
    input_bound: int
    """Input tokens, at most; see `bounds.input_bound`."""
    request_bytes: int
    arrived_ms: int
    arrived: float
    caller: Caller = NOBODY
    fast: bool = False
    """Fast mode is asked for, which costs more where the model has it."""
    us_only: bool = False
    """US-only inference is asked for, which costs more."""
    may_think: bool = False
    """Hidden thinking may be billed, so a cut answer cannot be estimated from what was seen."""
    asked: bytes | None = None
    """The body as the client sent it, where prompts are kept. `None` where they are not, so that it can be let go of,
    and for calls of our own, whose body is the call's."""
    adaptations: tuple[str, ...] = ()
    observations: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    parent: RequestId | None = None
    answers: int = 1
    """How many answers are asked for at once, each of `max_tokens`."""
    hides_usage: bool = False
    """A stream was asked for its usage by us, not by the client, to whom the chunk that holds it does not go."""
    deadline: float | None = None
    """Monotonic seconds; the call is cut when it passes."""
    account: str = ""
    """Which key of the platform entry's pool is used; empty where it has no pool."""
    place: str = ""
    """What the standing of its platform is kept by: the entry, with the key of its pool where it has one."""
    task: TaskCall | None = None
    """Its request's part of a task's budget."""
    image_tokens: int | None = None
    """What its images are predicted to come to, where it is under a policy for images."""
    change: AnswerChange | None = None
    """How the answer is changed on its way to the client, because the request was on its way here."""
    task_class: str = ""
    """The kind of work: the scenario that the caller, its task, its route or its tier named."""
    step: int | None = None
    """On which step of a cascade it is made, from 0; `None`: there is none."""
    most_nanousd: int | None = None
    """What its request may cost at the most, all calls and checks together; no call is begun that could pass it."""
    counts: bool = False
    """Whether it counts on budgets though its purpose does not."""
    escalations: tuple[str, ...] = ()
    """Of a later step: why it and those before it are made."""
    recorded: Callable[[Outcome], None] | None = None
    """Is told of its record, however it ends. Never waits or raises."""


@functools.lru_cache(maxsize=8)
def _hour(hour: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(hour * 3600, datetime.UTC)


def priced_at(job: Job) -> datetime.datetime:
    """The moment that prices a call: the hour of its arrival. Prices are those of a day."""
    return hour_of(job.arrived_ms)


def hour_of(arrived_ms: int) -> datetime.datetime:
    """The same for a request that is no job yet."""
    return _hour(arrived_ms // HOUR_MS)


def most_output(job: Job) -> int:
    """Output tokens, at most: what was asked for, or all that fits the context."""
    return min(job.max_tokens or 0, job.model.limits.context) * job.answers


def without_encoding(call: Call) -> Call:
    """The call without the codings that its client would take: its answer is read here, so it comes as it is."""
    headers = [header for header in call.headers if header[0] != b"accept-encoding"]
    return call if len(headers) == len(call.headers) else msgspec.structs.replace(call, headers=headers)


def asked_of(job: Job) -> bytes:
    """The body as the client sent it."""
    body = job.call.body if job.asked is None else job.asked
    return body if isinstance(body, bytes) else b""
