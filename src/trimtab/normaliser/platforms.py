"""What rules about platforms look at and do: fields, tools, sources, sizes and betas that a platform does not take.

What it is not: what a model takes (`checks`, `fixes`), or the table of platforms (`catalogue/platforms.yaml`).
Invariant: only what does not change the question is taken out; the rest is refused, never left out in silence.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from trimtab.catalogue import EFFORTS
from trimtab.catalogue.platforms import PlatformProfile
from trimtab.errors import shortened
from trimtab.messages import GONE
from trimtab.normaliser.checks import Check, Seen, forced_choice
from trimtab.normaliser.draft import Draft, Raw, and_inner
from trimtab.normaliser.fixes import Fix
from trimtab.normaliser.rules import Rule

MAX_NESTED = 4
"""Documents inside documents that are looked into; the vendor knows one."""

BODY_BETAS = "anthropic_beta"
"""The field that stands for the header where a platform takes betas in the body."""


class _Tool(msgspec.Struct):
    type: str | None = None


_TOOLS = msgspec.json.Decoder(list[_Tool])


def _profile(draft: Draft) -> PlatformProfile:
    assert draft.profile is not None
    return draft.profile


def _named(draft: Draft, **seen: Any) -> Seen:
    return {**seen, "platform": _profile(draft).name}


def absent_operation(draft: Draft, rule: Rule) -> Seen | None:
    """An operation that the platform does not have."""
    return None if draft.endpoint in _profile(draft).endpoints else _named(draft, operation=draft.endpoint)


def _fields(draft: Draft) -> Iterator[str]:
    """Key paths of the request that the platform does not take, null ones included."""
    for path in _profile(draft).no_fields:
        first, *steps = path.split(".")
        if not draft.has(first):
            continue
        value = draft.value(first) if steps else {}
        for step in steps[:-1]:
            value = value.get(step) if isinstance(value, dict) else None
        if not steps or (isinstance(value, dict) and steps[-1] in value):
            yield path


def needed_field(draft: Draft, rule: Rule) -> Seen | None:
    """A field without which the answer would be another one, or be made elsewhere than the caller permits."""
    needed = rule.options["needed"]
    for path in _fields(draft):
        value = draft.at(path)
        if path in needed and value not in (None, [], {}) and value not in needed[path]:
            return _named(draft, field=path)
    return None


def refused_field(draft: Draft, rule: Rule) -> Seen | None:
    """Any field that the platform does not take."""
    paths = list(_fields(draft))
    return _named(draft, field=paths[0], paths=paths) if paths else None


def remove_paths(draft: Draft, rule: Rule, seen: Seen) -> bool:
    """Without the fields that were seen; what they leave empty goes with them."""
    for path in seen["paths"]:
        first, *steps = path.split(".")
        if not steps:
            draft.put(first, GONE)
        else:
            whole = inner = draft.own(first)
            for step in steps[:-1]:
                inner = inner[step]
            del inner[steps[-1]]
            if not whole:
                draft.put(first, GONE)
        draft.note(path, " removed")
    return True


def absent_tool(draft: Draft, rule: Rule) -> Seen | None:
    """A tool that the platform does not have."""
    if "tools" not in draft.body.fields or not draft.is_small_enough("tools"):
        return None  # there are none, or the platform judges them
    kinds: list[str | None]
    try:
        kinds = [tool.type for tool in _TOOLS.decode(draft.raw("tools"))]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # and this
    for index, kind in enumerate(kinds):
        if kind is not None and kind.startswith(_profile(draft).no_tools):
            return _named(draft, index=index, type=shortened(kind, 60))
    return None


def _sourced(draft: Draft) -> Iterator[tuple[int, Raw, Raw]]:
    """The images and documents of the messages with their sources: place of the message, block, source."""
    if (
        draft.body.raw.rfind(b'"source"') < 0
    ):  # 8 us at 53 KB; one that is spelled with escapes the platform judges
        return
    for index, turn in draft.turns():
        found = and_inner(turn)
        for _ in range(MAX_NESTED):
            inner: list[Raw] = []
            for block in found:
                source = block.get("source")
                if block.get("type") in ("image", "document") and isinstance(source, dict):
                    yield index, block, source
                    content = source.get("content")
                    if isinstance(content, list):
                        inner += [item for item in content if isinstance(item, dict)]
            found = inner


def refused_source(draft: Draft, rule: Rule) -> Seen | None:
    """An image or document that comes from where the platform does not take it."""
    known = _profile(draft).sources
    assert known is not None
    for index, block, source in _sourced(draft):
        kind = source.get("type")
        if isinstance(kind, str) and kind not in known:
            return _named(draft, index=index, kind=block["type"], source=shortened(kind, 60))
    return None


def large_image(draft: Draft, rule: Rule) -> Seen | None:
    """An image that is larger than the platform takes."""
    limit = _profile(draft).max_image_bytes
    assert limit is not None
    if len(draft.body.raw) <= limit:
        return None
    for index, block, source in _sourced(draft):
        data = source.get("data")
        if block["type"] == "image" and isinstance(data, str) and len(data) > limit:
            return _named(draft, index=index, size=len(data), limit=limit)
    return None


def large_request(draft: Draft, rule: Rule) -> Seen | None:
    """A body that is larger than the platform takes."""
    limit, size = _profile(draft).max_request_bytes, len(draft.body.raw)
    assert limit is not None
    return _named(draft, size=size, limit=limit) if size > limit else None


def absent_format(draft: Draft, rule: Rule) -> Seen | None:
    """A format for the answer, of a model that has none there."""
    known = _profile(draft).structured_outputs
    assert known is not None
    if draft.model.id in known:
        return None
    if draft.at("output_config.format") is None and draft.value("output_format") is None:
        return None
    return _named(draft)


def absent_effort(draft: Draft, rule: Rule) -> Seen | None:
    """An effort that the model has, but not there."""
    levels = _profile(draft).efforts.get(draft.model.id)
    effort = draft.at("output_config.effort")
    if levels is None or effort not in EFFORTS or effort in levels:
        return None
    return _named(draft, effort=effort, levels=", ".join(levels) or "none")


def effort_there(draft: Draft, rule: Rule, seen: Seen) -> bool:
    """The next lower level that there is; its least where there is none; no effort where there are no levels."""
    levels = [level for level in EFFORTS if level in _profile(draft).efforts[draft.model.id]]
    if not levels:
        return remove_paths(draft, rule, {"paths": ["output_config.effort"]})
    lower = [level for level in levels if EFFORTS.index(level) < EFFORTS.index(seen["effort"])]
    effort = lower[-1] if lower else levels[0]
    draft.set_effort(effort)
    draft.note("output_config.effort", f"={effort}")
    return True


def forced_and_thinking(draft: Draft, rule: Rule) -> Seen | None:
    """A forced tool call of a model that may think."""
    forced = forced_choice(draft, rule)
    return _named(draft, **forced) if forced is not None and draft.thinks else None


def disable_thinking(draft: Draft, rule: Rule, seen: Seen) -> bool:
    """Thinking off; the forced call, which the caller asked for, stays."""
    draft.put("thinking", {"type": "disabled"})
    draft.note("thinking", "=disabled")
    return True


def unknown_betas(draft: Draft, rule: Rule) -> Seen | None:
    """Betas that the platform does not know."""
    known = _profile(draft).betas
    assert known is not None
    written = _body_betas(draft)
    if not draft.betas and not written:
        return None
    unknown = dict.fromkeys(beta for beta in (*draft.betas, *written) if beta not in known)
    if not unknown:
        return None
    names = ", ".join(f"`{shortened(beta, 60)}`" for beta in unknown)
    return _named(draft, betas=list(unknown), names=shortened(names))


def _body_betas(draft: Draft) -> list[str]:
    if not draft.has(BODY_BETAS):
        return []
    value = draft.value(BODY_BETAS)
    return [beta for beta in value if isinstance(beta, str)] if isinstance(value, list) else []


def drop_everywhere(draft: Draft, rule: Rule, seen: Seen) -> bool:
    """Without the betas that were seen, in the header and in the body; the others keep their order."""
    for beta in seen["betas"]:
        draft.drop_beta(beta)
    if set(_body_betas(draft)) & set(seen["betas"]):
        written = draft.own(BODY_BETAS)
        kept = [beta for beta in written if beta not in seen["betas"]]
        for beta in written:
            if beta not in kept:
                draft.note(f"anthropic-beta=-{beta}", "")
        draft.put(BODY_BETAS, kept or GONE)
    return True


PLATFORM_CHECKS: dict[str, Check] = {
    check.__name__: check
    for check in (
        absent_operation, needed_field, refused_field, absent_tool, refused_source, large_image, large_request,
        absent_format, absent_effort, forced_and_thinking, unknown_betas,
    )
}  # fmt: skip
"""By name, as rules write them."""

PLATFORM_FIXES: dict[str, Fix] = {
    fix.__name__: fix for fix in (remove_paths, effort_there, disable_thinking, drop_everywhere)
}
