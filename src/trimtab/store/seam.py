"""The seam: what every record store does, its settings and what it reports. No SQL here.

Invariant: one contract suite (`tests/contract/test_store_contract.py`) holds for every implementation.
"""

from typing import Annotated, Protocol

import msgspec

from trimtab.config import Secret
from trimtab.records import Intent, Outcome


class StoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `[store]` section."""

    url: str = "sqlite:///trimtab.db"
    """`sqlite:///relative/path`, `sqlite:////absolute/path`, `postgresql://user@host/database`, or a reference
    (`env:DATABASE_URL`)."""
    password: Secret | None = None
    """PostgreSQL only: the user's password, by reference. PGPASSWORD and .pgpass work too."""
    queue_max: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 50_000
    """Records that may wait in memory. Beyond it only their totals are kept; see docs/store.md."""
    batch_ms: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 100
    """How long a record waits for others before they are committed together."""
    batch_max: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 500
    """Records in one commit; a full batch does not wait."""
    wait_ms: Annotated[int, msgspec.Meta(ge=5, le=10_000)] = 50
    """How long a request may wait for the store, where it must: for a slice of its limits, its idempotency key."""
    journal: str | None = None
    """Directory of the local journal, relative to where Trimtab is started. Default: the SQLite file's name with
    `.journal`, or `trimtab.journal` for a PostgreSQL store. A local disk."""
    spill_mb: Annotated[int, msgspec.Meta(ge=16, le=1_000_000)] = 1024
    """How much room the journal of a process may take, in MiB, while the store is away."""
    keep_days: Annotated[int, msgspec.Meta(ge=0, le=36_500)] = 0
    """Records older than this are deleted, within the hour or so; 0 keeps them for ever. Totals stay right."""
    keep_tasks_days: Annotated[int, msgspec.Meta(ge=0, le=36_500)] = 30
    """Tasks to which nothing has happened for so long are deleted, with their events; 0 keeps them for ever."""
    tasks_per_key: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 100_000
    """Tasks of one key that are neither closed nor cancelled; and of those that are, so many stay, the newest. A client
    that never closes one may make 3,300 a day for the 30 days that tasks are kept. So many take 130 MB and more."""
    keep_rollups_days: Annotated[int, msgspec.Meta(ge=0, le=36_500)] = 0
    """As `keep_days` for the sums by the hour that totals are read from; never shorter than that of records."""


class StoreStatus(msgspec.Struct, frozen=True):
    """How the store is, for health pages and metrics."""

    writable: bool
    """Whether the last try to write succeeded."""
    problem: str | None
    """One line for the operator, until the store has caught up again."""
    queued: int
    """Records in memory that are not committed yet."""
    written: int
    """Records committed by this process."""
    dropped: int
    """Records of this process of which only the totals are kept."""
    last_commit_ms: int | None
    """Unix milliseconds."""
    spilled: int = 0
    """Records that found no room in memory and wait in the journal."""


class TokenCounts(msgspec.Struct, frozen=True):
    """Tokens by kind. `thinking` is a part of `output`; the other kinds do not overlap."""

    input: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    cache_read: int = 0
    output: int = 0
    thinking: int = 0


class Totals(msgspec.Struct, frozen=True):
    """Sums over committed records, queued records and gaps."""

    requests: int = 0
    attempts: int = 0
    cost_nanousd: int = 0
    tokens: TokenCounts = TokenCounts()


class Store(Protocol):
    """Keeps outcomes. Records are immutable: of two with one id, the first stands."""

    def intend(self, intent: Intent) -> bool:
        """Write down a call before it goes out, where a process's death cannot lose it; whether that worked.

        `put` with the same id ends it. Never waits for the database and never raises.
        """
        ...

    def put(self, outcome: Outcome, recovered: bool = False) -> None:
        """Queue a record. Never blocks on disk and never raises; callable from any thread.

        `recovered`: another process made the call and died, so this one holds no lease for it.
        """
        ...

    def find(self, request_id: str) -> bytes | None:
        """The whole record as JSON, committed or still queued. Blocks on disk. Raises `StoreError`."""
        ...

    def note_config(self, version: str, content: bytes, at_ms: int) -> None:
        """Keep what a configuration version says. Queued like `put`; a version noted twice is kept once."""
        ...

    def status(self) -> StoreStatus:
        """How the store is now. Never blocks on disk."""
        ...

    def totals(self, since_ms: int, *, simulated: bool = False) -> Totals:
        """Sums over records that arrived at or after `since_ms`, for real or for simulated traffic, never both.

        A gap is kept by the hour: one that reaches past `since_ms` counts whole, so near that edge the sum may be
        too high by the dropped records of one hour, never too low. Blocks on disk. Raises `StoreError`.
        """
        ...

    def close(self, timeout_s: float) -> int:
        """Write what is queued, then close. Blocks up to `timeout_s`.

        Returns how many records are neither written nor counted in a written gap. Idempotent.
        """
        ...
