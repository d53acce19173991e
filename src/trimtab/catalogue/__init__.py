"""Models, prices, limits, tiers, and the arithmetic of tokens and images: data files plus lookups.

What it is not: a caller of models, or a store. It reads its files once, at load, and never again.
Invariant: a price depends on the day; every figure has a unit, and a source in the data or in docs/catalogue.md.
"""

from trimtab.catalogue.arm import EFFORTS, Arm, Effort
from trimtab.catalogue.catalogue import Catalogue, CatalogueFiles, CatalogueSettings
from trimtab.catalogue.claims import Claim, load_claims
from trimtab.catalogue.images import image_tokens, resize_for
from trimtab.catalogue.info import model_info
from trimtab.catalogue.lifecycle import LifecycleNote, lifecycle_notes
from trimtab.catalogue.live import Difference, compare_live
from trimtab.catalogue.model import Model, Platform, PriceRow
from trimtab.catalogue.pricing import NanoUSD
from trimtab.catalogue.tiers import TierPlaces, Tiers, TierSettings, resolve_tiers
from trimtab.catalogue.token_tables import ContentClass
from trimtab.catalogue.tokens import estimate_tokens, token_ratio, upper_bound_tokens

__all__ = [
    "EFFORTS",
    "Arm",
    "Catalogue",
    "CatalogueFiles",
    "CatalogueSettings",
    "Claim",
    "ContentClass",
    "Difference",
    "Effort",
    "LifecycleNote",
    "Model",
    "NanoUSD",
    "Platform",
    "PriceRow",
    "TierPlaces",
    "TierSettings",
    "Tiers",
    "compare_live",
    "estimate_tokens",
    "image_tokens",
    "lifecycle_notes",
    "load_claims",
    "model_info",
    "resize_for",
    "resolve_tiers",
    "token_ratio",
    "upper_bound_tokens",
]
