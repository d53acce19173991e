"""The upper floor: admit a client's request, plan it, and have it called.

Later parts screen, verify and escalate here. A refused request is recorded too, with no plan and no cost.
"""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol, TypeVar

import msgspec

from trimtab.budgets import Hold
from trimtab.catalogue import Model
from trimtab.engine.answering import Answering
from trimtab.engine.chat import Chat, ChatPlanner
from trimtab.engine.conversations import Conversations
from trimtab.engine.copying import CopiedReply, led
from trimtab.engine.counted import check_budgets
from trimtab.engine.inbound import TASK, Decide, Inbound
from trimtab.engine.job import Job
from trimtab.engine.metered import Metered
from trimtab.engine.pictures import PrepareImages
from trimtab.engine.planning import Messages, MessagesPlanner
from trimtab.engine.repeating import KeptReply, Repeated, Repeating, concerns, gave_up, question_of
from trimtab.engine.reply import MeteredReply
from trimtab.engine.route import Route
from trimtab.engine.surviving import Surviving
from trimtab.engine.task_call import TaskCall
from trimtab.engine.tasking import Asked
from trimtab.errors import BudgetSpent, RequestError, RuleRefused, Unavailable, shortened
from trimtab.messages import MessagesBody, named_model
from trimtab.messages.chat import ChatBody
from trimtab.normaliser import Normaliser
from trimtab.providers import Provider
from trimtab.records import MAX_ERROR_CHARS, Outcome, Plan
from trimtab.routing import Candidate, Decision


class Order(Protocol):
    """The places for one request, the first one first, and why so, in short sentences."""

    @property
    def order(self) -> tuple[Candidate, ...]: ...
    @property
    def reasons(self) -> tuple[str, ...]: ...


class Choose(Protocol):
    """What the pipeline needs where several places serve a model."""

    def choose(
        self, model: Model, candidates: tuple[Candidate, ...], conversation: str, *, in_order: bool = False
    ) -> Order:
        """All of them, the one to call first. Pure over what is known of the places. `in_order`: as they come."""
        ...


class Read(Protocol):
    """A request of some surface that was read and decided."""

    @property
    def decision(self) -> Decision: ...
    @property
    def session(self) -> str: ...


A = TypeVar("A", bound=Asked)
S = TypeVar("S", Messages, Chat)
R = TypeVar("R", bound=Read)
R_contra = TypeVar("R_contra", bound=Read, contravariant=True)


class Planner(Protocol[R_contra]):
    """What a surface makes of such a request."""

    def job(self, asked: R_contra, candidate: Candidate, plan: Plan) -> Job:
        """The call to one place. Raises `RequestError` where its platform takes no such request."""
        ...


class Pipeline:
    """Answers requests. One per configuration version."""

    def __init__(
        self,
        metered: Metered,
        router: Decide,
        providers: Mapping[str, Provider],
        normaliser: Normaliser | None = None,
        conversations: Conversations | None = None,
        choose: Choose | None = None,
        surviving: Surviving | None = None,
        images: PrepareImages | None = None,
        repeating: Repeating | None = None,
    ) -> None:
        """`providers` by the key of their place. Without a normaliser requests go out as they come; without
        conversations no model change is noticed; without `choose` places are taken as they are configured; without
        `surviving` each request makes one call; without `images` they go out as they come; without `repeating` no
        answer is given twice."""
        self._metered = metered
        self._providers = providers
        keep = metered.runtime.keep is not None
        self._messages = MessagesPlanner(router, providers, normaliser, conversations, keep=keep)
        self._chat = ChatPlanner(router, providers, normaliser, keep=keep)
        self._choose = choose
        self._surviving = surviving
        self._images = images
        self._repeating = repeating

    async def answer(self, inbound: Inbound) -> Answering:
        """The platform's reply, head arrived, or an earlier one. The caller must `close` it. Spends money.

        Raises `RequestError` or `Unavailable` (recorded as refused), or `UpstreamError` (recorded with its attempts).
        """
        body: MessagesBody | ChatBody | None = None
        route: Route | None = None
        task: TaskCall | None = None
        repeat: Repeated | None = None
        try:
            if inbound.endpoint == "chat":
                body = chat = ChatBody(inbound.body)
                on_chat = self._chat.decide(inbound, chat)
                if self._metered.ledger.has_budgets:
                    check_budgets(chat, inbound, self._metered.ledger, self._messages.tool_lists)
                if self._images is not None and self._images.wanted(inbound.own, chat):
                    on_chat = await self._with_images(self._images, on_chat)
                if inbound.names_task:
                    on_chat = await self._for_task(on_chat, self._chat.of_task)
                    task = on_chat.inbound.task
                job, route = self._planned(self._chat, on_chat)
            else:
                body = own = MessagesBody(inbound.body, max_tokens_required=inbound.endpoint == "messages")
                asked = self._messages.decide(inbound, own)
                if self._metered.ledger.has_budgets:
                    check_budgets(own, inbound, self._metered.ledger, self._messages.tool_lists)
                if self._images is not None and self._images.wanted(inbound.own, own):
                    asked = await self._with_images(self._images, asked)
                if inbound.names_task:
                    asked = await self._for_task(asked, self._messages.of_task)
                    task = asked.inbound.task
                job, route = self._planned(self._messages, asked)
            if self._repeating is not None and concerns(self._repeating, inbound):
                repeat = await self._repeat(self._repeating, inbound, job, route)
                if repeat.kept is not None:
                    return repeat.kept
            hold = await self._metered.reserve(job)
        except BaseException as problem:
            if repeat is not None and repeat.shelf is not None:
                repeat.shelf.drop()
            if task is not None and self._metered.tasking is not None:
                self._metered.tasking.release(task.grant)
            if isinstance(problem, RequestError | Unavailable):
                self._refuse(inbound, body, problem, task)
            raise
        if repeat is None or not repeat.told:
            return await self._made(job, route, hold)
        return await self._copied(job, route, hold, repeat)

    async def _copied(self, job: Job, route: Route | None, hold: Hold, repeat: Repeated) -> CopiedReply:
        """The same, with a copy of it for those who ask the very same."""
        shelf, making = repeat.shelf, self._made(job, route, hold)
        if shelf is None:
            return CopiedReply(await making, repeat.told, None, job)
        try:
            reply = await led(making, repeat.told, shelf, job)
        except Exception:
            shelf.drop()
            raise
        return CopiedReply(reply, repeat.told, shelf, job)

    def _made(self, job: Job, route: Route | None, hold: Hold) -> Coroutine[Any, Any, MeteredReply]:
        """The reply of the platform, head arrived. Raises `UpstreamError`, `RequestError`; it is recorded then."""
        if route is None or self._surviving is None:
            return self._metered.call(job, hold)
        return self._surviving.answer(route, job, hold)

    async def _repeat(
        self, repeating: Repeating, inbound: Inbound, job: Job, route: Route | None
    ) -> Repeated:
        """The earlier answer to the very same, with leave to give it; or what becomes of the one to come. Raises
        `RequestError`, `Unavailable`."""
        metered, name = self._metered, job.provider.name
        simulated = job.provider.simulated or name in metered.simulated
        names = {name} if route is None else {name, *route.entries}
        question = question_of(inbound, job, names, simulated)
        repeat = await repeating.find(question)
        hold: Hold | None = None
        if repeat.awaited is not None:
            hold = await metered.reserve_nothing(job, simulated=simulated)
            left_s = None if job.deadline is None else job.deadline - metered.runtime.monotonic()
            try:
                repeat = await repeating.follow(question, repeat.awaited, left_s)
            except BaseException:
                gave_up(metered, job, hold)
                raise
        if repeat.answer is None:
            if hold is not None:  # what it asks for now is counted with its call
                metered.ledger.release(hold)
            return Repeated(repeat.told, repeat.shelf)
        if hold is None:
            hold = await metered.reserve_nothing(job, simulated=simulated)
        repeating.given(question, repeat.answer)
        if job.task is not None and metered.tasking is not None:
            metered.tasking.release(job.task.grant)
        return Repeated(repeat.told, kept=KeptReply(metered, job, hold, repeat.answer, repeat.told))

    async def _with_images(self, images: PrepareImages, asked: S) -> S:
        """The request with its images as its model and all its places take them. Raises `RequestError`."""
        decision, own = asked.decision, asked.inbound.own
        platforms = {self._providers[candidate.place.key].platform for candidate in decision.candidates}
        plan = decision.plan
        prepared = await images.prepare(asked.body, own, decision.model, platforms, plan.tier, plan.route)
        if prepared is None:
            return asked
        return msgspec.structs.replace(asked, body=prepared.body, images=prepared)

    async def _for_task(self, asked: A, decided: Callable[[A, str], A]) -> A:
        """The request with leave from its task's budget. Raises `RequestError`, `Unavailable`."""
        tasking = self._metered.tasking
        if tasking is None:
            raise RequestError(f"{TASK}: there are no tasks here; leave it out")
        places = [self._providers[candidate.place.key] for candidate in asked.decision.candidates]
        return await tasking.begin(asked, places, decided)

    def _planned(self, planner: Planner[R], asked: R) -> tuple[Job, Route | None]:
        """The first call, and where else the request could go; `None` where nowhere."""
        decision, surviving = asked.decision, self._surviving
        candidates, plan = decision.candidates, decision.plan
        if len(candidates) == 1 and (surviving is None or not surviving.asks_again):
            return planner.job(asked, candidates[0], plan), None
        if len(candidates) > 1 and self._choose is not None:
            chosen = self._choose.choose(
                decision.model, candidates, asked.session, in_order=decision.in_order
            )
            candidates = chosen.order
            plan = msgspec.structs.replace(plan, reasons=(*plan.reasons, *chosen.reasons))

        def job(candidate: Candidate, first: str | None) -> Job:
            name = first or candidate.place.name
            with_name = plan if plan.platform == name else msgspec.structs.replace(plan, platform=name)
            return planner.job(asked, candidate, with_name)

        route = Route(candidates, job, lambda one: self._providers[one.place.key].simulated)
        return route.first(), route

    def _refuse(
        self,
        inbound: Inbound,
        body: MessagesBody | None,
        problem: RequestError | Unavailable,
        task: TaskCall | None,
    ) -> None:
        runtime, caller = self._metered.runtime, inbound.caller
        self._metered.recorder.record(
            Outcome(
                id=inbound.id,
                at_ms=inbound.arrived_ms,
                purpose="live",
                surface="chat" if inbound.endpoint == "chat" else "messages",
                endpoint=inbound.endpoint,
                requested_model=body.model if body is not None else named_model(inbound.body),
                session="",
                result="error",
                status=problem.status,
                stream=body is not None and body.stream,
                error=shortened(f"{type(problem).__name__}: {problem}", MAX_ERROR_CHARS),
                key=caller.key,
                organisation=caller.organisation,
                team=caller.team,
                user=caller.user,
                request_bytes=len(inbound.body),
                total_ms=round((runtime.monotonic() - inbound.arrived) * 1000, 3),
                config_version=runtime.config_version,
                catalogue_version=runtime.catalogue_version,
                # Beside the error, of which only the beginning is kept.
                observations=_notes(problem),
                task=task.grant.task if task is not None else "",
                phase=task.grant.phase if task is not None else "",
            ),
            inbound.headers,
        )


def _notes(problem: RequestError | Unavailable) -> tuple[str, ...]:
    if isinstance(problem, RuleRefused):
        return (problem.note,)
    return problem.notes if isinstance(problem, BudgetSpent) else ()
