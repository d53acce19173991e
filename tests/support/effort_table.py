"""The tables of docs/effort.md, made from the catalogue and from what the router and the normaliser do.

python tests/support/effort_table.py   # writes them into the page
"""

from pathlib import Path

from effort_bench import CATALOGUE, EffortBench, sent

from trimtab.catalogue import EFFORTS, Model
from trimtab.catalogue.effort import EffortSettings
from trimtab.routing import RouteSettings

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "effort.md"


def levels_table() -> str:
    """What becomes of each level on each model, by default."""
    lines = ["| model | " + " | ".join(EFFORTS) + " | without a word |", "|---" * (len(EFFORTS) + 2) + "|"]
    bench = EffortBench()
    for model in CATALOGUE.models:
        shown = []
        for effort in EFFORTS:
            body = sent(bench.job(model.id, {"x-trimtab-effort": effort}))
            level = body.get("output_config", {}).get("effort")
            shown.append("yes" if level == effort else f"**{level}**" if level else "in words")
        lines.append(f"| `{model.id}` | {' | '.join(shown)} | {model.default_effort or '-'} |")
    return "\n".join(lines) + "\n"


def thinking_table() -> str:
    """What the thinking policies of routes, tiers and scenarios put into a request that says nothing of thinking."""
    lines = ["| model | thinks without a word | `off` | `adaptive` | `summarized` |", "|---|---|---|---|---|"]
    for model in CATALOGUE.models:
        default = {"none": "no", "disabled": "no", "adaptive": "yes", "always": "always"}[
            model.thinking.default
        ]
        puts = " | ".join(_put(model, policy) for policy in ("off", "adaptive", "summarized"))
        lines.append(f"| `{model.id}` | {default} | {puts} |")
    return "\n".join(lines) + "\n"


def _put(model: Model, policy: str) -> str:
    bench = EffortBench(
        routes={"r": RouteSettings(model=model.id, thinking=policy)},  # type: ignore[arg-type]
        effort=EffortSettings(),
    )
    job = bench.job("trimtab/r", max_tokens=min(64_000, model.limits.max_output))
    thinking = sent(job).get("thinking")
    if thinking is None:
        return "-" if not model.thinking.supported else "stays on"
    budget = f" {thinking['budget_tokens']:,}" if "budget_tokens" in thinking else ""
    display = ", shown" if thinking.get("display") == "summarized" else ""
    return f"`{thinking['type']}`{budget}{display}"


def words_table() -> str:
    """What is said to models without levels."""
    words = CATALOGUE.efforts
    lines = ["| effort | budget | words |", "|---|---|---|"]
    lines += [f"| {effort} | {words.budgets[effort]:,} | {words.guidance[effort]} |" for effort in EFFORTS]
    return "\n".join(lines) + "\n"


def scenarios_table() -> str:
    """The shipped scenarios."""
    lines = ["| scenario | effort | for |", "|---|---|---|"]
    lines += [f"| `{name}` | {one.effort} | {one.note} |" for name, one in CATALOGUE.scenarios.items()]
    return "\n".join(lines) + "\n"


TABLES = {
    "levels": levels_table,
    "thinking": thinking_table,
    "words": words_table,
    "scenarios": scenarios_table,
}


def written(name: str) -> str:
    """What the page has between the marks of a table."""
    return PAGE.read_text().partition(f"<!-- {name} -->\n")[2].partition(f"<!-- end of {name} -->\n")[0]


if __name__ == "__main__":
    for name, table in TABLES.items():
        before, _, rest = PAGE.read_text().partition(f"<!-- {name} -->\n")
        end = f"<!-- end of {name} -->\n"
        PAGE.write_text(f"{before}<!-- {name} -->\n{table()}{end}{rest.partition(end)[2]}")
