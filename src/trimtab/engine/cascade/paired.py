"""Calls beside a request: the very same put to another arm, or a question of our own; each for a purpose, and recorded
with the request as its parent.

What it is not: an answer to the client, or what is made of what was heard. Invariants: depth is one, for nothing here
is judged or asked again; each call has its own record, hold and intent; it is on the same side (real or simulated) as
the request; whose limits it counts on is said by who asks for it.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from trimtab.catalogue import Arm
from trimtab.engine.asked import Asked
from trimtab.engine.chat import Chat, ChatPlanner
from trimtab.engine.inbound import Inbound
from trimtab.engine.job import Job, without_encoding
from trimtab.engine.metered import Metered
from trimtab.engine.planning import Messages, MessagesPlanner
from trimtab.engine.preparing import Planner, Preparing, S
from trimtab.engine.reply import HTTP_ERRORS, MeteredReply
from trimtab.engine.surviving import Surviving, making
from trimtab.errors import NotFound, RequestError, UpstreamBroken, shortened
from trimtab.messages.exchange import Answered, answers_of
from trimtab.messages.exchange.crossing import as_other_surface
from trimtab.records import Limits, Outcome, Purpose, RequestId, Surface
from trimtab.routing.decide import PATHS

VERSION = (b"anthropic-version", b"2023-06-01")
JSON = (b"content-type", b"application/json")


CROSSED_TOKENS = 8192
"""Of an answer on the other API, where the request names no limit and that API wants one."""


class Own(msgspec.Struct, frozen=True, kw_only=True):
    """A question of our own."""

    system: str = ""
    user: str
    max_tokens: int
    schema: Mapping[str, Any] | None = None
    """What the answer must satisfy; sent where the catalogue says that the model can be told."""


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """What a call beside a request is made under."""

    purpose: Purpose
    counts: bool = False
    """Whether it counts on the limits and budgets of the request's caller; else on nobody's, though it is recorded as
    that caller's."""
    place_simulated: bool | None = None
    """Whether it may go to the simulator only, or not at all; `None`: either."""
    answer_simulated: bool | None = None
    """The side on which the request was answered, which must be that of this call; `None`: either. A simulated platform
    behind HTTP says so in its answers only."""
    deadline: float | None = None
    """In the engine's monotonic seconds."""
    most_nanousd: int | None = None
    """What the call may cost at the most."""
    whole: bool = False
    """Whether the request must go out as it came, and not as the other API has it."""
    recorded: Callable[[Outcome], None] | None = None
    """Is told of the call's record, however it ends. Never waits or raises."""


class Called(msgspec.Struct, frozen=True):
    """What came of one."""

    answers: tuple[Answered, ...]
    arm: str
    request: RequestId
    cost_nanousd: int
    simulated: bool
    body: bytes
    """As the platform sent it."""


class Paired:
    """One per configuration version."""

    def __init__(
        self,
        metered: Metered,
        surviving: Surviving | None,
        preparing: Preparing,
        messages: MessagesPlanner,
        chat: ChatPlanner,
        new_id: Callable[[], RequestId],
    ) -> None:
        self._metered = metered
        self._surviving = surviving
        self._preparing = preparing
        self._messages = messages
        self._chat = chat
        self._new_id = new_id

    async def both(
        self, asked: Asked, arms: tuple[Arm, Arm], beside: Beside
    ) -> tuple[Called | BaseException, Called | BaseException]:
        """Put a request to two arms at once; of each what it answered, or what it broke with. Spends money. Cancelled,
        both are cut."""
        one, other = await asyncio.gather(
            *(self.same(asked, arm, beside) for arm in arms), return_exceptions=True
        )
        return one, other

    async def same(self, asked: Asked, arm: Arm, beside: Beside) -> Called:
        """Put a request to another arm, on the other API where only that one serves it. Spends money.

        Raises `RequestError`, `Unavailable` or `UpstreamError`.
        """
        if isinstance(asked, Chat):
            return await self._same(self._chat, asked, arm, beside)
        assert isinstance(asked, Messages)
        return await self._same(self._messages, asked, arm, beside)

    async def own(self, inbound: Inbound, own: Own, arm: Arm, beside: Beside) -> Called:
        """Ask an arm something of our own, beside a request. Spends money. Raises as `same`."""
        told = self._metered.catalogue.find(arm.model)
        schema = own.schema if told is not None and told.features.structured_outputs else None
        try:
            asked = self._fresh(self._messages, inbound, "messages", _as_messages(own, arm, schema))
            return await self._called(self._messages, asked, arm, beside)
        except NotFound:
            on_chat = self._fresh(self._chat, inbound, "chat", _as_chat(own, arm, schema))
            return await self._called(self._chat, on_chat, arm, beside)

    async def _same(self, planner: Planner[S], asked: S, arm: Arm, beside: Beside) -> Called:
        try:
            return await self._called(planner, asked, arm, beside)
        except NotFound as nowhere:
            if beside.whole:
                raise
            to: Surface = "messages" if isinstance(asked, Chat) else "chat"
            crossed = as_other_surface(
                asked.inbound.body, to, model=arm.model, max_tokens=asked.body.max_tokens or CROSSED_TOKENS
            )
            if crossed.body is None:
                raise RequestError(f"{nowhere}; {crossed.reason}") from None
            if to == "messages":
                on_messages = self._fresh(self._messages, asked.inbound, to, crossed.body)
                return await self._called(self._messages, on_messages, arm, beside)
            on_chat = self._fresh(self._chat, asked.inbound, to, crossed.body)
            return await self._called(self._chat, on_chat, arm, beside)

    def _fresh(self, planner: Planner[S], inbound: Inbound, surface: Surface, body: bytes) -> S:
        """A request of our own making, which says nothing that its client said in headers."""
        fresh = msgspec.structs.replace(
            inbound,
            endpoint=surface,
            path=PATHS[surface],
            query=b"",
            body=body,
            headers=[VERSION, JSON] if surface == "messages" else [JSON],
            own={},
            task=None,
        )
        return planner.decide(fresh, planner.read(fresh))

    async def _called(self, planner: Planner[S], asked: S, arm: Arm, beside: Beside) -> Called:
        metered = self._metered
        plain = msgspec.structs.replace(
            asked, inbound=msgspec.structs.replace(asked.inbound, task=None), images=None
        )
        on_rung = await self._preparing.with_images(planner.on_rung(plain, arm, freely=True))
        job, route = self._preparing.planned(planner, on_rung, beside.place_simulated)

        name, inbound = self._new_id(), asked.inbound

        def named(made: Job) -> Job:
            return self._beside(made, inbound, beside, name)

        job = named(job)
        if route is not None:
            route = route.as_others(named)
        hold = await metered.reserve(job)
        reply = await making(metered, self._surviving, route, job, hold)
        return await _heard(reply, beside.answer_simulated)

    def _beside(self, job: Job, inbound: Inbound, beside: Beside, name: RequestId) -> Job:
        caller = job.caller if beside.counts else msgspec.structs.replace(job.caller, limits=Limits())
        return msgspec.structs.replace(
            job,
            id=name,
            purpose=beside.purpose,
            parent=inbound.id,
            caller=caller,
            counts=beside.counts,
            task=None,
            tags=job.tags if beside.counts else (),
            deadline=beside.deadline,
            most_nanousd=beside.most_nanousd,
            recorded=beside.recorded,
            arrived=self._metered.runtime.monotonic(),
            call=without_encoding(job.call),
        )


async def _heard(reply: MeteredReply, simulated: bool | None) -> Called:
    """Read an answer to its end and record it."""
    try:
        if reply.is_event_stream:
            await reply.hold_whole(MAX_HEARD_BYTES)
            body = reply.held
            reply.given_away()
        else:
            body = await reply.body()
    except BaseException as problem:
        reply.close(problem)
        raise
    reply.close()
    job, attempt = reply.job, reply.end()
    if reply.status >= HTTP_ERRORS or attempt.result != "ok":
        raise UpstreamBroken(
            f"{job.plan.arm} answered with status {reply.status}: {shortened(attempt.error or 'no answer', 200)}"
        )
    if simulated not in (None, reply.simulated):
        side = "simulated" if reply.simulated else "real"
        raise UpstreamBroken(
            f"platform {reply.platform} gives {side} answers, and that of this request does not"
        )
    answers = answers_of(
        body,
        "chat" if job.endpoint == "chat" else "messages",
        event_stream=reply.is_event_stream,
        encoding=reply.header(b"content-encoding"),
    )
    return Called(answers, str(job.plan.arm), job.id, reply.cost(), reply.simulated, body)


MAX_HEARD_BYTES = 16 * 1024 * 1024
"""Of a streamed answer beside a request; nobody waits for the rest of a longer one."""


def _as_messages(own: Own, arm: Arm, schema: Mapping[str, Any] | None) -> bytes:
    body: dict[str, Any] = {
        "model": arm.model,
        "max_tokens": own.max_tokens,
        "messages": [{"role": "user", "content": own.user}],
    }
    if own.system:
        body["system"] = own.system
    if schema is not None:
        body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    return msgspec.json.encode(body)


def _as_chat(own: Own, arm: Arm, schema: Mapping[str, Any] | None) -> bytes:
    system = [{"role": "system", "content": own.system}] if own.system else []
    body: dict[str, Any] = {
        "model": arm.model,
        "max_completion_tokens": own.max_tokens,
        "messages": [*system, {"role": "user", "content": own.user}],
    }
    if schema is not None:
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    return msgspec.json.encode(body)
