"""Puts a migration together: the models, the rules, the tokenizers, what was learnt, and what was recorded.

What it is not: the judging (`migration`). Invariant: nothing is made by looking; where there is no store, that is said.
"""

from pathlib import Path

import msgspec

from trimtab.app.choosing import open_normaliser
from trimtab.app.clock import unix_ms
from trimtab.app.live import today
from trimtab.app.opening import open_named
from trimtab.app.settings import Settings
from trimtab.app.token_learning import learnt_tokens
from trimtab.app.tokenizers import find_tokenizers
from trimtab.catalogue import Model, Platform
from trimtab.catalogue.estimating import Corrections
from trimtab.catalogue.estimating.estimate import Item
from trimtab.catalogue.model import PLATFORMS
from trimtab.catalogue.token_tables import FITS
from trimtab.errors import ConfigError, NotFound, RequestError, StoreError, printable
from trimtab.messages import CacheCreation, MessagesBody, Usage
from trimtab.migration import (
    Judge,
    Judged,
    Report,
    Request,
    Spoken,
    Tokens,
    Traffic,
    Unreadable,
    behaviour_changes,
    made_report,
    read_requests,
)
from trimtab.normaliser import shipped_rules
from trimtab.store.figures.traffic import KeptRequest, ModelTraffic, kept_requests, model_traffic

DAY_MS = 86_400_000

SHORTEST_DAYS = 1 / 24
"""Of traffic that a month is worked out from."""

FEW_DAYS = 2.0
"""Less tells little of a month."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked."""

    before: str
    after: str
    files: tuple[Path, ...] = ()
    recorded: bool = False
    days: int = 7
    most: int = 1000
    """Kept requests that are judged."""
    platform: str = "anthropic"
    version: str = "2023-06-01"
    betas: tuple[str, ...] = ()


def migration_report(settings: Settings, wish: Wish) -> Report:
    """Judge requests of files, or those that were recorded. Blocks. Raises `ConfigError`, `NotFound`, `StoreError`."""
    before, after = (_model(settings, name) for name in (wish.before, wish.after))
    platform = _platform(wish.platform)
    if before.id == after.id:
        raise ConfigError(wish.after, f"is {before.id}, too; name two models")
    found = find_tokenizers()
    notes = list(found.problems)
    corrections, learnt_from = _corrections(settings, before, after)
    notes += learnt_from
    judge = Judge(
        before,
        after,
        open_normaliser(settings, shipped_rules()),
        platform=platform,
        tokenizers=found.tokenizers,
        corrections=corrections,
    )
    traffic: Traffic | None = None
    bad: list[Unreadable] = []
    if wish.recorded:
        requests, traffic, said = _recorded(settings, wish, before)
        notes += said
    else:
        spoken = Spoken(before.id, wish.version, wish.betas)
        requests, bad = read_requests(list(wish.files), spoken)
        requests, others = _of_model(settings, requests, before)
        notes += others
    judged: list[Judged] = []
    for request in requests:
        one = judge.judge(request)
        judged.append(one)
        notes += [note for note in one.measured.problems if note not in notes]
    return made_report(
        judged,
        bad,
        catalogue=settings.catalogue,
        before=before,
        after=after,
        day=today(),
        platform=platform,
        behaviour=behaviour_changes(before, after),
        traffic=traffic,
        notes=notes,
        corrections=corrections,
    )


def _corrections(settings: Settings, before: Model, after: Model) -> tuple[dict[str, Corrections], list[str]]:
    """What was learnt for both models, where there is a store and something in it; and what to say of it."""
    try:
        database = open_named(settings.store, settings.document, create=False)
    except StoreError:
        return {}, []
    try:
        found = learnt_tokens(database)
    finally:
        database.close()
    if found is None:
        return {}, []
    was, becomes = found.learnt.of(before), found.learnt.of(after)
    if was is None and becomes is None:
        return {}, []
    known = {before.id: was or shared(becomes), after.id: becomes or shared(was)}
    usages = sum([one.usages for one in (was, becomes) if one is not None])
    note = f"token estimates are corrected by what {usages:,} usages showed (version {found.version})"
    return {name: one for name, one in known.items() if one is not None}, [note]


def shared(learnt: Corrections | None) -> Corrections | None:
    """What one model's usage tells of another vocabulary: how texts differ from those of the tables, no more."""
    if learnt is None:
        return None
    factors: dict[Item, float] = {item: factor for item, factor in learnt.factors.items() if item in FITS}
    return Corrections(factors=factors, errors={}, usages=learnt.usages)


def _model(settings: Settings, name: str) -> Model:
    model = settings.catalogue.find(name)
    if model is None:
        close = settings.catalogue.suggest(name)
        hint = f"; did you mean {close}?" if close is not None else ""
        raise NotFound(f"{printable(name, 80)!r} is not in the catalogue; trimtab models lists it{hint}")
    return model


def _platform(name: str) -> Platform:
    for known in PLATFORMS:
        if known == name:
            return known
    raise ConfigError("--platform", f"{printable(name, 40)!r}: must be one of {', '.join(PLATFORMS)}")


def _of_model(settings: Settings, requests: list[Request], before: Model) -> tuple[list[Request], list[str]]:
    """Those that name the old model, a tier or a model that nobody knows; and how many name another one."""
    kept, others = [], 0
    for request in requests:
        named = settings.catalogue.find(request.body.model)
        if named is not None and named.id != before.id:
            others += 1
        else:
            kept.append(request)
    note = f"{others:,} requests name another model than {before.id} and were left out"
    return kept, [note] if others else []


def _recorded(settings: Settings, wish: Wish, before: Model) -> tuple[list[Request], Traffic, list[str]]:
    database = open_named(settings.store, settings.document, create=False)
    try:
        now = unix_ms()
        from_ms = now - wish.days * DAY_MS
        simulated = False
        sums = model_traffic(database, before.id, from_ms=from_ms, simulated=False)
        if not sums.requests:
            simulated = True
            sums = model_traffic(database, before.id, from_ms=from_ms, simulated=True)
        kept = kept_requests(database, before.id, from_ms=from_ms, simulated=simulated, most=wish.most)
    finally:
        database.close()
    if not sums.requests:
        raise NotFound(
            f"no answered request of {before.id} was recorded in the last {wish.days} days; name files, or more --days"
        )
    notes = []
    if simulated:
        notes.append("SIMULATED: no real request of it was recorded; these were answered by the simulator")
    requests, unread = _of_kept(kept)
    redacted = sum([one.redacted for one in kept])
    if not kept:
        notes.append(
            "prompts are not kept here (content.keep), so what these requests hold is not known: refusals and silent "
            "changes cannot be told, and the ratio of tokens is as wide as contents differ"
        )
    elif len(kept) < sums.requests:
        notes.append(
            f"{len(kept):,} of {sums.requests:,} requests were kept and are judged; costs are those of all of them"
        )
    if redacted:
        notes.append(f"{redacted:,} of them were kept redacted: placeholders count for what they stand for")
    if unread:
        notes.append(f"{unread:,} kept requests could not be read and were left out")
    days = max((now - sums.first_ms) / DAY_MS, SHORTEST_DAYS)
    if days < FEW_DAYS:
        notes.append(f"the records span {max(1, round(days * 24))} h only: a month is a guess from that")
    return requests, _traffic(sums, days, simulated), notes


def _traffic(sums: ModelTraffic, days: float, simulated: bool) -> Traffic:
    return Traffic(
        days=days,
        requests=sums.requests,
        tokens=Tokens(
            input=sums.input_tokens,
            cache_write_5m=sums.cache_write_5m_tokens,
            cache_write_1h=sums.cache_write_1h_tokens,
            cache_read=sums.cache_read_tokens,
            output=sums.output_tokens,
        ),
        live_conversations=sums.live_conversations,
        live_prefix_tokens=sums.live_prefix_tokens,
        simulated=simulated,
    )


def _of_kept(kept: list[KeptRequest]) -> tuple[list[Request], int]:
    found, unread = [], 0
    for one in kept:
        try:
            body = MessagesBody(one.body)
        except RequestError:
            unread += 1
            continue
        written = one.cache_write_5m_tokens + one.cache_write_1h_tokens
        found.append(
            Request(
                name=one.request_id,
                body=body,
                headers=[(b"anthropic-version", b"2023-06-01")],
                usage=Usage(
                    input_tokens=one.input_tokens,
                    output_tokens=one.output_tokens,
                    cache_creation_input_tokens=written,
                    cache_read_input_tokens=one.cache_read_tokens,
                    cache_creation=CacheCreation(one.cache_write_5m_tokens, one.cache_write_1h_tokens),
                ),
                at_ms=one.at_ms,
                headers_known=False,
                session=one.session,
            )
        )
    return found, unread
