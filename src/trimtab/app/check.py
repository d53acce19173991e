"""`trimtab doctor`: every precondition of serving, tried for real, each with what to do about it."""

import importlib.metadata
import platform as host
import sys
from pathlib import Path
from typing import Literal

import apsw
import msgspec

from trimtab.app.assemble import open_records
from trimtab.app.live import live_models, today
from trimtab.app.settings import Settings, config_path, load_settings
from trimtab.catalogue import lifecycle_notes
from trimtab.errors import TrimtabError
from trimtab.gateway import bind

PARTS = ("uvicorn", "uvloop", "httptools", "msgspec", "apsw")


class Finding(msgspec.Struct, frozen=True):
    """One thing that was tried."""

    level: Literal["ok", "note", "problem"]
    subject: str
    text: str


def diagnose(path: Path | None, *, network: bool) -> list[Finding]:
    """Try everything that `serve` needs. `network` also asks each platform for its models (spends nothing)."""
    findings = [_versions()]
    try:
        settings = load_settings(config_path(path))
    except TrimtabError as problem:
        return [*findings, Finding("problem", "configuration", str(problem))]
    source = settings.document.name
    findings.append(Finding("ok", "configuration", f"{source}, version {settings.document.version}"))
    findings += _catalogue(settings)
    findings.append(_store(settings))
    findings.append(_address(settings))
    for name in settings.platforms:
        findings.append(_platform(settings, name, network))
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


def _store(settings: Settings) -> Finding:
    try:
        store = open_records(settings, on_problem=None)
    except TrimtabError as problem:
        return Finding("problem", "store", str(problem))
    store.close(timeout_s=5)
    return Finding("ok", "store", f"{settings.store.url} can be written")


def _address(settings: Settings) -> Finding:
    try:
        bind(settings.listen, "server.listen", "set server.listen").close()
    except TrimtabError as problem:
        return Finding("note", "address", f"{problem} (fine if that is Trimtab itself)")
    return Finding("ok", "address", f"{settings.listen.url} is free")


def _platform(settings: Settings, name: str, network: bool) -> Finding:
    subject = f"platform {name}"
    if not network:
        return Finding("ok", subject, "configured; not asked (--offline)")
    try:
        live = live_models(settings, name)
    except TrimtabError as problem:
        return Finding("problem", subject, str(problem))
    if live.simulated:
        advice = "; set ANTHROPIC_API_KEY or configure one" if len(settings.platforms) == 1 else ""
        return Finding("note", subject, f"is simulated: no real model answers{advice}")
    return Finding("ok", subject, f"answers and lists {len(live.models)} models")
