"""Hundreds of tasks at once over several processes that are killed, and what must then be in the books.

What it is not: the arithmetic of a budget (`tests/budgets`), which is searched there step by step.
"""

import asyncio
import datetime
import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from drive import Event, Key, Platform, Site, eventually, opened, settled
from findings import Findings
from killing import kill_one, left_nothing, serves
from load import http_answer

from trimtab.budgets.tasks.keeping import present
from trimtab.budgets.tasks.model import Task
from trimtab.catalogue import Catalogue
from trimtab.records import Outcome
from trimtab.store import Transaction
from trimtab.store.tasks import see_task

SPENT = "SELECT key_id, spent_nanousd FROM key_spend WHERE simulated = 0"

ANSWER_S = 60.0
STRATEGIES = ("prioritize_completion", "prioritize_quality")
PHASES = ("analysis", "tools", "verification", "report")
MOST_CALLS = 40
"""Of one task; most are out of budget before."""

MOST_TRIES = 150

OF_PHASE = ("phase_budget_exhausted", "phase_usd_exhausted")
OVER = ("task_budget_exhausted", "task_usd_exhausted", "task_cancelled", "task_closed")


@dataclass
class Ran:
    """What one task's agent saw."""

    id: str
    total: int
    usd: float | None
    whole: int = 0
    """Answers that it had in full."""
    over: str = ""
    """Why it may make no more calls, as it was told."""
    statuses: Counter[int] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    """What should never be said."""


class Agents:
    """Runs all tasks on one event loop."""

    def __init__(self, port: int, key: Key, dice: random.Random, tasks: int) -> None:
        self._port, self._key, self._dice, self._tasks = port, key, dice, tasks
        self.ran: list[Ran] = []

    async def run(self) -> None:
        await asyncio.gather(*(self._run(n) for n in range(self._tasks)))

    async def _run(self, n: int) -> None:
        dice = self._dice
        total = dice.randint(3_000, 9_000)
        usd = dice.choice([None, round(dice.uniform(0.01, 0.1), 6)])
        asked: dict[str, Any] = {"total": total, "strategy": dice.choice(STRATEGIES)}
        if usd is not None:
            asked["usd"] = usd
        status, _, made = await self._again("POST", "/trimtab/v1/tasks", asked)
        assert status in (200, 201), made
        ran = Ran(json.loads(made)["id"], total, usd)
        self.ran.append(ran)
        turns: list[dict[str, str]] = []
        tries = call = 0
        while call < MOST_CALLS and tries < MOST_TRIES and not ran.over:
            tries += 1
            phase = PHASES[min(call // 4, 3)]
            answered = await self._call(ran, f"t{n}-{tries}", phase, turns)
            call += answered
            await asyncio.sleep(dice.uniform(0, 0.2) if answered else dice.uniform(0.2, 1))
        if not ran.over and dice.random() < 0.5:
            await self._again("POST", f"/trimtab/v1/tasks/{ran.id}/close", {})

    async def _call(self, ran: Ran, name: str, phase: str, turns: list[dict[str, str]]) -> bool:
        """One call; whether somebody answered, or was not waited for."""
        dice = self._dice
        asked = {"role": "user", "content": f"{name}: " + "what is in the file " * dice.randint(1, 40)}
        stream = dice.random() < 0.5
        body = {
            "model": "trimtab/default",
            "max_tokens": dice.randint(300, 900),
            "stream": stream,
            "messages": [*turns, asked],
        }
        way = dice.random()
        headers = {
            "x-trimtab-session": ran.id,
            "x-trimtab-task": ran.id,
            "x-trimtab-phase": phase,
            "x-chaos": f"{name} tasks {dice.randint(1, 150)} use={dice.randint(50, 1000)}",
        }
        if way < 0.1:  # goes away in the middle
            await self._leave(body, headers, dice.uniform(0.005, 0.12))
            return True
        if way < 0.12:
            status, _, said = await self._again("POST", f"/trimtab/v1/tasks/{ran.id}/cancel", {})
            if status != 200:
                ran.problems.append(f"cancel: {status} {said[:200]!r}")
        status, found, said = await self._once("POST", "/v1/messages", body, headers)
        ran.statuses[status] += 1
        if status == 200:
            ran.whole += 1
            turns += [asked, {"role": "assistant", "content": "." * 40}]
        elif (reason := found.get(b"x-trimtab-stop-reason", b"").decode()) in (*OF_PHASE, *OVER):
            # A phase that is over is not the task: the next one has its own.
            ran.over = "" if reason in OF_PHASE and phase != PHASES[-1] else reason
        elif status == 402 and b"crew" in said:
            ran.over = "the team's limit"
        elif status not in (0, 429, 503, 502):
            ran.problems.append(f"{status} {said[:200]!r}")
        return status != 0

    async def _leave(self, body: dict[str, Any], headers: dict[str, str], after_s: float) -> None:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return
        writer.write(self._request("POST", "/v1/messages", body, headers))
        await asyncio.sleep(after_s)
        writer.transport.abort()

    async def _again(
        self, method: str, path: str, body: dict[str, Any]
    ) -> tuple[int, dict[bytes, bytes], bytes]:
        """Until there is an answer that says something."""
        give_up = time.monotonic() + ANSWER_S
        while True:
            status, headers, said = await self._once(method, path, body, {})
            if status not in (0, 503, 429) or time.monotonic() > give_up:
                return status, headers, said
            await asyncio.sleep(self._dice.uniform(0.05, 0.3))

    async def _once(
        self, method: str, path: str, body: dict[str, Any], headers: dict[str, str]
    ) -> tuple[int, dict[bytes, bytes], bytes]:
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(ANSWER_S):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                writer.write(self._request(method, path, body, headers))
                status, found, said = await http_answer(reader)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as problem:
            return 0, {}, str(problem).encode()
        finally:
            if writer is not None:
                writer.transport.abort()
        if status == 200 and (
            b'"type":"error"' in said or (body.get("stream") and b"message_stop" not in said)
        ):
            return 0, found, said
        return status, found, said

    def _request(self, method: str, path: str, body: dict[str, Any], headers: dict[str, str]) -> bytes:
        content = json.dumps(body, separators=(",", ":")).encode()
        lines = [f"{method} {path} HTTP/1.1", "host: localhost", "anthropic-version: 2023-06-01"]
        lines += [f"x-api-key: {self._key.secret}", "content-type: application/json"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, f"content-length: {len(content)}", "", ""]).encode() + content


def tasks_under_fire(
    folder: Path, store_url: str, *, tasks: int, workers: int, kills: int, seed: int, usd: float
) -> Findings:
    """Run so many tasks at once, kill so many processes meanwhile, let it settle, and compare.

    All tasks are of one team, which may spend so many dollars in all, less than they would.
    """
    dice = random.Random(seed)
    platform = Platform(folder)
    options = f'[budgets.crew]\nteam = "crew"\nusd_total = {usd}\n[budgets.seen]\nteam = "crew"\nsoft = true\ntokens_per_month = 1000\n'
    site = Site(folder, platform, store_url, workers, "wait_ms = 2000\n", options=options)
    try:
        key = site.key("tasks", team="crew")
        site.start()
        agents = Agents(site.port, key, random.Random(seed + 1), tasks)
        killed: Counter[str] = Counter()

        async def work() -> None:
            running = asyncio.create_task(agents.run())
            for _ in range(kills):
                await asyncio.wait([running], timeout=dice.uniform(0.5, 5))
                if running.done():
                    break
                killed[(await asyncio.to_thread(kill_one, site, dice))[1]] += 1
            await running

        began = time.monotonic()
        uvloop.run(work())
        took = time.monotonic() - began
        eventually(lambda: serves(site), 60, lambda: f"the server to serve:\n{site.log.read_text()}")
        settled(site)
        status = site.stop()
        store = store_url.partition(":")[0]
        findings = Findings(
            f"{tasks} tasks, {workers} workers, {sum(killed.values())} kills, {store}, seed {seed}"
        )
        findings.note("killed", ", ".join(f"{n} {kind}" for kind, n in sorted(killed.items())) or "nobody")
        findings.note("seconds", took)
        judge_tasks(findings, site, platform.events(), agents.ran, cap_nanousd=round(usd * 1e9))
        left_nothing(findings, site)
        findings.check("exit status after the last stop", status == 0, status)
        findings.check("tracebacks in the logs", not site.tracebacks(), len(site.tracebacks()))
        return findings
    finally:
        site.destroy()
        platform.close()


@dataclass(frozen=True)
class TaskBooks:
    """What the store says of tasks and of what they cost."""

    tasks: dict[str, Task]
    records: list[Outcome]
    unsettled: int
    """Holds of tasks that nobody settled."""
    accounts: dict[str, int]
    """What was counted on each, real money."""


def task_books(site: Site, ids: list[str]) -> TaskBooks:
    """Read all of it."""

    def work(tx: Transaction) -> TaskBooks:
        return TaskBooks(
            tasks={one: present(seen) for one in ids if (seen := see_task(tx, one)) is not None},
            records=[
                msgspec.json.decode(bytes(row[0]) if not isinstance(row[0], str) else row[0], type=Outcome)
                for row in tx.rows("SELECT detail FROM requests")
            ],
            unsettled=int(tx.rows("SELECT count(*) FROM task_holds WHERE settled = 0")[0][0]),
            accounts={str(account): int(spent) for account, spent in tx.rows(SPENT)},
        )

    with opened(site) as database:
        return database.read(work)


def judge_tasks(
    findings: Findings, site: Site, events: list[Event], ran: list[Ran], *, cap_nanousd: int
) -> None:
    """Compare what the platform saw, what the agents were told, and the books."""
    found = task_books(site, [one.id for one in ran])
    made = [record for record in found.records if record.attempts]
    statuses: Counter[int] = Counter()
    for one in ran:
        statuses += one.statuses
    findings.note("answers by status (0: none)", dict(sorted(statuses.items())))
    findings.note("tasks by how they ended", dict(Counter(one.over or "all calls made" for one in ran)))
    findings.check("whole answers", sum(one.whole for one in ran) > len(ran), sum(one.whole for one in ran))
    findings.none("what agents should never be told", {problem for one in ran for problem in one.problems})
    findings.none("tasks that were told of and are not kept", {one.id for one in ran} - set(found.tasks))
    findings.check("calls without a record", *_unrecorded(events, made))
    findings.note("records of calls", dict(Counter(record.result for record in made)))
    findings.none("records whose cost is not the price of their usage", _wrongly_priced(made))
    guessed = [record for record in made if record.attempts[-1].cost_source == "estimated"]
    findings.note(
        "estimated", f"{len(guessed)} of {len(made)}, {sum(r.cost_nanousd for r in guessed) / 1e9:.4f} USD"
    )
    findings.none(
        "estimated beyond what was held",
        {
            record.id
            for record in guessed
            if record.cost_nanousd > sum(a.reserved_nanousd for a in record.attempts)
        },
    )
    cost: Counter[str] = Counter()
    unknown: set[str] = set()
    for record in found.records:
        cost[record.task] += record.cost_nanousd
        if record.result == "unknown":
            unknown.add(record.task)
    _judge_each(findings, found, ran, cost, unknown)
    total = sum(record.cost_nanousd for record in found.records)
    crew = found.accounts.get("team=default/crew/usd/total", 0)
    findings.check(
        "the team's account less the sum of its records, nano-dollars", crew == total, crew - total
    )
    findings.check("share of the team's limit", crew <= cap_nanousd, crew / cap_nanousd)
    tokens = sum(
        n for account, n in found.accounts.items() if account.startswith("team=default/crew/tokens/")
    )
    drawn = [d for record in found.records for d in record.draws if "/tokens/" in d.account]
    counted = sum(draw.amount for draw in drawn)
    findings.check("the team's tokens less those that its records draw", tokens == counted, tokens - counted)
    findings.none(
        "records that draw other tokens than they report",
        {
            record.id
            for record in made
            if record.attempts[-1].cost_source == "reported"
            and sum(d.amount for d in record.draws if "/tokens/" in d.account) != _tokens(record)
        },
    )
    findings.check("holds of tasks that nobody settled", found.unsettled == 0, found.unsettled)


def _judge_each(
    findings: Findings, found: TaskBooks, ran: list[Ran], cost: Counter[str], unknown: set[str]
) -> None:
    tasks = found.tasks
    findings.none("tasks that still hold something", {t.id for t in tasks.values() if t.held or t.holds})
    findings.none(
        "tasks whose phases do not come to the total",
        {t.id for t in tasks.values() if sum(phase.budget for phase in t.phases) != t.total},
    )
    beyond = {t.id: t.spent - t.total for t in tasks.values() if t.spent > t.total}
    findings.none(
        "tasks beyond their total by more than they list",
        {i for i, n in beyond.items() if n > tasks[i].overshoot},
    )
    findings.note(
        "tasks beyond their total, most tokens", f"{len(beyond)}, {max(beyond.values(), default=0)}"
    )
    findings.none(
        "tasks beyond their money",
        {t.id for t in tasks.values() if t.nanousd is not None and t.spent_nanousd > t.nanousd},
    )
    # Of a process that died behind the settlement and before the record, the record has the worst case.
    findings.none(
        "tasks whose money is not that of their records",
        {
            t.id
            for t in tasks.values()
            if not (t.spent_nanousd == cost[t.id] or (t.id in unknown and t.spent_nanousd <= cost[t.id]))
        },
    )
    findings.check(
        "tasks that spent something",
        sum(t.spent > 0 for t in tasks.values()) > len(ran) // 2,
        sum(t.spent > 0 for t in tasks.values()),
    )


def _unrecorded(events: list[Event], made: list[Outcome]) -> tuple[bool, int]:
    """Calls that the platform saw of each task, beyond its records."""
    came = len({event.name for event in events if event.came})
    seen = sum(event.came for event in events)
    missing = max(0, came - len(made))
    return missing == 0 and seen == came, missing + seen - came


def _wrongly_priced(made: list[Outcome]) -> set[str]:
    catalogue = Catalogue.load()
    wrong: set[str] = set()
    for record in made:
        attempt = record.attempts[-1]
        if attempt.cost_source != "reported" or attempt.usage is None or record.plan is None:
            continue
        model = catalogue.find(record.plan.arm.model)
        assert model is not None
        at = datetime.datetime.fromtimestamp(record.at_ms / 1000, datetime.UTC)
        if attempt.cost_nanousd != catalogue.price(model, attempt.usage, at, platform="anthropic"):
            wrong.add(record.id)
    return wrong


def _tokens(record: Outcome) -> int:
    found = [one.usage for one in record.attempts if one.usage is not None and one.cost_source != "unbilled"]
    return sum((usage.input_tokens or 0) + (usage.output_tokens or 0) for usage in found)
