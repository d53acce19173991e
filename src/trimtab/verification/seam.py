"""What a verifier is, what it is given, and what it may do.

What it is not: any verifier, or who runs them (`panel`). Verifiers of other packages are written against this module
and named in the entry point group `trimtab.verifiers`; the built-in ones come in through the same door.
Invariant: a verifier reaches the world through `Means` only, so that whatever it spends is counted.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, Protocol

import msgspec

from trimtab.messages.exchange import Answered, Question
from trimtab.records import Fact, RequestId, Says
from trimtab.sandbox import Ran, Run

Spends = Literal["nothing", "processor", "money"]
"""What a check costs: `nothing` worth counting; `processor` time in a sandbox; `money`, for it calls models. Checks run
in this order."""


class Finding(msgspec.Struct, frozen=True):
    """What a verifier found."""

    says: Says
    reason: str = ""
    """One short sentence: what is wrong with the answer, or what could not be told."""
    evidence: Mapping[str, Fact] = {}
    """A few facts; of the answer's text no more than a person needs to see why."""
    confidence: float | None = None
    """The probability that the answer is right, where it is known from measurement; never a guess."""


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """A question of the verifier's own."""

    system: str = ""
    user: str
    max_tokens: int = 1024
    schema: Mapping[str, Any] | None = None
    """What the answer must satisfy, where the model can be told."""


class Heard(msgspec.Struct, frozen=True):
    """What another model answered."""

    answers: tuple[Answered, ...]
    arm: str
    """That was called, as `model@effort`."""
    request: RequestId
    """The record of the call."""
    cost_nanousd: int
    simulated: bool


class Ask(Protocol):
    """Calls a model for a verifier. Spends money, which counts as the verifier's."""

    async def __call__(self, arm: str, prompt: Prompt | None = None) -> Heard:
        """Put a question to an arm (`model@effort`) or a tier (`escalation`). Without a prompt it is the very request
        that is judged, which the other arm answers independently. Raises `TrimtabError`: no such model, no money, no
        answer, or a request that cannot be put to this model's API."""
        ...


class Means(msgspec.Struct, frozen=True):
    """What a verifier may do."""

    ask: Ask
    run: Callable[[Run], Awaitable[Ran]]
    """Run code in a sandbox. Raises `TrimtabError` where there is none."""
    monotonic: Callable[[], float]


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One answer to be judged. Where several were asked for, each is judged, and one that fails fails all."""

    question: Question
    answer: Answered
    arm: str
    """That answered."""
    means: Means
    deadline: float
    """In `means.monotonic` seconds; the verifier is cancelled when it passes, and is unsure then."""


class Verifier(Protocol):
    """Judges answers. Built once for a configuration, used for many requests at once."""

    @property
    def spends(self) -> Spends: ...

    async def check(self, case: Case) -> Finding:
        """Judge one answer. Whatever it raises makes it unsure. Checks that spend nothing do not wait."""
        ...


class Factory(Protocol):
    """What an entry point of the group `trimtab.verifiers` names."""

    def __call__(self, options: Mapping[str, Any], where: Callable[[str], str]) -> Verifier:
        """Build one from the options of its `[verifiers.NAME]`, without `kind` and `timeout_s`. `where("tests")` is how
        an error names an option. Raises `ConfigError` for options that are wrong or unknown."""
        ...
