"""Keeps what records are priced by, and prices a past month again.

What it is not: the arithmetic (`budgets.repricing`), or a change of any record.
"""

import datetime
from collections.abc import Mapping
from pathlib import Path

from trimtab.app.clock import unix_ms
from trimtab.app.opening import open_named
from trimtab.app.platforms import one_of_each
from trimtab.app.settings import Settings
from trimtab.budgets.repricing import Repriced, Repricing, reprice
from trimtab.catalogue import Catalogue, CatalogueSettings
from trimtab.config import load_document
from trimtab.errors import ConfigError, shortened
from trimtab.providers import Provider
from trimtab.store import Database, StoreSettings
from trimtab.store.budgets.prices import (
    Terms,
    catalogue_files,
    dropped_in,
    note_prices,
    priced_records,
    terms_kept,
)


def keep_prices(database: Database, settings: Settings, providers: Mapping[str, Provider]) -> None:
    """Keep what records of this configuration are priced by. Idempotent. Blocks. Raises `StoreError`."""
    terms = {
        name: Terms(provider.platform, provider.regional, provider.discount)
        for name, provider in one_of_each(providers).items()
    }
    catalogue = settings.catalogue
    note_prices(database, settings.document.version, catalogue.files, catalogue.version, terms)


def reprice_month(config: Path | None, month: str) -> Repriced:
    """Price every record of a month (as `2026-10`, UTC) again. Blocks: some 20 s a million records.

    Works beside a running server and without one. Raises `ConfigError`, `StoreError`.
    """
    from_ms, to_ms = _month(month)
    document = load_document(config)
    overlay = document.section("catalogue", CatalogueSettings).overlay
    beside = config.parent if config is not None else Path()
    today = Catalogue.load(None if overlay is None else beside / overlay)
    database = open_named(document.section("store", StoreSettings), document, create=False)
    try:

        def kept(version: str) -> Catalogue | None:
            files = catalogue_files(database, version)
            return None if files is None else Catalogue.read(files)

        repricing = Repricing(today, kept, terms_kept(database))
        reprice(priced_records(database, from_ms, to_ms), repricing)
        return repricing.done(from_ms, to_ms, dropped_in(database, from_ms, to_ms))
    finally:
        database.close()


def _month(text: str) -> tuple[int, int]:
    try:
        first = datetime.datetime.strptime(text, "%Y-%m").replace(tzinfo=datetime.UTC)
        if len(text) != 7:
            raise ValueError
        following = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    except ValueError:
        raise ConfigError("MONTH", f"{shortened(text, 40)!r}: must be a month, as 2026-10") from None
    from_ms = int(first.timestamp()) * 1000
    if from_ms > unix_ms():
        raise ConfigError("MONTH", f"{text!r}: has not begun yet; name a month that has records")
    return from_ms, int(following.timestamp()) * 1000
