"""`trimtab models --platforms`: which configured entry serves which model under which id, and what it does not take."""

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trimtab.app.served import Entry, TierServed
from trimtab.catalogue import Catalogue
from trimtab.catalogue.platforms import PlatformProfile


def render_platforms(catalogue: Catalogue, entries: list[Entry], tiers: list[TierServed]) -> RenderableType:
    """For people: a table of models by entry, and for each entry what it does not take."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("model", no_wrap=True)
    table.add_column("tiers", style="green")
    for entry in entries:
        table.add_column(entry.name + (" (SIMULATED)" if entry.simulated else ""), overflow="fold")
    bound: dict[str, list[str]] = {}
    for tier in tiers:
        model = catalogue.find(tier.arm.model)
        if model is not None:
            bound.setdefault(model.id, []).append(tier.tier)
    for model in catalogue.models:
        ids = [entry.models.get(model.id, "-") for entry in entries]
        if any(name != "-" for name in ids) or model.id in bound:
            table.add_row(model.id, ", ".join(bound.get(model.id, ())), *ids)
    parts: list[RenderableType] = [table]
    for entry in entries:
        parts += [Text(""), Text(f"{entry.name}: {_kind(entry)}", style="bold")]
        parts += [Text(f"  {line}") for line in _told(entry)]
    unserved = [tier.tier for tier in tiers if tier.entry is None]
    if unserved:
        parts += [Text(""), Text(f"Served by no entry: tiers {', '.join(unserved)}", style="bold yellow")]
    return Group(*parts)


def platforms_json(entries: list[Entry], tiers: list[TierServed]) -> dict[str, object]:
    """For programs: `platforms`, one object an entry, and `tiers`."""
    return {
        "platforms": [
            {
                "name": entry.name,
                "platform": entry.platform,
                "regional": entry.regional,
                "simulated": entry.simulated,
                "models": entry.models,
                "takes": None if entry.profile is None else _plain(entry.profile),
            }
            for entry in entries
        ],
        "tiers": [
            {
                "tier": tier.tier,
                "arm": str(tier.arm),
                "platform": tier.entry.name if tier.entry is not None else None,
                "not_taken": list(tier.lacks),
            }
            for tier in tiers
        ],
    }


def _plain(profile: PlatformProfile) -> dict[str, object]:
    made = msgspec.structs.asdict(profile)
    made["regional_premium"] = float(profile.regional_premium)
    return made


def _kind(entry: Entry) -> str:
    return entry.profile.name if entry.profile is not None else entry.platform


def _told(entry: Entry) -> list[str]:
    profile = entry.profile
    if profile is None or not profile.applied:
        return ["gets every request as it is, and says itself what it refuses"]
    lines = []
    if profile.no_fields:
        lines.append(f"does not take {', '.join(profile.no_fields)}{_doubt(profile, 'no_fields')}")
    if profile.no_tools:
        kinds = ", ".join(f"{kind}*" for kind in profile.no_tools)
        lines.append(f"does not have the tools {kinds}{_doubt(profile, 'no_tools')}")
    if profile.sources is not None:
        lines.append(f"takes images and documents as {', '.join(profile.sources)} only")
    if profile.structured_outputs is not None:
        models = ", ".join(profile.structured_outputs) or "no model"
        lines.append(f"has structured outputs for {models} only{_doubt(profile, 'structured_outputs')}")
    if profile.betas is not None:
        lines.append(f"knows the betas {', '.join(profile.betas)}{_doubt(profile, 'betas')}")
    if entry.regional and profile.regional_premium:
        lines.append(f"is priced as regional: {profile.regional_premium * 100:.0f} % more")
    return lines or ["nothing is known to be refused"]


def _doubt(profile: PlatformProfile, key: str) -> str:
    return " (unverified)" if key in profile.unverified else ""
