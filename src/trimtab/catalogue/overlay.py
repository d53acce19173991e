"""An operator's overlay: models of their own, and prices that they negotiated.

What it is not: a way to change a shipped model's abilities. Such a change is a new row under a new id.
Invariant: a row that could price wrongly (negative, not finite, over-precise, dated twice) is refused at load.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal

import msgspec

from trimtab.catalogue.model import Model, PriceRow, Seller
from trimtab.catalogue.reading import show
from trimtab.errors import ConfigError

MAX_USD_PER_MTOK = 100_000
"""No model costs that much; a larger figure is a slip of units."""

MAX_DECIMALS = 6
"""Finer prices than a millionth of a dollar per million tokens are a slip of units, too."""


class NegotiatedPrices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Price rows that stand above the list prices of one model, from their first day on."""

    model: str
    """Id or alias."""
    rows: tuple[PriceRow, ...]
    platform: Seller | None = None
    """Where they hold; `None` holds everywhere."""


class Overlay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file; every key may be left out."""

    models: tuple[Model, ...] = ()
    prices: tuple[NegotiatedPrices, ...] = ()


def price_layers(
    overlay: Overlay, find: Callable[[str], Model | None], name: str
) -> dict[str, tuple[PriceRow, ...]]:
    """Negotiated rows by model id. Raises `ConfigError`."""
    layers: dict[str, tuple[PriceRow, ...]] = {}
    for index, entry in enumerate(overlay.prices):
        where = f"{name}: prices[{index}]"
        model = find(entry.model)
        if model is None:
            raise ConfigError(
                f"{where}.model",
                f"{show(entry.model)}: no such model; add it under `models` or correct the id",
            )
        rows = []
        for number, row in enumerate(entry.rows):
            if row.platform is not None and entry.platform not in (None, row.platform):
                raise ConfigError(
                    f"{where}.rows[{number}].platform",
                    f"{row.platform!r}: differs from the entry's platform {entry.platform!r}; name it once",
                )
            rows.append(msgspec.structs.replace(row, platform=row.platform or entry.platform))
        layers[model.id] = layers.get(model.id, ()) + tuple(rows)
        check_prices(tuple(rows), f"{where}.rows")
        check_prices(layers[model.id], f"{where}.rows", figures=False)
    return layers


def check_model(model: Model, where: str) -> None:
    """Refuse what the types cannot. Raises `ConfigError`."""
    check_prices(model.prices, f"{where}.prices")
    if all(row.platform is not None for row in model.prices):
        raise ConfigError(f"{where}.prices", "every row names a platform; one row must hold on all platforms")
    levels, default = model.effort.levels, model.effort.default
    if default is not None and default not in levels:
        raise ConfigError(
            f"{where}.effort.default",
            f"{default!r}: must be one of the levels {', '.join(levels) or '(none)'}",
        )


def check_prices(rows: tuple[PriceRow, ...], where: str, *, figures: bool = True) -> None:
    """Refuse figures that cannot be right, and two rows for one day. Raises `ConfigError`."""
    days: set[tuple[object, object]] = set()
    for index, row in enumerate(rows):
        place = f"{where}[{index}]"
        if figures:
            for key, figure in _figures(row):
                _check_figure(figure, f"{place}.{key}", factor=key.endswith("_factor"))
        day = (row.platform, row.effective_from)
        if day in days:
            raise ConfigError(
                f"{place}.effective_from" if figures else where,
                f"{row.effective_from.isoformat()!r}: another row starts on the same day; keep one",
            )
        days.add(day)


def _figures(row: PriceRow) -> Iterator[tuple[str, Decimal]]:
    for key in (
        "input",
        "output",
        "cache_write_5m",
        "cache_write_1h",
        "cache_read",
        "batch_input",
        "batch_output",
    ):
        figure = getattr(row, key)
        if figure is not None:
            yield key, figure
    if row.fast is not None:
        yield "fast.input", row.fast.input
        yield "fast.output", row.fast.output
    if row.long_prompt is not None:
        yield "long_prompt.input_factor", row.long_prompt.input_factor
        yield "long_prompt.output_factor", row.long_prompt.output_factor


def _check_figure(figure: Decimal, where: str, *, factor: bool) -> None:
    if not figure.is_finite():
        raise ConfigError(where, f"{show(figure)}: must be a number")
    if factor:
        if not 1 <= figure <= 1000:
            raise ConfigError(where, f"{show(figure)}: a long-prompt factor must be from 1 to 1000")
    elif not 0 <= figure <= MAX_USD_PER_MTOK:
        raise ConfigError(
            where, f"{show(figure)}: must be from 0 to {MAX_USD_PER_MTOK} US dollars per million tokens"
        )
    exponent = figure.as_tuple().exponent
    if isinstance(exponent, int) and -exponent > MAX_DECIMALS:
        raise ConfigError(where, f"{show(figure)}: at most {MAX_DECIMALS} decimals")
