"""What a ladder is, what a decision on it may go by, and what it says."""

from typing import Literal, Protocol

import msgspec

from trimtab.catalogue import Arm, Effort
from trimtab.records import Says

Mode = Literal["quality", "cost"]
"""`quality`: the cascade is run and says what it costs more than the top rung alone. `cost`: it is run only where it is
expected to cost less than the rung that would be called without it."""

MOST_STEPS = 3
"""Attempts of one request on different rungs, at most."""


class Fit(msgspec.Struct, frozen=True):
    """What an arm's model can take, as the catalogue has it."""

    max_output: int
    context: int
    sees: bool = True


class Ladder(msgspec.Struct, frozen=True, kw_only=True):
    """One route's, checked: arms in order of what they are expected to cost, the cheapest first."""

    rungs: tuple[Arm, ...]
    tiers: tuple[str | None, ...] = ()
    """Of each rung, the tier that it is, whose places and caps hold for it. Empty: none is one."""
    fits: tuple[Fit, ...] = ()
    """Of each rung. Empty: nothing is known, and nothing left out."""
    mode: Mode = "quality"
    steps: int = MOST_STEPS
    unsure: Literal["escalate", "release"] = "escalate"
    """What is done with an answer of which the verifiers are unsure, while there is a further step."""
    within_s: float | None = None
    """No step is begun later than so long after the request came, and a later one is cut then."""
    most_nanousd: int | None = None
    """All attempts and checks of one request, at most."""
    latency_s: float | None = None
    """The request is to be answered within so long: rungs that usually take longer are left out, and no step is begun
    that is not expected to end by then."""
    error_cost_nanousd: int | None = None
    """What a wrong answer costs whoever asked: a request begins higher where the share of answers that fail times this
    exceeds what the higher rung costs more."""
    control_share: float = 0.0
    """The part of conversations that the control tier answers, as a baseline to measure by."""
    control: Arm | None = None


def within(ladder: Ladder, models: tuple[str, ...] | None, tiers: tuple[str, ...] | None) -> Ladder:
    """The ladder without rungs whose model or tier a caller may not use (`None`: all); as it is where none is left, for
    then the first one says what the caller may not."""
    if models is None and tiers is None:
        return ladder

    def may(arm: Arm, tier: str | None) -> bool:
        return (models is None or arm.model in models) and (tiers is None or tier is None or tier in tiers)

    named = ladder.tiers or (None,) * len(ladder.rungs)
    kept = [at for at, arm in enumerate(ladder.rungs) if may(arm, named[at])]
    control = ladder.control if ladder.control is not None and may(ladder.control, "control") else None
    if not kept or (len(kept) == len(ladder.rungs) and control == ladder.control):
        return ladder
    return msgspec.structs.replace(
        ladder,
        rungs=tuple(ladder.rungs[at] for at in kept),
        tiers=tuple(named[at] for at in kept),
        fits=tuple(ladder.fits[at] for at in kept) if ladder.fits else (),
        steps=min(ladder.steps, len(kept)),
        control=control,
    )


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision may go by: of the request, of its conversation, and of what its caller says."""

    max_tokens: int | None = None
    input_tokens: int = 0
    """Estimated, on the newest vocabulary."""
    images: int = 0
    tools: int = 0
    chain: int = 0
    """Calls of tools since the last turn of a person."""
    tool_errors: int = 0
    """In this chain."""
    code_tokens: int = 0
    """Of the input, what looks like code; estimated."""
    repeated: int = 0
    """How often the very same was asked before in this conversation."""
    disliked: bool = False
    """Negative feedback was given on an earlier answer of this conversation."""
    disliked_on: tuple[Arm, ...] = ()
    """The arms that gave those answers."""
    chain_on: Arm | None = None
    """The arm that answered when this chain of tools began."""
    error_cost_nanousd: int | None = None
    """What the caller says; wins over the ladder's."""
    latency_s: float | None = None
    """What the caller says; wins over the ladder's."""
    on_rung: Arm | None = None
    """The arm that gave the conversation's last answer."""
    cached_tokens: int = 0
    """What of the prompt its platform has in its cache, under `on_rung`'s model."""
    escalated: bool = False
    """Whether the conversation came to `on_rung` because a lower one's answer was not accepted."""
    effort: Effort | None = None
    """The client's own, which wins over each rung's, so that rungs of one model are one."""
    other_effort: Effort | None = None
    """What a rung works at that names none, where the client names none: as its scenario or tier has it."""
    thinking: Literal["adaptive"] | None = None
    """What holds of thinking whatever the rung says: the client's own, or its tier's."""
    judged: bool = True
    """Whether an answer is judged before it goes out; else there is one step."""
    task_class: str = ""


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What one call of an arm is expected to come to."""

    cost_nanousd: int
    ms: float | None = None
    """Until the end of its answer; `None`: not known."""
    checks_nanousd: int = 0
    """What the checks of its answer cost."""
    switch_nanousd: int = 0
    """What is paid more because the prompt's cache is of another model: prefix x (write here - read there)."""
    harder: float = 1.0
    """What a call costs where a lower rung failed, against what it costs on average: hard requests cost more. 1.26 to
    1.38 on agent tasks (docs/cascade.md); 1 where nobody measured it."""
    measured: bool = False
    """Whether it rests on calls of this arm and class; else on prices and what is shipped."""


class Failure(msgspec.Struct, frozen=True):
    """How often the verifiers did not accept an arm's answers, in this class."""

    failed: int = 0
    judged: int = 0
    unsure: int = 0
    """Of `failed`, those of which they were unsure only."""
    wider: "Failure | None" = None
    """The same of all classes of the route, towards which the class is shrunk."""
    later: "Failure | None" = None
    """The same of requests on which a lower rung had failed; the others are of requests that began with this arm."""


class Known(Protocol):
    """What is known for one request. Pure, and cheap: dictionaries."""

    def estimate(self, arm: Arm) -> Estimate:
        """What a call of it is expected to come to."""
        ...

    def failure(self, arm: Arm) -> Failure:
        """How often its answers were not accepted."""
        ...

    def prefers_model(self, arm: Arm) -> bool:
        """Whether the class's table of efforts shows that, where this arm fails, another model is the better next step
        than more effort of the same."""
        ...


class Beginning(msgspec.Struct, frozen=True, kw_only=True):
    """Where a request begins."""

    rungs: tuple[Arm, ...]
    """Those that may be called, the first one first; never more than `steps`."""
    reasons: tuple[str, ...] = ()
    propensity: float = 1.0
    baseline: bool = False
    """Whether it is one of the control tier's share; then there is one rung, and nothing is escalated."""
    after_failure: bool = False
    """Whether it begins so high because an earlier answer failed: the conversation counts as escalated."""
    expected_nanousd: int | None = None
    """Of the whole cascade as it is begun, checks included."""
    direct_nanousd: int | None = None
    """Of the rung that would be called without a cascade."""


class Made(msgspec.Struct, frozen=True):
    """A step that was made."""

    arm: Arm
    says: Says | None
    """What the verifiers came to; `None`: there was no answer to judge."""
    cost_nanousd: int
    """With its checks."""
    called: bool = True
    """`False`: the rung was passed over, for the request cannot be put to it."""


class Next(msgspec.Struct, frozen=True):
    """Whether it goes on."""

    arm: Arm | None
    """`None`: what there is, is the answer."""
    reason: str
