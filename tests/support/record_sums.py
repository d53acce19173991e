"""Any kind of record, and whether a store's sums are those of its records."""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence

import msgspec
import pytest

from trimtab.catalogue import Arm
from trimtab.messages import Usage
from trimtab.records import CALL_ENDINGS, Attempt, Draw, Outcome, Plan, RequestId, Verdict, call_ending
from trimtab.store import Database, Row
from trimtab.store.records.rollups import (
    ATTEMPTS_BY_HOUR,
    BILLED,
    KEY_SPEND,
    LATENCY_BY_HOUR,
    LATENCY_BY_MODEL,
    USAGE_BY_HOUR,
    USAGE_BY_KEY,
    USAGE_BY_TEAM,
    RollUp,
)
from trimtab.store.records.rows import HOUR_MS, SUMMED

ACCOUNTS = ("team=o/red/usd/2026-11", "key=k1/tokens/total", "tag=%00/requests/2026-11-22")


def outcome(n: int, draw: random.Random, *, cascades: bool = True) -> Outcome:
    """A record of any kind; or of those that there were before there were cascades."""
    cost = draw.choice((0, 1, draw.randrange(10**9), 2**53))
    usage = Usage(input_tokens=draw.randrange(10**6), output_tokens=draw.randrange(10**4))
    first = draw.choice((None, 0.2, 10 ** draw.uniform(0, 5)))
    attempt = Attempt(
        draw.choice(("claude", "bedrock")),
        "m",
        "ok",
        usage=usage,
        cost_nanousd=cost,
        first_content_ms=first,
        total_ms=(first or 0) + 10 ** draw.uniform(-1, 5),
        account=draw.choice(("", "", "2")),
    )
    tried = Attempt(
        draw.choice(("claude", "vertex")),
        "m",
        draw.choice(("error", "error", "truncated", "cancelled", "unknown")),
        draw.choice((None, 200, 400, 429, 500, 529)),
        draw.choice((None, "RequestError: no place for it", "overloaded_error")),
        usage=draw.choice((None, usage)),
        cost_nanousd=draw.randrange(10**6),
        total_ms=10 ** draw.uniform(-1, 4),
        account=draw.choice(("", "1", "2")),
    )
    plan = Plan(
        Arm(draw.choice(("m-1", "m-2")), draw.choice((None, "high"))),
        "claude",
        draw.choice((None, "default", "odd\0tier")),
    )
    key = draw.choice(("", "k1", "k2", "k3"))
    escalate = (Verdict("tests", "escalate", cost_nanousd=7, ms=1.5),)
    weak = msgspec.structs.replace(tried, arm=Arm("m-1", "low"), verdicts=escalate)
    strong = msgspec.structs.replace(attempt, arm=Arm("m-3"), step=1, verdicts=(Verdict("tests", "accept"),))
    stronger = msgspec.structs.replace(strong, arm=Arm("m-1", "high"))
    attempts: tuple[Attempt, ...] = draw.choice(
        (
            (attempt,),
            (attempt,),
            (tried, attempt),
            (attempt, tried, tried),
            (tried,),
            (),
            *([(weak, strong), (weak, stronger)] if cascades else ()),
        )
    )
    steps = any(one.step for one in attempts)
    return Outcome(
        id=RequestId(f"{n:032x}"),
        at_ms=draw.randrange(5 * HOUR_MS),
        purpose=draw.choice(("live", "live", "task", "eval")),
        surface="messages",
        endpoint=draw.choice(("messages", "messages", "count_tokens")),
        requested_model="m",
        session="s",
        result=draw.choice(("ok", "truncated", "error", "cancelled")),
        status=200,
        stream=first is not None,
        plan=draw.choice((plan, plan, None)),
        attempts=attempts,
        answered=draw.choice((None, 0)) if steps else None,
        cost_nanousd=min(sum(one.cost_nanousd for one in attempts), 2**53) if steps else cost,
        key=key,
        team=f"team of {key}" if key else "",
        organisation="o" if key else "",
        simulated=draw.random() < 0.2,
        leased=bool(key),
        total_ms=10 ** draw.uniform(-1, 6),
        draws=tuple(
            Draw(account, draw.choice((1, cost, 2**53)), draw.random() < 0.5)
            for account in draw.sample(ACCOUNTS, draw.choice((0, 0, 1, 2)))
        ),
    )


def table(database: Database, rollup: RollUp) -> list[Row]:
    return database.read(
        lambda view: view.rows(
            f"SELECT {', '.join(rollup.columns)} FROM {rollup.table} ORDER BY {', '.join(rollup.keys)}"
        )
    )


def summed(found: list[Row], keys: Sequence[int], first: int) -> dict[Row, list[int]]:
    sums: dict[Row, list[int]] = defaultdict(lambda: [0] * len(SUMMED))
    for row in found:
        place = tuple(row[n] for n in keys)
        sums[place] = [a + b for a, b in zip(sums[place], row[first : first + len(SUMMED)], strict=True)]
    return dict(sums)


RECORDS = (
    "SELECT at_ms - at_ms % 3600000, simulated, purpose, coalesce(model, ''), organisation, team_id, key_id, "
    f"1, attempt_count, {', '.join(SUMMED[2:])} FROM requests"
)
GAPS = (
    "SELECT to_ms - to_ms % 3600000, simulated, purpose, '', organisation, team_id, key_id, "
    f"{', '.join(SUMMED)} FROM record_gaps"
)


ELSEWHERE = (
    "SELECT r.at_ms - r.at_ms % 3600000, r.simulated, r.purpose, coalesce(r.model, ''), j.model, r.organisation, "
    f"r.team_id, r.key_id, {', '.join(f'a.{column}' for column in SUMMED[2:])} FROM judged_attempts j "
    "JOIN requests r ON r.id = j.request_id JOIN attempts a ON a.request_id = j.request_id AND a.n = j.n "
    "WHERE j.model <> coalesce(r.model, '')"
)
"""Calls under another model than that of the answer: there they count, and not where the request does."""


def counted(database: Database) -> list[Row]:
    """What requests and gaps came to: hour, simulated, purpose, model, whose, and the sums."""
    found = database.read(lambda view: view.rows(RECORDS) + view.rows(GAPS))
    for *place, answered, called, organisation, team, key, cost, a, b, c, d, e, f in database.read(
        lambda view: view.rows(ELSEWHERE)
    ):
        figures = (1, cost, a, b, c, d, e, f)
        whose = (organisation, team, key)
        found.append((*place, called, *whose, 0, *figures))
        found.append((*place, answered, *whose, 0, *(-figure for figure in figures)))
    return found


def calls(database: Database) -> dict[Row, list[float]]:
    """What `attempts_by_hour` should say, one call at a time, from the rows of calls."""
    found: dict[Row, list[float]] = defaultdict(lambda: [0] * len(ATTEMPTS_BY_HOUR.sums))
    for row in database.read(
        lambda view: view.rows(
            "SELECT r.at_ms - r.at_ms % 3600000, r.simulated, r.purpose, a.platform, a.account, "
            "coalesce(j.model, r.model, ''), "
            "a.result, a.status, a.error, a.cost_nanousd, a.output_tokens, a.total_ms, a.first_content_ms, "
            "a.input_tokens + a.cache_write_5m_tokens + a.cache_write_1h_tokens + a.cache_read_tokens "
            "FROM attempts a JOIN requests r ON r.id = a.request_id "
            "LEFT JOIN judged_attempts j ON j.request_id = a.request_id AND j.n = a.n WHERE r.endpoint <> 'count_tokens'"
        )
    ):
        result, status, error, cost, output, total, first, taken = row[6:]
        ending = call_ending(result, status, error)
        answered = ending == "answered"
        figures = [1, *(int(ending == name) for name in CALL_ENDINGS), cost, taken, output]
        figures += [output, total - (first or 0)] if answered else [0, 0.0]
        sums = found[row[:6]]
        found[row[:6]] = [a + b for a, b in zip(sums, figures, strict=True)]
    return dict(found)


def check_calls(database: Database) -> None:
    """Each call to a platform is counted once."""
    kept = {row[:6]: row[6:] for row in table(database, ATTEMPTS_BY_HOUR)}
    expected = calls(database)
    assert kept.keys() == expected.keys()
    for place, sums in expected.items():
        assert kept[place][:-1] == tuple(sums[:-1])
        assert kept[place][-1] == pytest.approx(sums[-1])


class Drawn(msgspec.Struct):
    """What matters here of a record."""

    simulated: bool = False
    draws: tuple[Draw, ...] = ()


def check_accounts(database: Database, found: dict[Row, int]) -> None:
    """Each draw is counted once; of records that were dropped only the sums are left."""
    drawn: Counter[Row] = Counter()
    for (detail,) in database.read(lambda view: view.rows("SELECT detail FROM requests")):
        record = msgspec.json.decode(str(detail), type=Drawn)
        for one in record.draws:
            drawn[(one.account, int(record.simulated))] += one.amount
    if database.read(lambda view: view.row("SELECT count(*) FROM record_gaps")) == (0,):
        assert found == +drawn
    assert all(found[place] >= amount for place, amount in (+drawn).items())


def check(database: Database) -> None:
    """Every sum is that of the records and gaps."""
    kept = counted(database)
    assert summed(table(database, USAGE_BY_HOUR), (0, 1, 2, 3), 8) == summed(kept, (0, 1, 2, 3), 7)
    assert summed(table(database, USAGE_BY_KEY), (0, 1, 2, 3, 4, 5, 6), 7) == summed(
        kept, (0, 1, 2, 4, 5, 6, 3), 7
    )
    assert summed(table(database, USAGE_BY_TEAM), (0, 1, 2, 3, 4, 5), 6) == summed(
        kept, (0, 1, 2, 4, 5, 3), 7
    )
    spent: Counter[Row] = Counter()
    for row in kept:
        if row[6] and row[2] in BILLED:
            spent[(row[6], row[1])] += row[9]
    found = {row[:2]: row[2] for row in table(database, KEY_SPEND)}
    assert {place: amount for place, amount in found.items() if "=" not in str(place[0])} == +spent
    check_accounts(database, {place: amount for place, amount in found.items() if "=" in str(place[0])})
    timed = database.read(
        lambda view: view.row(
            "SELECT count(*), count(first_content_ms) FROM requests "
            "WHERE result IN ('ok', 'truncated') AND endpoint <> 'count_tokens'"
        )
    )
    assert timed is not None
    for rollup in (LATENCY_BY_HOUR, LATENCY_BY_MODEL):
        slots = [row[len(rollup.keys) :] for row in table(database, rollup)]
        assert sum(map(sum, slots)) == timed[0] + timed[1]
    check_calls(database)
