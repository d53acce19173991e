"""`trimtab models --rules MODEL`: what a model refuses or silently takes for something else, and what is done then."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trimtab.catalogue import Catalogue, Model
from trimtab.errors import NotFound, printable
from trimtab.normaliser import Rule, rules_of


def found_model(catalogue: Catalogue, name: str) -> Model:
    """The model of that id or alias. Raises `NotFound`."""
    model = catalogue.find(name)
    if model is None:
        raise NotFound(f"--rules: {printable(name)!r} is not in the catalogue; trimtab models lists it")
    return model


def render_rules(model: Model) -> RenderableType:
    """For people."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("rule", no_wrap=True)
    table.add_column("what it is about")
    table.add_column("what adapt does")
    for rule in rules_of(model):
        silent = " (silent)" if rule.kind == "silent" else ""
        table.add_row(rule.id, rule.about + silent, rule.does)
    return Group(
        Text(f"What {model.id} refuses, or silently takes for something else", style="bold"),
        table,
        Text("Modes: [normaliser] in trimtab.toml, docs/normaliser.md.", style="dim"),
    )


def rules_json(model: Model) -> list[dict[str, object]]:
    """For programs, one object a rule."""
    return [_shown(rule) for rule in rules_of(model)]


def _shown(rule: Rule) -> dict[str, object]:
    return {
        "id": rule.id,
        "about": rule.about,
        "kind": rule.kind,
        "says": rule.says,
        "adapt": rule.does,
        "source": rule.source,
        "unverified": rule.unverified,
    }
