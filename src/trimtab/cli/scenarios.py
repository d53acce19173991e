"""The kinds of work that requests, routes and tiers can name, as tables: `trimtab models --scenarios`."""

from collections.abc import Mapping

from trimtab.catalogue.effort import Scenario
from trimtab.cli.tables import Rows


def render_scenarios(scenarios: Mapping[str, Scenario]) -> Rows:
    """For people."""
    table = Rows(
        ("scenario", "effort", "thinking"),
        "phases of tasks, %",
        "for",
        wraps={"phases of tasks, %": 18, "for": 28},
    )
    for name, one in scenarios.items():
        table.add(name, one.effort, one.thinking.replace("_", " "), _phases(one), one.note)
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
