"""By which prices records were made, and the records of a month with what they were priced by.

What it is not: arithmetic of prices (`catalogue`). Invariant: what was noted for a version is never changed.
"""

import zlib
from collections.abc import Iterator, Mapping
from decimal import Decimal

import msgspec

from trimtab.catalogue import CatalogueFiles
from trimtab.messages import Usage
from trimtab.records import CostSource
from trimtab.store.database import Database, Transaction

PAGE_ROWS = 1000
"""Records read at a time; of each some hundred bytes are kept while they are priced."""


class Terms(msgspec.Struct, frozen=True):
    """What a platform entry was priced as."""

    platform: str
    """The catalogue's name of its kind."""
    regional: bool
    discount: Decimal


class _Arm(msgspec.Struct, frozen=True):
    model: str


class PricedAttempt(msgspec.Struct, frozen=True):
    """What a record keeps of a call's price; names as in `records.Attempt`."""

    platform: str
    usage: Usage | None = None
    reserved_nanousd: int = 0
    cost_nanousd: int = 0
    cost_source: CostSource = "unbilled"
    arm: _Arm | None = None


class _Plan(msgspec.Struct, frozen=True):
    arm: _Arm


class PricedRecord(msgspec.Struct, frozen=True):
    """What a record keeps of its price; names as in `records.Outcome`."""

    id: str
    at_ms: int
    plan: _Plan | None = None
    attempts: tuple[PricedAttempt, ...] = ()
    cost_nanousd: int = 0
    simulated: bool = False
    config_version: str = ""
    catalogue_version: str = ""

    def model_of(self, attempt: PricedAttempt | None) -> str | None:
        """By whose prices a call was priced, by catalogue id; without one, the request. `None`: none was decided."""
        if attempt is not None and attempt.arm is not None:
            return attempt.arm.model
        return None if self.plan is None else self.plan.arm.model


def note_prices(
    database: Database, config_version: str, files: CatalogueFiles, version: str, terms: Mapping[str, Terms]
) -> None:
    """Keep what records of these versions are priced by. Idempotent. Blocks, some ms. Raises `StoreError`."""
    if database.read(lambda tx: _is_noted(tx, config_version, version, terms)):
        return
    content = zlib.compress(msgspec.json.encode(files))

    def work(tx: Transaction) -> None:
        now_ms = tx.now_ms()
        tx.change(
            "INSERT INTO catalogue_versions (version, at_ms, content) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (version, now_ms, content),
        )
        for entry, one in terms.items():
            tx.change(
                "INSERT INTO price_terms (config_version, catalogue_version, entry, platform, regional, discount, "
                "at_ms) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (config_version, version, entry, one.platform, int(one.regional), str(one.discount), now_ms),
            )

    database.write(work)


def _is_noted(tx: Transaction, config_version: str, version: str, terms: Mapping[str, Terms]) -> bool:
    """Whether all of it is kept, as on most starts: then nobody has to write."""
    if tx.row("SELECT 1 FROM catalogue_versions WHERE version = ?", (version,)) is None:
        return False
    known = tx.rows(
        "SELECT entry FROM price_terms WHERE config_version = ? AND catalogue_version = ?",
        (config_version, version),
    )
    return terms.keys() <= {str(row[0]) for row in known}


def catalogue_files(database: Database, version: str) -> CatalogueFiles | None:
    """The files of a version; `None` where they were not kept. Blocks. Raises `StoreError`."""
    row = database.read(
        lambda tx: tx.row("SELECT content FROM catalogue_versions WHERE version = ?", (version,))
    )
    return None if row is None else msgspec.json.decode(zlib.decompress(row[0]), type=CatalogueFiles)


def terms_kept(database: Database) -> dict[tuple[str, str, str], Terms]:
    """By configuration version, catalogue version and entry. Blocks. Raises `StoreError`."""
    rows = database.read(
        lambda tx: tx.rows(
            "SELECT config_version, catalogue_version, entry, platform, regional, discount FROM price_terms"
        )
    )
    return {(row[0], row[1], row[2]): Terms(row[3], bool(row[4]), Decimal(row[5])) for row in rows}


def priced_records(database: Database, from_ms: int, to_ms: int) -> Iterator[PricedRecord]:
    """All records of a stretch of time, by when they arrived. Blocks. Raises `StoreError`."""
    decoder = msgspec.json.Decoder(PricedRecord)
    at_ms, last = from_ms, ""
    while True:

        def page(tx: Transaction, at_ms: int = at_ms, last: str = last) -> list[tuple[str, int, str]]:
            return [
                (row[0], row[1], row[2])
                for row in tx.rows(
                    "SELECT id, at_ms, detail FROM requests WHERE (at_ms, id) > (?, ?) AND at_ms >= ? AND at_ms < ? "
                    "ORDER BY at_ms, id LIMIT ?",
                    (at_ms, last, at_ms, to_ms, PAGE_ROWS),
                )
            ]

        rows = database.read(page)
        for _, _, detail in rows:
            yield decoder.decode(detail)
        if len(rows) < PAGE_ROWS:
            return
        last, at_ms = rows[-1][0], rows[-1][1]


def dropped_in(database: Database, from_ms: int, to_ms: int) -> tuple[int, int]:
    """Requests of which only totals were kept, and their cost. Blocks. Raises `StoreError`."""
    row = database.read(
        lambda tx: tx.row(
            "SELECT CAST(coalesce(sum(requests), 0) AS BIGINT), CAST(coalesce(sum(cost_nanousd), 0) AS BIGINT) "
            "FROM record_gaps WHERE to_ms >= ? AND to_ms < ?",
            (from_ms, to_ms),
        )
    )
    return (0, 0) if row is None else (int(row[0]), int(row[1]))
