"""The catalogue: every model we know, found by id or alias, and what a usage of it costs on a day.

What it is not: live truth. The rows are data of a known date; `compare_live` says where a platform differs.
Invariant: once loaded it never changes, and equal files give an equal `version`.
"""

import datetime
import difflib
import functools
import hashlib
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Literal

import msgspec

import trimtab.catalogue.pricing as pricing
from trimtab.catalogue.effort import EffortWords, Scenario, load_scenarios, load_words
from trimtab.catalogue.model import PLATFORMS, Model, Platform, PriceRow, Seller, seller
from trimtab.catalogue.overlay import Overlay, check_model, price_layers
from trimtab.catalogue.platforms import PlatformProfile, load_platforms
from trimtab.catalogue.pricing import NO_DISCOUNT, NanoUSD, Timeline
from trimtab.catalogue.reading import read_yaml, show, to_struct
from trimtab.config import read_file
from trimtab.errors import ConfigError
from trimtab.messages import Usage

_DATE_SUFFIX_DIGITS = 8

_ANY_PLATFORM = ""
"""Stands for every platform that the catalogue does not know by name."""

_DEAREST_KEPT = 256
"""Answers of `_dearest` that are kept; a day has at most 112."""


class CatalogueSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section `[catalogue]` of the configuration."""

    overlay: str | None = None
    """A YAML file that adds models and negotiated prices."""
    learn_tokens: Literal["daily", "off"] = "daily"
    """Whether a serving process learns from prompts that are kept how far token estimates are off. On by default, since
    nothing is learnt unless the operator keeps prompts, and it takes about a second of processor time a day."""


class ServerToolPrice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Prices of the vendor's own tools from one day on, on top of tokens."""

    effective_from: datetime.date
    web_search_usd_per_1000: Decimal
    web_fetch_usd_per_1000: Decimal


class Lineup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A named set of tier bindings, as arms are written."""

    default: str
    escalation: str
    control: str
    fast: str


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`models.yaml`."""

    as_of: datetime.date
    sources: tuple[str, ...]
    unverified_for_every_model: tuple[str, ...]
    server_tools: tuple[ServerToolPrice, ...]
    models: tuple[Model, ...]


class CatalogueFiles(msgspec.Struct, frozen=True, omit_defaults=True):
    """The bytes that a catalogue is read from, so that it can be read again when the shipped files are others."""

    models: bytes
    lineups: bytes
    platforms: bytes
    efforts: bytes
    scenarios: bytes
    overlay: bytes | None = None
    overlay_name: str = ""


class Catalogue:
    """Models, prices and lineups. Build it with `load`, once."""

    def __init__(
        self,
        document: _Document,
        lineups: dict[str, Lineup],
        platforms: dict[Platform, PlatformProfile],
        efforts: EffortWords,
        scenarios: dict[str, Scenario],
        version: str,
        overlay: Overlay | None = None,
        *,
        files: CatalogueFiles,
    ) -> None:
        overlay_name = files.overlay_name
        self.files = files
        """What it was read from."""
        self.version = version
        """A hash of every file that was read, overlay included; kept in every record."""
        self.as_of = document.as_of
        """The day on which the shipped rows were true."""
        self.sources = document.sources
        self.lineups = lineups
        self.platforms = platforms
        """What each platform takes of a request. One that is not listed takes everything."""
        self.efforts = efforts
        """How an effort is said to a model that has no levels."""
        self.scenarios = scenarios
        """The shipped ones; a configuration may have others."""
        self._server_tools = sorted(document.server_tools, key=lambda row: row.effective_from)
        self._names: dict[str, Model] = {}
        self._platform_names: dict[str, Model] = {}
        self._add(document.models, "models.yaml")
        if overlay is not None:
            self._add(overlay.models, overlay_name)
        self.models: tuple[Model, ...] = document.models + (overlay.models if overlay else ())
        """Shipped models in the file's order, then the overlay's."""
        self.own = frozenset(model.id for model in overlay.models) if overlay else frozenset[str]()
        """Ids of the overlay's models."""
        layers = price_layers(overlay, self.find, overlay_name) if overlay is not None else {}
        self._timelines = self._compile(layers)
        self._dearest_known: dict[tuple[str, int, bool, bool, bool, bool], list[pricing.Priced]] = {}

    @classmethod
    def load(cls, overlay: Path | None = None, content: bytes | None = None) -> "Catalogue":
        """Read the shipped files and an operator's overlay. Raises `ConfigError`. Cost: tens of milliseconds.

        With `content` the overlay is not read: these are its bytes. Without an overlay all calls give one catalogue:
        it does not change in a process, so a reload need not read it again.
        """
        if overlay is None:
            return _shipped()
        if content is None:
            content = read_file(overlay, "correct the path of the overlay")
        return cls.read(msgspec.structs.replace(_files(), overlay=content, overlay_name=overlay.name))

    @classmethod
    def read(cls, files: CatalogueFiles) -> "Catalogue":
        """The catalogue of these bytes. Raises `ConfigError`. Cost: tens of milliseconds."""
        digest = hashlib.sha256(
            b"\0".join((files.models, files.lineups, files.platforms, files.efforts, files.scenarios))
        )
        added: Overlay | None = None
        if files.overlay is not None:
            digest.update(b"\0" + files.overlay)
            raw = read_yaml(files.overlay, files.overlay_name)
            added = to_struct({} if raw is None else raw, Overlay, files.overlay_name)
        return cls(
            to_struct(read_yaml(files.models, "models.yaml"), _Document, "models.yaml"),
            to_struct(read_yaml(files.lineups, "lineups.yaml"), dict[str, Lineup], "lineups.yaml"),
            load_platforms(files.platforms),
            load_words(files.efforts),
            load_scenarios(files.scenarios),
            digest.hexdigest()[:16],
            added,
            files=files,
        )

    def _compile(self, layers: dict[str, tuple[PriceRow, ...]]) -> dict[str, dict[str, Timeline]]:
        """Timelines by platform and model id; platforms without rows of their own share one."""
        sellers: dict[str, Seller | None] = {platform: seller(platform) for platform in PLATFORMS}
        sellers[_ANY_PLATFORM] = None
        premiums = {platform: profile.regional_premium for platform, profile in self.platforms.items()}
        timelines: dict[str, dict[str, Timeline]] = {platform: {} for platform in sellers}
        for model in self.models:
            above = layers.get(model.id, ())
            special = {row.platform for row in above + model.prices if row.platform is not None}
            plain: dict[Seller | None, Timeline] = {}
            made: dict[tuple[Seller | None, Decimal], Timeline] = {}
            for platform, by_id in timelines.items():
                sold_by = sellers[platform] if sellers[platform] in special else None
                premium = premiums.get(platform, Decimal(0))  # type: ignore[call-overload]
                if sold_by not in plain:
                    plain[sold_by] = pricing.compile_timeline((above, model.prices), sold_by)
                if (sold_by, premium) not in made:
                    made[sold_by, premium] = pricing.with_regional(plain[sold_by], premium)
                by_id[model.id] = made[sold_by, premium]
        return timelines

    def _add(self, models: tuple[Model, ...], file: str) -> None:
        for index, model in enumerate(models):
            where = f"{file}: models[{index}]"
            check_model(model, where)
            for key, name in (
                ("id", model.id),
                *((f"aliases[{i}]", alias) for i, alias in enumerate(model.aliases)),
            ):
                if name in self._names:
                    raise ConfigError(
                        f"{where}.{key}",
                        f"{show(name)}: {self._names[name].id} already has this name; "
                        "to change the prices of a model, list it under `prices`",
                    )
                self._names[name] = model
            for theirs in (model.ids.bedrock, model.ids.bedrock_mantle, model.ids.vertex, model.ids.foundry):
                if theirs is not None:
                    self._platform_names.setdefault(theirs, model)

    def find(self, name: str) -> Model | None:
        """The model with this id or alias."""
        return self._names.get(name)

    def suggest(self, name: str) -> str | None:
        """The id or alias closest to a name that nobody has; for error messages."""
        close = difflib.get_close_matches(name, self._names, n=1, cutoff=0.5)
        return close[0] if close else None

    def price(
        self,
        model: Model,
        usage: Usage,
        at: datetime.datetime,
        *,
        platform: str = "anthropic",
        batch: bool = False,
        regional: bool = False,
        discount: Decimal = NO_DISCOUNT,
    ) -> NanoUSD:
        """What this usage cost at that moment. `at` needs a time zone. Cost: a few microseconds.

        Iterations, where present, are the bill and the top-level counts are left out; but where they name fewer
        tokens than the top level, the dearer of the two is charged. An iteration of a model that the catalogue does
        not know is charged as the costliest one that it knows. Source: SDK 2.11.0 `beta_usage.py`; see `pricing`
        for the rest. `regional`: at a regional endpoint, which costs more on some platforms. `discount`: the part (0 to
        less than 1) that a contract takes off what tokens cost, negotiated prices included; server tools stay dear.
        """
        day = pricing.utc_day(at)
        batch = batch or usage.service_tier == "batch"
        fast = usage.speed == "fast"
        us = usage.inference_geo == "us"
        if not usage.iterations and usage.server_tool_use is None:  # nearly always
            table = self._timeline(model, platform).on(day)
            bits = self._variant(model, batch, fast, us, regional) if batch or fast or us or regional else 0
            cost = pricing.token_cost(table, usage, bits)
            return pricing.discounted(cost, discount) if discount else pricing.rounded(cost)
        cost = named = 0
        for iteration in usage.iterations or ():
            named += pricing.tokens_billed(iteration)
            if iteration.model is None:
                billed = model
            else:
                found = self._billed(iteration.model)
                if found is None:
                    cost += max(
                        pricing.token_cost(table, iteration, bits)
                        for table, bits in self._dearest(platform, day, batch, fast, us, regional)
                    )
                    continue
                billed = found
            table = self._timeline(billed, platform).on(day)
            cost += pricing.token_cost(table, iteration, self._variant(billed, batch, fast, us, regional))
        if not named or named < pricing.tokens_billed(usage):
            table = self._timeline(model, platform).on(day)
            cost = max(
                cost, pricing.token_cost(table, usage, self._variant(model, batch, fast, us, regional))
            )
        tools = self._server_tool_cost(usage, day) if usage.server_tool_use is not None else 0
        return pricing.discounted(cost, discount, tools) if discount else pricing.rounded(cost + tools)

    def worst_case(
        self,
        model: Model,
        input_tokens: int,
        max_tokens: int,
        at: datetime.datetime,
        *,
        platform: str = "anthropic",
        fast: bool = False,
        us: bool = False,
        regional: bool = False,
        discount: Decimal = NO_DISCOUNT,
    ) -> NanoUSD:
        """The most that a call with so many tokens can cost; what to reserve before it.

        Every input token is charged at the costliest input rate (1-hour cache write, long prompts included). Pass
        `fast` and `us` when the request asks for fast mode or US-only inference; `discount` as for `price`. Not
        bounded: server tools, and further models that the platform calls on its own (advisor, fallback).
        """
        table = self._timeline(model, platform).on(pricing.utc_day(at))
        bits = self._variant(model, False, fast, us, regional) if fast or us or regional else 0
        cost = pricing.costliest(table, max(input_tokens, 0), max(max_tokens, 0), bits)
        return pricing.discounted(cost, discount) if discount else pricing.rounded(cost)

    def price_row(self, model: Model, day: datetime.date, *, platform: str = "anthropic") -> PriceRow:
        """The row that prices a model on a day (UTC), negotiated prices included."""
        return self._timeline(model, platform).on(day.toordinal()).row

    @staticmethod
    def _variant(model: Model, batch: bool, fast: bool, us: bool, regional: bool) -> int:
        us = us and model.features.inference_geo is not False
        return pricing.variant(batch=batch, fast=fast, us=us, regional=regional)

    def _timeline(self, model: Model, platform: str) -> Timeline:
        return (self._timelines.get(platform) or self._timelines[_ANY_PLATFORM])[model.id]

    def _billed(self, name: str) -> Model | None:
        """The model that a platform means by `name` (id, alias, platform id, id with a date)."""
        found = self._names.get(name) or self._platform_names.get(name)
        if found is None:
            stem, _, date = name.rpartition("-")
            if len(date) == _DATE_SUFFIX_DIGITS and date.isdecimal():
                found = self._names.get(stem)
        return found

    def _dearest(
        self, platform: str, day: int, batch: bool, fast: bool, us: bool, regional: bool
    ) -> list[pricing.Priced]:
        """The prices among which is the costliest known one for any usage. Kept, for a list may ask 1000 times."""
        key = (platform if platform in self._timelines else _ANY_PLATFORM, day, batch, fast, us, regional)
        found = self._dearest_known.get(key)
        if found is None:
            found = pricing.dearest(
                (self._timeline(one, platform).on(day), self._variant(one, batch, fast, us, regional))
                for one in self.models
            )
            if len(self._dearest_known) >= _DEAREST_KEPT:
                self._dearest_known.clear()
            self._dearest_known[key] = found
        return found

    def _server_tool_cost(self, usage: Usage, day: int) -> int:
        tools = usage.server_tool_use
        if tools is None:
            return 0
        row = self._server_tools[0]
        for later in self._server_tools:
            if later.effective_from.toordinal() <= day:
                row = later
        searches, fetches = max(tools.web_search_requests or 0, 0), max(tools.web_fetch_requests or 0, 0)
        # USD per 1000 uses is 1e6 nano-dollars per use.
        per_use = 10**6 * pricing.UNIT
        return int(
            searches * row.web_search_usd_per_1000 * per_use + fetches * row.web_fetch_usd_per_1000 * per_use
        )


def _files() -> CatalogueFiles:
    """What comes with Trimtab."""
    package = resources.files("trimtab.catalogue")
    return CatalogueFiles(
        models=(package / "models.yaml").read_bytes(),
        lineups=(package / "lineups.yaml").read_bytes(),
        platforms=(package / "platforms.yaml").read_bytes(),
        efforts=(package / "effort.yaml").read_bytes(),
        scenarios=(package / "scenarios.yaml").read_bytes(),
    )


@functools.cache
def _shipped() -> Catalogue:
    return Catalogue.read(_files())
