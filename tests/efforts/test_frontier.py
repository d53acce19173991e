"""The picture holds every arm, says what is simulated, and no name becomes markup in it."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable

from trimtab.efforts import build_table
from trimtab.efforts.frontier import draw_frontier, frontier
from trimtab.store.figures.efforts import AskedOnce

Ask = Callable[..., AskedOnce]

EVIL = "<script>alert(1)</script>&\"'"


def test_the_frontier_is_what_nothing_cheaper_beats(ask: Ask) -> None:
    arms = {("a", "low"): (60, 1), ("a", "high"): (80, 4), ("b", "low"): (70, 5), ("b", "max"): (95, 9)}
    asked = [
        ask(model, effort, float(n < right), cost_nanousd=cost * 10**6)
        for (model, effort), (right, cost) in arms.items()
        for n in range(100)
    ]
    asked += [ask("c", "low", cost_nanousd=1) for _ in range(100)]
    asked += [ask("d", "low", 1.0) for _ in range(5)]
    (table,) = build_table(asked, from_ms=0, to_ms=1, simulated=True).classes
    assert [cell.arm for cell in frontier(table)] == ["a@low", "a@high", "b@max"]
    drawn = draw_frontier(table, simulated=True, period="p")
    ElementTree.fromstring(drawn)
    assert drawn.count("<g><title>") == 4
    assert "SIMULATED" in drawn
    assert "SIMULATED" not in draw_frontier(table, simulated=False, period="p")


def test_arms_at_one_point_have_their_names_beside_each_other_and_the_axis_has_figures(ask: Ask) -> None:
    asked = [
        ask(
            "claude",
            effort,
            float(n < 80),
            task_class="a-class-of-work-with-a-long-name",
            cost_nanousd=101_000 + n,
        )
        for effort in ("low", "medium", "high", "xhigh", "max")
        for n in range(100)
    ]
    (table,) = build_table(asked, from_ms=0, to_ms=1, simulated=True).classes
    drawn = ElementTree.fromstring(draw_frontier(table, simulated=True, period="p"))
    texts = [one for one in drawn.iter() if one.tag.endswith("text")]
    places = {
        (one.get("x"), one.get("y")) for one in texts if one.text in ("low", "medium", "high", "xhigh", "max")
    }
    assert len(places) == 5
    assert len([one for one in texts if (one.text or "").startswith("$")]) >= 3
    (title,) = (one for one in texts if (one.text or "").startswith("a-class"))
    assert 78 + len(title.text or "") * int(title.get("font-size", "0")) * 0.55 < 726, "left of the stamp"


def test_names_are_text_in_the_picture_and_odd_figures_draw_too(ask: Ask) -> None:
    asked = [ask(EVIL, EVIL, 1.0, task_class=EVIL, cost_nanousd=0) for _ in range(30)]
    (table,) = build_table(asked, from_ms=0, to_ms=1, simulated=False).classes
    drawn = draw_frontier(table, simulated=False, period=EVIL)
    assert not [one for one in ElementTree.fromstring(drawn).iter() if "script" in one.tag]
    assert "<script" not in drawn
    assert "nan" not in drawn
    (empty,) = build_table([ask()], from_ms=0, to_ms=1, simulated=False).classes
    assert "no data" in draw_frontier(empty, simulated=False, period="")
