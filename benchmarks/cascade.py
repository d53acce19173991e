"""Cascades through a real gateway, held against what must come of them. SIMULATED: failures are known beforehand.

    python benchmarks/cascade.py [--smoke] [--requests N] [--first N] [--only NAME ...] [--table FILE]
                                [--chart FILE]

A `trimtab serve` of its own, with a route for each setting (`cascade_model/settings.py`): ladders of models and
efforts, verifiers that make no mistakes and many, modes `quality` and `cost`, answers whole and streamed on both APIs.
The simulator answers; it is told how often each arm is right, and a verifier is told what the right answer is and how
often to be wrong, so that quality, cost and the share of requests that are escalated can be worked out to the last
digit (`tests/support/cascade_expected.py`). Callers check each answer over HTTP; calls and dollars are those of the
records, and those of checks must agree with the records of the checks' own calls.

In mode `cost` a gateway first learns how often answers fail, from 600 other requests that are not counted; then its
hourly figures are worked out, and it is started again.

How it is judged: `cascade_model/judging.py`. Ends with 1 where anything failed.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from cascade_model.asking import Asked, Wrong, ask, gateway, joined, told, work_out_figures
from cascade_model.expecting import Must, must
from cascade_model.judging import Request, at_most, compared, pooled
from cascade_model.report import Found, chart, table
from cascade_model.settings import SETTINGS, Setting
from trimtab.catalogue import Catalogue

REQUESTS, SMOKE_REQUESTS = 600, 12
LEARNT, SMOKE_LEARNT = 600, 120
"""Requests of each setting in mode `cost` from which the gateway learns how often answers fail."""
LEARNING = 10**9
"""The number of the first of them: other questions than those that count."""
SMOKE = ("pair-10-10", "three-10-10", "opinion", "json", "stream", "chat-stream", "cost-pays", "cost-refused")


def main() -> int:
    """Ask, compare, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--smoke", action="store_true", help="some settings, few requests; nothing is judged")
    parser.add_argument("--requests", type=int, help=f"for each setting; {REQUESTS} without it")
    parser.add_argument(
        "--first", type=int, default=0, help="number of the first question: others, other draws"
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these settings")
    parser.add_argument("--table", type=Path, help="write the table there")
    parser.add_argument("--chart", type=Path, help="write the picture there")
    given = parser.parse_args()
    requests = given.requests or (SMOKE_REQUESTS if given.smoke else REQUESTS)
    names = given.only or (SMOKE if given.smoke else [one.name for one in SETTINGS])
    settings = [one for one in SETTINGS if one.name in names]
    catalogue = Catalogue.load()
    musts = {one.name: must(one, catalogue) for one in settings}
    for one in settings:
        if musts[one.name].begins_at != one.begins_at:
            raise Wrong(
                f"{one.name}: says that it begins at {one.begins_at}, and {musts[one.name]} must come of it"
            )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        numbers = range(given.first, given.first + requests)
        asked = run(settings, numbers, SMOKE_LEARNT if given.smoke else LEARNT, folder)
        came = joined(asked, told(folder))
    found, elsewhere = [], 0
    for one in settings:
        requests_of = [request for request, _ in came[one.name]]
        is_, top = musts[one.name].begun, musts[one.name].top.cost
        lines = compared(one.name, requests_of, is_, top, 3 * len(settings) + 3)
        found.append(Found(one, musts[one.name], (lines[0], lines[1], lines[2])))
        begun = one.rungs[one.begins_at].arm
        strays = [record for _, record in came[one.name] if not record.first.startswith(begun)]
        elsewhere += len(strays)
        if strays:
            print(
                f"{one.name}: {len(strays)} requests began at {strays[0].first}: {'; '.join(strays[0].reasons)}"
            )
    said = summary(found, [[request for request, _ in came[one.name]] for one in settings], musts)
    print(table(found))
    print(said)
    if given.table:
        given.table.write_text(f"{table(found)}\n\n{said}\n", encoding="utf-8")
    if given.chart:
        given.chart.write_text(chart(found, requests), encoding="utf-8")
    failed = any(one.says == "fail" for one in found) or "fail" in said.split() or elsewhere > 0
    return 1 if failed and not given.smoke else 0


def run(settings: list[Setting], numbers: range, learnt: int, folder: Path) -> list[Asked]:
    """All requests that count; `learnt` others come before in mode `cost`."""
    learning = [one for one in settings if one.mode == "cost"]
    if learning:
        with gateway(settings, folder) as port:
            ask(port, learning, range(LEARNING, LEARNING + learnt))
        work_out_figures(folder)
    with gateway(settings, folder) as port:
        return ask(port, settings, numbers)


def summary(found: list[Found], requests: list[list[Request]], musts: dict[str, Must]) -> str:
    """What all settings together say."""
    lines = [line for one in found for line in one.lines]
    outside = sum(line.outside_own for line in lines)
    counts = {says: sum(line.says == says for line in lines) for says in ("pass", "fail", "inconclusive")}
    parts = [
        f"SIMULATED. {len(lines)} comparisons of {len(found)} settings, {sum(map(len, requests))} requests: "
        f"{counts['pass']} pass, {counts['fail']} fail, {counts['inconclusive']} inconclusive. Outside their own 95 % "
        f"interval (*): {outside}; {len(lines) * 0.05:.0f} must be expected, {at_most(len(lines))} at most."
    ]
    pairs = [(asked, musts[one.setting.name].begun) for one, asked in zip(found, requests, strict=True)]
    for figure, difference, allowed, says in pooled(pairs, len(lines) + 3):
        parts.append(
            f"All together, {figure}: {100 * difference:+.2f} % off what must come of it, ± {100 * allowed:.2f} "
            f"allowed: {says}"
        )
    return "\n".join(parts)


if __name__ == "__main__":
    sys.exit(main())
