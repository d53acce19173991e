"""Which effort a request works at, and whether it thinks: who named it, what caps it, and what the model has.

What it is not: the change of a body (`normaliser`), or a rule of what models refuse. Pure. Invariants: a cap holds
whoever asks, the client included; what a client says of thinking stays as it is; each step has its reason.

The first found wins: the client's own value, the `x-trimtab-effort` header, the scenario of `x-trimtab-scenario`
(else that of the request's task), the route's effort, its scenario's, the tier's, its scenario's, the model's own
default.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec

from trimtab.catalogue import EFFORTS, Effort, Model
from trimtab.catalogue.effort import EffortSettings, ThinkingPolicy, fitted, is_higher
from trimtab.errors import RequestError
from trimtab.records import Surface

SetThinking = Literal["adaptive", "summarized", "disabled", "between_tools", "budget"]
"""What is put into `thinking` where the client left it out. `budget`: as large as the effort and max_tokens say."""

Mode = Literal["strict", "adapt", "observe", "off"]
"""The normaliser's words for what is done where a model would refuse a request."""


class Named(msgspec.Struct, frozen=True):
    """One who names an effort, or says something of thinking."""

    who: str
    """As reasons say it."""
    effort: Effort | None = None
    thinking: ThinkingPolicy = "as_sent"
    key: str = ""
    """How an error names it, where that is a header."""


class Cap(msgspec.Struct, frozen=True):
    """The most effort that somebody allows."""

    effort: Effort
    who: str


class Sent(msgspec.Struct, frozen=True):
    """What the client itself says."""

    surface: Surface
    mode: Mode
    effort: str | None
    """Unchecked: the platform judges it."""
    null_effort: bool
    """It wrote null, which nobody's wish replaces."""
    accepts_effort: bool
    thinking: str | None


class Chosen(msgspec.Struct, frozen=True):
    """What becomes of a request's effort and thinking."""

    effort: Effort | None = None
    """The level to put into the body."""
    replaces: bool = False
    """It takes the place of the client's."""
    said: Effort | None = None
    """The level to say otherwise, for the model has no levels."""
    thinking: SetThinking | None = None
    reasons: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()


NOTHING = Chosen()
ABOVE_HIGH: tuple[Effort | None, ...] = ("xhigh", "max")
FIELDS = ("output_config.effort", "reasoning_effort")


def least_cap(caps: Iterable[Cap | None]) -> Cap | None:
    """The one that allows least; of equals the first."""
    found: Cap | None = None
    for cap in caps:
        if cap is not None and (found is None or is_higher(found.effort, cap.effort)):
            found = cap
    return found


def choose(
    sent: Sent, model: Model, named: tuple[Named, ...], cap: Cap | None, settings: EffortSettings
) -> Chosen:
    """Effort and thinking of one request to one model; `named` in the order in which they win.

    Raises `RequestError` in mode `strict` for a level that the model lacks.
    """
    chosen = _effort(sent, model, named, cap, settings) if sent.accepts_effort else NOTHING
    return _with_thinking(_beside_thinking_off(chosen, sent, model), sent, model, named)


def _effort(
    sent: Sent, model: Model, named: tuple[Named, ...], cap: Cap | None, settings: EffortSettings
) -> Chosen:
    asks = next((one for one in named if one.effort is not None), None)
    level: Effort | None
    if sent.effort is not None:
        level = next((known for known in EFFORTS if known == sent.effort), None)
        if level is None or cap is None or not is_higher(level, cap.effort):
            return _clients(sent, level, model, cap, settings)
        if not model.effort_levels and sent.surface == "messages":
            return NOTHING  # the platform refuses it, or the normaliser says it otherwise, below the cap
        asks = Named("the client", level)
    elif sent.null_effort:
        asks = None
    level = asks.effort if asks is not None else None
    capped = (
        cap is not None
        and (found := level or model.default_effort) is not None
        and is_higher(found, cap.effort)
    )
    if not capped:
        return NOTHING if asks is None or level is None else _asked(asks, level, sent, model, cap, settings)
    assert cap is not None
    wanted = (
        f"{asks.who} asks for {level}" if asks is not None else f"the model's own is {model.default_effort}"
    )
    return _put(
        cap.effort,
        f"{wanted}, and {cap.who} allows {cap.effort}",
        model,
        settings,
        cap,
        replaces=sent.effort is not None or sent.null_effort,
        surface=sent.surface,
        key="",
    )


def _clients(
    sent: Sent, level: Effort | None, model: Model, cap: Cap | None, settings: EffortSettings
) -> Chosen:
    """The client's own effort stays, but where nothing after this looks at it, a level that the model lacks is another
    one."""
    kept = Chosen(reasons=("effort as the client sent it",))
    levels = model.effort_levels
    if sent.surface == "messages" or level is None or not levels or level in levels:
        return kept  # on messages the normaliser has rules about it
    if sent.mode == "strict":
        raise RequestError(f"reasoning_effort: {level!r}: {model.id} takes {', '.join(levels)}")
    if sent.mode != "adapt":
        return kept
    other = fitted(level, levels, settings.clamp, cap.effort if cap is not None else None)
    why = f"effort {other}: the client asks for {level}, and {model.id} has no {level}"
    return Chosen(other, replaces=True, reasons=(why,), changes=(_change(sent.surface, other),))


def _asked(
    asks: Named, level: Effort, sent: Sent, model: Model, cap: Cap | None, settings: EffortSettings
) -> Chosen:
    levels = model.effort_levels
    if level in levels:
        return Chosen(
            level,
            reasons=(f"effort {level} from {asks.who}",),
            changes=(_change(sent.surface, level),),
        )
    if sent.mode == "strict":
        takes = ", ".join(levels) or "no effort level at all"
        raise RequestError(
            f"{asks.key or asks.who}: {level!r}: {model.id} takes {takes}, and in mode strict it becomes no other"
        )
    if not levels:
        return _put(
            level,
            f"from {asks.who}",
            model,
            settings,
            cap,
            replaces=False,
            surface=sent.surface,
            key=asks.key,
        )
    other = fitted(level, levels, settings.clamp, cap.effort if cap is not None else None)
    return Chosen(
        other,
        reasons=(f"effort {other} from {asks.who}, which asks for {level}: {model.id} has no {level}",),
        changes=(_change(sent.surface, other),),
    )


def _put(
    level: Effort,
    why: str,
    model: Model,
    settings: EffortSettings,
    cap: Cap | None,
    *,
    replaces: bool,
    surface: Surface,
    key: str,
) -> Chosen:
    levels = model.effort_levels
    if levels:
        other = fitted(level, levels, "down")
        lacks = "" if other == level else f"; {model.id} has no {level}"
        change = _change(surface, other)
        return Chosen(other, replaces=replaces, reasons=(f"effort {other}: {why}{lacks}",), changes=(change,))
    if surface == "chat" and replaces:
        # The row says nothing of levels, and the server took the client's: it knows the lower one too.
        return Chosen(
            level, replaces=True, reasons=(f"effort {level}: {why}",), changes=(_change(surface, level),)
        )
    if settings.without == "off":
        return Chosen(
            reasons=(f"no effort {why}: {model.id} takes none",),
            changes=(f"{key or 'effort'} removed",),
        )
    return Chosen(said=level, reasons=(f"effort {level} {why}, said otherwise: {model.id} has no levels",))


def _beside_thinking_off(chosen: Chosen, sent: Sent, model: Model) -> Chosen:
    """An effort at which the model cannot stop thinking is high, where the client says that it shall."""
    ability = {"disabled": model.thinking.disabled, "between_tools": model.thinking.between_tools}
    if (
        chosen.effort not in ABOVE_HIGH
        or ability.get(sent.thinking or "") != "up_to_high"
        or sent.mode == "strict"
    ):
        return chosen
    why = f"effort high: at {chosen.effort} {model.id} cannot stop thinking, as the client asks"
    return msgspec.structs.replace(
        chosen,
        effort="high",
        reasons=(*chosen.reasons, why),
        changes=tuple(
            _change(sent.surface, "high") if text.startswith(FIELDS) else text for text in chosen.changes
        ),
    )


def _change(surface: Surface, effort: Effort) -> str:
    return f"{'reasoning_effort' if surface == 'chat' else 'output_config.effort'}={effort}"


def _with_thinking(chosen: Chosen, sent: Sent, model: Model, named: tuple[Named, ...]) -> Chosen:
    says = next((one for one in named if one.thinking != "as_sent"), None)
    if says is None or sent.thinking is not None:
        return chosen
    reasons, changes = list(chosen.reasons), list(chosen.changes)
    put: SetThinking | None = None
    if sent.surface == "chat":
        reasons.append(f"thinking {says.thinking} of {says.who} is not sent on this surface")
    elif says.thinking == "off":
        return _off(chosen, sent, model, says)
    elif model.thinking.adaptive:
        put = "summarized" if says.thinking == "summarized" else "adaptive"
        reasons.append(f"adaptive thinking from {says.who}")
        changes.append("thinking=adaptive")
        if put == "summarized":
            changes.append("thinking.display=summarized")
    elif model.thinking.enabled != "rejected":
        put = "budget"
        reasons.append(f"thinking from {says.who}, by a budget: {model.id} has no adaptive thinking")
    else:
        reasons.append(f"no thinking, which {says.who} asks for: {model.id} does not think")
    return msgspec.structs.replace(chosen, thinking=put, reasons=tuple(reasons), changes=tuple(changes))


def _off(chosen: Chosen, sent: Sent, model: Model, says: Named) -> Chosen:
    ability = model.thinking
    if not ability.supported:
        return chosen
    put: SetThinking = "disabled" if ability.disabled != "rejected" else "between_tools"
    how = ability.disabled if put == "disabled" else ability.between_tools
    reasons, changes = list(chosen.reasons), list(chosen.changes)
    level = chosen.effort or sent.effort or model.default_effort
    effort = chosen.effort
    if how == "rejected":
        why = f"{model.id} cannot stop thinking"
    elif how == "up_to_high" and level in ABOVE_HIGH and effort is None:
        why = f"not at effort {level}, which the client asks for"
    else:
        if how == "up_to_high" and level in ABOVE_HIGH:
            effort = "high"
            reasons.append(f"effort high: at {level} {model.id} cannot stop thinking, as {says.who} asks")
            changes = [_change("messages", effort) if text.startswith(FIELDS) else text for text in changes]
        reasons.append(f"thinking {put} from {says.who}")
        changes.append(f"thinking={put}")
        return msgspec.structs.replace(
            chosen, effort=effort, thinking=put, reasons=tuple(reasons), changes=tuple(changes)
        )
    return msgspec.structs.replace(
        chosen, reasons=(*reasons, f"thinking stays on: {why}, asked by {says.who}")
    )
