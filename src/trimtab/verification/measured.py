"""What is known of verified attempts: how often answers of an arm are not accepted, what an attempt and its checks cost
and how long they take, by route and class of work.

What it is not: the figures' source (`store.figures.judged`), or a decision (`routing.cascade`). Invariants: one process
asks while another works the figures out, and whatever was not measured is said to be so; figures of first steps and of
later ones are never added (see `store.figures.judged` for what either means); asking is a look or two into
dictionaries.
"""

from collections.abc import Iterable, Mapping

import msgspec

from trimtab.catalogue import Arm, NanoUSD
from trimtab.store.figures.judged import JudgedArm, Place, place_of
from trimtab.store.figures.usual import EVERY_CLASS

KINDS = {False: "judged-arms", True: "judged-arms-simulated"}
"""Of artefacts, real and simulated."""

FORMAT = 1
"""Of `Published`."""

ATTEMPTS_MIN = 20
"""Of fewer, a mean of money or time says little: single attempts differ by a factor of two and more, so the mean of 20
is off by a sixth or so. Counts of failures are told from the first one on; whoever uses them weighs them."""


class Published(msgspec.Struct, frozen=True):
    """What an artefact holds."""

    format: int
    arms: tuple[JudgedArm, ...]


def read_published(content: bytes) -> Published | None:
    """What an artefact holds; `None` where a newer program wrote it."""
    try:
        read = msgspec.json.decode(content, type=Published)
    except msgspec.DecodeError:
        return None
    return read if read.format == FORMAT else None


class Judgements(msgspec.Struct, frozen=True):
    """What verifiers came to on an arm's answers."""

    judged: int = 0
    escalated: int = 0
    unsure: int = 0

    @property
    def not_accepted(self) -> int:
        """Of either kind."""
        return self.escalated + self.unsure


NONE = Judgements()


class Measured:
    """What a process knows now. `now_is` replaces all of one side at once; safe to ask from any thread."""

    def __init__(self) -> None:
        self._arms: dict[bool, Mapping[Place, JudgedArm]] = {False: {}, True: {}}
        self.changes = 0
        """How often something was replaced."""

    def now_is(self, arms: Iterable[JudgedArm], *, simulated: bool) -> None:
        """From now on these figures hold for real, or for simulated, requests."""
        self._arms[simulated] = {place_of(one): one for one in arms}
        self.changes += 1

    def of(
        self, route: str, task_class: str, arm: Arm, simulated: bool, *, later: bool = False
    ) -> JudgedArm | None:
        """Exactly this class's figures (or those of `EVERY_CLASS`), of first steps or of later ones."""
        return self._arms[simulated].get(
            (route, task_class, arm.model, arm.effort or "", arm.thinking or "", later)
        )

    def failure(
        self, route: str, task_class: str, arm: Arm, simulated: bool, *, later: bool = False
    ) -> Judgements:
        """How many answers of an arm were judged in this class, and how many were not accepted.

        Of first steps: of all requests of the class. `later`: of those on which a lower rung had failed already.
        """
        found = self.of(route, task_class, arm, simulated, later=later)
        return NONE if found is None else Judgements(found.judged, found.escalated, found.unsure)

    def attempt_cost(
        self, route: str, task_class: str, arm: Arm, simulated: bool, *, later: bool = False
    ) -> NanoUSD | None:
        """What a first attempt costs on average, without its checks: of this class, else of all classes of the route.
        `later`: one on a request on which a lower rung had failed. `None`: too few were measured."""
        found = self._enough(route, task_class, arm, simulated, later=later)
        return None if found is None else NanoUSD(found.cost_nanousd)

    def checks_cost(self, route: str, task_class: str, arm: Arm, simulated: bool) -> NanoUSD | None:
        """What the checks of one answer cost on average, likewise."""
        found = self._enough(route, task_class, arm, simulated)
        return None if found is None else NanoUSD(found.checks_nanousd)

    def ms(self, route: str, task_class: str, arm: Arm, simulated: bool) -> float | None:
        """How long it takes until the end of the answer, in nine of ten first attempts, likewise, without its
        checks."""
        found = self._enough(route, task_class, arm, simulated)
        return None if found is None else float(found.most_ms)

    def checks_ms(self, route: str, task_class: str, arm: Arm, simulated: bool) -> float | None:
        """How long the checks of one answer take on average, likewise."""
        found = self._enough(route, task_class, arm, simulated)
        return None if found is None else float(found.checks_ms)

    def harder(self, route: str, task_class: str, arm: Arm, simulated: bool) -> float:
        """What an attempt costs where a lower rung failed, against a first one; 1 where too few of either are known."""
        for name in (task_class, EVERY_CLASS):
            first = self.of(route, name, arm, simulated)
            after = self.of(route, name, arm, simulated, later=True)
            if _enough(first) and _enough(after) and first is not None and after is not None:
                return after.cost_nanousd / first.cost_nanousd if first.cost_nanousd else 1.0
        return 1.0

    def _enough(
        self, route: str, task_class: str, arm: Arm, simulated: bool, *, later: bool = False
    ) -> JudgedArm | None:
        found = self.of(route, task_class, arm, simulated, later=later)
        if not _enough(found):
            found = self.of(route, EVERY_CLASS, arm, simulated, later=later)
        return found if _enough(found) else None


def _enough(found: JudgedArm | None) -> bool:
    return found is not None and found.judged >= ATTEMPTS_MIN
