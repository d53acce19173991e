"""Where requests begin on their ladders, by what they ask and what is remembered of their conversation.

What it is not: the policy (`routing.cascade`), which is pure: its facts are gathered here. Invariant: what is
remembered is bounded, and to forget it costs a saving, never an answer.
"""

import hashlib
import math
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Protocol

from trimtab.catalogue import EFFORTS, Effort
from trimtab.catalogue.money import NANO
from trimtab.engine.inbound import ERROR_COST, LATENCY, Inbound
from trimtab.engine.session import conversation_of
from trimtab.errors import RequestError, shortened
from trimtab.messages import MessagesBody
from trimtab.messages.exchange import Question
from trimtab.records import Attempt
from trimtab.routing import Decision
from trimtab.routing.cascade import Beginning, Facts, Known, Ladder, Made, Next, Rules, begin, next_step

CHARACTERS_A_TOKEN = 3.5
"""Of text, for estimates. Source: `catalogue.estimating`: 2.9 (JSON) to 4.2 (English prose) on newer vocabularies."""

IMAGE_TOKENS = 1500
"""About what one image of a usual size comes to. Source: vendor vision page (2026-11)."""

MOST_LATENCY_S = 86_400.0
MOST_ERROR_USD = Decimal(10**6)


class KnownFor(Protocol):
    """What is known for one request."""

    def __call__(self, facts: Facts, ladder: Ladder, decision: Decision, *, simulated: bool) -> Known:
        """Dictionaries only: never waits."""
        ...


class Climbing:
    """One per configuration version. Implements `Deciding`."""

    def __init__(self, rules: Rules, known_for: KnownFor) -> None:
        self._rules = rules
        self._known_for = known_for

    def begin(
        self,
        ladder: Ladder,
        inbound: Inbound,
        body: MessagesBody,
        decision: Decision,
        session: str,
        question: Question,
        *,
        judged: bool,
        simulated: bool,
    ) -> "Climber":
        """See `Deciding`."""
        conversation = conversation_of(body, session, inbound.caller.key)
        facts = self._facts(inbound, body, decision, question, judged=judged)
        known = self._known_for(facts, ladder, decision, simulated=simulated)
        return Climber(ladder, facts, known, begin(ladder, facts, known, drawn(conversation), self._rules))

    def _facts(
        self, inbound: Inbound, body: MessagesBody, decision: Decision, question: Question, *, judged: bool
    ) -> Facts:
        chain = question.chain
        characters = len(question.system) + sum(len(turn.text) for turn in question.turns)
        return Facts(
            max_tokens=question.max_tokens,
            input_tokens=round(characters / CHARACTERS_A_TOKEN) + IMAGE_TOKENS * question.images,
            images=question.images,
            tools=len(question.tools),
            chain=sum(len(turn.tool_uses) for turn in chain),
            tool_errors=sum(turn.tool_errors for turn in chain),
            effort=_effort_of(inbound, body),
            error_cost_nanousd=error_cost_of(inbound.own.get(ERROR_COST)),
            latency_s=latency_of(inbound.own.get(LATENCY)),
            judged=judged,
            task_class=decision.scenario,
        )


class Climber:
    """One request on its ladder. Implements `Climb`."""

    def __init__(self, ladder: Ladder, facts: Facts, known: Known, beginning: Beginning) -> None:
        self._ladder = ladder
        self._facts = facts
        self._known = known
        self.beginning = beginning

    def next(self, made: Sequence[Made], *, left_s: float | None, spent_nanousd: int) -> Next:
        """See `Climb`."""
        return next_step(
            self._ladder,
            self.beginning,
            made,
            self._facts,
            self._known,
            left_s=left_s,
            spent_nanousd=spent_nanousd,
        )

    def ended(self, released: Attempt) -> None:
        """See `Climb`."""


def drawn(conversation: str) -> float:
    """A number in [0, 1) that is the same for all requests of a conversation, in every process."""
    digest = hashlib.blake2b(conversation.encode("utf-8", "surrogatepass"), digest_size=7).digest()
    return int.from_bytes(digest, "big") / (1 << 56)


def _effort_of(inbound: Inbound, body: MessagesBody) -> Effort | None:
    """What the client says itself, which wins over each rung's."""
    said = inbound.own.get("x-trimtab-effort") or body.effort
    return next((level for level in EFFORTS if level == said), None)


def error_cost_of(header: str | None) -> int | None:
    """Nano-dollars of an `x-trimtab-error-cost-usd` header. Raises `RequestError`."""
    if header is None:
        return None
    try:
        usd = Decimal(header)
    except InvalidOperation:
        usd = Decimal(-1)
    if not usd.is_finite() or not 0 <= usd <= MOST_ERROR_USD:
        raise RequestError(
            f"{ERROR_COST}: {shortened(header, 80)!r}: must be what a wrong answer costs, in US dollars, from 0 to "
            f"{MOST_ERROR_USD:,}"
        )
    return int(usd * NANO)


def latency_of(header: str | None) -> float | None:
    """Seconds of an `x-trimtab-latency-s` header. Raises `RequestError`."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= MOST_LATENCY_S:  # so written that nan is refused
        raise RequestError(
            f"{LATENCY}: {shortened(header, 80)!r}: must be within how many seconds an answer is wanted, above 0 and "
            f"at most {MOST_LATENCY_S:,.0f}"
        )
    return seconds
