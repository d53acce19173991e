"""How `trimtab budgets reprice` shows what it found.

Invariant: what was not reproduced is said first, and each figure says whether it is real or simulated.
"""

from trimtab.budgets.repricing import Difference, Repriced, Sums
from trimtab.catalogue.money import dollars
from trimtab.cli.tables import Rows, console
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
    table = Rows(
        ("model", "entry", "against"), ("recorded", "priced again", "calls"), "why", "requests",
        wraps={"why": 24, "requests": 34},
    )  # fmt: skip
    for one in found.differences:
        table.add(*_cells(one))
    console().print(table)


def _cells(one: Difference) -> tuple[str, ...]:
    return (
        one.model,
        one.entry,
        f"{one.against}{', simulated' if one.simulated else ''}",
        dollars(one.recorded_nanousd),
        dollars(one.priced_nanousd),
        f"{one.calls:,}",
        one.why or "NOT EXPLAINED",
        " ".join(one.examples[:2]),
    )
