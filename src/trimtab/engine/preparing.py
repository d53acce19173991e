"""From a request that was decided to the call that goes out: its images, its part of a task, and its places.

What it is not: the decision (`planning`, `chat`), or the call (`metered`). Invariant: leave that was taken from a
task's budget is given back where no call comes of it.
"""

from collections.abc import Mapping
from typing import Protocol, TypeVar

import msgspec

from trimtab.catalogue import Arm, Model
from trimtab.engine.asked import Asked
from trimtab.engine.inbound import TASK, Inbound
from trimtab.engine.job import Job
from trimtab.engine.pictures import PrepareImages
from trimtab.engine.route import Route
from trimtab.engine.task_call import TaskCall
from trimtab.engine.tasking import Tasking
from trimtab.errors import NotFound, RequestError
from trimtab.messages import MessagesBody
from trimtab.providers import Provider
from trimtab.records import Plan
from trimtab.routing import Candidate


class Order(Protocol):
    """The places for one request, the first one first, and why so, in short sentences."""

    @property
    def order(self) -> tuple[Candidate, ...]: ...
    @property
    def reasons(self) -> tuple[str, ...]: ...


class Choose(Protocol):
    """What is needed where several places serve a model."""

    def choose(
        self, model: Model, candidates: tuple[Candidate, ...], conversation: str, *, in_order: bool = False
    ) -> Order:
        """All of them, the one to call first. Pure over what is known of the places. `in_order`: as they come."""
        ...


S = TypeVar("S", bound=Asked)


class Planner(Protocol[S]):
    """What a surface makes of such a request."""

    def read(self, inbound: Inbound) -> MessagesBody:
        """Its body. Raises `RequestError`."""
        ...

    def decide(self, inbound: Inbound, body: MessagesBody) -> S:
        """Which arm serves it, and where. Raises `RequestError`."""
        ...

    def of_task(self, asked: S, scenario: str) -> S:
        """The same, with what the scenario of its task says. Raises `RequestError`."""
        ...

    def on_rung(self, asked: S, arm: Arm, *, freely: bool = False) -> S:
        """The same on a rung of a ladder; `freely`: whatever its caller's key permits, and with the rung's own effort.
        Raises `RequestError`."""
        ...

    def answered(self, asked: S) -> None:
        """Take note of the model whose answer the conversation goes on with, where planning the call took none."""
        ...

    def job(self, asked: S, candidate: Candidate, plan: Plan) -> Job:
        """The call to one place. Raises `RequestError` where its platform takes no such request."""
        ...


class Preparing:
    """One per configuration version."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        choose: Choose | None,
        images: PrepareImages | None,
        tasking: Tasking | None,
        *,
        asks_again: bool | None,
    ) -> None:
        """`providers` by the key of their place. Without `choose` places are taken as they are configured; without
        `images` those go out as they come; without `tasking` no request can be part of a task. `asks_again`: whether a
        place may be asked again; `None`: each request makes one call."""
        self._providers = providers
        self._choose = choose
        self._images = images
        self._tasking = tasking
        self._asks_again = asks_again

    async def with_images(self, asked: S) -> S:
        """The request with its images as its model and all its places take them. Raises `RequestError`."""
        images, decision, own = self._images, asked.decision, asked.inbound.own
        if images is None or not self.concerns_images(asked):
            return asked
        platforms = {self._providers[candidate.place.key].platform for candidate in decision.candidates}
        plan = decision.plan
        prepared = await images.prepare(asked.body, own, decision.model, platforms, plan.tier, plan.route)
        if prepared is None:
            return asked
        return msgspec.structs.replace(asked, body=prepared.body, images=prepared)

    async def for_task(self, planner: Planner[S], asked: S) -> S:
        """The request with leave from its task's budget. Raises `RequestError`, `Unavailable`."""
        if self._tasking is None:
            raise RequestError(f"{TASK}: there are no tasks here; leave it out")
        return await self._tasking.begin(asked, self._places(asked), planner.of_task)

    async def again(self, planner: Planner[S], asked: S, task: TaskCall | None) -> S:
        """A request that was planned before, now on another rung: its images for that model, and its body shaped to the
        leave that it has already. Raises `RequestError`."""
        asked = await self.with_images(asked)
        if task is None or self._tasking is None:
            return asked
        return self._tasking.again(asked, self._places(asked), planner.of_task, task)

    def _places(self, asked: Asked) -> list[Provider]:
        return [self._providers[candidate.place.key] for candidate in asked.decision.candidates]

    def planned(
        self, planner: Planner[S], asked: S, simulated: bool | None = None
    ) -> tuple[Job, Route | None]:
        """The first call, and where else the request could go; `None` where nowhere. `simulated`: the only side on
        which it may be. Raises `RequestError`."""
        decision = asked.decision
        candidates, plan = decision.candidates, decision.plan
        if simulated is not None:
            candidates = tuple(one for one in candidates if self._is_simulated(one) is simulated)
            if not candidates:
                side = "simulated" if simulated else "real"
                raise NotFound(
                    f"model: {decision.model.id!r} is served by no {side} platform, as this request is"
                )
        if len(candidates) == 1 and not self._asks_again:
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

        route = Route(candidates, job, self._is_simulated)
        return route.first(), route

    def is_simulated(self, asked: Asked) -> bool:
        """Whether the first of its places is the simulator."""
        return self._is_simulated(asked.decision.candidates[0])

    def concerns_images(self, asked: Asked) -> bool:
        """Whether there is anything to do for its images."""
        return self._images is not None and self._images.wanted(asked.inbound.own, asked.body)

    def _is_simulated(self, candidate: Candidate) -> bool:
        return self._providers[candidate.place.key].simulated
