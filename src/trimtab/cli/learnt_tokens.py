"""What `trimtab models --learn-tokens` learnt, for people: by vocabulary, how far each kind of content was off.

What it is not: the learning (`app.token_learning`).
"""

import datetime

from rich.console import Group, RenderableType
from rich.text import Text

from trimtab.app.token_learning import LearntTokens
from trimtab.catalogue.estimating.estimate import ABOUT_ITEMS, ITEMS
from trimtab.cli.tables import Rows

_MEANT = {"v3": "Claude 3 to 4.6", "v4.7": "4.7 and later"}


def render_learnt(found: LearntTokens) -> RenderableType:
    """A table for each vocabulary that taught something, and where it came from."""
    made = datetime.datetime.fromtimestamp(found.made_ms / 1000, datetime.UTC)
    total = sum(found.usages.values())
    parts: list[RenderableType] = [
        Text(
            f"Learnt from {total:,} usages; version {found.version} of {made:%Y-%m-%d %H:%M} UTC is in force now."
        ),
        Text(", ".join(f"{model} {count:,}" for model, count in sorted(found.usages.items())), style="dim"),
    ]
    for generation, learnt in found.learnt.generations.items():
        table = Rows("content", "tokens are", "give or take")
        for item in ITEMS:
            if item in learnt.factors:
                table.add(ABOUT_ITEMS[item], f"{learnt.factors[item] - 1:+.1%}", f"{learnt.errors[item]:.1%}")
        parts += [Text(""), Text(f"{_MEANT[generation]}, against the tables", style="bold"), table]
    return Group(*parts)
