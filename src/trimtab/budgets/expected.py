"""What a call is expected to come to: by the size of its request and, by model, effort and class of work, what such
calls came to before; where there were too few, by what is shipped for its effort.

What it is not: a bound (`Ledger.reserve` keeps it within that), or where the figures come from (`store.figures.usual`).
Invariants: a figure of what was measured is never mixed with one that was not, and each says which it is; asking is a
look or two into dictionaries.
"""

from collections.abc import Iterable, Mapping

import msgspec

from trimtab.catalogue import Effort, NanoUSD
from trimtab.store.figures.usual import EVERY_CLASS, UsualCall

KINDS = {False: "usual-calls", True: "usual-calls-simulated"}
"""Of artefacts, real and simulated."""

PRIOR_EFFORT: Effort = "high"
"""Where no effort is sent and the model names no default. Source: vendor effort page (2026-11): the default is high."""

PRIOR_INPUT_PERMILLE = 500
"""Tokens for 1,000 bytes of request, before there is any history: `DENSITY` has 340 (English) to 510 (JSON) on the
newest vocabulary, and rarer texts above. Not measured on anybody's requests."""

HIDDEN_TOKENS = 6000
"""A bound of the input that is above the request's bytes by more than what tools add is of something that the bytes do
not show, as a document that is named and not sent: then the bound is what is expected."""

_Place = tuple[str, str, str]


class Published(msgspec.Struct, frozen=True):
    """What an artefact holds."""

    format: int
    calls: tuple[UsualCall, ...]


FORMAT = 1
"""Of `Published`."""


def read_published(content: bytes) -> Published | None:
    """What an artefact holds; `None` where a newer program wrote it."""
    try:
        read = msgspec.json.decode(content, type=Published)
    except msgspec.DecodeError:
        return None
    return read if read.format == FORMAT else None


class Expected(msgspec.Struct, frozen=True):
    """Of calls of one kind."""

    output_tokens: int
    """For each answer."""
    input_permille: int
    """Input tokens for 1,000 bytes of request."""
    measured: UsualCall | None
    """What it rests on; `None`: it is shipped, and nothing was measured."""

    def input_of(self, request_bytes: int, bound: int) -> int:
        """Input tokens of a request of this size, which come to `bound` at the most."""
        if bound > request_bytes + HIDDEN_TOKENS:
            return bound
        return min(bound, -(-request_bytes * self.input_permille // 1000))


class Expectations:
    """What a process knows now. `now_is` replaces all of one side at once; safe to ask from any thread."""

    def __init__(self) -> None:
        self._calls: dict[bool, Mapping[_Place, UsualCall]] = {False: {}, True: {}}
        self.changes = 0
        """How often something was replaced: who keeps what was asked here asks again when it has changed."""

    def now_is(self, calls: Iterable[UsualCall], *, simulated: bool) -> None:
        """From now on these figures hold for real, or for simulated, calls."""
        self._calls[simulated] = {(one.model, one.effort, one.task_class): one for one in calls}
        self.changes += 1

    def usual(self, model: str, effort: str | None, task_class: str, simulated: bool) -> UsualCall | None:
        """What was measured of such calls: of this class, else of all classes together. `None`: nothing."""
        calls = self._calls[simulated]
        found = calls.get((model, effort or "", task_class))
        return found if found is not None else calls.get((model, effort or "", EVERY_CLASS))

    def cost(self, model: str, effort: str | None, task_class: str, simulated: bool) -> NanoUSD | None:
        """What such calls cost on average. `None`: too few were measured."""
        usual = self.usual(model, effort, task_class, simulated)
        return None if usual is None else NanoUSD(usual.cost_nanousd)


def expected(usual: UsualCall | None, effort: Effort | None, prior: Mapping[Effort, int]) -> Expected:
    """By what was measured, else by what is shipped for the effort (`None`: that of a model without one)."""
    if usual is not None:
        return Expected(usual.output_tokens, usual.input_permille, usual)
    return Expected(prior[effort or PRIOR_EFFORT], PRIOR_INPUT_PERMILLE, None)
