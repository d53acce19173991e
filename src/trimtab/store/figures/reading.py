"""Figures of a window, over time and told apart by one thing.

What it is not: text or JSON for people. Invariants: what is read grows with the number of buckets and names, not of
records; the few records that are not worked out yet are added up on the spot, up to `RECORDS_MOST`, and what is left
out because they are more is told.
"""

from collections.abc import Iterator, Sequence

import msgspec

from trimtab.store.database import Database, Row, Transaction, Value
from trimtab.store.figures.cells import Cell, cells, records_in
from trimtab.store.figures.folding import ALL, arm_text, scope_text
from trimtab.store.figures.listing import Within
from trimtab.store.figures.spans import Piece, cover, worked_out
from trimtab.store.figures.tally import Kept, Tally, decode

LATEST_MS = 2**62

RECORDS_MOST = 100_000
"""Records that one question may add up on the spot: 0.2 s. They arrive in 90 seconds at 1,100 requests/s."""

COLUMNS = {
    ALL: (),
    "arm": ("model", "effort"),
    "tier": ("tier",),
    "platform": ("platform",),
    "key": ("key_id",),
    "team": ("organisation", "team_id"),
    "organisation": ("organisation",),
    "purpose": (),
    "result": ("result",),
}


class Wish(msgspec.Struct, frozen=True):
    """What is asked."""

    from_ms: int
    """The beginning of a bucket."""
    to_ms: int
    bucket_ms: int
    dimension: str
    simulated: bool
    purposes: tuple[str, ...]
    organisation: str | None = None
    team: str | None = None
    key: str | None = None
    """With a key, `dimension` must be `purpose` or ALL."""
    top: int = 8


class Coverage(msgspec.Struct, frozen=True):
    """Answer to a `Wish`. Tallies are by the beginning of their buckets."""

    whole: dict[int, Tally]
    groups: list[tuple[str, dict[int, Tally]]]
    """By requests, the largest first; as many as asked for."""
    others: dict[int, Tally] | None
    """All other groups; `None`: there is none."""
    before: Tally | None
    """The same length of time before; `None` where figures of it are left out."""
    other_side: int
    """Requests on the other side of real and simulated."""
    missing: tuple[int, int] | None
    """From where to where figures are left out."""


def read_figures(database: Database, wish: Wish) -> Coverage:
    """Answer on one view. Blocks. Raises `StoreError`."""
    return database.read(lambda view: _Reading(view, wish).coverage())


def live_figures(
    database: Database,
    from_ms: int,
    bucket_ms: int,
    simulated: bool,
    purposes: Sequence[str],
    within: Within,
    most: int,
) -> tuple[dict[int, Tally], int]:
    """Figures of what arrived since then, straight from the records, and since when they are.

    That is later where more than `most` records have arrived. Blocks. Raises `StoreError`.
    """

    def work(view: Transaction) -> tuple[dict[int, Tally], int]:
        first = view.row(
            "SELECT at_ms FROM requests WHERE at_ms >= ? ORDER BY at_ms DESC LIMIT 1 OFFSET ?",
            (from_ms, most),
        )
        since_ms = from_ms if first is None else int(first[0]) + 1
        where, values = _owned(within.organisation, within.team, within.key)
        where += f"AND simulated = ? AND purpose IN ({', '.join('?' * len(purposes))})"
        values += [int(simulated), *purposes]
        found: dict[int, Tally] = {}
        for cell in cells(view, since_ms, LATEST_MS, (), width_ms=bucket_ms, where=where, values=values):
            cell.into(found.setdefault(cell.names[0], Tally()))
        return found, since_ms

    return database.read(work)


def _owned(organisation: str | None, team: str | None, key: str | None) -> tuple[str, list[Value]]:
    """Conditions on whose requests are meant."""
    where = ""
    values: list[Value] = []
    for column, wanted in (("organisation", organisation), ("team_id", team), ("key_id", key)):
        if wanted is not None:
            where += f"AND {column} = ? "
            values.append(wanted)
    return where, values


class _Fresh(msgspec.Struct, frozen=True):
    """Figures of some records that are not worked out yet."""

    at_ms: int
    name: str
    purpose: str
    simulated: bool
    cell: Cell


class _Reading:
    """One question on one view."""

    def __init__(self, view: Transaction, wish: Wish) -> None:
        self._view = view
        self._wish = wish
        self._scope = scope_text(wish.organisation, wish.team)
        self._budget = RECORDS_MOST
        self._left_out: list[Piece] = []
        self._whole_of = (ALL, "") if wish.key is None else ("key", wish.key)

    def coverage(self) -> Coverage:
        wish = self._wish
        pieces = self._pieces(wish.from_ms, wish.to_ms, wish.bucket_ms)
        missing, self._left_out = self._left_out, []
        fresh = self._fresh(pieces, wish.dimension)
        mine = [one for one in fresh if self._meant(one)]
        whole: dict[int, Tally] = {}
        by_purpose: dict[str, dict[int, Tally]] = {}
        for at, purpose, kept in self._kept(pieces, *self._whole_of):
            self._tally(whole, at).add_kept(kept)
            if wish.dimension == "purpose":
                self._tally(by_purpose.setdefault(purpose, {}), at).add_kept(kept)
        for one in mine:
            one.cell.into(self._tally(whole, one.at_ms))
            one.cell.into(self._tally(by_purpose.setdefault(one.purpose, {}), one.at_ms))
        groups: list[tuple[str, dict[int, Tally]]] = []
        others = None
        if wish.dimension == "purpose":
            groups = sorted(by_purpose.items(), key=lambda item: (-_requests(item[1]), item[0]))
        elif self._scope and (
            wish.dimension == "organisation" or (wish.dimension == "team" and wish.team is not None)
        ):
            name = self._scope if wish.dimension == "team" else str(wish.organisation)
            groups = [(name, whole)] if whole else []
        elif wish.dimension != ALL:
            groups, others = self._split(pieces, mine, whole)
        other_side = sum(
            one.cell.counts[0]
            for one in fresh
            if one.simulated != wish.simulated and one.purpose in wish.purposes
        )
        for _, _, kept in self._kept(pieces, *self._whole_of, simulated=not wish.simulated):
            other_side += kept[1]
        return Coverage(
            whole,
            groups,
            others,
            self._before(),
            other_side,
            (min(p.from_ms for p in missing), max(p.to_ms for p in missing)) if missing else None,
        )

    def _before(self) -> Tally | None:
        wish = self._wish
        from_ms = wish.from_ms - (wish.to_ms - wish.from_ms)
        pieces = self._pieces(from_ms, wish.from_ms, None)
        if self._left_out:
            return None
        before = Tally()
        for _, _, kept in self._kept(pieces, *self._whole_of):
            before.add_kept(kept)
        for one in self._fresh(pieces, ALL):
            if self._meant(one):
                one.cell.into(before)
        return before

    def _pieces(self, from_ms: int, to_ms: int, bucket_ms: int | None) -> list[Piece]:
        """What to read. Pieces with more records than there is room for are left out, the old ones first."""
        there = worked_out(self._view, from_ms, to_ms, bucket_ms)
        pieces = []
        for piece in reversed(cover(from_ms, to_ms, there, bucket_ms)):
            if piece.width_ms is None:
                records = records_in(self._view, piece.from_ms, piece.to_ms, self._budget)
                if records > self._budget:
                    self._left_out.append(piece)
                    continue
                self._budget -= records
            pieces.append(piece)
        pieces.reverse()
        return pieces

    def _split(
        self, pieces: Sequence[Piece], mine: Sequence[_Fresh], whole: dict[int, Tally]
    ) -> tuple[list[tuple[str, dict[int, Tally]]], dict[int, Tally] | None]:
        """The largest groups, and what is left of the whole without them."""
        wish = self._wish
        read = list(self._kept(pieces, wish.dimension, None))
        sizes: dict[str, int] = {}
        for _, _, kept in read:
            sizes[kept[0]] = sizes.get(kept[0], 0) + kept[1]
        for one in mine:
            sizes[one.name] = sizes.get(one.name, 0) + one.cell.counts[0]
        ranked = sorted(sizes, key=lambda name: (-sizes[name], name))
        # A last group of one would hide a name and save nothing.
        top = ranked if len(ranked) == wish.top + 1 else ranked[: wish.top]
        groups: dict[str, dict[int, Tally]] = {name: {} for name in top}
        for at, _, kept in read:
            if kept[0] in groups:
                self._tally(groups[kept[0]], at).add_kept(kept)
        for one in mine:
            if one.name in groups:
                one.cell.into(self._tally(groups[one.name], one.at_ms))
        if len(top) == len(ranked):
            return list(groups.items()), None
        others: dict[int, Tally] = {}
        for bucket, tally in whole.items():
            rest = others[bucket] = tally.copy()
            for group in groups.values():
                if bucket in group:
                    rest.take_away(group[bucket])
        return list(groups.items()), others

    def _kept(
        self, pieces: Sequence[Piece], dimension: str, name: str | None, *, simulated: bool | None = None
    ) -> Iterator[tuple[int, str, Kept]]:
        """What is stored of one name or all: beginning of the span, purpose, figures."""
        wish = self._wish
        side = wish.simulated if simulated is None else simulated
        purposes = ", ".join("?" * len(wish.purposes))
        for piece in pieces:
            if piece.width_ms is None:
                continue
            found = self._view.rows(
                "SELECT from_ms, purpose, content FROM figures WHERE width_ms = ? AND from_ms >= ? AND from_ms < ? "  # noqa: S608
                f"AND scope = ? AND dimension = ? AND simulated = ? AND purpose IN ({purposes})",
                (
                    piece.width_ms,
                    piece.from_ms,
                    piece.to_ms,
                    self._scope,
                    dimension,
                    int(side),
                    *wish.purposes,
                ),
            )
            for at, purpose, content in found:
                for kept in decode(content):
                    if name is None or kept[0] == name:
                        yield at, purpose, kept

    def _fresh(self, pieces: Sequence[Piece], dimension: str) -> list[_Fresh]:
        """What has to be added up from records."""
        wish = self._wish
        where, values = _owned(wish.organisation, wish.team, wish.key)
        by = ("simulated", "purpose", *COLUMNS[dimension])
        return [
            _Fresh(cell.names[0], _name(dimension, cell.names[3:]), cell.names[2], bool(cell.names[1]), cell)
            for piece in pieces
            if piece.width_ms is None
            for cell in cells(
                self._view,
                piece.from_ms,
                piece.to_ms,
                by,
                width_ms=wish.bucket_ms,
                where=where,
                values=values,
            )
        ]

    def _meant(self, one: _Fresh) -> bool:
        return one.simulated == self._wish.simulated and one.purpose in self._wish.purposes

    def _tally(self, buckets: dict[int, Tally], at_ms: int) -> Tally:
        bucket = at_ms - at_ms % self._wish.bucket_ms
        found = buckets.get(bucket)
        if found is None:
            found = buckets[bucket] = Tally()
        return found


def _requests(buckets: dict[int, Tally]) -> int:
    return sum(tally.counts[0] for tally in buckets.values())


def _name(dimension: str, names: Row) -> str:
    if dimension == "arm":
        return arm_text(*names)
    if dimension == "team":
        organisation, team = names
        return scope_text(organisation, team) if organisation and team else ""
    return str(names[0]) if names else ""
