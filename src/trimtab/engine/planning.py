"""Plans a Messages or count_tokens request: which arm, and what goes out to each place that may serve it.

What it is not: the order of places (`routing`), or the calls. Invariant: what goes out differs from what came only by
what is named in the job's `adaptations`.
"""

from collections.abc import Mapping

import msgspec

from trimtab.catalogue import EFFORTS, Arm, Effort
from trimtab.engine.asked import Asked
from trimtab.engine.bounds import input_size
from trimtab.engine.conversations import Conversations
from trimtab.engine.inbound import SCENARIO, Decide, Inbound, check_own, platforms_of, tags_of, wanted_of
from trimtab.engine.job import Job
from trimtab.engine.other_models import check_other_models
from trimtab.engine.session import conversation_of, session_of
from trimtab.engine.tool_lists import ToolLists
from trimtab.engine.unbounded import check_unbounded
from trimtab.errors import RequestError
from trimtab.messages import MessagesBody
from trimtab.normaliser import Asked as AskedOfRules
from trimtab.normaliser import Mode, Normalised, Normaliser
from trimtab.providers import Call, Headers, Provider
from trimtab.records import Plan
from trimtab.routing import VIRTUAL_PREFIX, Ask, Candidate, Decision

API_VERSIONS = ("2023-06-01", "2026-10-21")
"""Source: vendor versioning page (2026-11)."""

SAMPLING = ("temperature", "top_p", "top_k")

UNCHANGED = Normalised()


class Messages(Asked, frozen=True, gc=False):
    """A request of Messages or count_tokens."""

    mode: Mode = "off"
    thinking: str | None = None
    """`thinking.type` of the body."""
    moved: bool = False
    """Whether its route says which model serves it."""


class MessagesPlanner:
    """One per configuration version."""

    def __init__(
        self,
        router: Decide,
        providers: Mapping[str, Provider],
        normaliser: Normaliser | None,
        conversations: Conversations | None,
        *,
        keep: bool,
    ) -> None:
        """`providers` by the key of their place; `keep`: prompts are kept."""
        self._router = router
        self._providers = providers
        self._normaliser = normaliser
        self._conversations = conversations
        self._keep = keep
        self.tool_lists = ToolLists()

    def read(self, inbound: Inbound) -> MessagesBody:
        """The request's body. Raises `RequestError`."""
        return MessagesBody(inbound.body, max_tokens_required=inbound.endpoint == "messages")

    def decide(self, inbound: Inbound, body: MessagesBody) -> Messages:
        """Which arm serves it, and where it may be called; of a task's call all but the effort, which `of_task`
        chooses. Raises `RequestError`."""
        check_own(inbound.own)
        answers = inbound.endpoint == "messages"
        caller = inbound.caller
        check_other_models(body, caller, self.tool_lists)
        if answers:
            check_unbounded(body, caller, self.tool_lists)
        own = inbound.own
        route = self._router.taken(wanted_of(inbound, body.model)) if self._router.has_routes else None
        mode = self._mode(body, route is not None and route.moves)
        thinking = body.thinking_type
        later = answers and inbound.awaits_task
        # In the order of the fields: by name, msgspec takes 0.2 us more.
        ask = Ask(
            body.model,
            body.effort,
            own.get("x-trimtab-effort"),
            body.has_effort and body.effort is None,
            own.get(SCENARIO),
            mode,
            thinking,
            answers and not later,
            caller.models,
            caller.tiers,
            caller.platforms,
            platforms_of(own.get("x-trimtab-platform")),
            "messages",
            caller.default_tier,
            route,
        )
        decision = self._decision(ask, body)
        session = session_of(body, own.get("x-trimtab-session"), caller.key)
        moved = route is not None and route.moves
        return Messages(
            inbound, body, decision, session, ask, later, mode=mode, thinking=thinking, moved=moved
        )

    def of_task(self, asked: Messages, scenario: str) -> Messages:
        """The request with the effort and the class that the scenario of its task gives it. Raises `RequestError`."""
        if not asked.awaits:
            return asked
        ask = msgspec.structs.replace(asked.ask, accepts_effort=True, task_scenario=scenario)
        decision = self._decision(ask, asked.body)
        return msgspec.structs.replace(asked, decision=decision, ask=ask, awaits=False)

    def on_rung(self, asked: Messages, arm: Arm, *, freely: bool = False) -> Messages:
        """The request on a rung of a ladder. Raises `RequestError`."""
        ask = on_rung(asked.ask, arm, freely=freely)
        decision = self._decision(ask, asked.body)
        return msgspec.structs.replace(asked, decision=decision, ask=ask, beside=freely)

    def _decision(self, ask: Ask, body: MessagesBody) -> Decision:
        decision = self._router.decide(ask)
        if ask.mode != "adapt" and (decision.set_adaptive or decision.set_thinking == "summarized"):
            decision = _unless_sampling(decision, body)
        return decision

    def job(self, asked: Messages, candidate: Candidate, plan: Plan) -> Job:
        """The call to one place. Raises `RequestError` where its platform takes no such request."""
        inbound, body, decision, place = asked.inbound, asked.body, asked.decision, candidate.place
        key = place.key
        provider = self._providers[key]
        versions = decision.model.api_versions(provider.platform, provider.api_versions)
        headers, version, version_change = _versioned(inbound.headers, versions)
        model, adaptations = decision.model, (*plan.changes, *version_change)
        if asked.images is not None:
            adaptations = (*adaptations, *asked.images.adaptations)
            if asked.images.back is not None:  # the answer is read, so it comes as it is
                headers = [header for header in headers if header[0] != b"accept-encoding"]
        normal = self._normalised(asked, candidate, provider, headers, version)
        if normal.body is None or normal.headers is None or normal.changed is None:
            sent = body
            outgoing = body.spliced(
                model=candidate.send_model,
                effort=decision.set_effort,
                adaptive_thinking=decision.set_adaptive,
            )
            may_think = _may_think(asked.thinking, model.thinking.default, decision.set_adaptive)
            if decision.said_effort is not None:
                plan = _as_sent(plan, body, None)  # it could not be said; the observations say why
        else:
            sent = normal.changed
            outgoing, headers = normal.body, normal.headers
            may_think = _may_think(sent.thinking_type, model.thinking.default, False)
            plan = _as_sent(plan, sent, normal.expressed)
            adaptations = _latest(adaptations, normal.adaptations)
        size = input_size(sent, model)
        observations = normal.observations
        if size.images:
            observations = (*observations, size.note())
        if asked.images is not None:
            observations = (*observations, *asked.images.observations)
        # In the order of the fields: by name, msgspec takes 1 us more.
        return Job(
            inbound.id,
            "live",
            inbound.endpoint,
            body.model,
            asked.session,
            plan,
            model,
            candidate.send_model,
            provider,
            Call(
                "POST",
                inbound.path,
                headers,
                outgoing,
                inbound.query,
                None,
                body.stream and inbound.endpoint == "messages",
                inbound.endpoint,
                candidate.send_model,
            ),
            sent.max_tokens,
            size.bound,
            len(inbound.body),
            inbound.arrived_ms,
            inbound.arrived,
            inbound.caller,
            sent.text_field("speed") == "fast",
            sent.text_field("inference_geo") == "us",
            may_think,
            inbound.body if self._keep else None,
            adaptations,
            observations,
            tags_of(inbound.own.get("x-trimtab-tags")),
            account=place.account,
            place=key,
            task=inbound.task,
            image_tokens=None if asked.images is None else size.image_tokens,
            change=None if asked.images is None else asked.images.back,
            task_class=decision.scenario,
        )

    def answered(self, asked: Messages) -> None:
        """Take note of the model whose answer the conversation goes on with, where planning the call took none."""
        if self._normaliser is not None:
            self._foreign(asked, takes_note=True)

    def _foreign(self, asked: Messages, *, takes_note: bool) -> int:
        """How many messages of the conversation stem from a time when another model answered."""
        inbound, body, model = asked.inbound, asked.body, asked.decision.model
        if self._conversations is None or asked.mode != "adapt" or inbound.endpoint != "messages":
            return 0
        thinks = asked.decision.set_adaptive or model.thinking.default in ("adaptive", "always")
        if _named(asked) is None or not (thinks or "thinking" in body.fields):
            return 0
        # Callers give one session to many conversations at once: here they must be told apart.
        conversation = conversation_of(body, asked.session, inbound.caller.key)
        goes = self._conversations.goes_to if takes_note else self._conversations.would_go_to
        return goes(conversation, body, model.id)

    def _mode(self, body: MessagesBody, moved: bool) -> Mode:
        if self._normaliser is None:
            return "off"
        return self._normaliser.mode(tier=moved or body.model.startswith(VIRTUAL_PREFIX))

    def _normalised(
        self, asked: Messages, candidate: Candidate, provider: Provider, headers: Headers, version: str
    ) -> Normalised:
        """What the rules make of the request. Raises `RuleRefused`: in mode `strict`, or where the platform does not
        take what cannot be left out."""
        if self._normaliser is None:
            return UNCHANGED
        inbound, body, decision, mode = asked.inbound, asked.body, asked.decision, asked.mode
        free = self._normaliser.platform_mode(mode, provider.platform) == "off"
        rewrites = decision.rewrites
        if free and mode == "off" and not rewrites:
            return UNCHANGED
        places: list[int] | None = None
        if mode == "observe":
            places = self._normaliser.places(body, decision.model)
            if free and not places and not rewrites:
                return UNCHANGED
        foreign = self._foreign(asked, takes_note=not asked.beside)
        return self._normaliser.normalise(
            AskedOfRules(
                body=body,
                headers=headers,
                model=decision.model,
                send_model=candidate.send_model,
                version=version,
                versions=decision.model.api_versions(provider.platform, provider.api_versions),
                set_effort=decision.set_effort,
                set_adaptive=decision.set_adaptive,
                replaces_effort=decision.replaces_effort,
                said_effort=decision.said_effort,
                most_effort=decision.most_effort,
                set_thinking=decision.set_thinking,
                foreign=foreign,
                platform=provider.platform,
                endpoint="messages" if inbound.endpoint == "messages" else "count_tokens",
            ),
            mode,
            tier=_named(asked),
            places=places,
            rewrites=rewrites,
        )


def _named(asked: Messages) -> str | None:
    """The tier or route that says which model serves; `None` where the client does."""
    plan = asked.decision.plan
    return f"route {plan.route}" if plan.tier is None and asked.moved else plan.tier


def on_rung(ask: Ask, arm: Arm, *, freely: bool) -> Ask:
    """The same question of the router for a rung of a ladder."""
    if not freely:
        return msgspec.structs.replace(ask, rung=arm)
    return msgspec.structs.replace(
        ask, rung=arm, wanted_effort=None, models=None, tiers=None, platforms=None, wanted_platforms=None
    )


def _unless_sampling(decision: Decision, body: MessagesBody) -> Decision:
    """Without the thinking that was decided, where the model refuses it beside what the client says of sampling and
    nothing takes that out."""
    if decision.model.accepts.sampling == "reject" or not any(name in body.fields for name in SAMPLING):
        return decision
    plan = decision.plan
    plan = msgspec.structs.replace(
        plan,
        arm=msgspec.structs.replace(plan.arm, thinking=None),
        reasons=(*plan.reasons, "but no thinking is added: the client sets how to sample"),
        changes=tuple(text for text in plan.changes if not text.startswith("thinking")),
    )
    return msgspec.structs.replace(decision, plan=plan, set_adaptive=False, set_thinking=None)


def _as_sent(plan: Plan, body: MessagesBody, expressed: Effort | None) -> Plan:
    """The plan with the effort and thinking of the body that goes out; `expressed` was said otherwise."""
    effort = next((level for level in EFFORTS if level == body.effort), expressed)
    arm = Arm(plan.arm.model, effort, "adaptive" if body.thinking_type == "adaptive" else None)
    return msgspec.structs.replace(plan, arm=arm)


def _latest(decided: tuple[str, ...], adapted: tuple[str, ...]) -> tuple[str, ...]:
    """Both lists as one: what was decided first and then adapted is said once."""
    places = {_place(text) for text in adapted}
    return (*(text for text in decided if _place(text) not in places), *adapted)


def _place(text: str) -> str:
    return text.partition("=")[0].partition(" ")[0]


def _may_think(thinking: str | None, model_default: str, set_adaptive: bool) -> bool:
    if thinking is not None:
        return thinking != "disabled"
    return set_adaptive or model_default in ("adaptive", "always")


def _versioned(headers: Headers, accepted: tuple[str, ...]) -> tuple[Headers, str, tuple[str, ...]]:
    """The headers with an API version that the platform takes, that version, and what changed."""
    sent = [value for name, value in headers if name == b"anthropic-version"]
    if not sent:
        raise RequestError("anthropic-version: header is required")
    version = sent[0].decode("latin-1")
    if len(sent) > 1 or version not in API_VERSIONS:
        shown = ", ".join(value.decode("latin-1") for value in sent)
        raise RequestError(
            f"anthropic-version: {shown!r} is not a valid version; use {' or '.join(API_VERSIONS)}"
        )
    if version in accepted:
        return headers, version, ()
    spoken = accepted[-1]
    replaced = [(name, spoken.encode() if name == b"anthropic-version" else value) for name, value in headers]
    return replaced, spoken, (f"anthropic-version={spoken}",)
