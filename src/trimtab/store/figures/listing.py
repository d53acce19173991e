"""Lists of requests, and what lies beside one: its relatives, the names of its key, the configuration it ran under.

What it is not: the record itself (`Store.find`). Invariants: a page looks at a bounded number of records, whatever
is asked, and says how far it came; pages follow one another by time and id, so that nothing is shown twice
or left out however many requests come in meanwhile.
"""

from collections.abc import Sequence

import msgspec

from trimtab.store.database import Database, Row, Transaction, Value

EXAMINED_MOST = 40_000
"""Records that one page looks at where it takes one after the other: six lie on a page of the file. Where the whole
record is searched for what has no column (tags), too: 0.7 us for one of 1.3 KB."""

EXAMINED_APART = 6_000
"""The same where an index leads to few of many: each lies on a page of its own. Either takes 30 to 60 ms of processor
time, see docs/benchmarks.md."""

CHILDREN_MOST = 100

NOT_JUDGED = "none"
"""In the place of a verdict."""

_JUDGED = "SELECT 1 FROM judged_attempts WHERE request_id = requests.id"
"""By its primary key."""

COLUMNS = (
    "id",
    "at_ms",
    "purpose",
    "endpoint",
    "requested_model",
    "coalesce(model, '')",
    "coalesce(effort, '')",
    "coalesce(tier, '')",
    "coalesce(platform, '')",
    "session",
    "result",
    "status",
    "error",
    "stream",
    "simulated",
    "attempt_count",
    "cost_nanousd",
    "input_tokens + cache_write_5m_tokens + cache_write_1h_tokens + cache_read_tokens",
    "output_tokens",
    "total_ms",
    "first_content_ms",
    "key_id",
    "team_id",
    "organisation",
    "parent",
    "detail",
)
"""The order of rows of a list. The whole record is read of those rows only that are shown."""

RELATIVE = "id, at_ms, purpose, coalesce(model, ''), coalesce(effort, ''), result, cost_nanousd"


class Wanted(msgspec.Struct, frozen=True):
    """Filters; `None` is none."""

    simulated: bool
    from_ms: int | None = None
    to_ms: int | None = None
    purposes: tuple[str, ...] | None = None
    requested_model: str | None = None
    model: str | None = None
    effort: str | None = None
    tier: str | None = None
    platform: str | None = None
    key: str | None = None
    team: str | None = None
    organisation: str | None = None
    session: str | None = None
    results: tuple[str, ...] | None = None
    status: int | None = None
    error: str | None = None
    """A part of the text."""
    slower_ms: float | None = None
    cost_nanousd: int | None = None
    adaptive: bool = False
    """Only where adaptive thinking was decided."""
    tags: tuple[str, ...] | None = None
    """All of them."""
    verdict: str | None = None
    """What verifiers came to on the answer that was given; `NOT_JUDGED`: none was asked."""
    escalated: bool | None = None
    """Whether it went through several steps of a cascade."""

    @property
    def looks_inside(self) -> bool:
        """Whether the whole record must be read."""
        return self.adaptive or bool(self.tags)


class _Arm(msgspec.Struct, frozen=True):
    thinking: str | None = None


class _Plan(msgspec.Struct, frozen=True):
    arm: _Arm


class _Inside(msgspec.Struct, frozen=True):
    """What of a whole record is looked at."""

    plan: _Plan | None = None
    tags: tuple[str, ...] = ()


class Listing(msgspec.Struct, frozen=True):
    """One page."""

    rows: list[Row]
    """In the order of `COLUMNS`, the newest first."""
    more: tuple[int, str] | None
    """Time and id below which the next page begins; `None`: there is no more."""
    searched_to_ms: int | None
    """Where the search stopped because it had looked at enough."""


def list_requests(database: Database, wanted: Wanted, below: tuple[int, str] | None, limit: int) -> Listing:
    """A page of the requests below a time and id. Blocks. Raises `StoreError`."""
    return database.read(lambda view: _page(view, wanted, below, limit))


def _page(view: Transaction, wanted: Wanted, below: tuple[int, str] | None, limit: int) -> Listing:
    narrow, narrow_values = _indexed(wanted)
    examined = EXAMINED_APART if narrow else EXAMINED_MOST
    if below is not None and (wanted.to_ms is None or below[0] < wanted.to_ms):
        # The row comparison alone would be right, but SQLite only looks up the first part in the index.
        narrow += " AND at_ms <= ?"
        narrow_values.append(below[0])
    elif wanted.to_ms is not None:
        narrow += " AND at_ms < ?"
        narrow_values.append(wanted.to_ms)
    if wanted.from_ms is not None:
        narrow += " AND at_ms >= ?"
        narrow_values.append(wanted.from_ms)
    last = view.row(
        f"SELECT at_ms FROM requests WHERE true{narrow} ORDER BY at_ms DESC LIMIT 1 OFFSET ?",  # noqa: S608
        (*narrow_values, examined),
    )
    floor_ms = None if last is None else int(last[0])
    conditions, values = _conditions(wanted)
    if floor_ms is not None:
        conditions += " AND at_ms >= ?"
        values.append(floor_ms)
    if below is not None:
        conditions += " AND (at_ms < ? OR (at_ms = ? AND id < ?))"
        values += [below[0], *below]
    rows = view.rows(
        f"SELECT {', '.join(COLUMNS)} "  # noqa: S608
        f"FROM requests WHERE true{narrow}{conditions} "
        "ORDER BY at_ms DESC, id DESC LIMIT ?",
        (*narrow_values, *values, limit + 1),
    )
    more = searched_to_ms = None
    if len(rows) > limit:
        rows = rows[:limit]
        more = (rows[-1][1], rows[-1][0])
    elif floor_ms is not None:
        more, searched_to_ms = (floor_ms, ""), floor_ms
    if wanted.looks_inside:
        # What the statement finds by its text may stand elsewhere in a record; then a page is shorter by it.
        rows = [row for row in rows if _is_inside(wanted, row[-1])]
    return Listing(rows, more, searched_to_ms)


def _is_inside(wanted: Wanted, detail: str) -> bool:
    found = msgspec.json.decode(detail, type=_Inside)
    if wanted.adaptive and (found.plan is None or found.plan.arm.thinking != "adaptive"):
        return False
    return set(wanted.tags or ()).issubset(found.tags)


def _indexed(wanted: Wanted) -> tuple[str, list[Value]]:
    """The one condition that an index with the time has, so that only what fits it is looked at."""
    if wanted.session is not None:
        return " AND session = ?", [wanted.session]
    if wanted.key:
        return " AND key_id = ? AND key_id <> ''", [wanted.key]
    if wanted.error is not None or (wanted.results is not None and "ok" not in wanted.results):
        return " AND result <> 'ok'", []
    return "", []


def _conditions(wanted: Wanted) -> tuple[str, list[Value]]:
    text = " AND simulated = ?"
    values: list[Value] = [int(wanted.simulated)]
    for column, value in (
        ("requested_model", wanted.requested_model),
        ("model", wanted.model),
        ("effort", wanted.effort),
        ("tier", wanted.tier),
        ("platform", wanted.platform),
        ("key_id", wanted.key),
        ("team_id", wanted.team),
        ("organisation", wanted.organisation),
        ("session", wanted.session),
        ("status", wanted.status),
    ):
        if value is not None:
            named = f"coalesce({column}, '')" if value == "" else column
            text += f" AND {named} = ?"
            values.append(value)
    for column, several in (("purpose", wanted.purposes), ("result", wanted.results)):
        if several is not None:
            text += f" AND {column} IN ({', '.join('?' * len(several))})"
            values += several
    if wanted.slower_ms is not None:
        text += " AND total_ms >= ?"
        values.append(wanted.slower_ms)
    if wanted.cost_nanousd is not None:
        text += " AND cost_nanousd >= ?"
        values.append(wanted.cost_nanousd)
    if wanted.error is not None:
        text += " AND lower(error) LIKE ? ESCAPE '!'"
        values.append(_containing(wanted.error.lower()))
    if wanted.verdict == NOT_JUDGED:
        text += f" AND NOT EXISTS ({_JUDGED} AND released = 1 AND says <> '')"
    elif wanted.verdict is not None:
        text += f" AND EXISTS ({_JUDGED} AND released = 1 AND says = ?)"
        values.append(wanted.verdict)
    if wanted.escalated is not None:
        text += f" AND {'' if wanted.escalated else 'NOT '}EXISTS ({_JUDGED} AND step > 0)"
    inside = [msgspec.json.encode(tag).decode() for tag in wanted.tags or ()]
    if wanted.adaptive:
        inside.append('"thinking":"adaptive"')
    for part in inside:  # not by functions for JSON: PostgreSQL's refuse records that hold a NUL
        text += " AND detail LIKE ? ESCAPE '!'"
        values.append(_containing(part))
    return text, values


def _containing(part: str) -> str:
    """A pattern of `LIKE`, with `!` before what would be special."""
    for special in "!%_":
        part = part.replace(special, "!" + special)
    return f"%{part}%"


_ASKED = "AND purpose IN ('live', 'task', 'eval')"
"""What a conversation consists of; calls of verifiers and audits bear its name, too."""


class Relatives(msgspec.Struct, frozen=True):
    """What lies beside a request; rows in the order of `RELATIVE`."""

    parent: Row | None
    children: list[Row]
    previous: Row | None
    following: Row | None
    config_at_ms: int | None


class Within(msgspec.Struct, frozen=True):
    """Whose requests may be told of; `None` is anybody's."""

    organisation: str | None = None
    team: str | None = None
    key: str | None = None


def _owned_by(within: Within) -> list[tuple[str, str]]:
    """Columns, and what they are to hold."""
    columns = (("organisation", within.organisation), ("team_id", within.team), ("key_id", within.key))
    return [(column, value) for column, value in columns if value is not None]


def relatives(
    database: Database,
    request_id: str,
    at_ms: int,
    session: str,
    parent: str | None,
    config: str,
    within: Within,
) -> Relatives:
    """The parent, the children, and the neighbours in the session. Blocks. Raises `StoreError`."""
    owned = _owned_by(within)
    head = f"SELECT {RELATIVE} FROM requests WHERE true{''.join(f' AND {column} = ?' for column, _ in owned)}"  # noqa: S608
    own = [value for _, value in owned]

    def work(view: Transaction) -> Relatives:
        above = view.row(f"{head} AND id = ?", (*own, parent)) if parent is not None else None
        children = view.rows(
            f"{head} AND parent = ? ORDER BY at_ms, id LIMIT ?", (*own, request_id, CHILDREN_MOST)
        )
        previous = following = None
        turns = f"{head} AND session = ? {_ASKED}"
        if session:  # what is refused at the door has none
            previous = view.row(
                f"{turns} AND at_ms <= ? AND (at_ms < ? OR id < ?) ORDER BY at_ms DESC, id DESC LIMIT 1",
                (*own, session, at_ms, at_ms, request_id),
            )
            following = view.row(
                f"{turns} AND at_ms >= ? AND (at_ms > ? OR id > ?) ORDER BY at_ms, id LIMIT 1",
                (*own, session, at_ms, at_ms, request_id),
            )
        noted = view.row("SELECT at_ms FROM config_versions WHERE version = ?", (config,))
        return Relatives(above, children, previous, following, None if noted is None else int(noted[0]))

    return database.read(work)


def key_names(database: Database, ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Name and organisation of these keys, revoked ones too. Blocks. Raises `StoreError`."""
    listed = msgspec.json.encode(ids).decode()
    rows = database.read(
        lambda view: view.rows(
            f"SELECT id, name, organisation FROM keys WHERE id IN {view.words.texts}",  # noqa: S608 (our own words)
            (listed,),
        )
    )
    return {row[0]: (row[1], row[2]) for row in rows}


def config_text(database: Database, version: str) -> bytes | None:
    """What a configuration version said. Blocks. Raises `StoreError`."""
    row = database.read(
        lambda view: view.row("SELECT content FROM config_versions WHERE version = ?", (version,))
    )
    return None if row is None else bytes(row[0])
