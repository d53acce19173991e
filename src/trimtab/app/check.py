"""`trimtab doctor`: every precondition of serving, tried for real, each with what to do about it."""

import datetime
import importlib.metadata
import os
import platform as host
import sys
from pathlib import Path
from typing import Literal

import apsw
import msgspec

from trimtab.admin import Actor
from trimtab.app.assemble import open_records
from trimtab.app.callers import Callers
from trimtab.app.clock import unix_ms
from trimtab.app.doorkeeping import console_words
from trimtab.app.live import today
from trimtab.app.platforms import ids_served, open_entry
from trimtab.app.process import run_loop
from trimtab.app.served import TierServed, entries, tiers_served
from trimtab.app.settings import Settings, config_path, load_settings
from trimtab.app.token_learning import learnt_tokens
from trimtab.app.tokenizers import find_tokenizers
from trimtab.app.tried import tried
from trimtab.catalogue import lifecycle_notes
from trimtab.catalogue.effort import fitted
from trimtab.catalogue.estimating.learning import tables_version
from trimtab.catalogue.money import about_dollars
from trimtab.catalogue.tokens import GENERATIONS
from trimtab.errors import ConfigError, SandboxUnavailable, TrimtabError
from trimtab.gateway import bind
from trimtab.sandbox import Sandbox
from trimtab.store import open_database, store_exists
from trimtab.store.housekeeping import Condition, condition_of
from trimtab.store.opening import is_postgres, journal_root, sqlite_path

SAID = {
    "guidance": "said in words",
    "budget": "said by a thinking budget, or in words",
    "off": "left out",
}
"""What becomes of an effort that is named for a model without levels, by `effort.without`."""

LEAST_ROOM_MIB = 64
"""Of a disk. Batches of records and the log of SQLite take some MiB each; without room limited keys get 503."""

PARTS = ("uvicorn", "uvloop", "httptools", "msgspec", "apsw")


class Finding(msgspec.Struct, frozen=True):
    """One thing that was tried."""

    level: Literal["ok", "note", "problem"]
    subject: str
    text: str


def diagnose(path: Path | None, *, network: bool) -> list[Finding]:
    """Try everything that `serve` needs. `network` also asks each platform whether it takes the
    credentials (spends nothing)."""
    findings = [_versions()]
    try:
        settings = load_settings(config_path(path))
    except TrimtabError as problem:
        return [*findings, Finding("problem", "configuration", str(problem))]
    source = settings.document.name
    findings.append(Finding("ok", "configuration", f"{source}, version {settings.document.version}"))
    findings += _catalogue(settings)
    findings += _tokenizers()
    if (missing := _no_store(settings)) is not None:
        findings.append(missing)
    else:
        findings += _store(settings)
        findings += _room(settings)
        findings += _learnt(settings)
        findings += _keys(settings)
        findings += _budgets(settings)
        findings += _console(settings)
    findings.append(_address(settings))
    findings += _tiers(settings)
    findings += _efforts(settings)
    findings.append(_sandbox(settings))
    for name in settings.platforms:
        findings += _platform(settings, name, network)
    return findings


def _versions() -> Finding:
    parts = ", ".join(f"{part} {importlib.metadata.version(part)}" for part in PARTS)
    return Finding(
        "ok",
        "versions",
        f"Python {sys.version.split()[0]} on {host.system()} {host.machine()}; SQLite {apsw.sqlite_lib_version()}; "
        f"{parts}",
    )


def _catalogue(settings: Settings) -> list[Finding]:
    catalogue, tiers = settings.catalogue, settings.tiers
    count = len(catalogue.models)
    findings = [
        Finding("ok", "catalogue", f"{count} models as of {catalogue.as_of}, version {catalogue.version}")
    ]
    arms = (tiers.default, tiers.escalation, tiers.control, tiers.fast)
    bound = {model.id for arm in arms if (model := catalogue.find(arm.model)) is not None}
    for note in lifecycle_notes(catalogue, today()):
        if note.model in bound:
            findings.append(Finding("note", "tiers", f"{note.model}: {note.text}"))
    return findings


def _tokenizers() -> list[Finding]:
    """How tokens are estimated."""
    found = find_tokenizers()
    names = found.names
    said = ", ".join(
        f"{generation} by {f'tokenizer {names[generation]}' if generation in names else 'content class'}"
        for generation in GENERATIONS
    )
    return [
        Finding("ok", "token estimates", said),
        *(Finding("note", "token estimates", problem) for problem in found.problems),
    ]


def _no_store(settings: Settings) -> Finding | None:
    """Where there is no store yet, none is made: who asks may be in the wrong folder."""
    store, address = settings.store, settings.listen
    try:
        if store_exists(store):
            return None
        folder = None if is_postgres(store) else sqlite_path(store.url).parent
    except TrimtabError:
        return None  # opening it tells of it
    if folder is not None and not os.access(folder, os.W_OK | os.X_OK):
        text = f"{folder} does not exist or cannot be written to; create it, or change store.url"
        return Finding("problem", "store", text)
    if not address.is_local:
        text = f"no store yet: {store.url}, and {address.url} needs a key; make one: trimtab keys add NAME"
        return Finding("problem", "store", text)
    return Finding("note", "store", f"no store here yet: {store.url}; `trimtab serve` makes it")


def _store(settings: Settings) -> list[Finding]:
    try:
        open_records(settings, on_problem=None).close(timeout_s=5)
        database = open_database(settings.store, clock_ms=unix_ms)
        try:
            found = condition_of(database)
        finally:
            database.close()
    except TrimtabError as problem:
        return [Finding("problem", "store", str(problem))]
    findings = [
        Finding(
            "ok",
            "store",
            f"{settings.store.url} can be written; {found.engine}, schema {found.schema}",
        ),
        Finding("ok", "records", _kept(settings, found)),
    ]
    if found.lost_workers:
        findings.append(
            Finding(
                "note",
                "limits",
                f"{_counted(found.lost_workers, 'process', 'processes')} ended without closing and held "
                f"{about_dollars(found.lost_nanousd)} of limited keys{_on_budgets(found)}; it counts as spent until a "
                "`trimtab serve` on the same machine has read the journal",
            )
        )
    if found.lost_calls:
        findings.append(
            Finding(
                "note",
                "tasks",
                f"{_counted(found.lost_calls, 'call', 'calls')} of tasks were in flight in processes that ended; what "
                "they hold counts as used until a `trimtab serve` on the same machine has read the journal",
            )
        )
    return findings


def _room(settings: Settings) -> list[Finding]:
    """Where the disk of the store or of the journal is full or nearly so, which opening them does not show."""
    places = {}
    try:
        if not is_postgres(settings.store):
            places["the store"] = sqlite_path(settings.store.url).parent
        journal = journal_root(settings.store)
    except TrimtabError:
        return []  # the store's trouble is told already
    places["the journal"] = next((place for place in (journal, *journal.parents) if place.exists()), journal)
    findings = {}
    for whose, place in places.items():
        try:
            disk = os.statvfs(place)
        except OSError:
            continue
        room = disk.f_bavail * disk.f_frsize / 2**20
        if room < LEAST_ROOM_MIB:
            text = (
                f"{room:,.0f} MiB are left where {whose} is ({place}); free some space: "
                "where nothing can be written, keys with limits and tasks get 503"
            )
            findings[disk.f_fsid, disk.f_blocks] = Finding("problem", "disk", text)
    return list(findings.values())


def _learnt(settings: Settings) -> list[Finding]:
    """What usage taught of token estimates, where it did."""
    try:
        database = open_database(settings.store, clock_ms=unix_ms)
        try:
            found = learnt_tokens(database)
        finally:
            database.close()
    except TrimtabError:
        return []  # the store's trouble is told already
    daily = "anew each day" if settings.learns_tokens else "not anew (catalogue.learn_tokens is off)"
    if found is None:
        if settings.content.keep == "off" or not settings.learns_tokens:
            return []
        return [Finding("ok", "token estimates", "corrected once 20 real prompts are kept, within a day")]
    said = f"what {_counted(sum(found.usages.values()), 'usage', 'usages')} taught (version {found.version})"
    if found.learnt.tables != tables_version():
        again = "belongs to the tables of another version of Trimtab; run trimtab models --learn-tokens again"
        return [Finding("note", "token estimates", f"{said} {again}")]
    return [Finding("ok", "token estimates", f"corrected by {said}, learnt {daily}")]


def _kept(settings: Settings, found: Condition) -> str:
    free = f" ({found.free_bytes / 1e6:,.1f} MB of it free for new ones)" if found.free_bytes else ""
    since = "no record yet"
    if found.oldest_ms is not None:
        oldest = datetime.datetime.fromtimestamp(found.oldest_ms / 1000, datetime.UTC)
        since = f"records since {oldest:%Y-%m-%d %H:%M} UTC"
    days = settings.store.keep_days
    kept = f"kept for {_counted(days, 'day', 'days')}" if days else "kept for ever (store.keep_days = 0)"
    return f"{since}, {kept}; the store takes {found.size_bytes / 1e6:,.1f} MB{free}"


def _on_budgets(found: Condition) -> str:
    if not found.lost_accounts:
        return ""
    return f", and some of what {_counted(found.lost_accounts, 'budget', 'budgets')} may still use"


def _counted(count: int, one: str, many: str) -> str:
    """`1 day`, `2 days`."""
    return f"{count:,} {one if count == 1 else many}"


def _keys(settings: Settings) -> list[Finding]:
    try:
        callers = Callers(settings)
    except ConfigError as problem:
        return [Finding("problem", "keys", str(problem))]
    except TrimtabError:
        return []  # the store's trouble is told already
    usable = callers.keys.usable()
    callers.close()
    who = "every caller must show one" if callers.access(settings).required else "callers may go without"
    return [Finding("ok", "keys", f"{usable:,} that work; {who}")]


def _budgets(settings: Settings) -> list[Finding]:
    """Those that are in force, and what is odd about some."""
    try:
        callers = Callers(settings)
    except TrimtabError:
        return []  # told already
    try:
        views = callers.budget_admin(settings).budgets(Actor("doctor"))
    finally:
        callers.close()
    if not views:
        return []
    notes = [Finding("note", "budgets", f"{one.name}: {one.note}") for one in views if one.note]
    return [Finding("ok", "budgets", f"{len(views):,} in force"), *notes]


def _console(settings: Settings) -> list[Finding]:
    try:
        words = console_words(settings)
    except TrimtabError:
        return []  # the store's trouble is told already
    return [Finding("note" if "no user" in words else "ok", "console", words)]


def _address(settings: Settings) -> Finding:
    try:
        bind(settings.listen, "server.listen", "set server.listen").close()
    except TrimtabError as problem:
        return Finding("note", "address", f"{problem} (fine if that is Trimtab itself)")
    return Finding("ok", "address", f"{settings.listen.url} is free")


def _tiers(settings: Settings) -> list[Finding]:
    """Whether some entry serves each tier, and what is not taken there."""
    try:
        served = tiers_served(settings, entries(settings), today())
    except ConfigError as problem:
        return [Finding("problem", "platforms", str(problem))]
    findings = []
    by_entries: dict[str, list[str]] = {}
    lacking: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for one in served:
        if not one.entries:
            findings.append(Finding("problem", "tiers", _unserved(one)))
            continue
        names = " or ".join(entry.name for entry in one.entries)
        by_entries.setdefault(names, []).append(one.tier)
        for entry, lacks in zip(one.entries, one.lacks, strict=True):
            if lacks:
                kind = entry.profile.name if entry.profile is not None else entry.platform
                goes = "goes" if len(one.entries) == 1 else "may go"
                said = f"{goes} to {entry.name}, and {kind}"
                lacking.setdefault((entry.name, said, lacks), []).append(f"{one.tier} ({one.arm})")
    for (_, said, lacks), tiers in lacking.items():
        text = f"{', '.join(tiers)} {said} does not take {', '.join(lacks)}; see docs/normaliser.md"
        findings.append(Finding("note", "tiers", text))
    if by_entries:
        shown = "; ".join(f"{', '.join(tiers)} by {names}" for names, tiers in by_entries.items())
        findings.insert(0, Finding("ok", "tiers", f"served: {shown}"))
    return findings


def _efforts(settings: Settings) -> list[Finding]:
    """Efforts of tiers and routes that become others, and routes to models that nobody serves."""
    findings = []
    arms = [(f"tier {tier}", arm) for tier, arm in settings.tiers.items()]
    arms += [(f"route {route.name}", route.arm) for route in settings.routes if route.arm is not None]
    for who, arm in arms:
        model = settings.catalogue.find(arm.model)
        if model is None or arm.effort is None or arm.effort in model.effort_levels:
            continue
        if model.effort_levels:
            other = fitted(arm.effort, model.effort_levels, settings.effort.clamp)
            becomes = f"{model.id} has no {arm.effort}, so its requests get {other}"
        else:
            becomes = f"{model.id} has no effort levels, so it is {SAID[settings.effort.without]}"
        findings.append(Finding("note", "effort", f"{who} is {arm}: {becomes}; see docs/effort.md"))
    if settings.routes:
        findings.append(Finding("ok", "routes", ", ".join(route.name for route in settings.routes)))
        served = {model for one in entries(settings) for model in one.models}
        for route in settings.routes:
            model = settings.catalogue.find(route.arm.model) if route.arm is not None else None
            if model is not None and model.id not in served:
                text = f"{route.name} is {route.arm}, which no configured platform serves; name another, or add one"
                findings.append(Finding("problem", "routes", text))
    return findings


def _unserved(one: TierServed) -> str:
    if not one.later:
        return f"{one.tier} is {one.arm}, which no configured platform serves; bind it to another model, or add one"
    days = ", ".join(f"{name} from {day}" for name, day in one.later)
    return f"{one.tier} is {one.arm}, which is not served yet: {days}; permit another platform until then"


def _platform(settings: Settings, name: str, network: bool) -> list[Finding]:
    """One finding for each key of the entry's pool, or for the entry."""
    try:
        providers = open_entry(settings, name)
    except ConfigError as problem:
        return [Finding("problem", f"platform {name}", str(problem))]

    async def ask() -> list[Finding]:
        findings = []
        alone = len(settings.platforms) == 1
        for key, models in ids_served(providers, settings.catalogue).items():
            account = key.removeprefix(name).removeprefix("#")
            subject = f"platform {name}" + (f", key {account}" if account else "")
            found = await tried(providers[key], _bound_first(settings, models))
            advice = "; set ANTHROPIC_API_KEY or configure one" if found.simulated and alone else ""
            findings.append(Finding(found.level, subject, found.text + advice))
            await providers[key].aclose()
        return findings

    if not network:
        return [Finding("ok", f"platform {name}", "configured; not asked (--offline)")]
    return run_loop(ask())


def _sandbox(settings: Settings) -> Finding:
    """Whether checks can run code: one run of nothing much, with the folders that may be read."""
    try:
        run_loop(Sandbox(settings.sandbox).check())
    except SandboxUnavailable as missing:
        return Finding("note", "sandbox", f"{missing}; checks that run code are unsure")
    return Finding("ok", "sandbox", "code can be run in it")


def _bound_first(settings: Settings, models: dict[str, str]) -> dict[str, str]:
    """The models that tiers mean before others: those are what an operator wants to hear of."""
    bound = [model.id for _, arm in settings.tiers.items() if (model := settings.catalogue.find(arm.model))]
    return {model: models[model] for model in dict.fromkeys((*bound, *models)) if model in models}
