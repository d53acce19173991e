"""Values of others in errors: short, on one line, in the notation of where they stand, whatever they are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab import AgentConfig
from trimtab.admin.rules import check_limits
from trimtab.admin.task_words import ProgressMade, nanousd_of
from trimtab.app import load_settings
from trimtab.budgets.settings import BudgetSettings, check_budget
from trimtab.budgets.tasks import NewPhase, new_task
from trimtab.budgets.tasks.changing import extend
from trimtab.cli.budget_words import settings_of
from trimtab.errors import ConfigError, RequestError, quoted
from trimtab.records import Limits

MOST_CHARS = 700
"""Of a whole error: the value, where it stands, and what may stand there."""

VALUES = ("9" * 4200, "-" + "8" * 4200, "0x" + "f" * 20_000, "true", "-0.0", "nan", "[[[[[true]]]]]", "{a = true}",
          '"' + "\u202e" * 5000 + '"', "[" + "true, " * 300 + "]")  # fmt: skip
"""As TOML."""

PLACES = (
    "[budgets.a]\nusd_per_month = {}",
    "[budgets.a]\ntokens_per_day = {}",
    "[budgets.a]\nconcurrency = {}",
    "[budgets.a]\nusd_total = 1\nwarn_percent = {}",
    "[budgets.a]\nusd_total = 1\nteam = {}",
    "[store]\ntasks_per_key = {}",
    "[store]\nkeep_tasks_days = {}",
    "[effort]\nmost = {}",
    "[effort]\nclamp = {}",
    "[scenarios]\ncoding = {}",
    "[scenarios]\ncoding = {{ effort = 'low', phases = {{ a = {} }} }}",
    "[routes.a]\nmodel = {}",
    "[routes.a]\ntier = {}",
    "[routes.a]\nmodel = 'claude-opus-4-7'\neffort = {}",
    "[routes.a]\nmodel = 'claude-opus-4-7'\nmost_effort = {}",
    "[routes.a]\nmodel = 'claude-opus-4-7'\nscenario = {}",
    "[routes.a]\nmodel = 'claude-opus-4-7'\nthinking = {}",
    "[routes.a]\nmodel = 'claude-opus-4-7'\nmatch = {}",
    "[tiers]\ndefault = {}",
    "[cache]\nttl_s = {}",
)


def said_of(problem: Exception) -> str:
    said = str(problem)
    assert len(said) <= MOST_CHARS
    assert said.isprintable()
    return said


@pytest.mark.parametrize("place", PLACES)
def test_no_value_of_the_configuration_makes_an_error_long_or_speaks_python(
    place: str, tmp_path: Path
) -> None:
    path = tmp_path / "trimtab.toml"
    refused = 0
    for value in VALUES:
        path.write_text("version = 1\n" + place.format(value))
        try:
            load_settings(path)
        except ConfigError as problem:
            refused += 1
            said = said_of(problem)
            assert not any(word in said for word in ("True", "False", "None", "Decimal"))
    assert refused >= len(VALUES) - 2


SENT = st.one_of(
    st.integers(0, 60_000).map(lambda bits: 2**bits),
    st.integers(0, 60_000).map(lambda bits: -(2**bits)),
    st.floats(),
    st.text(max_size=4000),
    st.integers(1, 5000).map(lambda chars: "\x1b" * chars),
    st.sampled_from([True, False, None, b"x" * 500, ["a" * 500] * 50, {"a": {"b": {"c": True}}}]),
)

DOORS: dict[str, Callable[[Any], object]] = {
    "a task's total": lambda value: new_task("t", value, at_ms=1),
    "its floor": lambda value: new_task("t", 10_000, at_ms=1, floor_percent=value),
    "its dollars": nanousd_of,
    "a phase": lambda value: phase(tokens=value),
    "a share": lambda value: phase(percent=value),
    "progress": lambda value: ProgressMade(phase="a", progress=value).permille,
    "an extension": lambda value: extend(new_task("t", 10_000, at_ms=1)[0], value, 0, 1),
    "a key's limit": lambda value: check_limits(Limits(requests_per_minute=value)),
    "a budget": lambda value: check_budget(
        "a", BudgetSettings(tokens_per_day=value), lambda key: f"budgets.a.{key}"
    ),
    "what an agent may use": lambda value: AgentConfig(model="m", max_tokens=value),
    "a call of it": lambda value: AgentConfig(model="m", max_tokens=100, max_tokens_per_call=value),
    "its money": lambda value: AgentConfig(model="m", max_tokens=10_000, max_usd=value),
    "its effort": lambda value: AgentConfig(model="m", max_tokens=10_000, effort=value),
    "its strategy": lambda value: AgentConfig(model="m", max_tokens=10_000, budget_strategy=value),
    "its phases": lambda value: AgentConfig(model="m", max_tokens=10_000, task_budgets={"a": value}),
    "its breakdown": lambda value: AgentConfig(model="m", max_tokens=10_000, budget_breakdown={"a": value}),
}
TYPED = {"a task's total": int, "its floor": int, "a phase": int, "an extension": int, "a key's limit": int,
         "a budget": int, "its dollars": (int, float), "a share": (int, float), "progress": (int, float)}  # fmt: skip
"""What passes the decoder there; an agent's configuration is written in Python, and may hold anything."""


def phase(**share: Any) -> object:
    return new_task("t", 10_000, at_ms=1, phases=[NewPhase("a", **share)])


@settings(max_examples=150, deadline=None)
@given(door=st.sampled_from(sorted(DOORS)), value=SENT)
def test_no_value_that_is_sent_makes_an_error_long_or_something_else_than_an_error(
    door: str, value: Any
) -> None:
    if (isinstance(value, bool) and door in TYPED) or not isinstance(value, TYPED.get(door, object)):
        return
    try:
        DOORS[door](value)
    except (ConfigError, RequestError) as problem:
        said = said_of(problem)
        assert door.startswith(("its", "what", "a call")) or not any(w in said for w in ("True", "False"))


def test_a_value_is_quoted_in_the_notation_of_where_it_stands() -> None:
    assert quoted(True) == "true"
    assert quoted(None) == "null"
    assert quoted([True, "a", {"b": False}]) == "[true, 'a', {'b': false}]"
    assert quoted(True, python=True) == "True"
    assert quoted(10**100) == "1" + "0" * 79 + "..."
    assert quoted(10**10_000) == "(a number of thousands of digits)"
    assert quoted(list(range(9))) == "[0, 1, 2, 3, ...]"
    assert quoted("\x1b[2J") == r"'\x1b[2J'"


def test_a_long_amount_that_is_typed_is_named_as_it_was_typed() -> None:
    for field in ("usd_per_day", "tokens_per_day"):
        with pytest.raises(ConfigError, match=r"^\w+: '9{40}\.\.\.': must be "):
            settings_of([f"{field}={'9' * 10_000}"])
