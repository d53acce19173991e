"""Plans a Chat Completions request: which platform, what goes out, and the most that it can cost.

What it is not: a translation to Messages, or a check of what the server takes. No rule of the normaliser acts here:
the body goes out as it came, but for the model's name, an effort that somebody other than the client named or capped
and, in a stream, the question for usage. Without that question streams carry no counts at all, and each would be
settled at its worst case.
"""

from collections.abc import Mapping

import msgspec

from trimtab.catalogue import Arm, Effort
from trimtab.engine.asked import Asked
from trimtab.engine.chat_bounds import chat_input_size, size_note
from trimtab.engine.inbound import SCENARIO, Decide, Inbound, check_own, platforms_of, tags_of, wanted_of
from trimtab.engine.job import Job
from trimtab.engine.planning import on_rung
from trimtab.engine.session import session_of
from trimtab.errors import PermissionDenied
from trimtab.messages import MessagesBody
from trimtab.messages.chat import ChatBody
from trimtab.normaliser import Mode, Normaliser
from trimtab.providers import Call, Provider
from trimtab.records import Budget, Caller, Plan
from trimtab.routing import VIRTUAL_PREFIX, Ask, Candidate, Decision, Place

ASKED_FOR_USAGE = "stream_options.include_usage=true"

_UNBOUNDED = (
    "web_search_options",
    "audio",
    "prediction",
    "plugins",
    "best_of",
    "use_beam_search",
    "fallback_models",
    "models",
)
"""Fields that bill what tokens of the model's price do not hold: searches, sound, discarded drafts and further answers,
or another model. Source: OpenAI API reference (2026-11); vLLM and OpenRouter references for the last five."""

_PLAIN_TIERS = (b'"default"', b'"flex"')
"""Of `service_tier`; others may cost more, also `auto`, which is the account's choice."""
_NOTHING = (b"null", b"false", b"[]", b"{}")


class Chat(Asked, frozen=True, gc=False):
    """A request of Chat Completions."""


class ChatPlanner:
    """One per configuration version."""

    def __init__(
        self,
        router: Decide,
        providers: Mapping[str, Provider],
        normaliser: Normaliser | None,
        *,
        keep: bool,
    ) -> None:
        """`providers` by the key of their place; of the normaliser only its modes and its policy of efforts are asked;
        `keep`: prompts are kept."""
        self._router = router
        self._providers = providers
        self._normaliser = normaliser
        self._keep = keep

    def read(self, inbound: Inbound) -> ChatBody:
        """The request's body. Raises `RequestError`."""
        return ChatBody(inbound.body)

    def decide(self, inbound: Inbound, body: MessagesBody) -> Chat:
        """Which model serves it, and where it may be called; of a task's call all but the effort, which `of_task`
        chooses. Raises `RequestError`."""
        assert isinstance(body, ChatBody)
        check_own(inbound.own)
        caller, own = inbound.caller, inbound.own
        check_bounded(body, caller)
        route = self._router.taken(wanted_of(inbound, body.model)) if self._router.has_routes else None
        later = inbound.awaits_task
        ask = Ask(
            model=body.model,
            effort=body.effort,
            wanted_effort=own.get("x-trimtab-effort"),
            null_effort=body.has_effort and body.effort is None,
            scenario=own.get(SCENARIO),
            mode=self._mode(body, route is not None and route.moves),
            accepts_effort=not later,
            models=caller.models,
            tiers=caller.tiers,
            platforms=caller.platforms,
            wanted_platforms=platforms_of(own.get("x-trimtab-platform")),
            surface="chat",
            default_tier=caller.default_tier,
            route=route,
        )
        session = session_of(body, own.get("x-trimtab-session"), caller.key)
        return Chat(inbound, body, self._router.decide(ask), session, ask, later)

    def of_task(self, asked: Chat, scenario: str) -> Chat:
        """The request with the effort and the class that the scenario of its task gives it. Raises `RequestError`."""
        if not asked.awaits:
            return asked
        ask = msgspec.structs.replace(asked.ask, accepts_effort=True, task_scenario=scenario)
        return msgspec.structs.replace(asked, decision=self._router.decide(ask), ask=ask, awaits=False)

    def on_rung(self, asked: Chat, arm: Arm, *, freely: bool = False) -> Chat:
        """The request on a rung of a ladder. Raises `RequestError`."""
        ask = on_rung(asked.ask, arm, freely=freely)
        return msgspec.structs.replace(asked, decision=self._router.decide(ask), ask=ask, beside=freely)

    def answered(self, asked: Chat) -> None:
        """Nothing: no message of this API is a model's own."""

    def job(self, asked: Chat, candidate: Candidate, plan: Plan) -> Job:
        """The call to one place."""
        inbound, decision, place = asked.inbound, asked.decision, candidate.place
        model = decision.model
        assert isinstance(asked.body, ChatBody)
        body, effort, changes = self._with_effort(asked.body, decision, place, plan.changes)
        asks_usage = body.stream and not body.wants_usage
        size = chat_input_size(body, model)
        seen = (size_note(size, model),) if size.images else ()
        if asked.images is not None:
            changes, seen = (*changes, *asked.images.adaptations), (*seen, *asked.images.observations)
        most = body.max_tokens if body.max_tokens is not None else model.limits.max_output
        return Job(
            id=inbound.id,
            purpose="live",
            endpoint="chat",
            requested_model=body.model,
            session=asked.session,
            plan=plan,
            model=model,
            send_model=candidate.send_model,
            provider=self._providers[place.key],
            call=Call(
                "POST",
                inbound.path,
                inbound.headers,
                body.asking(model=candidate.send_model, usage=asks_usage, effort=effort),
                inbound.query,
                None,
                body.stream,
                "chat",
                candidate.send_model,
            ),
            max_tokens=most,
            input_bound=size.bound,
            request_bytes=len(inbound.body),
            arrived_ms=inbound.arrived_ms,
            arrived=inbound.arrived,
            caller=inbound.caller,
            may_think=True,  # reasoning is billed and may not show
            asked=inbound.body if self._keep else None,
            adaptations=(*changes, *((ASKED_FOR_USAGE,) if asks_usage else ())),
            observations=seen,
            tags=tags_of(inbound.own.get("x-trimtab-tags")),
            answers=body.answers,
            hides_usage=asks_usage,
            account=place.account,
            place=place.key,
            task_class=decision.scenario,
            task=inbound.task,
            image_tokens=None if asked.images is None or model.vision == "none" else size.image_tokens,
        )

    def _mode(self, body: ChatBody, moved: bool) -> Mode:
        if self._normaliser is None:
            return "off"
        return self._normaliser.mode(tier=moved or body.model.startswith(VIRTUAL_PREFIX))

    def _with_effort(
        self, body: ChatBody, decision: Decision, place: Place, changes: tuple[str, ...]
    ) -> tuple[ChatBody, Effort | None, tuple[str, ...]]:
        """The body, perhaps with an effort said in words; else the effort for its field; and what is different."""
        effort, said = decision.set_effort, decision.said_effort
        if effort is not None and not place.takes_effort and not decision.replaces_effort:
            effort, said = None, effort
            changes = tuple(text for text in changes if not text.startswith("reasoning_effort="))
        if said is None:
            return body, effort, changes
        policy = self._normaliser.effort if self._normaliser is not None else None
        guided = None
        if policy is not None and policy.words is not None and policy.settings.without != "off":
            guided = body.guided(policy.words.guidance[said])
        if guided is None:
            return body, None, (*changes, "effort removed")
        return guided, None, (*changes, f"messages=says effort {said}")


def check_bounded(body: ChatBody, caller: Caller) -> None:
    """Refuse to a key with limited money what its limit cannot bound. Raises `PermissionDenied`."""
    if caller.limits.total_nanousd is None or caller.limits.may_overshoot:
        return
    if (found := _unbounded(body)) is not None:
        raise PermissionDenied(
            f"{found}: may bill more than tokens at the model's price, and the money of this key ({caller.key}) is "
            "limited; leave it out, use a key without --usd, or let this one pass its limit so: trimtab keys limits "
            f"{caller.key} --overshoot"
        )


def check_bounded_by(body: ChatBody, budget: Budget) -> None:
    """The same to whoever is counted on a hard budget of money or tokens. Raises `PermissionDenied`."""
    if (found := _unbounded(body)) is not None:
        raise PermissionDenied(
            f"{found}: may bill more than tokens at the model's price, and budget {budget.name!r} is a hard one for "
            f"{budget.scope.kind} {budget.scope.name!r}; leave it out, or set may_overshoot on the budget to let it be "
            "passed so"
        )


def _unbounded(body: ChatBody) -> str | None:
    """The field that cannot be bounded, if any."""
    fields = body.fields
    for name in _UNBOUNDED:
        if name in fields and bytes(fields[name]) not in _NOTHING:
            return name
    tier = fields.get("service_tier")
    return "service_tier" if tier is not None and bytes(tier) not in (b"null", *_PLAIN_TIERS) else None
