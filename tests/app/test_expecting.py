"""What is expected of calls follows what calls came to, by kind, and says what was never measured."""

import math
import random
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from trimtab.app.expecting import UsualWatch, work_out
from trimtab.budgets.expected import KINDS, expected
from trimtab.catalogue import Arm, Effort
from trimtab.errors import StoreError
from trimtab.messages import Usage
from trimtab.records import Attempt, Outcome, Plan, new_request_id
from trimtab.store import Database, StoreSettings, open_database, open_store
from trimtab.store.artefacts import ArtefactStore
from trimtab.store.figures.usual import OLD_MS, UsualCall, with_earlier

DAY_MS = 86_400_000
PRIOR: dict[Effort, int] = {"low": 1, "medium": 2, "high": 3, "xhigh": 4, "max": 5}


class Records:
    """A store that is filled, and the database beside it."""

    def __init__(self, url: str) -> None:
        self.now_ms = 1_800_000_000_000
        self._settings = StoreSettings(url=url, batch_ms=1)
        self.database: Database = open_database(self._settings, clock_ms=lambda: self.now_ms)
        self._draw = random.Random(7)

    def add(self, outputs: list[int], effort: Effort | None = "high", task_class: str = "", conversation: str = "", **changes: object) -> None:  # fmt: skip
        """One request for each, of a conversation of its own."""
        store = open_store(self._settings, clock_ms=lambda: self.now_ms, on_problem=None)
        for n, tokens in enumerate(outputs):
            usage = Usage(input_tokens=100 + n, cache_read_input_tokens=200, output_tokens=tokens)
            made = Outcome(
                new_request_id(self.now_ms - DAY_MS, self._draw.getrandbits), self.now_ms - DAY_MS, "live", "messages",
                "messages", "m", conversation or f"{task_class}{n}", "ok", 200, False, Plan(Arm("m", effort), "p"),
                (Attempt("p", "m", "ok", 200, usage=usage, cost_nanousd=tokens, cost_source="reported"),),
                cost_nanousd=tokens, task_class=task_class, request_bytes=1000,
            )  # fmt: skip
            store.put(msgspec.structs.replace(made, **changes))
        assert store.close(60) == 0


@pytest.fixture
def records(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Records]:
    on_postgres = getattr(request, "param", "") == "postgresql"
    made = Records(request.getfixturevalue("postgres_store") if on_postgres else f"sqlite:///{tmp_path}/a.db")
    yield made
    made.database.close()


def ninth_of_ten(figures: list[int]) -> int:
    return sorted(figures)[math.ceil(0.9 * len(figures)) - 1]


@pytest.mark.parametrize("records", ["sqlite", "postgresql"], indirect=True)
def test_what_is_expected_is_what_nine_of_ten_such_calls_came_to(records: Records) -> None:
    coding = [random.Random(3).randrange(1, 9000) for _ in range(37)]
    records.add(coding, task_class="coding")
    records.add([10] * 19, task_class="quick")  # too few conversations
    records.add([50_000] * 30, conversation="one")
    records.add([60_000] * 30, task_class="coding", result="truncated")
    records.add([60_000] * 30, task_class="coding", purpose="eval")
    records.add([60_000] * 30, task_class="coding", endpoint="count_tokens")
    records.add([777] * 25, task_class="coding", simulated=True)
    watch = UsualWatch(records.database, lambda: 0.0)
    watch.look()
    assert watch.expectations.usual("m", "high", "coding", False) is None
    assert work_out(records.database) == [False, True]

    watch = UsualWatch(records.database, lambda: 0.0)
    watch.look()
    of = watch.expectations.usual
    found = of("m", "high", "coding", False)
    assert found is not None
    assert (found.output_tokens, found.most_output_tokens) == (ninth_of_ten(coding), max(coding))
    assert (found.calls, found.conversations, found.cost_nanousd) == (37, 37, sum(coding) // 37)
    assert found.input_permille == ninth_of_ten([300 + n for n in range(37)])
    every = of("m", "high", "quick", False)
    assert every is not None
    assert (every.task_class, every.output_tokens) == (
        "*",
        ninth_of_ten([*coding, *[10] * 19, *[50_000] * 30]),
    )
    assert of("m", "low", "coding", False) is None
    assert of("other", "high", "coding", False) is None
    simulated = of("m", "high", "coding", True)
    assert simulated is not None
    assert simulated.output_tokens == 777
    assert expected(found, "high", PRIOR).output_tokens == found.output_tokens
    prior = expected(of("m", "low", "coding", False), "low", PRIOR)
    assert (prior.output_tokens, prior.measured) == (1, None)
    assert expected(None, None, PRIOR).output_tokens == 3


def test_a_version_is_added_only_where_a_figure_has_changed_enough_to_matter(records: Records) -> None:
    def versions() -> int:
        return len(ArtefactStore(records.database).versions(KINDS[False]))

    assert work_out(records.database) == []
    records.add([1000] * 25)
    assert work_out(records.database) == [False]
    records.add([1050] * 25)
    assert work_out(records.database) == []
    assert versions() == 1
    records.add([2000] * 80)
    assert work_out(records.database) == [False]
    assert versions() == 2
    records.now_ms += 10 * DAY_MS  # what stays as it is does not become old
    assert work_out(records.database) == [False]


def test_a_process_takes_a_new_version_over_and_keeps_what_it_knows_while_the_store_is_away(
    records: Records,
) -> None:
    now = 0.0
    watch = UsualWatch(records.database, lambda: now)
    watch.look()
    records.add([1000] * 25)
    work_out(records.database)
    watch.look()
    assert watch.expectations.usual("m", "high", "", False) is None  # it looks once a minute
    now = 61.0
    watch.look()
    assert watch.expectations.usual("m", "high", "", False) is not None
    assert watch.expectations.changes == 1
    now = 122.0
    watch.look()
    assert watch.expectations.changes == 1
    ArtefactStore(records.database).publish(KINDS[False], b'{"format": 2, "rates": []}')
    records.database.close()
    now = 183.0
    with pytest.raises(StoreError):
        watch.look()
    assert watch.expectations.usual("m", "high", "", False) is not None


def usual(model: str, at_ms: int) -> UsualCall:
    return UsualCall(
        model=model, effort="", task_class="", calls=20, conversations=20, output_tokens=at_ms, most_output_tokens=9,
        input_permille=1, cost_nanousd=1, at_ms=at_ms,
    )  # fmt: skip


def test_what_is_seldom_called_is_remembered_until_it_is_old() -> None:
    now = 10 * OLD_MS
    newest = [usual("busy", now)]
    earlier = [usual("busy", now - 9), usual("seldom", now - DAY_MS), usual("gone", now - OLD_MS - 1)]
    assert with_earlier(newest, earlier, now) == [usual("busy", now), usual("seldom", now - DAY_MS)]
