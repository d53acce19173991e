"""Top-level fields: shapes, ranges and what the model accepts of sampling, thinking, effort and speed.

Source: anthropic SDK 2.11.0 `types/message_create_params.py`, 2.12.0 `lib/threads/_thread_state.py`; vendor pages on
versioning, extended thinking, effort, task budgets (2026-11); public error reports for the wording of messages.
"""

from typing import Literal, cast

import msgspec

from trimtab.catalogue import EFFORTS, Effort
from trimtab.catalogue.model import Model
from trimtab.errors import RequestError
from trimtab.providers.simulator.checks.shapes import (
    Raw,
    as_bool,
    as_choice,
    as_int,
    as_list,
    as_number,
    as_object,
    as_text,
    needed,
    only,
    refuse,
    tag,
)
from trimtab.providers.simulator.errors import Failure

NO_SAMPLING_VERSION = "2026-10-21"
TASK_BUDGET_BETA = "task-budgets-2026-03-13"
FAST_MODE_BETA = "fast-mode-2026-02-01"
MAX_STOPS = 10_000
_TASK_BUDGET_MIN = 20_000
_THINKING_BUDGET_MIN = 1024

_SHARED = {
    "model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control",
}  # fmt: skip
_CREATE = _SHARED | {
    "max_tokens", "metadata", "stop_sequences", "stream", "temperature", "top_p", "top_k", "container",
    "service_tier", "inference_geo", "diagnostics", "output_format",
}  # fmt: skip
_BETA_FIELDS = {
    "context_management": ("context-management-", "compact-"),
    "compaction": ("compact-",),
    "mcp_servers": ("mcp-client-",),
    "fallbacks": ("server-side-fallback-",),
    "fallback_credit_token": ("server-side-fallback-", "fallback-"),
    "speed": ("fast-mode-",),
    "thread": ("message-threads-",),
    "billing_policy": ("billing",),
}
"""Fields that only exist with a beta header that starts so. They are accepted and have no effect here,
but for `speed`."""

ThinkingType = Literal["off", "adaptive", "enabled", "between_tools"]
Display = Literal["summarized", "omitted"]


class ThinkingPlan(msgspec.Struct, frozen=True):
    """How the request thinks, defaults of the model filled in."""

    type: ThinkingType
    display: Display = "summarized"
    budget_tokens: int | None = None
    drop_unbound: bool = False
    """`block_binding.prefix_mismatch_behavior: drop_block`."""


OFF = ThinkingPlan("off")


def check_fields(raw: Raw, betas: frozenset[str], *, counting: bool) -> None:
    """Refuse unknown top-level fields, and beta fields without their header."""
    unknown = raw.keys() - (_SHARED if counting else _CREATE)
    for name in unknown:
        starts = _BETA_FIELDS.get(name)
        if starts is None or not any(beta.startswith(starts) for beta in betas):
            raise refuse(name, "Extra inputs are not permitted")
    if (thread := raw.get("thread")) is not None:
        kind, _ = tag(thread, "thread", ("create", "continue"))
        if kind == "continue":
            # The code makes the SDK's tool runner send all messages and go on without a thread.
            raise Failure(
                400,
                "invalid_request_error",
                "thread: threads are not simulated; send all messages, without `thread`",
                details={"error_code": "thread_unsupported_request", "unsupported": ["thread"]},
            )


def check_simple(raw: Raw, model: Model) -> None:
    """Fields whose rules need nothing but the field and the model."""
    if (metadata := raw.get("metadata")) is not None:
        only(as_object(metadata, "metadata"), ("user_id",), "metadata")
        if metadata.get("user_id") is not None:
            as_text(metadata["user_id"], "metadata.user_id")
    if (stops := raw.get("stop_sequences")) is not None:
        if len(as_list(stops, "stop_sequences")) > MAX_STOPS:
            raise refuse("stop_sequences", f"List should have at most {MAX_STOPS} items")
        for index, stop in enumerate(stops):
            if not as_text(stop, f"stop_sequences.{index}").strip():
                raise refuse("stop_sequences", "each stop sequence must contain non-whitespace")
    if raw.get("service_tier") is not None:
        as_choice(raw["service_tier"], "service_tier", ("auto", "standard_only"))
    if raw.get("inference_geo") is not None:
        as_choice(raw["inference_geo"], "inference_geo", ("us", "global"))
        if model.features.inference_geo is False:
            raise RequestError("inference_geo: This model does not support the inference_geo parameter.")
    if raw.get("speed") is not None:
        fast = as_choice(raw["speed"], "speed", ("standard", "fast")) == "fast"
        if fast and model.features.fast_mode in ("error", "none"):
            raise RequestError(f"speed: Fast mode is not supported for {model.id}.")


def check_max_tokens(raw: Raw, model: Model) -> int:
    """`max_tokens`, within the model's limit; 0 only warms the cache."""
    value = as_int(needed(raw, "max_tokens", ""), "max_tokens", ge=0)
    limit = model.limits.max_output
    if value > limit:
        raise refuse(
            "max_tokens",
            f"{value} > {limit}, which is the maximum allowed number of output tokens for {model.id}",
        )
    return value


def check_sampling(raw: Raw, model: Model, version: str, thinking: ThinkingPlan) -> None:
    """temperature, top_p and top_k: by API version, by model, and beside thinking."""
    temperature, top_p, top_k = raw.get("temperature"), raw.get("top_p"), raw.get("top_k")
    if temperature is None and top_p is None and top_k is None:
        return
    for name, value in (("temperature", temperature), ("top_p", top_p), ("top_k", top_k)):
        if value is not None and version == NO_SAMPLING_VERSION:
            raise refuse(name, f"Extra inputs are not permitted on anthropic-version {NO_SAMPLING_VERSION}")
    for name, value in (("temperature", temperature), ("top_p", top_p)):
        if value is not None and not 0 <= as_number(value, name) <= 1:
            raise refuse(name, "range: 0..1")
    if top_k is not None:
        as_int(top_k, "top_k", ge=0)
    if model.accepts.sampling == "reject":
        for name, value, default in (
            ("temperature", temperature, 1),
            ("top_p", top_p, 1),
            ("top_k", top_k, None),
        ):
            if value is not None and value != default:
                raise RequestError(f"`{name}` is deprecated for this model.")
    if model.accepts.sampling == "one" and temperature is not None and top_p is not None:
        raise RequestError(
            "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
        )
    if thinking.type in ("adaptive", "enabled"):
        if temperature is not None and temperature != 1:
            raise RequestError("`temperature` may only be set to 1 when thinking is enabled.")
        if top_k is not None:
            raise RequestError("`top_k` must be unset when thinking is enabled.")
        if top_p is not None and top_p < 0.95:
            raise RequestError(
                "`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled."
            )


def check_effort(config: Raw, model: Model) -> Effort | None:
    """The effort that will be used: the request's, else the model's default (`None`: it takes none)."""
    sent = config.get("effort")
    if sent is None:
        return model.effort.default
    as_choice(sent, "output_config.effort", EFFORTS)
    if not model.effort.levels:
        raise RequestError("This model does not support the effort parameter.")
    if sent not in model.effort.levels:
        levels = ", ".join(sorted(model.effort.levels))
        raise RequestError(f"This model does not support effort level '{sent}'. Supported levels: {levels}.")
    return cast(Effort, sent)


def check_task_budget(config: Raw, raw: Raw, model: Model, betas: frozenset[str]) -> None:
    """`output_config.task_budget`: beta header, size, model."""
    budget = config.get("task_budget")
    if budget is None:
        return
    at = "output_config.task_budget"
    if TASK_BUDGET_BETA not in betas:
        raise refuse(at, "Extra inputs are not permitted")
    _, value = tag(budget, at, ("tokens",))
    only(value, ("type", "total", "remaining"), at)
    as_int(needed(value, "total", at), f"{at}.total", ge=_TASK_BUDGET_MIN)
    if value.get("remaining") is not None:
        as_int(value["remaining"], f"{at}.remaining", ge=0)
        if raw.get("compaction") is not None:
            raise refuse(f"{at}.remaining", "cannot be combined with compaction")
    if model.features.task_budgets is not True:
        raise refuse(at, "This model does not support task budgets.")


_THINKING_KEYS = {
    "adaptive": ("type", "display", "block_binding"),
    "enabled": ("type", "budget_tokens", "display", "block_binding"),
    "disabled": ("type",),
    "between_tools": ("type", "block_binding"),
}


def check_thinking(raw: Raw, model: Model, effort: Effort | None, max_tokens: int | None) -> ThinkingPlan:
    """The thinking that will happen. `max_tokens` is `None` when tokens are only counted."""
    ability = model.thinking
    default_display: Display = ability.display or "summarized"
    if (sent := raw.get("thinking")) is None:
        on = ability.default in ("adaptive", "always")
        return ThinkingPlan("adaptive", default_display) if on else OFF
    kind, value = tag(sent, "thinking", _THINKING_KEYS)
    only(value, _THINKING_KEYS[kind], f"thinking.{kind}")
    display = default_display
    if value.get("display") is not None:
        chosen = as_choice(value["display"], f"thinking.{kind}.display", ("summarized", "omitted"))
        display = "omitted" if chosen == "omitted" else "summarized"
    drop = _drops_unbound(value, f"thinking.{kind}.block_binding")
    high = effort in ("xhigh", "max")
    if kind == "adaptive":
        if not ability.adaptive:
            raise RequestError('"thinking.type.adaptive" is not supported for this model.')
        return ThinkingPlan("adaptive", display, drop_unbound=drop)
    if kind == "enabled":
        budget = _thinking_budget(value, model, max_tokens)
        return ThinkingPlan("enabled", display, budget, drop)
    if kind == "between_tools":
        if ability.between_tools == "rejected":
            raise RequestError('"thinking.type.between_tools" is not supported for this model.')
        _refuse_high(ability.between_tools == "up_to_high" and high, effort)
        return ThinkingPlan("between_tools", display, drop_unbound=drop)
    if ability.disabled == "rejected":
        raise RequestError('"thinking.type.disabled" is not supported for this model.')
    _refuse_high(ability.disabled == "up_to_high" and high, effort)
    return OFF


def _refuse_high(refused: bool, effort: Effort | None) -> None:
    if refused:
        raise RequestError(
            f"output_config.effort '{effort}' is not supported when thinking is disabled on this model. "
            "Use effort 'high' or below, or enable thinking."
        )


def _thinking_budget(value: Raw, model: Model, max_tokens: int | None) -> int:
    budget = as_int(
        needed(value, "budget_tokens", "thinking.enabled"),
        "thinking.enabled.budget_tokens",
        ge=_THINKING_BUDGET_MIN,
    )
    if model.thinking.enabled == "rejected":
        advice = ' Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.'
        raise RequestError(
            '"thinking.type.enabled" is not supported for this model.'
            + (advice if model.thinking.adaptive else "")
        )
    if max_tokens is not None and budget >= max_tokens:
        raise RequestError("`max_tokens` must be greater than `thinking.budget_tokens`.")
    return budget


def _drops_unbound(value: Raw, at: str) -> bool:
    if value.get("block_binding") is None:
        return False
    binding = as_object(value["block_binding"], at)
    only(binding, ("prefix_mismatch_behavior",), at)
    name = "prefix_mismatch_behavior"
    return as_choice(binding.get(name, "error"), f"{at}.{name}", ("error", "drop_block")) == "drop_block"


def check_stream(raw: Raw) -> bool:
    """Whether the answer shall be an event stream."""
    return raw.get("stream") is not None and as_bool(raw["stream"], "stream")
