"""How `trimtab budgets reprice` shows what it found.

Invariant: what was not reproduced is said first, and each figure says whether it is real or simulated.
"""

from collections.abc import Iterator

from rich.text import Text

from trimtab.budgets.repricing import Difference, Repriced, Sums
from trimtab.catalogue.money import dollars
from trimtab.cli.tables import headed, print_fitting
from trimtab.cli.term import counted, say, warn


def print_repriced(month: str, found: Repriced) -> None:
    """The verdict, the sums, the differences."""
    if not found.real.records and not found.simulated.records and not found.dropped:
        say(f"{month}: no records")
        return
    unexplained = [one for one in found.differences if not one.why]
    for side, sums in (("real", found.real), ("simulated", found.simulated)):
        if sums.records:
            say(f"{month} {side}: {_sums_words(sums)}")
    if found.dropped:
        say(
            f"{counted(found.dropped, 'request')} of which only totals were kept, {dollars(found.dropped_nanousd)}: "
            "these cannot be priced again"
        )
    if found.differences:
        _print_differences(found)
    if unexplained:
        warn(
            f"{month}: NOT REPRODUCED: {counted(sum(one.calls for one in unexplained), 'call')} cost something else"
        )
    else:
        say(
            f"{month} is reproduced: every call costs by its own catalogue what was recorded, to the nano-dollar"
        )


def _sums_words(sums: Sums) -> str:
    parts = [
        f"{counted(sums.calls, 'call')} of {counted(sums.records, 'record')}",
        f"recorded {dollars(sums.recorded_nanousd)}",
        f"by the catalogues of then {dollars(sums.then_nanousd)}",
        f"by today's {dollars(sums.today_nanousd)}",
    ]
    if sums.estimated:
        parts.append(f"{counted(sums.estimated, 'call')} estimated")
    if sums.worst_case:
        parts.append(
            f"of these {sums.worst_case:,} at their worst case ({dollars(sums.worst_case_nanousd)}), which stands"
        )
    if sums.unkept:
        parts.append(f"{counted(sums.unkept, 'call')} by today's prices, for those of then were not kept")
    return ", ".join(parts)


def _print_differences(found: Repriced) -> None:
    table = headed("against", "model", "entry", "calls", "recorded", "priced again", "why", "requests")
    for one in found.differences:
        table.add_row(*(Text(cell) for cell in _cells(one)))
    print_fitting(table, _lines(found))


def _cells(one: Difference) -> tuple[str, ...]:
    return (
        f"{one.against}{', simulated' if one.simulated else ''}",
        one.model,
        one.entry,
        f"{one.calls:,}",
        dollars(one.recorded_nanousd),
        dollars(one.priced_nanousd),
        one.why or "NOT EXPLAINED",
        " ".join(one.examples[:2]),
    )


def _lines(found: Repriced) -> Iterator[tuple[str, str]]:
    for one in found.differences:
        against, model, entry, calls, recorded, priced, why, examples = _cells(one)
        yield (
            f"{model} at {entry}, against {against}",
            f"{calls} calls, {recorded} recorded, {priced} priced again; {why}; {examples}",
        )
