"""The kinds of work that requests, routes and tiers can name, as tables: `trimtab models --scenarios`."""

from collections.abc import Mapping

from rich.table import Table

from trimtab.catalogue.effort import Scenario


def render_scenarios(scenarios: Mapping[str, Scenario]) -> Table:
    """For people."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("scenario", "effort", "thinking"):
        table.add_column(name, no_wrap=True)
    table.add_column("phases of tasks, %")
    table.add_column("for")
    for name, one in scenarios.items():
        table.add_row(name, one.effort, one.thinking.replace("_", " "), _phases(one), one.note)
    return table


def scenarios_json(scenarios: Mapping[str, Scenario]) -> list[dict[str, object]]:
    """For programs. `phases` is null where tasks get the usual ones."""
    return [
        {
            "scenario": name,
            "effort": one.effort,
            "thinking": one.thinking,
            "phases": one.phases,
            "note": one.note,
        }
        for name, one in scenarios.items()
    ]


def _phases(one: Scenario) -> str:
    if one.phases is None:
        return "as usual"
    return ", ".join(f"{name} {share:g}" for name, share in one.phases.items())
