"""Judges one request's answers: its checks, and what they may spend.

What it is not: the checks (`verification`), or what follows (`stepping`). Invariant: what checks spend together stays
within what the request may cost.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from trimtab.catalogue import Arm
from trimtab.engine.asked import Asked
from trimtab.engine.cascade.asking import Asking
from trimtab.engine.cascade.paired import Beside, Paired
from trimtab.engine.reply import MeteredReply
from trimtab.messages.exchange import Question, answers_of
from trimtab.records import Verdict
from trimtab.sandbox import Ran, Run
from trimtab.verification import Check, Heard, Judged, Means, judge


class Quoted(Protocol):
    """Leaves of verdicts what may be kept of prompts and answers."""

    def __call__(self, verdicts: tuple[Verdict, ...], *, simulated: bool) -> tuple[Verdict, ...]: ...


class Bench(msgspec.Struct, frozen=True, kw_only=True):
    """What checks are run with."""

    paired: Paired
    arm_of: Callable[[str], Arm]
    run: Callable[[Run], Awaitable[Ran]]
    monotonic: Callable[[], float]
    charges_caller: bool
    """Whether the calls of all checks count on the caller's limits, and not only of those that it asked for."""

    quoted: Quoted
    """What verdicts may quote of prompts and answers, on this side of real and simulated."""


class Judging:
    """One request's."""

    def __init__(
        self,
        bench: Bench,
        asked: Asked,
        checks: tuple[Check, ...],
        callers: frozenset[str],
        question: Question,
        *,
        most_nanousd: int | None,
        deadline: float | None,
    ) -> None:
        """`callers` are the names of checks that the request itself asks for. `deadline` in monotonic seconds."""
        self.checks = checks
        self._bench = bench
        self._asked = asked
        self._callers = callers
        self._question = question
        self._most_nanousd = most_nanousd
        self._deadline = deadline
        self.spent_nanousd = 0
        """What the checks of all its answers have come to, those that were cut included."""

    async def __call__(self, reply: MeteredReply, body: bytes, spent_nanousd: int) -> tuple[Verdict, ...]:
        """The verdicts on an answer that came whole. `spent_nanousd` is what the request has come to so far. May spend
        money. Never raises, except when it is cancelled."""
        job = reply.job
        answers = answers_of(
            body,
            "chat" if job.endpoint == "chat" else "messages",
            event_stream=reply.is_event_stream,
            encoding=reply.header(b"content-encoding"),
        )
        judged = Judged(
            question=self._question, answers=answers, arm=str(job.plan.arm), deadline=self._deadline
        )
        left = None if self._most_nanousd is None else max(0, self._most_nanousd - spent_nanousd)

        def means_for(check: str, spent: Callable[[Heard], None]) -> Means:
            def spend(heard: Heard) -> None:
                nonlocal left
                if left is not None:
                    left = max(0, left - heard.cost_nanousd)
                self.spent_nanousd += heard.cost_nanousd
                spent(heard)

            bench = self._bench
            beside = Beside(
                purpose="judge",
                counts=bench.charges_caller or check in self._callers,
                place_simulated=job.provider.simulated,
                answer_simulated=reply.simulated,
                deadline=self._deadline,
                most_nanousd=left,
            )
            ask = Asking(bench.paired, self._asked, bench.arm_of, beside, spend)
            return Means(ask, bench.run, bench.monotonic)

        verdicts = await judge(self.checks, judged, means_for)
        return self._bench.quoted(verdicts, simulated=reply.simulated)
