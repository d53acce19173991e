"""`trimtab route MODEL`: which route, model and effort a request would get, and why. Pure: calls nobody."""

from typing import Annotated, Literal

import typer
from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from trimtab.app import config_path, load_settings
from trimtab.app.dry_run import Foreseen, decided
from trimtab.cli.options import Config, Json
from trimtab.cli.tables import card, console
from trimtab.cli.term import print_json
from trimtab.records import Caller
from trimtab.routing.cascade import Facts

command = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@command.command()
def run(
    model: Annotated[str, typer.Argument(help="As the request writes it: trimtab/auto, or a model.")],
    config: Config = None,
    as_json: Json = False,
    key: Annotated[
        str, typer.Option("--key", help="Id of the caller's key. What it permits is not looked at.")
    ] = "",
    team: Annotated[str, typer.Option("--team", help="The caller's team.")] = "",
    user: Annotated[str, typer.Option("--user", help="The caller's user.")] = "",
    tags: Annotated[
        list[str] | None, typer.Option("--tag", help="As in x-trimtab-tags; may be repeated.")
    ] = None,
    surface: Annotated[
        Literal["messages", "chat"], typer.Option("--surface", help="Whose API the request speaks.")
    ] = "messages",
    effort: Annotated[str | None, typer.Option("--effort", help="As in x-trimtab-effort.")] = None,
    scenario: Annotated[str | None, typer.Option("--scenario", help="As in x-trimtab-scenario.")] = None,
    body_effort: Annotated[
        str | None, typer.Option("--body-effort", help="The effort in the request's body.")
    ] = None,
    thinking: Annotated[
        str | None, typer.Option("--thinking", help="thinking.type in the request's body.")
    ] = None,
    input_tokens: Annotated[
        int, typer.Option("--input-tokens", min=0, help="Of the request, where its route has a ladder.")
    ] = 10_000,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", min=1, help="As in the request's body, likewise.")
    ] = None,
    images: Annotated[int, typer.Option("--images", min=0, help="In the request, likewise.")] = 0,
) -> None:
    """Say which route, model and effort a request would get, and why."""
    foreseen = decided(
        load_settings(config_path(config)),
        model,
        surface=surface,
        caller=Caller(key=key, team=team, user=user),
        tags=tags or (),
        effort=effort,
        scenario=scenario,
        body_effort=body_effort,
        thinking=thinking,
        asks=Facts(input_tokens=input_tokens, max_tokens=max_tokens, images=images),
    )
    if as_json:
        print_json(decision_json(foreseen))
    else:
        console().print(render_decision(foreseen))


def decision_json(foreseen: Foreseen) -> dict[str, object]:
    """For programs."""
    decision, beginning = foreseen.decision, foreseen.beginning
    plan, ladder = decision.plan, decision.ladder
    return {
        "route": plan.route or None,
        "tier": plan.tier,
        "arm": str(plan.arm),
        "model": decision.model.id,
        "platforms": list(dict.fromkeys(one.place.name for one in decision.candidates)),
        "effort": plan.arm.effort,
        "effort_in_words": decision.said_effort is not None,
        "most_effort": decision.most_effort,
        "thinking": decision.set_thinking or ("adaptive" if decision.set_adaptive else None),
        "scenario": decision.scenario or None,
        "verify": list(decision.verify),
        "verify_when": decision.verify_when if decision.verify else None,
        "ladder": [str(arm) for arm in ladder.rungs] if ladder is not None else None,
        "mode": ladder.mode if ladder is not None else None,
        "may_call": [str(arm) for arm in beginning.rungs] if beginning is not None else [str(plan.arm)],
        "expected_nanousd": beginning.expected_nanousd if beginning is not None else None,
        "direct_nanousd": beginning.direct_nanousd if beginning is not None else None,
        "changes": list(plan.changes),
        "reasons": [*plan.reasons, *(beginning.reasons if beginning is not None else ())],
    }


def _judged(foreseen: Foreseen) -> tuple[tuple[str, str], ...]:
    """How its answer is judged, and where it may go on."""
    decision, rows = foreseen.decision, list[tuple[str, str]]()
    if (ladder := decision.ladder) is not None:
        rungs = ", ".join(map(str, ladder.rungs))
        rows.append(("ladder", f"{rungs}; mode {ladder.mode}, {ladder.steps} steps at most"))
    if foreseen.beginning is not None:
        rows.append(("may call", ", ".join(map(str, foreseen.beginning.rungs))))
    if decision.verify:
        when = "before it goes out" if decision.verify_when == "before" else "after it went out"
        rows.append(("checks", f"{', '.join(decision.verify)}; {when}"))
    return tuple(rows)


def render_decision(foreseen: Foreseen) -> Group:
    """For people."""
    decision, shown = foreseen.decision, decision_json(foreseen)
    effort = decision.plan.arm.effort or (
        f"the model's own, {decision.model.default_effort}" if decision.model.default_effort else "none"
    )
    if decision.said_effort is not None:
        effort += ", said in words or as a thinking budget"
    rows = [
        ("route", shown["route"] or "none takes it"),
        ("tier", shown["tier"] or "none"),
        ("model", shown["model"]),
        ("effort", effort),
        ("thinking", shown["thinking"] or "as the request says, else the model's own"),
        ("scenario", shown["scenario"] or "none"),
        *_judged(foreseen),
        ("platforms", ", ".join(one.place.name for one in decision.candidates)),
    ]
    reasons = (
        *decision.plan.reasons,
        *(foreseen.beginning.reasons if foreseen.beginning is not None else ()),
    )
    why = [Padding(Text(reason), (0, 0, 0, 2), expand=False) for reason in reasons]
    return Group(card((name, str(value)) for name, value in rows), Text("why", style="bold"), *why)
