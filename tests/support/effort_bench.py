"""Requests from their headers to what goes out, without a gateway: router, planner and normaliser as they are built."""

import json
from types import SimpleNamespace
from typing import Any

from trimtab.catalogue import Catalogue, Effort, Model, TierSettings, resolve_tiers
from trimtab.catalogue.effort import EffortSettings, Scenario
from trimtab.catalogue.tiers import TierBinding
from trimtab.engine.chat import ChatPlanner
from trimtab.engine.inbound import Inbound
from trimtab.engine.job import Job
from trimtab.engine.planning import MessagesPlanner
from trimtab.messages import MessagesBody
from trimtab.messages.chat import ChatBody
from trimtab.normaliser import EffortPolicy, Mode, Normaliser, NormaliserSettings, shipped_rules
from trimtab.providers import Headers
from trimtab.records import NOBODY, Caller, Endpoint, RequestId
from trimtab.routing import Place, RouteSettings, TierRouter, resolve_routes

CATALOGUE = Catalogue.load()
RULES = shipped_rules()
VERSIONS = ("2023-06-01", "2026-10-21")
PLAIN_HEADERS: Headers = [(b"anthropic-version", VERSIONS[0].encode())]


class EffortBench:
    """One configuration with one place. Nothing is called."""

    def __init__(
        self,
        platform: str = "anthropic",
        *,
        mode: Mode = "adapt",
        pinned: Mode | None = None,
        tier: str | TierBinding | None = None,
        routes: dict[str, RouteSettings] | None = None,
        scenarios: dict[str, Scenario] | None = None,
        effort: EffortSettings | None = None,
        catalogue: Catalogue = CATALOGUE,
        takes_effort: bool = True,
    ) -> None:
        """`tier` is what `trimtab/default` means; `pinned` is `mode` unless given."""
        effort = effort or EffortSettings()
        known = {**catalogue.scenarios, **(scenarios or {})}
        tiers = resolve_tiers(TierSettings(default=tier), catalogue, str)
        self.router = TierRouter(
            catalogue,
            tiers,
            (Place("p", platform, _ids(catalogue, platform), takes_effort=takes_effort),),
            effort=effort,
            scenarios=known,
            routes=resolve_routes(routes or {}, catalogue, known, str, tiers=tiers, effort=effort),
        )
        normaliser = Normaliser(
            NormaliserSettings(tiers=mode, pinned=pinned or mode),
            RULES,
            catalogue.platforms,
            EffortPolicy(effort, catalogue.efforts),
        )
        provider: Any = SimpleNamespace(
            name="p", platform=platform, api_versions=VERSIONS, simulated=False, regional=False, discount=0
        )
        self._messages = MessagesPlanner(self.router, {"p": provider}, normaliser, None, keep=False)
        self._chat = ChatPlanner(self.router, {"p": provider}, normaliser, keep=False)

    def job(
        self,
        model: str,
        own: dict[str, str] | None = None,
        *,
        caller: Caller = NOBODY,
        chat: bool = False,
        counting: bool = False,
        **fields: Any,
    ) -> Job:
        """What goes out for a request with these fields. Raises `RequestError`. A field of `None` is left out."""
        whole = {
            "model": model,
            "max_tokens": 64_000,
            "messages": [{"role": "user", "content": "hi"}],
            **fields,
        }
        raw = json.dumps({name: value for name, value in whole.items() if value is not None}).encode()
        return self.job_of(
            raw, own, caller=caller, endpoint="chat" if chat else "count_tokens" if counting else "messages"
        )

    def job_of(
        self,
        raw: bytes,
        own: dict[str, str] | None = None,
        headers: Headers = PLAIN_HEADERS,
        *,
        caller: Caller = NOBODY,
        endpoint: Endpoint = "messages",
    ) -> Job:
        """What goes out for this body; a task's header names the task's scenario here. Raises `RequestError`."""
        chat, counting = endpoint == "chat", endpoint == "count_tokens"
        inbound = Inbound(
            id=RequestId("r1"),
            endpoint=endpoint,
            path="/v1/messages",
            query=b"",
            body=raw,
            headers=headers,
            own=own or {},
            arrived_ms=0,
            arrived=0.0,
            caller=caller,
        )
        task = inbound.own.get("x-trimtab-task", "")
        if chat:
            read = self._chat.of_task(self._chat.decide(inbound, ChatBody(raw)), task)
            return self._chat.job(read, read.decision.candidates[0], read.decision.plan)
        asked = self._messages.decide(inbound, MessagesBody(raw, max_tokens_required=not counting))
        asked = self._messages.of_task(asked, task)
        return self._messages.job(asked, asked.decision.candidates[0], asked.decision.plan)


def sent(job: Job) -> dict[str, Any]:
    """The body that goes out."""
    assert isinstance(job.call.body, bytes)
    found: dict[str, Any] = json.loads(job.call.body)
    return found


def level(job: Job) -> str | None:
    """The effort in it."""
    effort: str | None = (sent(job).get("output_config") or {}).get("effort")
    return effort


def _ids(catalogue: Catalogue, platform: str) -> dict[str, str]:
    served: dict[str, str] = {}
    for model in catalogue.models:
        own = model.id if platform == "openai" else model.platform_id(platform)
        if own is not None:
            served[model.id] = own
    return served


def named_by(
    source: str, model: Model, effort: Effort
) -> tuple[dict[str, Any], str, dict[str, str], dict[str, Any]]:
    """How a source names an effort for a model: settings of the bench, the requested model, headers, body fields."""
    work = {"work": Scenario(effort)}
    fields = {"max_tokens": min(64_000, model.limits.max_output)}
    if source == "client":
        return {}, model.id, {}, {**fields, "output_config": {"effort": effort}}
    if source == "header":
        return {}, model.id, {"x-trimtab-effort": effort}, fields
    if source == "header scenario":
        return {"scenarios": work}, model.id, {"x-trimtab-scenario": "work"}, fields
    if source == "task scenario":
        return {"scenarios": work}, model.id, {"x-trimtab-task": "work"}, fields
    if source == "route":
        return {"routes": {"r": RouteSettings(model=model.id, effort=effort)}}, "trimtab/r", {}, fields
    if source == "route scenario":
        routes = {"r": RouteSettings(model=model.id, scenario="work")}
        return {"routes": routes, "scenarios": work}, "trimtab/r", {}, fields
    if source == "tier":
        return {"tier": f"{model.id}@{effort}"}, "trimtab/default", {}, fields
    bound = TierBinding(model.id, scenario="work")
    return {"tier": bound, "scenarios": work}, "trimtab/default", {}, fields


SOURCES = (
    "client",
    "header",
    "header scenario",
    "task scenario",
    "route",
    "route scenario",
    "tier",
    "tier scenario",
)
