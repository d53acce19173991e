"""A table says what was recorded and told, of what is independent, and nothing where there is too little."""

import random
from collections.abc import Callable, Iterable

import pytest

from trimtab.efforts import ClassTable, EffortTable, build_table
from trimtab.efforts.table import CONVERSATIONS_MIN, Cell, decoded
from trimtab.store.figures.efforts import AskedOnce, ToldOf

Ask = Callable[..., AskedOnce]


def table_of(asked: Iterable[AskedOnce], **more: int) -> EffortTable:
    return build_table(asked, from_ms=0, to_ms=10**6, simulated=True, **more)


def coding(asked: Iterable[AskedOnce]) -> ClassTable:
    found = table_of(asked).of("coding")
    assert found is not None
    return found


def cell_of(table: ClassTable, model: str = "a", effort: str = "high") -> Cell:
    found = table.cell(model, effort)
    assert found is not None
    return found


def test_figures_are_those_of_the_requests_of_one_arm_and_class(ask: Ask) -> None:
    asked = [ask(success=float(n % 4 > 0), cost_nanousd=100 * (n % 3)) for n in range(120)]
    other = [ask("b", "", task_class="quick", output_tokens=7) for _ in range(40)]
    table = table_of([*asked, *other])
    assert (table.requests, table.complete, [one.task_class for one in table.classes]) == (
        160,
        True,
        ["coding", "quick"],
    )
    cell = cell_of(table.classes[0])
    assert (cell.asked, cell.conversations, cell.told, cell.arm) == (120, 120, 120, "a@high")
    assert cell.cost_nanousd is not None
    assert cell.cost_nanousd.value == pytest.approx(100)
    assert cell.cost_nanousd.low < 100 < cell.cost_nanousd.high
    assert cell.output_tokens is not None
    assert (cell.output_tokens.low, cell.output_tokens.value, cell.output_tokens.high) == (50, 50, 50)
    assert cell.success is not None
    assert cell.success.value == 0.75
    assert 0.66 < cell.success.low < 0.68
    assert 0.81 < cell.success.high < 0.83
    expected = table.expected("a", "high", "coding")
    assert expected is not None
    assert (expected.success, expected.cost_nanousd) == (cell.success, cell.cost_nanousd)
    assert table.expected("b", "", "quick") is not None
    for nobody in (("a", "low", "coding"), ("a", "high", "quick"), ("c", "high", "coding")):
        assert table.expected(*nobody) is None


def test_too_few_conversations_are_no_data_however_many_requests_they_have(ask: Ask) -> None:
    few = CONVERSATIONS_MIN - 1
    cell = cell_of(coding(ask(success=1, session=f"s{n % few}") for n in range(1000)))
    assert (cell.asked, cell.conversations, cell.told_conversations) == (1000, few, few)
    assert (cell.cost_nanousd, cell.output_tokens, cell.p50_ms, cell.success) == (None,) * 4
    assert table_of([]).classes == ()


def test_requests_of_one_conversation_count_as_one_where_they_go_alike(ask: Ask) -> None:
    draw = random.Random(3)
    lucky = {f"s{n}": float(draw.random() < 0.8) for n in range(50)}
    alone = cell_of(coding(ask(success=score, session=name) for name, score in lucky.items()))
    long = cell_of(coding(ask(success=lucky[f"s{n % 50}"], session=f"s{n % 50}") for n in range(1000)))
    assert alone.success is not None
    assert long.success is not None
    assert long.told == 1000
    assert long.success.high - long.success.low == pytest.approx(
        alone.success.high - alone.success.low, rel=0.05
    )


def test_a_word_on_a_conversation_that_other_arms_went_on_with_says_nothing_of_the_first(ask: Ask) -> None:
    told = (ToldOf("user", "session", 1.0, 1),)
    alone = [ask(told=told) for _ in range(40)]
    mixed = [ask(told=told, several_arms=True) for _ in range(7)]
    table = coding([*alone, *mixed])
    assert (table.unit, table.left_out, cell_of(table).told) == ("conversation", 7, 40)


def test_errors_and_requests_without_an_outcome_are_in_no_rate_of_success(ask: Ask) -> None:
    asked = [ask(success=1.0) for _ in range(30)]
    asked += [ask() for _ in range(300)]
    asked += [ask(ok=False, cost_nanousd=10**12) for _ in range(30)]
    asked += [ask(success=0.0, ok=False) for _ in range(10)]
    cell = cell_of(coding(asked))
    assert (cell.asked, cell.told) == (330, 40)
    assert cell.success is not None
    assert cell.success.value == 0.75
    assert cell.cost_nanousd is not None
    assert cell.cost_nanousd.value == 1_000_000


def test_where_conversations_were_judged_each_is_one_and_counts_for_its_only_arm(ask: Ask) -> None:
    def conversation(name: str, arms: list[str], score: float | None) -> list[AskedOnce]:
        turns = [ask(effort=effort, session=name, total_ms=10.0) for effort in arms]
        if score is not None:
            word = ToldOf("tests", "session", score, 1)
            old = ToldOf("tests", "session", 1 - score, 0)
            turns[-1] = ask(effort=arms[-1], session=name, total_ms=10.0, told=(word,))
            turns[0] = ask(effort=arms[0], session=name, total_ms=10.0, told=(old,))
        return turns

    asked = [one for n in range(40) for one in conversation(f"h{n}", ["high"] * 5, float(n % 2))]
    asked += [one for n in range(30) for one in conversation(f"l{n}", ["low"] * 2, 1.0)]
    asked += [one for n in range(9) for one in conversation(f"m{n}", ["low", "high"], 0.0)]
    table = coding(asked)
    assert (table.unit, table.left_out) == ("conversation", 9)
    high, low = cell_of(table), cell_of(table, effort="low")
    assert (high.asked, high.told, low.asked, low.told) == (40, 40, 30, 30)
    assert high.success is not None
    assert low.success is not None
    assert (high.success.value, low.success.value) == (0.5, 1.0)
    assert high.cost_nanousd is not None
    assert high.cost_nanousd.value == 5_000_000
    assert high.p50_ms is not None
    assert high.p50_ms.value == 50.0
    assert [cell.effort for cell in table.cells] == ["low", "high"]


def test_what_is_left_out_is_said_and_a_published_table_is_the_same_again(ask: Ask) -> None:
    table = table_of((ask(success=1.0) for _ in range(60)), most=50)
    assert (table.requests, table.complete) == (50, False)
    again = decoded(table.encoded(), "v1")
    assert again.version == "v1"
    assert again.classes == table.classes
    assert again.encoded() == table.encoded()
