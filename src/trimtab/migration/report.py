"""Sums over judged requests: the verdict, token ratios by content class, costs; each with an interval.

What it is not: text for people (`cli`). Invariant: requests that cannot be judged are told,
never left out.
"""

import datetime
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from trimtab.catalogue import Catalogue, Model
from trimtab.catalogue.estimating import Corrections
from trimtab.catalogue.estimating.estimate import ABOUT_ITEMS
from trimtab.catalogue.money import price
from trimtab.migration.behaviour import BehaviourChange
from trimtab.migration.costs import MONTH_DAYS, Cost, Prices, Tokens, Traffic, tokens_of
from trimtab.migration.judging import Judged, Kind
from trimtab.migration.reading import Unreadable
from trimtab.migration.resampling import Resampled, quantiles, ratio_of, unknown_ratio
from trimtab.stats import Interval


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """Input tokens of one content class, or of images, tool prompts and frames, over all requests."""

    name: str
    about: str
    before: int
    after: int
    ratio: Interval
    """Of tokens after to before, 95 %."""
    before_usd: float
    """At list price, uncached."""
    after_usd: float


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """How many requests have a finding of one name."""

    id: str
    kind: Kind
    requests: int
    mended: int
    before_too: int
    does: str
    says: str
    """Of the first one."""
    place: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that there is to say."""

    before: str
    after: str
    day: datetime.date
    verdict: Literal["nothing breaks", "changes silently", "breaks", "not known"]
    """As the requests are, before anything is allowed. `not known`: there was nothing to judge."""
    requests: int
    breaking: int
    """Requests that the new model refuses as they are."""
    unmended: int
    """Of these, those that mode `adapt` cannot mend."""
    silent: int
    counts: tuple[Count, ...]
    judged: tuple[Judged, ...]
    unreadable: tuple[Unreadable, ...]
    sources: tuple[str, ...]
    """Where the token figures come from."""
    input_before: int
    input_after: int
    input_ratio: Interval
    """Of tokens, 95 %."""
    shares: tuple[Share, ...]
    input_cost: Cost | None
    """Of one request's input at list price, uncached; the mean."""
    request_cost: Cost | None
    """Of one request as it was billed; `None` where no usage is known."""
    month_cost: Cost | None
    month_requests: int
    cold_cache: Cost | None
    """Once, for `cold_conversations`: what reading their prefixes from the cache costs before, and what writing them
    again costs after."""
    cold_conversations: int
    behaviour: tuple[BehaviourChange, ...]
    facts: tuple[str, ...]
    """Of the two models: prices, limits, retirement."""
    notes: tuple[str, ...]
    simulated: bool
    """The traffic that costs are of was answered by the simulator."""


def made_report(
    judged: Sequence[Judged],
    unreadable: Sequence[Unreadable],
    *,
    catalogue: Catalogue,
    before: Model,
    after: Model,
    day: datetime.date,
    platform: str = "anthropic",
    behaviour: Sequence[BehaviourChange] = (),
    traffic: Traffic | None = None,
    notes: Sequence[str] = (),
    corrections: Mapping[str, Corrections] | None = None,
) -> Report:
    """Add everything up. Cost: 0.1 s for 1,000 requests."""
    resampled = Resampled(judged, before, after, corrections or {})
    ratio = resampled.interval(ratio_of) if judged else unknown_ratio(before, after)
    prices = Prices(catalogue, before, after, day, platform)
    breaking = [one for one in judged if one.breaks]
    silent = [one for one in judged if any(finding.kind == "silent" for finding in one.findings)]
    said = prices.said_ratio(judged)
    tokens, number = _billed(judged, traffic)
    prefix, conversations = _prefix(judged, traffic)
    month = traffic.requests / traffic.days * MONTH_DAYS if traffic is not None and traffic.days else 0.0
    return Report(
        before=before.id,
        after=after.id,
        day=day,
        verdict="breaks"
        if breaking
        else "changes silently"
        if silent
        else "nothing breaks"
        if judged
        else "not known",
        requests=len(judged),
        breaking=len(breaking),
        unmended=sum([not _is_mended(one) for one in breaking]),
        silent=len(silent),
        counts=_counts(judged),
        judged=tuple(judged),
        unreadable=tuple(unreadable),
        sources=tuple(sorted({one.source for each in judged for one in (each.before, each.after)})),
        input_before=sum([one.before.tokens for one in judged]),
        input_after=sum([one.after.tokens for one in judged]),
        input_ratio=ratio,
        shares=_shares(resampled, catalogue, before, after, day, platform),
        input_cost=prices.input(judged, ratio) if judged else None,
        request_cost=prices.billed(tokens, ratio, said, 1 / number) if number else None,
        month_cost=prices.billed(tokens, ratio, said, month / number) if number and month else None,
        month_requests=round(month),
        cold_cache=prices.cold(prefix, ratio) if prefix else None,
        cold_conversations=conversations,
        behaviour=tuple(behaviour),
        facts=_facts(catalogue, before, after, day, platform),
        notes=tuple(notes),
        simulated=traffic is not None and traffic.simulated,
    )


def _is_mended(one: Judged) -> bool:
    return one.adapted is not None and all(
        finding.mended for finding in one.findings if finding.kind == "refused"
    )


def _billed(judged: Sequence[Judged], traffic: Traffic | None) -> tuple[Tokens, int]:
    """Tokens that were billed, and for how many requests."""
    if traffic is not None:
        return traffic.tokens, traffic.requests
    known = [tokens_of(one.request.usage) for one in judged if one.request.usage is not None]
    total = Tokens()
    for one in known:
        total += one
    return total, len(known)


def _prefix(judged: Sequence[Judged], traffic: Traffic | None) -> tuple[int, int]:
    """Tokens before the last cache marks on the old model, and of how many conversations."""
    if traffic is not None:
        return traffic.live_prefix_tokens, traffic.live_conversations
    marked = [
        one.before.marked
        for one in judged
        if one.before.marked is not None and any(finding.id == "cache-cold" for finding in one.findings)
    ]
    return sum(marked), len(marked)


def _shares(
    resampled: Resampled, catalogue: Catalogue, before: Model, after: Model, day: datetime.date, platform: str
) -> tuple[Share, ...]:
    rates = [
        float(catalogue.price_row(model, day, platform=platform).input) / 1e6 for model in (before, after)
    ]
    found = []
    for place, name in enumerate(resampled.names):
        was, becomes, ratios = resampled.at(place)
        found.append(
            Share(
                name=name,
                about=ABOUT_ITEMS[name],
                before=round(was),
                after=round(becomes),
                ratio=quantiles(ratios) if ratios else Interval(1.0, 1.0),
                before_usd=was * rates[0],
                after_usd=becomes * rates[1],
            )
        )
    return tuple(sorted(found, key=lambda one: (-one.before - one.after, one.name)))


def _counts(judged: Iterable[Judged]) -> tuple[Count, ...]:
    found: dict[str, Count] = {}
    mended: Counter[str] = Counter()
    too: Counter[str] = Counter()
    number: Counter[str] = Counter()
    for one in judged:
        for name in {finding.id for finding in one.findings}:
            number[name] += 1
        for finding in one.findings:
            mended[finding.id] += finding.mended
            too[finding.id] += finding.before_too
            found.setdefault(
                finding.id,
                Count(
                    id=finding.id,
                    kind=finding.kind,
                    requests=0,
                    mended=0,
                    before_too=0,
                    does=finding.does,
                    says=finding.says,
                    place=finding.place,
                ),
            )
    counts = [
        msgspec.structs.replace(one, requests=number[name], mended=mended[name], before_too=too[name])
        for name, one in found.items()
    ]
    return tuple(sorted(counts, key=lambda one: (one.kind, -one.requests, one.id)))


def _facts(
    catalogue: Catalogue, before: Model, after: Model, day: datetime.date, platform: str
) -> tuple[str, ...]:
    """What differs between the two rows of the catalogue."""
    rows = [catalogue.price_row(model, day, platform=platform) for model in (before, after)]
    facts = []
    prices = [f"{price(row.input)}/{price(row.output)}" for row in rows]
    same = " (the same per token, not per text)" if prices[0] == prices[1] else ""
    facts.append(f"price of a million tokens, in and out: {prices[0]} -> {prices[1]}{same}")
    pairs = (
        ("context window", before.limits.context, after.limits.context),
        ("most output", before.limits.max_output, after.limits.max_output),
        (
            "shortest prefix that is cached",
            before.features.prompt_cache_min or 0,
            after.features.prompt_cache_min or 0,
        ),
    )
    facts += [f"{what}: {was:,} -> {becomes:,} tokens" for what, was, becomes in pairs if was != becomes]
    if before.rate_bucket_on(platform) == after.rate_bucket_on(platform):
        facts.append(f"rate limit: both draw on {after.rate_bucket_on(platform)}")
    else:
        facts.append(
            f"rate limit: {before.rate_bucket_on(platform)} -> {after.rate_bucket_on(platform)}, one of its own"
        )
    facts += [f"retirement: {_retires(model, day)}" for model in (before, after)]
    return tuple(facts)


def _retires(model: Model, day: datetime.date) -> str:
    life = model.lifecycle
    if model.retired_on(day):
        return f"{model.id} is retired"
    if life.retires is not None:
        return f"{model.id} on {life.retires}, in {(life.retires - day).days} days"
    if life.retires_not_before is not None:
        return f"{model.id} not before {life.retires_not_before}"
    return f"{model.id}: no date is known"
