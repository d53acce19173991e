"""Where requests begin on their ladders, by what they ask and what is remembered of their conversation.

What it is not: the policy (`routing.cascade`), which is pure: its facts are gathered here. Invariant: what is
remembered is bounded, and to forget it costs a saving, never an answer.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence

import msgspec

from trimtab.catalogue import EFFORTS, Arm, Effort
from trimtab.catalogue.estimating import measure
from trimtab.engine.inbound import ERROR_COST, LATENCY, Inbound, error_cost_of, latency_of
from trimtab.engine.session import conversation_of
from trimtab.messages import MessagesBody
from trimtab.messages.exchange import Question
from trimtab.records import Attempt, RequestId
from trimtab.routing import Decision
from trimtab.routing.cascade import (
    Beginning,
    Facts,
    Knowing,
    Known,
    Ladder,
    Made,
    Next,
    Rules,
    begin,
    next_step,
)
from trimtab.routing.cascade.remembering import Conversations, digest_of

MEASURED_BYTES = 256 * 1024
"""Larger bodies are estimated by their characters: to weigh one of 256 KB takes about 5 ms of the event loop."""

CHARACTERS_A_TOKEN = 3.0
"""On the newest vocabulary. Source: `catalogue.token_tables`: 2.1 (JSON) to 3.4 (English prose)."""

IMAGE_TOKENS = 1400
"""About what a screenshot comes to. Source: vendor vision page (2026-11)."""

MOST_RECENT = 20_000
"""Requests of which it is known what conversation they were in, so that feedback finds it: about 6 MB."""


class Where(msgspec.Struct, frozen=True):
    """Where a request's answer came from."""

    conversation: str
    arm: Arm


class Memory:
    """What one process remembers of conversations and of their latest requests. Used on the event loop only; it
    outlives a change of configuration."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.conversations = Conversations()
        self.monotonic = monotonic
        self._recent: OrderedDict[RequestId, Where] = OrderedDict()

    def answered(self, request: RequestId, where: Where) -> None:
        """Take note of a request's answer."""
        self._recent[request] = where
        if len(self._recent) > MOST_RECENT:
            self._recent.popitem(last=False)

    def disliked(self, request: RequestId) -> None:
        """The answer of a request was disliked. Of one that is not known nothing is noted."""
        if (where := self._recent.get(request)) is not None:
            self.conversations.disliked(where.conversation, where.arm, self.monotonic())


class Climbing:
    """One per configuration version. Implements `Deciding`."""

    def __init__(self, rules: Rules, knowing: Knowing, memory: Memory) -> None:
        self._rules = rules
        self._knowing = knowing
        self._memory = memory

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
        """See `Deciding`. Cost: 0.1 ms for a small request, 1 ms at 53 KB."""
        conversation = conversation_of(body, session, inbound.caller.key)
        if conversation != session:  # two sessions that begin with the same words are two conversations
            conversation = f"{session} {conversation}"
        asked = None if question.chain else digest_of(question.asked, len(question.turns))
        if _is_new(session, question):
            self._memory.conversations.forget(conversation)
        facts = self._facts(inbound, body, decision, question, conversation, asked, judged=judged)
        known = self._knowing.of(ladder, facts, route=decision.plan.route, simulated=simulated)
        beginning = begin(ladder, facts, known, drawn(conversation), self._rules)
        return Climber(
            ladder, facts, known, beginning, self._memory, conversation, asked, inbound.id, inbound.arrived
        )

    def _facts(
        self,
        inbound: Inbound,
        body: MessagesBody,
        decision: Decision,
        question: Question,
        conversation: str,
        asked: bytes | None,
        *,
        judged: bool,
    ) -> Facts:
        chain, now = question.chain, self._memory.monotonic()
        first = decision.ladder.rungs[0] if decision.ladder is not None else decision.plan.arm
        conversations = self._memory.conversations
        remembered = conversations.known(conversation, now)
        tokens, code = _tokens(inbound, body, question)
        return Facts(
            max_tokens=question.max_tokens,
            input_tokens=tokens,
            images=question.images,
            tools=len(question.tools),
            chain=sum(len(turn.tool_uses) for turn in chain),
            tool_errors=sum(turn.tool_errors for turn in chain),
            code_tokens=code,
            repeated=0 if asked is None else conversations.repeated(conversation, asked, now),
            disliked=bool(remembered.disliked_on),
            disliked_on=remembered.disliked_on,
            chain_on=remembered.chain_on,
            effort=_effort_of(inbound, body),
            other_effort=None if first.effort else decision.plan.arm.effort,
            thinking=None if first.thinking else decision.plan.arm.thinking,
            error_cost_nanousd=error_cost_of(inbound.own.get(ERROR_COST)),
            latency_s=latency_of(inbound.own.get(LATENCY)),
            on_rung=remembered.on_rung,
            cached_tokens=remembered.cached_tokens,
            escalated=remembered.escalated,
            judged=judged,
            task_class=decision.scenario,
        )


class Climber:
    """One request on its ladder. Implements `Climb`."""

    def __init__(
        self,
        ladder: Ladder,
        facts: Facts,
        known: Known,
        beginning: Beginning,
        memory: Memory,
        conversation: str,
        asked: bytes | None,
        request: RequestId,
        arrived: float,
    ) -> None:
        """`asked` is what tells its question from others; `None` within a chain of tools. `arrived` by the clock of
        the memory."""
        self._ladder = ladder
        self._facts = facts
        self._known = known
        self.beginning = beginning
        self._memory = memory
        self._conversation = conversation
        self._asked = asked
        self._request = request
        latency_s = facts.latency_s if facts.latency_s is not None else ladder.latency_s
        self._wanted_by = None if latency_s is None else arrived + latency_s

    def next(self, made: Sequence[Made], *, left_s: float | None, spent_nanousd: int) -> Next:
        """See `Climb`. A step that is not expected to end within the latency bound is not begun either."""
        if self._wanted_by is not None:
            until_s = self._wanted_by - self._memory.monotonic()
            left_s = until_s if left_s is None else min(left_s, until_s)
        return next_step(
            self._ladder,
            self.beginning,
            made,
            self._facts,
            self._known,
            left_s=left_s,
            spent_nanousd=spent_nanousd,
        )

    def ended(self, rung: Arm, released: Attempt) -> None:
        """See `Climb`."""
        if self.beginning.baseline or released.result != "ok":
            return
        usage, cached = released.usage, 0
        if usage is not None:
            cached = (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
        self._memory.conversations.answered(
            self._conversation,
            rung,
            self._memory.monotonic(),
            cached_tokens=cached,
            escalated=released.step > 0 or self.beginning.after_failure,
            question=self._asked,
        )
        self._memory.answered(self._request, Where(self._conversation, rung))


def _is_new(session: str, question: Question) -> bool:
    """Whether a request begins a conversation that nobody named: whoever asks the same first question with the same key
    is not taken for somebody who asks it again."""
    return session.startswith("p:") and all(turn.role != "assistant" for turn in question.turns)


def _tokens(inbound: Inbound, body: MessagesBody, question: Question) -> tuple[int, int]:
    """Tokens of the input on the newest vocabulary, and those of them that are code; estimates."""
    images = IMAGE_TOKENS * question.images
    if len(inbound.body) <= MEASURED_BYTES:
        shares = measure(body).shares
        code = sum(share.v47 for share in shares if "code" in share.content_class)
        return round(sum(share.v47 for share in shares)) + images, round(code)
    texts = [question.system, *(turn.text for turn in question.turns)]
    characters = sum(len(text) for text in texts)
    fenced = sum(len(part) for text in texts for part in text.split("```")[1::2])
    return round(characters / CHARACTERS_A_TOKEN) + images, round(fenced / CHARACTERS_A_TOKEN)


def drawn(conversation: str) -> float:
    """A number in [0, 1) that is the same for all requests of a conversation, in every process."""
    digest = hashlib.blake2b(conversation.encode("utf-8", "surrogatepass"), digest_size=7).digest()
    return int.from_bytes(digest, "big") / (1 << 56)


def _effort_of(inbound: Inbound, body: MessagesBody) -> Effort | None:
    """What the client says itself, which wins over each rung's."""
    said = inbound.own.get("x-trimtab-effort") or body.effort
    return next((level for level in EFFORTS if level == said), None)
