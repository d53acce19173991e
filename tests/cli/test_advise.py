"""What `trimtab budgets advise` prints of tasks with several kinds of shares: each rate with its interval, or no data."""

import random

import pytest
from drawn_tasks import FITTING, UNFIT, drawn_tasks

from trimtab.app.advising import Advised
from trimtab.cli.advise import print_phases_advised
from trimtab.efforts.phases import advise_phases

RARE = {"analysis": 30, "tools": 60, "report": 10}


def test_each_kind_of_shares_has_its_success_with_an_interval_or_no_data(
    capsys: pytest.CaptureFixture[str],
) -> None:
    draw = random.Random(1)
    tasks = drawn_tasks(draw, 160, [(FITTING, 0.7), (UNFIT, 0.95)]) + drawn_tasks(draw, 9, [(RARE, 1.0)])
    found = advise_phases(tasks, {"agent": FITTING})
    print_phases_advised(Advised(simulated=False, from_ms=0, to_ms=1, phases=found), None)
    lines = capsys.readouterr().out.splitlines()
    told = found[0].succeeded
    assert told is not None
    present, other, rare = told.tried
    assert present.success is not None
    assert other.success is not None
    assert other.difference is not None
    assert (rare.success, rare.difference, rare.told) == (None, None, 9)

    def line(beginning: str) -> str:
        (only,) = [text for text in lines if text.startswith(beginning)]
        return only

    rate = f"{100 * present.success.value:.1f} % ({100 * present.success.low:.0f}–{100 * present.success.high:.0f})"
    assert line("  with shares 13/74/13, the present ones: ").endswith(f"80 tasks, success {rate}")
    assert line("  with shares 40/40/20: ").endswith(
        f"; against the present ones {100 * other.difference.low:+.1f} to {100 * other.difference.high:+.1f} points"
    )
    assert line("  with shares 30/60/10: ").endswith("9 tasks, success no data (9 told, 20 are needed)")
    assert line("  tasks that were told of: 169 of 169; success ").endswith(")")
    assert line("agent: change the shares")
    assert line("  tools: 74 % now, needs 40 %")
