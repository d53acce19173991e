"""The upper floor: admit a client's request, plan it, and have it called.

Later parts screen, verify and escalate here. A refused request is recorded too, with no plan and no cost.
"""

from collections.abc import Mapping

import msgspec

from trimtab.catalogue import EFFORTS, Arm
from trimtab.engine.bounds import input_bound
from trimtab.engine.chat import plan_chat
from trimtab.engine.conversations import Conversations
from trimtab.engine.inbound import Decide, Inbound, check_own, platforms_of, tags_of
from trimtab.engine.metered import Job, Metered, MeteredReply
from trimtab.engine.other_models import check_other_models
from trimtab.engine.session import conversation_of, session_of
from trimtab.engine.unbounded import check_unbounded
from trimtab.errors import RequestError, RuleRefused, Unavailable, shortened
from trimtab.messages import MessagesBody, named_model
from trimtab.messages.chat import ChatBody
from trimtab.normaliser import Asked, Mode, Normalised, Normaliser
from trimtab.providers import Call, Headers, Provider
from trimtab.records import MAX_ERROR_CHARS, Outcome, Plan
from trimtab.routing import VIRTUAL_PREFIX, Ask, Decision

API_VERSIONS = ("2023-06-01", "2026-10-21")
"""Source: vendor versioning page (2026-11)."""

UNCHANGED = Normalised()


class Pipeline:
    """Answers requests. One per configuration version."""

    def __init__(
        self,
        metered: Metered,
        router: Decide,
        providers: Mapping[str, Provider],
        normaliser: Normaliser | None = None,
        conversations: Conversations | None = None,
    ) -> None:
        """Without a normaliser requests go out as they come; without conversations no model change is noticed."""
        self._metered = metered
        self._router = router
        self._providers = providers
        self._normaliser = normaliser
        self._conversations = conversations

    async def answer(self, inbound: Inbound) -> MeteredReply:
        """The platform's reply, head arrived. The caller must `close` it. Spends money.

        Raises `RequestError` or `Unavailable` (recorded as refused), or `UpstreamError` (recorded with its attempt).
        """
        body: MessagesBody | None = None
        try:
            if inbound.endpoint == "chat":
                body = chat = ChatBody(inbound.body)
                keep = self._metered.runtime.keep is not None
                job = plan_chat(inbound, chat, self._router, self._providers, keep=keep)
            else:
                body = MessagesBody(inbound.body, max_tokens_required=inbound.endpoint == "messages")
                job = self._plan(inbound, body)
            hold = await self._metered.reserve(job)
        except (RequestError, Unavailable) as problem:
            self._refuse(inbound, body, problem)
            raise
        return await self._metered.call(job, hold)

    def _plan(self, inbound: Inbound, body: MessagesBody) -> Job:
        check_own(inbound.own)
        answers = inbound.endpoint == "messages"
        thinking = body.thinking_type
        caller = inbound.caller
        check_other_models(body, caller)
        if answers:
            check_unbounded(body, caller)
        mode = self._mode(body)
        decision = self._router.decide(
            Ask(
                model=body.model,
                effort=body.effort,
                wanted_effort=inbound.own.get("x-trimtab-effort"),
                lower_effort=mode == "adapt",
                thinking=thinking,
                accepts_effort=answers and (body.effort is not None or not body.has_effort),
                models=caller.models,
                tiers=caller.tiers,
                platforms=caller.platforms,
                wanted_platforms=platforms_of(inbound.own.get("x-trimtab-platform")),
                default_tier=caller.default_tier,
            )
        )
        provider = self._providers[decision.plan.platform]
        versions = decision.model.api_versions(provider.platform, provider.api_versions)
        headers, version, version_change = _versioned(inbound.headers, versions)
        model, plan, adaptations = decision.model, decision.plan, (*decision.plan.changes, *version_change)
        session = session_of(body, inbound.own.get("x-trimtab-session"), caller.key)
        normal = self._normalised(inbound, body, decision, provider, headers, version, session, mode)
        if normal.body is None or normal.headers is None or normal.changed is None:
            asked = body
            outgoing = body.spliced(
                model=decision.send_model,
                effort=decision.set_effort,
                adaptive_thinking=decision.set_adaptive,
            )
            may_think = _may_think(thinking, model.thinking.default, decision.set_adaptive)
        else:
            asked = normal.changed
            outgoing, headers = normal.body, normal.headers
            may_think = _may_think(asked.thinking_type, model.thinking.default, False)
            plan = _as_sent(plan, asked)
            adaptations = _latest(adaptations, normal.adaptations)
        return Job(
            inbound.id,
            "live",
            inbound.endpoint,
            body.model,
            session,
            plan,
            model,
            decision.send_model,
            provider,
            Call(
                "POST",
                inbound.path,
                headers,
                outgoing,
                inbound.query,
                None,
                body.stream and answers,
                inbound.endpoint,
                decision.send_model,
            ),
            asked.max_tokens,
            input_bound(asked, model),
            len(inbound.body),
            inbound.arrived_ms,
            inbound.arrived,
            caller,
            fast=asked.text_field("speed") == "fast",
            us_only=asked.text_field("inference_geo") == "us",
            may_think=may_think,
            asked=inbound.body if self._metered.runtime.keep is not None else None,
            adaptations=adaptations,
            observations=normal.observations,
            tags=tags_of(inbound.own.get("x-trimtab-tags")),
        )

    def _mode(self, body: MessagesBody) -> Mode:
        if self._normaliser is None:
            return "off"
        return self._normaliser.mode(tier=body.model.startswith(VIRTUAL_PREFIX))

    def _normalised(
        self,
        inbound: Inbound,
        body: MessagesBody,
        decision: Decision,
        provider: Provider,
        headers: Headers,
        version: str,
        session: str,
        mode: Mode,
    ) -> Normalised:
        """What the rules make of the request. Raises `RuleRefused`: in mode `strict`, or where the platform does not
        take what cannot be left out."""
        if self._normaliser is None:
            return UNCHANGED
        free = self._normaliser.platform_mode(mode, provider.platform) == "off"
        if free and mode == "off":
            return UNCHANGED
        places: list[int] | None = None
        if mode == "observe":
            places = self._normaliser.places(body, decision.model)
            if free and not places:
                return UNCHANGED
        foreign = 0
        changing = mode == "adapt" and inbound.endpoint == "messages" and decision.plan.tier is not None
        if changing and self._conversations is not None:
            thinking = decision.model.thinking
            if (
                "thinking" in body.fields
                or decision.set_adaptive
                or thinking.default in ("adaptive", "always")
            ):
                # Callers give one session to many conversations at once: here they must be told apart.
                conversation = conversation_of(body, session, inbound.caller.key)
                foreign = self._conversations.goes_to(conversation, body, decision.model.id)
        return self._normaliser.normalise(
            Asked(
                body=body,
                headers=headers,
                model=decision.model,
                send_model=decision.send_model,
                version=version,
                versions=decision.model.api_versions(provider.platform, provider.api_versions),
                set_effort=decision.set_effort,
                set_adaptive=decision.set_adaptive,
                foreign=foreign,
                platform=provider.platform,
                endpoint="messages" if inbound.endpoint == "messages" else "count_tokens",
            ),
            mode,
            tier=decision.plan.tier,
            places=places,
        )

    def _refuse(
        self, inbound: Inbound, body: MessagesBody | None, problem: RequestError | Unavailable
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
                observations=(problem.note,) if isinstance(problem, RuleRefused) else (),
            ),
            inbound.headers,
        )


def _as_sent(plan: Plan, body: MessagesBody) -> Plan:
    """The plan with the effort and thinking of the body that goes out."""
    effort = next((level for level in EFFORTS if level == body.effort), None)
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
