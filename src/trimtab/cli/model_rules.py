"""`trimtab models --rules MODEL`: what a model refuses or silently takes for something else, and what is done then."""

from rich.console import Group, RenderableType
from rich.text import Text

from trimtab.catalogue import Catalogue, Model
from trimtab.cli.tables import Rows
from trimtab.errors import NotFound, printable
from trimtab.normaliser import NormaliserSettings, Rule, rules_of


def found_model(catalogue: Catalogue, name: str) -> Model:
    """The model of that id or alias. Raises `NotFound`."""
    model = catalogue.find(name)
    if model is None:
        raise NotFound(f"--rules: {printable(name)!r} is not in the catalogue; trimtab models lists it")
    return model


DOES = {
    "strict": "refused with 400 where the platform would refuse it",
    "adapt": "changed, and each change named",
    "observe": "sent as it came, and noted in its record",
    "off": "not looked at",
}
"""What is done with a request that a rule is about."""


def render_rules(model: Model, modes: NormaliserSettings) -> RenderableType:
    """For people; `modes` are those in force."""
    table = Rows(
        "rule", "what it is about", "what adapt does", wraps={"what it is about": 20, "what adapt does": 20}
    )
    for rule in rules_of(model):
        silent = " (silent)" if rule.kind == "silent" else ""
        table.add(rule.id, rule.about + silent, rule.does)
    return Group(
        Text(f"What {model.id} refuses, or silently takes for something else", style="bold"),
        table,
        Text("In force, by [normaliser] of the configuration (docs/normaliser.md):"),
        Text(f'  a request that names a tier:  tiers = "{modes.tiers}", {DOES[modes.tiers]}'),
        Text(f'  a request that names a model: pinned = "{modes.pinned}", {DOES[modes.pinned]}'),
        Text("What platforms do not take, whatever the model: trimtab models --platforms"),
    )


def rules_json(model: Model, modes: NormaliserSettings) -> list[dict[str, object]]:
    """For programs, one object a rule, each with the modes in force."""
    in_force = {"tiers": modes.tiers, "pinned": modes.pinned}
    return [{**_shown(rule), "modes": in_force} for rule in rules_of(model)]


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
