"""What is known of verified attempts is what their records say: by route, class and arm, first and later steps apart."""

import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from trimtab.app.measuring import VERSIONS_KEPT, MeasuredWatch, work_out
from trimtab.catalogue import Arm
from trimtab.records import Attempt, Outcome, Plan, Says, Verdict, new_request_id
from trimtab.store import Database, StoreSettings, open_database, open_store
from trimtab.store.artefacts import ArtefactStore
from trimtab.store.figures.judged import JudgedArm, joined
from trimtab.store.figures.usual import EVERY_CLASS, OLD_MS
from trimtab.verification.measured import KINDS, Judgements, Measured

DAY_MS = 86_400_000
WEAK, STRONG = Arm("m", "low"), Arm("m", "high", "adaptive")


class Records:
    """A store that is filled, and the database beside it."""

    def __init__(self, url: str) -> None:
        self.now_ms = 1_800_000_000_000
        self._settings = StoreSettings(url=url, batch_ms=1)
        self.database: Database = open_database(self._settings, clock_ms=lambda: self.now_ms)
        self._draw = random.Random(7)

    def add(self, said: Sequence[Sequence[Says | None]], task_class: str = "", **changes: object) -> None:
        """One request for each, of one step for each word, on the weak arm first: attempt k of request n costs n and
        100 k more nano-dollars, and takes as many milliseconds."""
        store = open_store(self._settings, clock_ms=lambda: self.now_ms, on_problem=None)
        for n, words in enumerate(said):
            attempts = tuple(
                Attempt(
                    "p", "m", "ok", 200, cost_nanousd=n + 100 * step, total_ms=float(n + 100 * step), step=step,
                    arm=STRONG if step else WEAK,
                    verdicts=(Verdict("tests", word, cost_nanousd=40, ms=8.0),) if word else (),
                )
                for step, word in enumerate(words)
            )  # fmt: skip
            made = Outcome(
                new_request_id(self.now_ms - DAY_MS, self._draw.getrandbits), self.now_ms - DAY_MS, "live", "messages",
                "messages", "m", f"s{n}", "ok", 200, False, Plan(WEAK, "p", route="auto"), attempts, task_class=task_class,
            )  # fmt: skip
            store.put(msgspec.structs.replace(made, **changes))
        assert store.close(60) == 0

    def measured(self) -> Measured:
        watch = MeasuredWatch(self.database, lambda: 0.0)
        watch.look()
        return watch.measured


@pytest.fixture
def records(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Records]:
    on_postgres = getattr(request, "param", "") == "postgresql"
    made = Records(request.getfixturevalue("postgres_store") if on_postgres else f"sqlite:///{tmp_path}/a.db")
    yield made
    made.database.close()


@pytest.mark.parametrize("records", ["sqlite", "postgresql"], indirect=True)
def test_failures_money_and_time_are_those_of_the_judged_attempts(records: Records) -> None:
    work: list[tuple[Says | None, ...]] = [("accept",)] * 30 + [("escalate", "accept")] * 8
    work += [("unsure", "escalate")] * 2 + [("escalate", "unsure"), ("escalate", None)]
    records.add(work, "coding")
    records.add([("accept",)] * 3, "chat")
    records.add([(None,)] * 50, "coding")
    records.add([("escalate",)] * 50, "coding", purpose="eval")
    too_long = Attempt("p", "m", "ok", arm=WEAK, verdicts=(Verdict("held_back", "unsure", failed=True),))
    records.add([("accept",)] * 9, "coding", attempts=(too_long,))
    records.add([("escalate",)] * 25, "coding", simulated=True)
    assert records.measured().failure("auto", "coding", WEAK, False) == Judgements()
    assert work_out(records.database) == [False, True]

    known = records.measured()
    assert known.failure("auto", "coding", WEAK, False) == Judgements(42, 10, 2)
    assert known.failure("auto", EVERY_CLASS, WEAK, False) == Judgements(45, 10, 2)
    assert known.failure("auto", "chat", WEAK, False).not_accepted == 0
    assert known.failure("auto", "coding", WEAK, True) == Judgements(25, 25, 0)
    # Given that the weak one failed; nothing is known of the strong one on all requests.
    assert known.failure("auto", "coding", STRONG, False, later=True) == Judgements(11, 2, 1)
    for unknown in (("auto", "coding", STRONG), ("auto", "none", WEAK), ("", "coding", WEAK)):
        assert known.failure(*unknown, False) == Judgements()
    assert known.attempt_cost("auto", "coding", WEAK, False) == sum(range(42)) // 42
    assert known.ms("auto", "coding", WEAK, False) == sorted(range(42))[math.ceil(0.9 * 42) - 1]
    assert known.checks_cost("auto", "coding", WEAK, False) == 40
    assert known.checks_ms("auto", "coding", WEAK, False) == 8.0
    # Three judged answers say nothing of a class's money: that of all classes stands in.
    assert known.attempt_cost("auto", "chat", WEAK, False) == (sum(range(42)) + sum(range(3))) // 45
    assert known.attempt_cost("auto", "coding", STRONG, False) is None
    assert known.attempt_cost("auto", "coding", STRONG, False, later=True) is None, "of eleven"
    assert known.harder("auto", "coding", STRONG, False) == 1.0


def test_what_an_arm_costs_where_a_lower_one_failed_is_told_against_what_it_costs_first(
    records: Records,
) -> None:
    records.add([("escalate", "accept")] * 30)
    records.add([("accept",)] * 20, attempts=(Attempt("p", "m", "ok", cost_nanousd=50, arm=STRONG, verdicts=(Verdict("tests", "accept"),)),))  # fmt: skip
    work_out(records.database)
    known = records.measured()
    assert known.harder("auto", "", STRONG, False) == pytest.approx((100 + 14.5) / 50, rel=0.01)
    assert known.attempt_cost("auto", "", STRONG, False, later=True) == pytest.approx(100 + 14.5, abs=1)
    assert known.harder("auto", "", WEAK, False) == 1.0


def test_a_version_is_added_only_where_something_has_changed_enough_to_matter(records: Records) -> None:
    def versions() -> int:
        return len(ArtefactStore(records.database).versions(KINDS[False], 1000))

    assert work_out(records.database) == []
    records.add([("accept",)] * 60)
    assert work_out(records.database) == [False]
    assert work_out(records.database) == []
    records.add([("accept",)] * 2)
    assert work_out(records.database) == []
    records.add([("escalate",)] * 4)  # a tenth more judged, and other shares
    assert work_out(records.database) == [False]
    assert versions() == 2
    records.now_ms += 10 * DAY_MS  # what stays as it is does not become old
    assert work_out(records.database) == [False]
    artefacts = ArtefactStore(records.database)
    for n in range(5):
        records.now_ms += 1
        artefacts.publish(KINDS[False], b'{"format": 2}' + b" " * n)
    artefacts.publish(KINDS[True], b"{}")
    newest = artefacts.versions(KINDS[False])[:3]
    artefacts.keep_newest(KINDS[False], 3)
    assert artefacts.versions(KINDS[False], VERSIONS_KEPT) == newest
    assert len(artefacts.versions(KINDS[True])) == 1
    assert records.measured().changes == 0, "a newer program's figures are left alone"


def figure(route: str, judged: int, at_ms: int) -> JudgedArm:
    return JudgedArm(
        route=route, task_class="", model="m", effort="", thinking="", later=False, judged=judged, escalated=0, unsure=0,
        cost_nanousd=1, checks_nanousd=0, checks_ms=0, ms=1, most_ms=1, at_ms=at_ms,
    )  # fmt: skip


def test_what_is_seldom_judged_is_remembered_until_it_is_old() -> None:
    now = 10 * OLD_MS
    newest = [figure("busy", 900, now), figure("fading", 10, now), figure("back", 10, now)]
    earlier = [
        figure("busy", 1000, now - 9),
        figure("fading", 100, now - 9),
        figure("back", 100, now - OLD_MS - 1),
        figure("seldom", 7, now - 9),
        figure("gone", 500, now - OLD_MS - 1),
    ]
    assert {(one.route, one.judged) for one in joined(newest, earlier, now)} == {
        ("busy", 900),
        ("fading", 100),
        ("back", 10),
        ("seldom", 7),
    }
