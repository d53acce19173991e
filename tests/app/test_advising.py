"""Advice ends as a change that applies to the file of the operator and loads; nothing is changed before."""

import random
import subprocess
import time
from pathlib import Path

from trimtab.app import load_settings
from trimtab.app.advising import advise_efforts
from trimtab.catalogue import Arm
from trimtab.messages import Usage
from trimtab.records import Attempt, Outcome, Plan, new_request_id
from trimtab.store import StoreSettings, open_database, open_store
from trimtab.store.feedback import FeedbackStore, Told

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
    assert FeedbackStore(database).tell_found(told) == (len(told), {})
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


def test_without_records_there_is_no_data_and_nothing_to_change(tmp_path: Path) -> None:
    config = tmp_path / "trimtab.toml"
    config.write_text(CONFIG.format(folder=tmp_path))
    open_database(StoreSettings(url=f"sqlite:///{tmp_path}/t.db"), clock_ms=lambda: 1).close()
    advised = advise_efforts(config, days=30, simulated=False, margin=0.05)
    assert (advised.efforts, advised.diff, advised.by_hand) == ((), "", ())
