"""`trimtab models`: the catalogue as a table or JSON, tier bindings, life cycle, live differences.

Invariant: the figures are those of the catalogue on the given day, negotiated prices included.
"""

import datetime
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from trimtab.app import Settings, config_path, live_models, load_settings, today
from trimtab.app.platform_figures import stored_figures
from trimtab.app.served import entries, tiers_served
from trimtab.app.token_learning import learn_tokens
from trimtab.app.tokenizers import FoundTokenizers, find_tokenizers
from trimtab.catalogue import (
    EFFORTS,
    Catalogue,
    Difference,
    Effort,
    LifecycleNote,
    Model,
    PriceRow,
    Tiers,
    compare_live,
    lifecycle_notes,
)
from trimtab.catalogue.estimating.learning import MOST_USAGES
from trimtab.catalogue.money import price
from trimtab.catalogue.tokens import Generation
from trimtab.cli.learnt_tokens import render_learnt
from trimtab.cli.model_platforms import platforms_json, render_platforms
from trimtab.cli.model_rules import found_model, render_rules, rules_json
from trimtab.cli.scenarios import render_scenarios, scenarios_json
from trimtab.cli.tables import Rows, console
from trimtab.cli.term import print_json
from trimtab.console.questions import WindowName
from trimtab.errors import ConfigError

FIGURES_OF: WindowName = "week"
"""Platforms are compared by what they did in the last seven days: a working week, and no older prices."""

_MEANT: dict[Generation, str] = {"v3": "for Claude 3 to 4.6", "v4.7": "for 4.7 and later"}

command = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@command.command()
def run(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Configuration file, as for serve.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Compare with what a platform lists now; exit status 1 if it differs."),
    ] = False,
    platform: Annotated[
        str | None, typer.Option("--platform", help="The platform entry to compare with. Default: the first.")
    ] = None,
    rules: Annotated[
        str | None,
        typer.Option("--rules", metavar="MODEL", help="What this model refuses, and what is done then."),
    ] = None,
    scenarios: Annotated[
        bool, typer.Option("--scenarios", help="The kinds of work that requests, routes and tiers can name.")
    ] = False,
    learn: Annotated[
        bool,
        typer.Option(
            "--learn-tokens",
            help="Learn from kept prompts and their usage how far token estimates are off, and correct them.",
        ),
    ] = False,
    usages: Annotated[
        list[Path] | None,
        typer.Option(
            "--usages",
            metavar="FILE",
            help='With --learn-tokens: from files of {"body", "usage"} instead; repeatable.',
        ),
    ] = None,
    days: Annotated[
        int, typer.Option("--days", min=1, max=366, help="With --learn-tokens: how far it looks back.")
    ] = 30,
    platforms: Annotated[
        bool,
        typer.Option(
            "--platforms",
            help="Which platform serves which model under which id, what it does not take, and what it did this week.",
        ),
    ] = False,
) -> None:
    """Show every model of the catalogue: prices, abilities, life cycle, and the tier it is bound to."""
    settings = load_settings(config_path(config))
    if rules is not None:
        model, modes = found_model(settings.catalogue, rules), settings.normaliser
        _show(as_json, lambda: rules_json(model, modes), lambda: render_rules(model, modes))
    elif scenarios:
        kinds = settings.scenarios
        _show(as_json, lambda: scenarios_json(kinds), lambda: render_scenarios(kinds))
    elif learn:
        learnt = learn_tokens(settings, days=days, most=MOST_USAGES, usages=tuple(usages or ()))
        _show(as_json, lambda: learnt, lambda: render_learnt(learnt))
    elif usages:
        raise ConfigError("--usages", "goes with --learn-tokens")
    elif platforms:
        _show_platforms(settings, as_json=as_json)
    elif check:
        _check(settings, platform, as_json=as_json)
    else:
        what = settings.catalogue, settings.tiers, today()
        _show(
            as_json,
            lambda: models_json(*what),
            lambda: Group(render_models(*what), render_tokenizers(find_tokenizers())),
        )


def _show(as_json: bool, programs: Callable[[], object], people: Callable[[], RenderableType]) -> None:
    if as_json:
        print_json(programs())
    else:
        console().print(people())


def _show_platforms(settings: Settings, *, as_json: bool) -> None:
    found = entries(settings)
    tiers = tiers_served(settings, found, today())
    figures = stored_figures(settings, FIGURES_OF)
    _show(
        as_json,
        lambda: platforms_json(found, tiers, figures),
        lambda: render_platforms(settings.catalogue, found, tiers, figures),
    )


def _check(settings: Settings, platform: str | None, *, as_json: bool) -> None:
    """Exit status 1 where the platform and the catalogue differ."""
    live = live_models(settings, platform)
    differences = compare_live(settings.catalogue, live.models, today())
    name = f"{live.platform} (SIMULATED)" if live.simulated else live.platform
    _show(as_json, lambda: differences, lambda: render_differences(differences, name))
    if differences:
        raise typer.Exit(1)


def render_models(catalogue: Catalogue, tiers: Tiers, today: datetime.date) -> RenderableType:
    """The catalogue for people: a table, what the marks mean, and life-cycle notes."""
    bound = _bound(catalogue, tiers)
    prices = f"Prices: US dollars per million tokens on {today}. Context: tokens in/out."
    parts: list[RenderableType] = [
        _model_rows(catalogue, bound, today),
        Text(prices, style="dim"),
        Text("* default effort   ≥ not before   (l) dearer for long prompts", style="dim"),
        Text(f"Catalogue {catalogue.version}, as of {catalogue.as_of}.", style="dim"),
    ]
    notes = lifecycle_notes(catalogue, today)
    if notes:
        parts += [Text(""), Text("Life cycle", style="bold"), _notes_table(notes, bound)]
    return Group(*parts)


def render_tokenizers(found: FoundTokenizers) -> RenderableType:
    """How tokens are estimated here."""
    names = found.names
    how = [
        f"{meant} {f'by tokenizer {names[generation]}' if generation in names else 'by content class'}"
        for generation, meant in _MEANT.items()
    ]
    said = "; ".join(how) if names else "by content class"
    return Group(
        Text(f"Token estimates: {said}.", style="dim"), *(Text(problem) for problem in found.problems)
    )


def models_json(catalogue: Catalogue, tiers: Tiers, today: datetime.date) -> list[dict[str, object]]:
    """The catalogue for programs, one object a model; prices are numbers in US dollars per million tokens."""
    bound = _bound(catalogue, tiers)
    notes = lifecycle_notes(catalogue, today)
    return [
        {
            "id": model.id,
            "name": model.display_name,
            "aliases": list(model.aliases),
            "line": model.line,
            "availability": model.availability,
            "tiers": bound.get(model.id, []),
            "context": model.limits.context,
            "max_output": model.limits.max_output,
            "usd_per_mtok": _price_json(catalogue.price_row(model, today)),
            "effort": {"levels": list(model.effort_levels), "default": model.default_effort},
            "thinking": {"adaptive": model.thinking.adaptive, "default": model.thinking.default},
            "vision": model.vision,
            "lifecycle": model.status_on(today),
            "retires": _iso(model.lifecycle.retires),
            "retires_not_before": _iso(model.lifecycle.retires_not_before),
            "lifecycle_notes": [note.text for note in notes if note.model == model.id],
            "unverified": list(model.unverified),
            "notes": list(model.notes),
        }
        for model in catalogue.models
    ]


def render_differences(differences: Sequence[Difference], platform: str) -> RenderableType:
    """What `trimtab models --check` found on a platform."""
    if not differences:
        return Text(f"The catalogue agrees with {platform}.")
    table = Rows("model", "difference", wraps={"difference": 30})
    for difference in differences:
        table.add(difference.model, difference.text)
    count = len(differences)
    title = f"{count} difference{'' if count == 1 else 's'} between the catalogue and {platform}:"
    return Group(Text(title), table)


def _model_rows(catalogue: Catalogue, bound: Mapping[str, Sequence[str]], today: datetime.date) -> Rows:
    """Bound to a tier first, then the newest first, retired ones last."""
    rows = Rows(
        ("model", "tiers"), ("context", "retires"), ("in/out", "cache read"), ("effort", "thinking"),
    )  # fmt: skip
    for model in sorted(
        catalogue.models,
        key=lambda model: (
            model.retired_on(today),
            model.id not in bound,
            -(model.lifecycle.released or datetime.date.min).toordinal(),
            model.id,
        ),
    ):
        row = catalogue.price_row(model, today)
        rows.add(
            model.id,
            ", ".join(bound.get(model.id, ())),
            _sizes(model),
            _retires(model, today),
            f"{price(row.input)}/{price(row.output)}{_long_mark(row)}",
            price(row.cache_read),
            _effort_range(model),
            _thinking(model),
            style="dim" if model.retired_on(today) else "",
        )
    return rows


def _retires(model: Model, today: datetime.date) -> str:
    life = model.lifecycle
    if model.retired_on(today):
        return "retired"
    if life.retires is not None:
        return life.retires.isoformat()
    return f"≥{life.retires_not_before}" if life.retires_not_before else "-"


def _notes_table(notes: list[LifecycleNote], bound: dict[str, list[str]]) -> RenderableType:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    for note in notes:
        tiers = bound.get(note.model)
        text = Text(note.text)
        if tiers:
            text.append(f" (bound to {', '.join(tiers)})", style="bold yellow")
        table.add_row(note.model, text)
    return Padding(table, (0, 0, 0, 2))


def _bound(catalogue: Catalogue, tiers: Tiers) -> dict[str, list[str]]:
    """Tier names by model id; an arm's effort and thinking stand behind the name."""
    bound: dict[str, list[str]] = {}
    for name, arm in tiers.items():
        model = catalogue.find(arm.model)
        if model is not None:
            extra = str(arm).removeprefix(arm.model)
            bound.setdefault(model.id, []).append(f"{name} {extra}" if extra else name)
    return bound


def _long_mark(row: PriceRow) -> str:
    return " (l)" if row.long_prompt else ""


def _sizes(model: Model) -> str:
    return f"{_short(model.limits.context)}/{_short(model.limits.max_output)}"


def _short(tokens: int) -> str:
    if tokens % 1_000_000 == 0 and tokens:
        return f"{tokens // 1_000_000}M"
    return f"{round(tokens / 1000)}k" if tokens >= 1000 else str(tokens)


def _effort_range(model: Model) -> str:
    """`low..max (high*)`: neighbouring levels drawn together."""
    levels = model.effort_levels
    if not levels:
        return "-"
    runs: list[list[Effort]] = []
    for level in levels:
        if runs and EFFORTS.index(level) == EFFORTS.index(runs[-1][-1]) + 1:
            runs[-1].append(level)
        else:
            runs.append([level])
    text = ",".join(f"{run[0]}..{run[-1]}" if len(run) > 2 else ",".join(run) for run in runs)
    return f"{text} {model.default_effort}*" if model.default_effort else text


def _thinking(model: Model) -> str:
    thinking = model.thinking
    if not thinking.supported:
        return "-"
    if thinking.default == "always":
        return "always"
    kind = "adaptive" if thinking.adaptive else "budget"
    return f"{kind}, {'on' if thinking.default == 'adaptive' else 'off'}"


def _price_json(row: PriceRow) -> dict[str, object]:
    figures: dict[str, object] = {
        name: float(getattr(row, name))
        for name in ("input", "output", "cache_write_5m", "cache_write_1h", "cache_read")
    }
    figures["effective_from"] = row.effective_from.isoformat()
    if row.long_prompt is not None:
        figures["long_prompt"] = {
            "above_tokens": row.long_prompt.above_tokens,
            "input_factor": float(row.long_prompt.input_factor),
            "output_factor": float(row.long_prompt.output_factor),
        }
    if row.fast is not None:
        figures["fast"] = {
            "input": float(row.fast.input),
            "output": float(row.fast.output),
            "until": _iso(row.fast.until),
        }
    return figures


def _iso(day: datetime.date | None) -> str | None:
    return day.isoformat() if day is not None else None
