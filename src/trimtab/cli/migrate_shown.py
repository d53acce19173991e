"""A migration report as lines for people, the answer first, and as JSON for programs.

What it is not: the judging, or the verdict's exit status (`migrate`).
"""

import textwrap
from collections.abc import Iterator

from trimtab.catalogue.estimating import Estimate
from trimtab.catalogue.money import NANO, about_dollars
from trimtab.cli.term import counted
from trimtab.migration import Report
from trimtab.migration.costs import Cost
from trimtab.migration.judging import Finding
from trimtab.migration.report import Count
from trimtab.stats import Interval

WIDTH = 80
"""Columns: the narrowest terminal in use. Not those of the terminal at hand, so that a report reads the same in a log;
names of files and long ids stay whole."""

PLACES = 12
"""Of one finding that are shown; --json has all."""

NEARLY_ALL = 0.8
"""Of the requests; which ones these are is then of no interest."""

MOST_SHARES = 12

MOST_REASONS = 6


def report_lines(report: Report, reasons: tuple[str, ...]) -> Iterator[str]:
    """The whole report."""
    if report.simulated:
        yield "SIMULATED: what was recorded was answered by the simulator, no real model"
    yield from _answer(report, reasons)
    yield from _costs(report)
    yield from _found(report, "refused", "Breaks: the new model answers 400", reasons)
    yield from _found(report, "silent", "Changes silently: answered, but not as before", reasons)
    yield from _shares(report)
    if report.behaviour:
        yield from ("", "Not to be seen in a request (the vendor's words)")
        for change in report.behaviour:
            yield from _wrapped(f"{change.id}: {change.text}", 2, 4)
    yield from ("", "The two models")
    for fact in report.facts:
        yield from _wrapped(fact, 2, 4)
    if report.notes:
        yield from ("", "Notes")
        for note in report.notes:
            yield from _wrapped(note, 2, 4)


def _answer(report: Report, reasons: tuple[str, ...]) -> Iterator[str]:
    head = f"{report.before} -> {report.after}: "
    if not report.requests:
        yield from _wrapped(head + "no request could be judged, so what breaks is not known.")
    elif report.breaking:
        mended = report.breaking - report.unmended
        those = "it" if report.breaking == 1 else "all of them"
        how = (
            f"mode adapt mends {those}" if not report.unmended
            else f"mode adapt mends {mended:,} of them" if mended
            else f"mode adapt cannot mend {'it' if report.breaking == 1 else 'any of them'}"
        )  # fmt: skip
        silently = f" {report.silent:,} change silently." if report.silent else ""
        yield from _wrapped(
            f"{head}{report.breaking:,} of {counted(report.requests, 'request')} "
            f"{'breaks' if report.breaking == 1 else 'break'}; {how}.{silently}"
        )
    elif report.silent:
        yield from _wrapped(
            f"{head}nothing breaks; {report.silent:,} of {counted(report.requests, 'request')} change silently."
        )
    else:
        yield from _wrapped(
            f"{head}nothing breaks, and nothing changes silently, in {counted(report.requests, 'request')}."
        )
    if report.requests:
        yield from _wrapped(
            "All of that is allowed: exit status 0."
            if not reasons
            else f"Exit status 1 for {', '.join(reasons[:MOST_REASONS])}"
            f"{f' and {len(reasons) - MOST_REASONS} more' if len(reasons) > MOST_REASONS else ''}; "
            "--allow NAME permits one."
        )


def _costs(report: Report) -> Iterator[str]:
    yield ""
    ratio = report.input_ratio
    if report.requests:
        known = f"{report.input_before:,} -> {report.input_after:,}, "
        middle = report.input_after / report.input_before - 1 if report.input_before else 0.0
        yield from _figure(
            "input tokens", f"{known}{_percent(middle)} ({_percents(ratio)}), by {', '.join(report.sources)}"
        )
    else:
        yield from _figure("input tokens", f"{_percents(ratio)}, as contents differ")
    for name, cost, about in (
        ("input of one", report.input_cost, "at list price, uncached"),
        ("a request", report.request_cost, "as it was billed, caches and output included"),
        (
            "a month",
            report.month_cost,
            f"at the present traffic, {counted(report.month_requests, 'request')}",
        ),
        (
            "cold cache",
            report.cold_cache,
            f"once, for {counted(report.cold_conversations, 'conversation')}: prefixes are written anew",
        ),
    ):
        if cost is not None:
            yield from _figure(name, f"{_cost(cost)}; {about}")


def _figure(name: str, says: str) -> list[str]:
    return _wrapped(f"  {name:<16} {says}", 0, 19)


def _cost(cost: Cost) -> str:
    known = 0 < cost.after_usd < 5 * cost.before_usd
    change = f", {_percent(cost.after_usd / cost.before_usd - 1)}" if known else ""
    between = f"{_usd(cost.after.low)} to {_usd(cost.after.high)}"
    return f"{_usd(cost.before_usd)} -> {_usd(cost.after_usd)} ({between}){change}"


def _usd(amount: float) -> str:
    return about_dollars(amount * NANO, 3)


def _percents(ratio: Interval) -> str:
    return f"{_percent(ratio.low - 1)} to {_percent(ratio.high - 1)}"


def _percent(change: float) -> str:
    """`+44%`; no sign where it rounds to nothing."""
    return "0%" if abs(change) < 0.005 else f"{change:+.0%}"


def _found(report: Report, kind: str, title: str, reasons: tuple[str, ...]) -> Iterator[str]:
    counts = [count for count in report.counts if count.kind == kind]
    if not counts:
        return
    yield from ("", title)
    for count in counts:
        allowed = "" if count.id in reasons else ", allowed"
        yield from _wrapped(
            f"{count.id}: {counted(count.requests, 'request')}{_mending(count)}{allowed}", 2, 4
        )
        yield from _wrapped(count.says, 6, 8)
        if count.does and count.kind == "refused":
            yield from _wrapped(f"adapt: {count.does}", 6, 8)
        yield from _places(report, count.id)


def _mending(count: Count) -> str:
    parts = []
    if count.kind == "refused":
        parts.append("mended by adapt" if count.mended == count.requests else f"adapt mends {count.mended:,}")
        if count.before_too:
            parts.append(
                f"the old model refuses {'it' if count.before_too == count.requests else f'{count.before_too:,}'}, too"
            )
    return "".join(f", {part}" for part in parts)


def _places(report: Report, name: str) -> Iterator[str]:
    those = sum([any(finding.id == name for finding in one.findings) for one in report.judged])
    if report.requests > PLACES and those > NEARLY_ALL * report.requests:
        yield "      in all requests, or nearly so; --json has each"
        return
    places = [
        f"{one.name}: {finding.place}"
        for one in report.judged
        for finding in one.findings
        if finding.id == name
    ]
    for place in places[:PLACES]:
        yield f"      at {place}"
    if len(places) > PLACES:
        yield f"      and {len(places) - PLACES:,} more, which --json lists"


def _shares(report: Report) -> Iterator[str]:
    if not report.shares:
        return
    yield from ("", "Input tokens by content")
    rows = [
        (
            share.about,
            f"{share.before:,}",
            f"{share.after:,}",
            _percent(share.after / share.before - 1) if share.before else "new",
            f"({_percents(share.ratio)})" if share.before else "",
        )
        for share in report.shares[:MOST_SHARES]
    ]
    widths = [max(len(row[place]) for row in rows) for place in range(5)]
    for row in rows:
        yield (
            f"  {row[0]:<{widths[0]}}  {row[1]:>{widths[1]}} -> {row[2]:>{widths[2]}}  {row[3]:>{widths[3]}} {row[4]}"
        ).rstrip()
    if len(report.shares) > MOST_SHARES:
        yield f"  and {len(report.shares) - MOST_SHARES} kinds more, which --json lists"


def _wrapped(text: str, before: int = 0, then: int = 2) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=" " * before,
        subsequent_indent=" " * then,
        break_on_hyphens=False,
        break_long_words=False,
    )


def report_json(report: Report, reasons: tuple[str, ...]) -> dict[str, object]:
    """For programs; bodies are left out."""
    return {
        "from": report.before,
        "to": report.after,
        "day": report.day,
        "verdict": report.verdict,
        "reasons": reasons,
        "requests": report.requests,
        "breaking": report.breaking,
        "unmended": report.unmended,
        "silent": report.silent,
        "sources": report.sources,
        "input_tokens": {
            "before": report.input_before,
            "after": report.input_after,
            "ratio": report.input_ratio,
        },
        "content": report.shares,
        "cost_usd": {
            "input_of_one": report.input_cost,
            "request": report.request_cost,
            "month": report.month_cost,
            "month_requests": report.month_requests,
            "cold_cache": report.cold_cache,
            "cold_conversations": report.cold_conversations,
        },
        "findings": report.counts,
        "judged": [
            {
                "name": one.name,
                "findings": [_finding(finding) for finding in one.findings],
                "adaptations": one.adaptations,
                "refused": one.refused,
                "input_tokens": {"before": _tokens(one.before), "after": _tokens(one.after)},
            }
            for one in report.judged
        ],
        "unreadable": report.unreadable,
        "behaviour": report.behaviour,
        "facts": report.facts,
        "notes": report.notes,
        "simulated": report.simulated,
    }


def _finding(finding: Finding) -> dict[str, object]:
    return {name: getattr(finding, name) for name in finding.__struct_fields__}


def _tokens(estimate: Estimate) -> dict[str, object]:
    return {"tokens": estimate.tokens, "low": estimate.low, "high": estimate.high, "source": estimate.source}
