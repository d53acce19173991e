"""A parity report for people, within 80 columns, and for programs.

What it is not: what is found, or what it means for the exit status (`parity`). Invariant: every difference, doubt and
note of the report is shown.
"""

import textwrap
from collections.abc import Iterator
from typing import Any

import msgspec

from trimtab.catalogue.money import about_dollars
from trimtab.cli.term import counted
from trimtab.evals.parity import Difference, Judged, Outcome, Ratio, Report

WIDTH = 80


def report_json(report: Report) -> dict[str, Any]:
    """The whole of it; figures as the fields of `Report` have them."""
    found: dict[str, Any] = msgspec.to_builtins(report)
    return found


def report_lines(report: Report) -> Iterator[str]:
    """First how much is the same, then what is not, then what informs only."""
    first, second = report.first, report.second
    yield from _wrapped(
        f"{first} and {second}: {counted(len(report.judged), 'case')}, {counted(report.repeat, 'answer')} "
        f"on each side; {', '.join(report.models)}"
    )
    if report.simulated:
        yield f"SIMULATED: {', '.join(report.simulated)} (no real model answered)"
    yield ""
    yield f"  same          {report.same:5,}{_rate(report)}"
    yield f"  different     {report.different:5,}"
    yield f"  inconclusive  {report.inconclusive:5,}"
    many = len(report.models) > 1
    if report.everywhere:
        yield from ("", "Different in every case, and not counted above")
    for rule in report.everywhere:
        yield f"  {counted(rule.cases, 'case')}" + (f" ({rule.model})" if many else "")
        yield from _difference(rule.difference, first, second)
    for outcome, title in _TITLES.items():
        chosen = [one for one in report.judged if one.outcome == outcome and (outcome != "same" or one.notes)]
        if chosen:
            yield from ("", title)
        for one in chosen:
            yield f"  {one.case}" + (f" ({one.model})" if many else "")
            yield from _case(one, first, second)
    yield from _informing(report)


_TITLES: dict[Outcome, str] = {
    "different": "Different",
    "inconclusive": "Inconclusive",
    "same": "Same, but to be known",
}


def _rate(report: Report) -> str:
    judged = report.same + report.different
    if not judged:
        return ""
    rate = report.same_rate
    return f"   {report.same / judged:.0%} of those judged (95 %: {rate.low:.0%} to {rate.high:.0%})"


def _case(one: Judged, first: str, second: str) -> Iterator[str]:
    for difference in one.differences:
        yield from _difference(difference, first, second)
    for text in (*one.doubts, *one.notes):
        yield from _wrapped(text, 4, 6)
    if one.outcome != "same":
        ids = [f"{name} {runs[0]}" for name, runs in zip((first, second), one.requests, strict=True) if runs]
        if ids:
            yield from _wrapped(f"records: {', '.join(ids)}", 4, 6)


def _difference(difference: Difference, first: str, second: str) -> Iterator[str]:
    width = max(len(first), len(second))
    yield f"    {difference.fact}"
    for name, value in ((first, difference.first), (second, difference.second)):
        yield from _wrapped(f"{name:{width}}  {value}", 6, 8 + width)


def _informing(report: Report) -> Iterator[str]:
    first, second = report.first, report.second
    yield from ("", "Not judged")
    for ratio in report.ratios:
        yield from _wrapped(f"{ratio.what}: {_figures(ratio, first, second)}", 2, 4)
    alike, of = report.same_texts
    if of:
        yield f"  same text: {alike} of {counted(of, 'case')}"
    for name, only in ((first, report.only_first), (second, report.only_second)):
        if only:
            yield from _wrapped(f"only from {name}: {', '.join(only)}", 2, 4)
    yield f"  all of it cost {about_dollars(report.cost_nanousd)}; sessions parity-{report.run}-..., tag parity"


def _figures(ratio: Ratio, first: str, second: str) -> str:
    sure = (
        f" (95 %: {ratio.interval.low:.2f} to {ratio.interval.high:.2f})"
        if ratio.interval is not None
        else ""
    )
    return (
        f"{first} {_amount(ratio.first, ratio.unit)}, {second} {_amount(ratio.second, ratio.unit)}; "
        f"{second} / {first} {ratio.median:.2f}{sure}, {counted(ratio.cases, 'case')}"
    )


def _amount(value: float, unit: str) -> str:
    return about_dollars(value) if unit == "nano-USD" else f"{value:,.0f} {unit}"


def _wrapped(text: str, before: int = 0, then: int = 2) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=" " * before, subsequent_indent=" " * then, break_on_hyphens=False
    )
