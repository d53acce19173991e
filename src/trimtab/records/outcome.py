"""The record of one request: what was asked, decided, tried and paid."""

from typing import Literal

import msgspec

from trimtab.catalogue import Arm, NanoUSD
from trimtab.messages import Usage
from trimtab.records.ids import RequestId
from trimtab.records.verdict import Verdict

Purpose = Literal["live", "shadow", "eval", "audit", "judge", "task"]
"""Only `live` and `task` enter users' budgets and statistics unless configuration says otherwise."""

CostSource = Literal["reported", "estimated", "unbilled"]
"""`reported`: priced from the platform's usage. `estimated`: the call may have been billed but its usage never
came (cut, unreadable), so an upper estimate stands. `unbilled`: refused before anything could be billed."""

MAX_ERROR_CHARS = 300
"""Characters of an error that a record keeps, whoever wrote it."""

Result = Literal["ok", "error", "truncated", "cancelled", "unknown"]
"""`ok`: a whole answer. `error`: an error answer, or none. `truncated`: the platform cut the answer.
`cancelled`: the client went away. `unknown`: our process died while the call was under way."""


Surface = Literal["messages", "chat"]
"""Whose API the client spoke: Anthropic's, or OpenAI's Chat Completions."""

Endpoint = Literal["messages", "count_tokens", "chat"]


class Plan(msgspec.Struct, frozen=True, omit_defaults=True):
    """The decision for one request, made before any money is spent."""

    arm: Arm
    platform: str
    """The operator's name for the platform entry that is called first; the attempts say which ones were."""
    tier: str | None = None
    """The tier that the caller, or its route, named; `None` where there was none, as when it pinned a model."""
    reasons: tuple[str, ...] = ()
    """Why, in order, as short sentences."""
    propensity: float = 1.0
    """The probability with which this arm was chosen; 1 where the choice was not random."""
    expected_cost_nanousd: NanoUSD | None = None
    """What requests of this arm and class cost on average before; `None` where too few are known."""
    route: str = ""
    """The route that took the request, where one did."""
    changes: tuple[str, ...] = ()
    """What the body or headers will say other than the client did, besides `model`; see the adaptations header."""
    direct_cost_nanousd: NanoUSD | None = None
    """Of a cascade: what one call of the rung was expected to cost that would be called without it."""


class Draw(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What one call or request takes from one account of a budget."""

    account: str
    """`budgets.account_of`: whose, of what, and in which period."""
    amount: int
    """In the account's own unit (nano-dollars, tokens, requests): in an intent the worst case, in a record
    what it came to."""
    leased: bool = True
    """Whether it came out of a slice (a hard limit), or is only counted (a soft one)."""


class Attempt(msgspec.Struct, frozen=True, omit_defaults=True):
    """One upstream call made under a plan."""

    platform: str
    model: str
    """The model id as the platform was sent it."""
    result: Result
    status: int | None = None
    """HTTP status of the platform's answer; `None` when none came."""
    error: str | None = None
    """The vendor's error type, or what broke in our words."""
    provider_request_id: str | None = None
    response_model: str | None = None
    stop_reason: str | None = None
    usage: Usage | None = None
    reserved_nanousd: int = 0
    cost_nanousd: int = 0
    cost_source: CostSource = "unbilled"
    head_ms: float | None = None
    """From sending to the response head."""
    first_content_ms: float | None = None
    """From sending to the first content event of a stream."""
    total_ms: float = 0.0
    account: str = ""
    """Which key of the platform entry's pool was used, by its place (from 1); empty where there is no pool."""
    arm: Arm | None = None
    """That was called, where the request had several; else it is the plan's."""
    step: int = 0
    """On which step of a cascade it was made, from 0. Several attempts of one step are calls to several places."""
    verdicts: tuple[Verdict, ...] = ()
    """What the verifiers said of its answer, in the order in which they ran."""


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """What finally happened to a request. One row of the store; the API shows it whole."""

    id: RequestId
    at_ms: int
    """Arrival, Unix milliseconds."""
    purpose: Purpose
    surface: Surface
    endpoint: Endpoint
    requested_model: str
    session: str
    result: Result
    status: int
    """HTTP status that the client got (or would have got, had it stayed)."""
    stream: bool
    plan: Plan | None = None
    """`None` when the request was refused before a decision."""
    attempts: tuple[Attempt, ...] = ()
    error: str | None = None
    cost_nanousd: int = 0
    """All attempts together, without the calls of verifiers."""
    adaptations: tuple[str, ...] = ()
    """What was changed besides the model, as the header of that name says."""
    observations: tuple[str, ...] = ()
    """What was seen and left as it was: what the model refuses or silently takes for something else."""
    tags: tuple[str, ...] = ()
    parent: RequestId | None = None
    key: str = ""
    """Id of the key that the caller showed; empty for a caller without one."""
    organisation: str = ""
    team: str = ""
    user: str = ""
    simulated: bool = False
    leased: bool = False
    """Whether the cost came out of a slice of the key's limit on money."""
    request_bytes: int = 0
    response_bytes: int = 0
    total_ms: float = 0.0
    config_version: str = ""
    catalogue_version: str = ""
    task: str = ""
    """The task whose budget it was part of, and the phase of it."""
    phase: str = ""
    task_class: str = ""
    """The kind of work: the scenario that the caller, its task, its route or its tier named; empty where none did."""
    draws: tuple[Draw, ...] = ()
    """What it came to on each account of the budgets that it was counted on."""
    answered: int | None = None
    """The place among `attempts`, from 0, of the one that the client was given; `None`: the last one."""
    checks_nanousd: int = 0
    """What the calls of verifiers cost, which have records of their own; not part of `cost_nanousd`."""
    escalations: tuple[str, ...] = ()
    """Why each further step of a cascade was made, and last, where another one was not made though the answer was not
    accepted, why not."""
    cached: RequestId | None = None
    """The earlier request whose kept answer this one was given; then nothing was called, and it cost nothing."""
