"""What a cascade must come to where it is known how often each arm and each verifier fails: worked out, nothing is drawn.

What it is not: the engine, or the policy; it shares no code with either, so that they can be held against it. There are
finitely many ways in which a request can go (which answer each arm would give, and what is said of each); each has its
probability and its cost, and what is expected is the sum over all of them.

An answer is a number here: `RIGHT`, `BROKEN` (cannot be read), or 1, 2, ... for the wrong ones.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from trimtab.records import Says

RIGHT, BROKEN = 0, -1
World = tuple[float, tuple[int, ...]]
"""A probability, and the answer that each arm would give."""
Judged = Callable[[tuple[int, ...], int], Mapping[Says, float]]
"""From all answers and the rung whose is judged: how likely each verdict is."""

BEST: tuple[Says, ...] = ("accept", "unsure", "escalate")


def apart(rights: Sequence[float], wrong: int = 1, broken: Sequence[float] = ()) -> list[World]:
    """Arms that fail each for itself. `rights`: how often each is right, where its answer can be read; `wrong`: so many
    wrong answers there are, each as likely; `broken`: which share of each arm's answers cannot be read."""
    found: list[list[tuple[float, int]]] = []
    for index, right in enumerate(rights):
        read = 1.0 - (broken[index] if broken else 0.0)
        answers = [(1.0 - read, BROKEN), (read * right, RIGHT)]
        answers += [(read * (1.0 - right) / wrong, which) for which in range(1, wrong + 1)]
        found.append([one for one in answers if one[0] > 0])
    return [
        (math.prod(part for part, _ in one), tuple(answer for _, answer in one))
        for one in itertools.product(*found)
    ]


def together(rights: Sequence[float]) -> list[World]:
    """Arms that fail at the same requests: where one is right, so is each that is right more often; those that are wrong
    say the same."""
    edges = sorted({0.0, 1.0, *rights})
    return [
        (high - low, tuple(RIGHT if right >= high else 1 for right in rights))
        for low, high in itertools.pairwise(edges)
    ]


def verifier(miss: float = 0.0, false_alarm: float = 0.0, unsure: float = 0.0) -> Judged:
    """One that accepts wrong answers with probability `miss`, escalates right ones with `false_alarm`, and is unsure of
    any with `unsure`; what goes before those two."""

    def judged(answers: tuple[int, ...], rung: int) -> Mapping[Says, float]:
        accepted = 1.0 - false_alarm if answers[rung] == RIGHT else miss
        return {
            "accept": (1.0 - unsure) * accepted,
            "escalate": (1.0 - unsure) * (1.0 - accepted),
            "unsure": unsure,
        }

    return judged


def readable(answers: tuple[int, ...], rung: int) -> Mapping[Says, float]:
    """A check of form: it knows what can be read, and nothing of what is right."""
    return {"escalate" if answers[rung] == BROKEN else "accept": 1.0}


def opinion_of(voice: int) -> Judged:
    """A second opinion: accepts what the arm at this place of the answers says too."""

    def judged(answers: tuple[int, ...], rung: int) -> Mapping[Says, float]:
        return {"accept" if answers[rung] == answers[voice] else "escalate": 1.0}

    return judged


@dataclass(frozen=True)
class Expected:
    """Of one request."""

    right: float
    """The probability that the answer that is given is right."""
    cost: float
    """Of all calls and checks, in the unit in which costs were given."""
    cost_sd: float
    """Standard deviation of what single requests cost."""
    reached: tuple[float, ...]
    """The probability that each rung is called; the first is."""
    accepted: float
    """The probability that the answer that is given was accepted."""

    @property
    def escalated(self) -> float:
        """The probability that more than one rung is called."""
        return self.reached[1] if len(self.reached) > 1 else 0.0

    @property
    def calls(self) -> float:
        """Rungs that are called, on average."""
        return sum(self.reached)


@dataclass(frozen=True)
class Cascade:
    """How it is run."""

    costs: tuple[float, ...]
    """Of one call of each rung; as many as may be called."""
    checks: tuple[float, ...] = ()
    """Of the checks of an answer of each rung, that of the last one too; none: they cost nothing."""
    unsure_goes_on: bool = True
    broken_is_free: bool = False
    """Whether an answer that cannot be read costs nothing, as one that is refused before it begins."""

    def expected(self, worlds: Sequence[World], judged: Judged) -> Expected:
        """The sum over all ways. `worlds` may know of more arms than are called, as of one that is asked for an opinion."""
        rungs = len(self.costs)
        right = accepted = cost = squares = 0.0
        reached = [0.0] * rungs
        for probability, answers, says in self._ways(worlds, judged):
            made = self._made(says)
            released = min(reversed(range(made)), key=lambda rung: BEST.index(says[rung]))
            free = BROKEN if self.broken_is_free else None
            spent = sum(cost for cost, one in zip(self.costs[:made], answers, strict=False) if one != free)
            if self.checks:
                spent += sum(self.checks[:made])
            right += probability * (answers[released] == RIGHT)
            accepted += probability * (says[released] == "accept")
            cost += probability * spent
            squares += probability * spent * spent
            for rung in range(made):
                reached[rung] += probability
        return Expected(right, cost, math.sqrt(max(squares - cost * cost, 0.0)), tuple(reached), accepted)

    def _ways(
        self, worlds: Sequence[World], judged: Judged
    ) -> Iterator[tuple[float, tuple[int, ...], tuple[Says, ...]]]:
        rungs = len(self.costs)
        for probability, answers in worlds:
            verdicts = [judged(answers, rung) for rung in range(rungs)]
            for says in itertools.product(*verdicts):
                chance = math.prod(verdict[one] for verdict, one in zip(verdicts, says, strict=True))
                if probability * chance > 0:
                    yield probability * chance, answers, says

    def _made(self, says: Sequence[Says]) -> int:
        """How many rungs are called."""
        for rung, one in enumerate(says):
            if one == "accept" or (one == "unsure" and not self.unsure_goes_on):
                return rung + 1
        return len(says)
