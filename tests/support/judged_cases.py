"""An answer to be judged, with means that a test scripts."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from trimtab.errors import Unavailable
from trimtab.messages.exchange import Answered, Question, Turn
from trimtab.records import RequestId
from trimtab.sandbox import Ran, Run
from trimtab.verification import Case, Factory, Finding, Heard, Means, Prompt, Verifier


def built(factory: Factory, **options: Any) -> Verifier:
    """A verifier with these options."""
    return factory(options, lambda key: f"verifiers.one.{key}")


def answered(text: str = "", **more: Any) -> Answered:
    """An answer that ended by itself."""
    return Answered(text=text, **{"stop": "end", "complete": True, **more})


def asked(text: str = "", **more: Any) -> Question:
    """A request of one turn."""
    return Question(surface="messages", **{"turns": (Turn("user", text),), **more})


def heard(*answers: Answered, arm: str = "claude-haiku-4-5", **more: Any) -> Heard:
    """What another model says."""
    return Heard(answers, arm, RequestId("r-other"), **{"cost_nanousd": 5, "simulated": True, **more})


class Asked:
    """Answers calls of verifiers from a list, or by a function of the prompt, and keeps what was asked."""

    def __init__(self, *replies: "Heard | Exception | Callable[[Prompt | None], Heard]") -> None:
        """The last reply is given again when there is none left."""
        self._replies = list(replies)
        self.calls: list[tuple[str, Prompt | None]] = []

    async def __call__(self, arm: str, prompt: Prompt | None = None) -> Heard:
        """See `Ask`."""
        self.calls.append((arm, prompt))
        reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        if isinstance(reply, Exception):
            raise reply
        return reply if isinstance(reply, Heard) else reply(prompt)


async def _no_sandbox(run: Run) -> Ran:
    raise Unavailable(f"there is no sandbox for {run.argv[0]}", 1)


async def _nobody(arm: str, prompt: Prompt | None = None) -> Heard:
    raise Unavailable(f"nobody answers for {arm}", 1)


def judged_by(
    verifier: Verifier,
    answer: Answered,
    question: Question | None = None,
    *,
    arm: str = "claude-sonnet-4-6@medium",
    ask: Any = _nobody,
    run: Callable[[Run], Awaitable[Ran]] = _no_sandbox,
    within_s: float = 60.0,
) -> Finding:
    """What the verifier finds."""
    means = Means(ask, run, time.monotonic)
    case = Case(
        question=question or asked(),
        answer=answer,
        arm=arm,
        means=means,
        deadline=time.monotonic() + within_s,
    )

    async def check() -> Finding:
        return await verifier.check(case)

    return asyncio.run(check())
