"""`trimtab models --platforms`: which configured entry serves which model under which id, what it does not take, and
what it did: success, price of an answered task, speed.

What it is not: how entries do at this moment, which serving processes know; the console's page of platforms tells that.
"""

from collections.abc import Mapping, Sequence

import msgspec
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from trimtab.app.platform_figures import StoredFigures
from trimtab.app.served import Entry, TierServed
from trimtab.catalogue import Catalogue
from trimtab.catalogue.money import about_dollars, dollars
from trimtab.catalogue.platforms import PlatformProfile
from trimtab.cli.tables import Rows
from trimtab.console.platform_answers import CommitmentNow, EntryNow
from trimtab.console.words import NBSP, minute_of_day, moment, number, share
from trimtab.errors import visible


def render_platforms(
    catalogue: Catalogue, entries: list[Entry], tiers: list[TierServed], figures: StoredFigures | str
) -> RenderableType:
    """For people: a table of models by entry, and for each entry what it does not take and what it did."""
    bound: dict[str, list[str]] = {}
    for tier in tiers:
        model = catalogue.find(tier.arm.model)
        if model is not None:
            bound.setdefault(model.id, []).append(tier.tier)
    served = [
        model.id
        for model in catalogue.models
        if model.id in bound or any(model.id in entry.models for entry in entries)
    ]
    parts: list[RenderableType] = [_ids(served, entries, bound)]
    for entry in entries:
        parts += [Text(""), Text(f"{_name(entry)}: {_kind(entry)}", style="bold")]
        parts += [_line(line) for line in _told(entry)]
        if isinstance(figures, StoredFigures) and (did := figures.entries.get(entry.name)) is not None:
            parts += _did(did, figures)
    unserved = [tier.tier for tier in tiers if not tier.entries]
    if unserved:
        parts += [Text(""), Text(f"Served by no entry now: tiers {', '.join(unserved)}", style="bold yellow")]
    if isinstance(figures, StoredFigures):
        since = f"{moment(figures.window.from_ms)[:16]} UTC"
        parts += [
            Text(""),
            Text(f"Figures since {since}: calls of all purposes, in whole hours.", style="dim"),
        ]
    else:
        parts += [Text(""), Text(f"No figures: {figures}", style="yellow")]
    return Group(*parts)


def _ids(models: Sequence[str], entries: Sequence[Entry], bound: Mapping[str, Sequence[str]]) -> Rows:
    """What each entry calls each model."""
    names = [_name(entry) for entry in entries]
    rows = Rows(("model", "tiers"), *names)
    for model in models:
        rows.add(
            model, ", ".join(bound.get(model, ())), *(entry.models.get(model, "-") for entry in entries)
        )  # fmt: skip
    return rows


def _name(entry: Entry) -> str:
    return entry.name + (" (SIMULATED)" if entry.simulated else "")


def _line(text: str, style: str = "") -> RenderableType:
    """A line below a heading; what it wraps to stays below it."""
    return Padding(Text(text, style=style), (0, 0, 0, 2), expand=False)


def _plain(text: str) -> str:
    """A figure with the spaces that every terminal shows."""
    return text.replace(NBSP, " ")


def _did(entry: EntryNow, figures: StoredFigures) -> list[RenderableType]:
    """What the operator says of an entry, and what it did."""
    said = [
        entry.hardware and f"hardware {entry.hardware}",
        entry.data_region and f"data in {entry.data_region}",
        None if entry.online else f"online from {entry.online_from}",
        f"weight {entry.weight:g}" if entry.weight != 1 else None,
        f"{100 * entry.discount:g} % off" if entry.discount else None,
        f"{len(entry.accounts)} keys" if entry.accounts else None,
    ]
    parts: list[RenderableType] = []
    if declared := ", ".join(one for one in said if one):
        parts.append(_line(f"declared: {declared}"))
    if (promised := entry.commitment) is not None:
        parts.append(_line(_promise(promised)))
    called = [there for there in entry.models if there.calls.attempts]
    if not called:
        return [*parts, _line("not called in this time")]
    if entry.simulated:
        parts.append(_line("SIMULATED: no real model answered any of this", "yellow"))
    lately = f"since {minute_of_day(figures.lately_from_ms)}"
    figured = (lately, "success", "calls", "429", "a task", "tok/s")
    table = Rows("model", *figured, right=figured)
    for there in called:
        table.add(
            there.model or "(none)",
            _plain(share(there.lately.part, there.lately.whole)),
            _plain(share(there.answered.part, there.answered.whole)),
            number(there.calls.attempts),
            _plain(share(there.limited.part, there.limited.whole)),
            "–" if there.price_nanousd is None else about_dollars(there.price_nanousd),
            "–" if there.tokens_per_s is None else f"{there.tokens_per_s:,.0f}",
        )
    parts.append(Padding(table, (0, 0, 0, 2), expand=False))
    errors = [(there.model, there.last_error) for there in called if there.last_error is not None]
    for model, error in sorted(errors, key=lambda one: -one[1].at_ms)[:1]:
        status = f"{error.status} " if error.status is not None else ""
        at = moment(error.at_ms)
        parts.append(_line(f"last error: {at}, {model}: {status}{visible(error.error)}", "red"))
    return parts


def _promise(promised: CommitmentNow) -> str:
    said = f"commitment: {dollars(promised.nanousd)} from {promised.starts} to {promised.until}"
    if promised.spent_nanousd is None or promised.forecast is None:
        return said
    spent = about_dollars(promised.spent_nanousd)
    return f"{said}; {spent} spent, {100 * promised.forecast:.0f} % by its end at this pace"


def platforms_json(
    entries: list[Entry], tiers: list[TierServed], figures: StoredFigures | str
) -> dict[str, object]:
    """For programs: `platforms`, one object an entry with its `figures`, and `tiers`."""
    stored = figures if isinstance(figures, StoredFigures) else None
    return {
        "figures": {
            "from_ms": None if stored is None else stored.window.from_ms,
            "to_ms": None if stored is None else stored.window.to_ms,
            "lately_from_ms": None if stored is None else stored.lately_from_ms,
            "problem": figures if isinstance(figures, str) else None,
        },
        "platforms": [
            {
                "name": entry.name,
                "platform": entry.platform,
                "regional": entry.regional,
                "simulated": entry.simulated,
                "models": entry.models,
                "takes": None if entry.profile is None else _taken(entry.profile),
                "figures": None if stored is None else stored.entries.get(entry.name),
            }
            for entry in entries
        ],
        "tiers": [
            {
                "tier": tier.tier,
                "arm": str(tier.arm),
                "platform": tier.entries[0].name if tier.entries else None,
                "platforms": [entry.name for entry in tier.entries],
                "online_from": {name: day.isoformat() for name, day in tier.later},
                "not_taken": list(tier.lacks[0]) if tier.lacks else [],
            }
            for tier in tiers
        ],
    }


def _taken(profile: PlatformProfile) -> dict[str, object]:
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
