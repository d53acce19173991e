"""A past month priced again, from what its records keep of their usage: by the prices of then, and by today's.

What it is not: a change of any record. Invariant: a difference is never added away: calls are compared one by one, to
the nano-dollar, and what cannot be priced again is counted and said.
"""

import datetime
from collections.abc import Callable, Iterable, Mapping

import msgspec

from trimtab.catalogue import Catalogue, Model
from trimtab.catalogue.money import price
from trimtab.errors import ConfigError
from trimtab.store.budgets.prices import PricedAttempt, PricedRecord, Terms

EXAMPLES = 5
HOUR_MS = 3_600_000


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Calls that cost something else when they are priced again, all of one kind."""

    against: str
    """`then`: by the catalogue that they were made with, which must not be. `today`: by today's."""
    model: str
    entry: str
    catalogue_version: str
    simulated: bool
    calls: int
    recorded_nanousd: int
    priced_nanousd: int
    why: str
    """What explains it; empty where nothing does."""
    examples: tuple[str, ...]
    """Ids of some of their requests."""


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """Of one side, real or simulated. Money in nano-dollars."""

    records: int = 0
    calls: int = 0
    recorded_nanousd: int = 0
    then_nanousd: int = 0
    """By the catalogue that each was made with."""
    today_nanousd: int = 0
    """By today's rows that hold on the day of each."""
    unbilled: int = 0
    """Calls that cost nothing."""
    estimated: int = 0
    """Calls that were cut, whose usage is an estimate."""
    worst_case: int = 0
    """Of these, calls of which nothing is known: what was held for them stands, and cannot be priced again."""
    worst_case_nanousd: int = 0
    unkept: int = 0
    """Calls whose catalogue, or what their entry was priced as, was not kept: today's stand in for them."""


class Repriced(msgspec.Struct, frozen=True, kw_only=True):
    """What pricing a stretch of time again came to."""

    from_ms: int
    to_ms: int
    catalogue_version: str
    """Today's."""
    real: Sums
    simulated: Sums
    differences: tuple[Difference, ...]
    dropped: int
    """Requests of which only totals were kept: their cost is in none of these sums."""
    dropped_nanousd: int

    @property
    def reproduced(self) -> bool:
        """Whether every call costs today what was recorded, or something explains why not."""
        return all(one.why for one in self.differences)


class _Group:
    def __init__(self) -> None:
        self.calls = self.recorded = self.priced = 0
        self.examples: list[str] = []

    def add(self, record: str, recorded: int, priced: int) -> None:
        self.calls += 1
        self.recorded += recorded
        self.priced += priced
        if len(self.examples) < EXAMPLES:
            self.examples.append(record)


_Key = tuple[str, str, str, str, bool, str]


class Repricing:
    """Prices records one after another. For one question."""

    def __init__(
        self,
        today: Catalogue,
        kept: Callable[[str], Catalogue | None],
        terms: Mapping[tuple[str, str, str], Terms],
    ) -> None:
        """`kept` finds a catalogue by its version; `terms` are by configuration, catalogue and entry."""
        self._today = today
        self._kept = kept
        self._terms = terms
        self._by_entry = {entry: one for (_, _, entry), one in terms.items()}
        self._catalogues: dict[str, Catalogue | None] = {today.version: today}
        self._sums: dict[bool, dict[str, int]] = {False: {}, True: {}}
        self._groups: dict[_Key, _Group] = {}

    def add(self, record: PricedRecord) -> None:
        """Price its calls again. Some 20 us a call."""
        sums = self._sums[record.simulated]
        _count(sums, records=1, recorded_nanousd=record.cost_nanousd)
        total = 0
        for attempt in record.attempts:
            total += attempt.cost_nanousd
            self._attempt(record, attempt, sums)
        if total != record.cost_nanousd:
            self._differs("then", record, None, total, record.cost_nanousd, "")

    def _attempt(self, record: PricedRecord, attempt: PricedAttempt, sums: dict[str, int]) -> None:
        recorded = attempt.cost_nanousd
        _count(sums, calls=1)
        if attempt.cost_source == "unbilled":
            _count(sums, unbilled=1)
            if recorded:
                self._differs("then", record, attempt, recorded, 0, "")
            return
        if attempt.cost_source == "estimated":
            _count(sums, estimated=1)
        then, now, kept = self._prices(record, attempt)
        if then != recorded and attempt.cost_source == "estimated" and recorded == attempt.reserved_nanousd:
            _count(
                sums, worst_case=1, worst_case_nanousd=recorded, then_nanousd=recorded, today_nanousd=recorded
            )
            return
        if then is None or now is None:
            self._differs("then", record, attempt, recorded, 0, "")
            return
        _count(sums, then_nanousd=then, today_nanousd=now, unkept=int(not kept))
        if then != recorded:
            self._differs("then", record, attempt, recorded, then, "")
        elif now != recorded:
            self._differs("today", record, attempt, recorded, now, self._why(record, attempt))

    def _prices(self, record: PricedRecord, attempt: PricedAttempt) -> tuple[int | None, int | None, bool]:
        """By the catalogue of then and by today's; whether that of then was kept."""
        usage, today = attempt.usage, self._today
        then = self._catalogue(record.catalogue_version)
        terms, of_then = self._terms_of(record, attempt)
        if usage is None or terms is None or record.model_of(attempt) is None:
            return None, None, False

        def price(catalogue: Catalogue) -> int | None:
            model = self._model(catalogue, record, attempt)
            if model is None:
                return None
            return catalogue.price(
                model,
                usage,
                _hour(record.at_ms),
                platform=terms.platform,
                regional=terms.regional,
                discount=terms.discount,
            )

        return price(then or today), price(today), then is not None and of_then

    def _terms_of(self, record: PricedRecord, attempt: PricedAttempt) -> tuple[Terms | None, bool]:
        """Those of then; where they were not kept, others of the same entry. Whether they are those of then."""
        kept = self._terms.get((record.config_version, record.catalogue_version, attempt.platform))
        return (kept, True) if kept is not None else (self._by_entry.get(attempt.platform), False)

    def _catalogue(self, version: str) -> Catalogue | None:
        if version not in self._catalogues:
            try:
                self._catalogues[version] = self._kept(version)
            except ConfigError:  # its files are not read by this version of the program any more
                self._catalogues[version] = None
        return self._catalogues[version]

    @staticmethod
    def _model(catalogue: Catalogue, record: PricedRecord, attempt: PricedAttempt) -> Model | None:
        model = record.model_of(attempt)
        return None if model is None else catalogue.find(model)

    def _why(self, record: PricedRecord, attempt: PricedAttempt) -> str:
        """What makes today's price another one."""
        then, today = self._catalogue(record.catalogue_version), self._today
        if then is None:
            return ""
        files, now = then.files, today.files
        parts = []
        if files.overlay != now.overlay:
            name = files.overlay_name or now.overlay_name
            parts.append(f"the negotiated prices of {name} changed")
        if files.models != now.models:
            parts.append("the shipped price rows changed")
        if files.platforms != now.platforms:
            parts.append("what platforms add to prices changed")
        model, other = self._model(then, record, attempt), self._model(today, record, attempt)
        terms, _ = self._terms_of(record, attempt)
        if parts and model is not None and other is not None and terms is not None:
            day = _hour(record.at_ms).date()
            old = then.price_row(model, day, platform=terms.platform)
            new = today.price_row(other, day, platform=terms.platform)
            if (old.input, old.output) != (new.input, new.output):
                parts.append(
                    f"input {price(old.input)} to {price(new.input)}, "
                    f"output {price(old.output)} to {price(new.output)} a million"
                )
        return ", ".join(parts)

    def _differs(
        self,
        against: str,
        record: PricedRecord,
        attempt: PricedAttempt | None,
        recorded: int,
        priced: int,
        why: str,
    ) -> None:
        model = record.model_of(attempt) or ""
        entry = "" if attempt is None else attempt.platform
        key = (against, model, entry, record.catalogue_version, record.simulated, why)
        self._groups.setdefault(key, _Group()).add(record.id, recorded, priced)

    def done(self, from_ms: int, to_ms: int, dropped: tuple[int, int]) -> Repriced:
        """What it came to."""
        return Repriced(
            from_ms=from_ms,
            to_ms=to_ms,
            catalogue_version=self._today.version,
            real=Sums(**self._sums[False]),
            simulated=Sums(**self._sums[True]),
            differences=tuple(
                Difference(
                    against=against,
                    model=model,
                    entry=entry,
                    catalogue_version=version,
                    simulated=simulated,
                    calls=group.calls,
                    recorded_nanousd=group.recorded,
                    priced_nanousd=group.priced,
                    why=why,
                    examples=tuple(group.examples),
                )
                for (against, model, entry, version, simulated, why), group in sorted(self._groups.items())
            ),
            dropped=dropped[0],
            dropped_nanousd=dropped[1],
        )


def reprice(records: Iterable[PricedRecord], repricing: Repricing) -> None:
    """All of them."""
    for record in records:
        repricing.add(record)


def _count(sums: dict[str, int], **more: int) -> None:
    for name, amount in more.items():
        sums[name] = sums.get(name, 0) + amount


def _hour(at_ms: int) -> datetime.datetime:
    """The moment that prices a call, as when it was made: the hour of its arrival."""
    return datetime.datetime.fromtimestamp(at_ms // HOUR_MS * 3600, datetime.UTC)
