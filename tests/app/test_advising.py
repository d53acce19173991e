"""Advice ends as a change that applies to the file of the operator and loads; nothing is changed before."""

import random
import subprocess
import time
from pathlib import Path

import msgspec

from trimtab.admin.task_words import NewTask
from trimtab.admin.tasks import TaskAdmin, Visitor
from trimtab.app import load_settings
from trimtab.app.advising import _effort_edits, advise_efforts, advise_task_phases, places_of
from trimtab.budgets.tasks import new_task
from trimtab.budgets.tasks.keeping import keep_new
from trimtab.catalogue import Arm
from trimtab.efforts.advice import EffortAdvice, Kind, Place
from trimtab.messages import Usage
from trimtab.records import Attempt, Outcome, Plan, new_request_id
from trimtab.store import StoreSettings, Transaction, open_database, open_store
from trimtab.store.feedback import FeedbackStore, Told
from trimtab.store.figures.efforts import AskedOnce
from trimtab.store.tasks import KeptTask

CONFIG = """version = 1
# our gateway
[store]
url = "sqlite:///{folder}/t.db"

[scenarios]
coding = "xhigh"   # since 2026-09

[routes.review]
match = {{tags = ["review"]}}
model = "claude-opus-4-7@max"
scenario = "research"
"""

RIGHT = {("", "coding", "high"): 0.9, ("", "coding", "xhigh"): 0.9, ("", "coding", "low"): 0.4}
RIGHT |= {("review", "research", "max"): 0.95, ("review", "research", "xhigh"): 0.95}
RIGHT |= {("", "quick", "low"): 0.9, ("", "quick", "medium"): 0.9}
"""By route, class and effort."""

COSTS = {"low": 1, "medium": 2, "high": 4, "xhigh": 8, "max": 16}
TOLD = 420


def records(folder: Path) -> None:
    settings = StoreSettings(url=f"sqlite:///{folder}/t.db", queue_max=100_000)
    now = time.time_ns() // 1_000_000
    draw = random.Random(1)
    store = open_store(settings, clock_ms=lambda: now, on_problem=None)
    told = []
    for (route, task_class, effort), right in RIGHT.items():
        for n in range(TOLD):
            cost = COSTS[effort] * 10**6 + n
            attempt = Attempt(
                "claude", "m", "ok", 200, usage=Usage(input_tokens=9, output_tokens=9), cost_nanousd=cost
            )
            record = Outcome(
                id=new_request_id(now - n, draw.getrandbits),
                at_ms=now - n,
                purpose="live",
                surface="messages",
                endpoint="messages",
                requested_model="trimtab/auto",
                session=f"{route}-{task_class}-{effort}-{n}",
                result="ok",
                status=200,
                stream=False,
                plan=Plan(arm=Arm("claude-opus-4-7", effort), platform="claude", route=route),  # type: ignore[arg-type]
                attempts=(attempt,),
                cost_nanousd=cost,
                task_class=task_class,
            )
            store.put(record)
            told.append(Told(request=record.id, source="tests", score=float(n < right * TOLD)))
    assert store.close(60) == 0
    database = open_database(settings, clock_ms=lambda: now)
    assert FeedbackStore(database).tell_found(told) == (len(told), 0, {})
    database.close()


def test_the_change_applies_with_patch_and_loads_and_keeps_every_comment(tmp_path: Path) -> None:
    config = tmp_path / "trimtab.toml"
    text = CONFIG.format(folder=tmp_path)
    config.write_text(text)
    records(tmp_path)
    advised = advise_efforts(config, days=1, simulated=False, margin=0.05)
    assert config.read_text() == text
    assert {(one.route, one.task_class): (one.kind, one.proposed) for one in advised.efforts} == {
        ("", "coding"): ("lower", "high"),
        ("review", "research"): ("lower", "xhigh"),
        ("", "quick"): ("keep", "low"),
    }
    done = subprocess.run(
        ["patch", "-p0"], input=advised.diff, cwd=tmp_path, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert config.read_text() == text.replace('coding = "xhigh"   #', 'coding = "high"   #').replace(
        "[routes.review]\n", '[routes.review]\neffort = "xhigh"\n'
    )
    settings = load_settings(config)
    assert settings.scenarios["coding"].effort == "high"
    assert [route.effort for route in settings.routes] == ["xhigh"]
    again = advise_efforts(config, days=1, simulated=False, margin=0.05)
    assert (again.diff, again.by_hand) == ("", ())


def tasks(folder: Path, count: int = 120) -> None:
    """Tasks of a class that spend most on tools, with the usual phases."""
    database = open_database(StoreSettings(url=f"sqlite:///{folder}/t.db"), clock_ms=lambda: 1)
    now = time.time_ns() // 1_000_000
    draw = random.Random(2)
    spending = {"analysis": 5, "tools": 60, "verification": 10, "report": 5}

    def add(transaction: Transaction, n: int) -> None:
        made, events = new_task(f"task_{n:032d}", 100_000, at_ms=now)
        phases = tuple(
            msgspec.structs.replace(
                one,
                budget=25_000,
                spent=round(1000 * spending[one.name] * draw.uniform(0.5, 1.2)),
                begun=True,
            )
            for one in made.phases
        )
        made = msgspec.structs.replace(made, phases=phases, state="closed")
        kept = KeptTask(
            id=made.id,
            key="",
            organisation="",
            team="",
            user="",
            scenario="coding",
            state="closed",
            created_ms=now - 1000,
            changed_ms=now,
            detail=b"",
        )
        keep_new(transaction, kept, made, events)

    for n in range(count):
        database.write(lambda transaction, n=n: add(transaction, n), durable=False)
    database.close()


def test_phases_that_tasks_need_are_written_to_their_scenario_and_new_tasks_have_them(tmp_path: Path) -> None:
    config = tmp_path / "trimtab.toml"
    config.write_text(CONFIG.format(folder=tmp_path))
    open_database(StoreSettings(url=f"sqlite:///{tmp_path}/t.db"), clock_ms=lambda: 1).close()
    tasks(tmp_path)
    advised = advise_task_phases(config, days=1, simulated=False)
    (one,) = advised.phases
    assert (one.task_class, one.kind, one.tasks) == ("coding", "change", 120)
    done = subprocess.run(
        ["patch", "-p0"], input=advised.diff, cwd=tmp_path, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "}   # since 2026-09\n" in config.read_text()
    scenario = load_settings(config).scenarios["coding"]
    assert (scenario.effort, sum((scenario.phases or {}).values())) == ("xhigh", 100)
    database = open_database(StoreSettings(url=f"sqlite:///{tmp_path}/t.db"), clock_ms=lambda: 1)
    door = TaskAdmin(
        database,
        lambda: new_request_id(1, random.getrandbits),
        scenarios=load_settings(config).scenarios,
        most=9,
    )
    view = door.add(Visitor(), NewTask(total=100_000, scenario="coding"))
    assert {phase.name: phase.budget // 1000 for phase in view.phases} == scenario.phases
    other = door.add(Visitor(), NewTask(total=100_000, scenario="agent"))
    assert [phase.budget for phase in other.phases] == [20_000, 40_000, 30_000, 10_000]
    database.close()


def test_a_place_whose_models_differ_stays_as_it_is_and_that_is_said() -> None:
    def one(model: str, kind: Kind, proposed: str, route: str = "") -> EffortAdvice:
        return EffortAdvice(
            route=route,
            task_class="coding",
            model=model,
            kind=kind,
            present="high",
            proposed=proposed,
            why="",
        )

    edits, differing = _effort_edits((one("a", "lower", "low"), one("b", "keep", "high")))
    assert edits == []
    assert "scenarios.coding: its models or classes differ" in differing[0]
    assert "coding on a low; coding on b high" in differing[0]
    both = (one("a", "lower", "low"), one("b", "lower", "medium"), one("c", "raise", "max", "r"))
    assert _effort_edits(both) == (
        [(("scenarios", "coding"), "effort", "medium", ""), (("routes", "r"), "effort", "max", "")],
        [],
    )


def test_a_class_that_the_header_or_the_task_named_is_advised_on_its_own_and_not_by_the_route(
    tmp_path: Path,
) -> None:
    config = tmp_path / "trimtab.toml"
    config.write_text(
        CONFIG.format(folder=tmp_path)
        + '[routes.plain]\neffort = "low"\n[tiers]\nfast = {arm = "claude-haiku-4-5", scenario = "quick"}\n'
    )
    place_of = places_of(load_settings(config))

    def place(route: str, task_class: str) -> Place:
        asked = AskedOnce(
            id="r",
            at_ms=0,
            route=route,
            task_class=task_class,
            model="m",
            effort="high",
            task="",
            phase="",
            session="s",
            ok=True,
            cost_nanousd=1,
            input_tokens=1,
            output_tokens=1,
            thinking_tokens=0,
            total_ms=1.0,
            told=(),
        )
        return place_of(asked)

    assert place("review", "research") == ("review", "research"), "its own scenario"
    assert place("review", "coding") == ("", "coding")
    assert place("plain", "") == ("plain", "")
    assert place("plain", "quick") == ("plain", "quick"), "a tier's, whom the route stands before"
    assert place("plain", "coding") == ("", "coding")
    assert place("gone", "coding") == ("", "coding")


def test_without_records_there_is_no_data_and_nothing_to_change(tmp_path: Path) -> None:
    config = tmp_path / "trimtab.toml"
    config.write_text(CONFIG.format(folder=tmp_path))
    open_database(StoreSettings(url=f"sqlite:///{tmp_path}/t.db"), clock_ms=lambda: 1).close()
    advised = advise_efforts(config, days=30, simulated=False, margin=0.05)
    assert (advised.efforts, advised.diff, advised.by_hand) == ((), "", ())
    assert advise_task_phases(config, days=30, simulated=False).phases == ()
