"""Models, prices, limits, tiers, and the arithmetic of tokens and images: data files plus lookups.

What it is not: a caller of models, or a store. It reads its files once, at load, and never again.
Invariant: a price depends on the day; every figure has a unit, and a source in the data or in docs/catalogue.md.
"""

from trimtab.catalogue.arm import EFFORTS, Arm, Effort
from trimtab.catalogue.catalogue import Catalogue, CatalogueSettings
from trimtab.catalogue.model import Model, Platform, PriceRow
from trimtab.catalogue.pricing import NanoUSD
from trimtab.catalogue.tiers import Tiers, TierSettings, resolve_tiers

__all__ = [
    "EFFORTS",
    "Arm",
    "Catalogue",
    "CatalogueSettings",
    "Effort",
    "Model",
    "NanoUSD",
    "Platform",
    "PriceRow",
    "TierSettings",
    "Tiers",
    "resolve_tiers",
]
