"""Backup and restore of the store that a configuration names.

What it is not: the copying (`store.backup`). Only the section `[store]` is read, so that a backup does
not fail for want of a platform's key.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from trimtab.app.clock import unix_ms
from trimtab.config import Document, load_document
from trimtab.store import StoreSettings
from trimtab.store.backup import Manifest, Progress, Restored, make_backup, restore_backup

T = TypeVar("T")


class BackedUp(msgspec.Struct, frozen=True):
    """How a backup went."""

    manifest: Manifest
    size_bytes: int
    took_s: float


class PutBack(msgspec.Struct, frozen=True):
    """How a restore went."""

    restored: Restored
    took_s: float


def back_up(config: Path | None, target: Path, *, force: bool, progress: Progress) -> BackedUp:
    """Copy the store to a file. Blocks; `serve` may be running. Raises `ConfigError`, `StoreError`."""
    began = time.monotonic()
    manifest = _with_store(
        config,
        lambda settings: make_backup(settings, target, clock_ms=unix_ms, force=force, progress=progress),
    )
    return BackedUp(manifest, target.stat().st_size, time.monotonic() - began)


def put_back(config: Path | None, source: Path, *, force: bool, progress: Progress) -> PutBack:
    """Make the store what a backup says. Blocks. Raises `ConfigError`, `StoreError`."""
    began = time.monotonic()
    restored = _with_store(
        config,
        lambda settings: restore_backup(settings, source, clock_ms=unix_ms, force=force, progress=progress),
    )
    return PutBack(restored, time.monotonic() - began)


def _with_store(config: Path | None, work: Callable[[StoreSettings], T]) -> T:
    document: Document = load_document(config)
    settings = document.section("store", StoreSettings)
    with document.placing():
        return work(settings)
