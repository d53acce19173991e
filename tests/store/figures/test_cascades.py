"""Requests that several arms worked on: each figure says of an arm what that arm did, spent, or was first asked for."""

from collections.abc import Callable

import msgspec
import pytest

from trimtab.catalogue import Arm
from trimtab.messages import Usage
from trimtab.records import Attempt, Outcome, Plan, Verdict
from trimtab.store import Database, Store
from trimtab.store.feedback import FeedbackStore, Told
from trimtab.store.figures.cells import cells
from trimtab.store.figures.efforts import AskedOnce, EffortsWanted, requests_for_efforts
from trimtab.store.figures.platforms import platform_figures
from trimtab.store.figures.traffic import model_traffic
from trimtab.store.figures.usual import CONVERSATIONS_MIN, usual_calls

NOW_MS = 1_800_000_000_000
HOUR_MS = 3_600_000
WEAK, STRONG = Arm("weak", "low"), Arm("strong", "high")

MakeOutcome = Callable[..., Outcome]
Open = tuple[Store, Database]


def attempt(arm: Arm, step: int, tokens: int, says: str, platform: str = "claude") -> Attempt:
    """It costs ten nano-dollars a token."""
    return Attempt(
        platform,
        "sent",
        "ok",
        200,
        usage=Usage(input_tokens=tokens, output_tokens=tokens),
        cost_nanousd=10 * tokens,
        cost_source="reported",
        total_ms=float(tokens),
        arm=arm,
        step=step,
        verdicts=(Verdict("tests", says),) if says else (),  # type: ignore[arg-type]
    )


def cascade(make_outcome: MakeOutcome, seed: int, **changes: object) -> Outcome:
    attempts = (attempt(WEAK, 0, 1, "escalate"), attempt(STRONG, 1, 20, "accept", "other"))
    record = make_outcome(
        seed,
        plan=Plan(WEAK, "claude"),
        attempts=attempts,
        cost_nanousd=210,
        total_ms=400.0,
        request_bytes=1000,
        session=f"s{seed}",
    )
    return msgspec.structs.replace(record, **changes)


def plain(make_outcome: MakeOutcome, seed: int, arm: Arm, tokens: int) -> Outcome:
    call = attempt(arm, 0, tokens, "")
    return make_outcome(
        seed,
        plan=Plan(arm, "claude"),
        attempts=(call,),
        cost_nanousd=10 * tokens,
        request_bytes=1000,
        session=f"s{seed}",
    )


@pytest.fixture
def fill(
    url: str, open_at: Callable[..., Store], database_at: Callable[[str], Database]
) -> Callable[..., Database]:
    def write(*records: Outcome) -> Database:
        store = open_at(url)
        for record in records:
            store.put(record)
        assert store.close(30) == 0
        return database_at(url)

    return write


def test_the_consoles_money_is_each_arms_own_and_requests_are_those_it_answered(
    fill: Callable[..., Database], make_outcome: MakeOutcome
) -> None:
    given_the_first = cascade(make_outcome, 2, answered=0, team="red", organisation="acme", key="k1")
    database = fill(cascade(make_outcome, 1), given_the_first, plain(make_outcome, 3, WEAK, 7))

    def found(*by: str, where: str = "") -> dict[tuple[object, ...], tuple[int, int, int, int]]:
        """Requests, money, input and output by what is asked for."""

        def work(view: object) -> dict[tuple[object, ...], tuple[int, int, int, int]]:
            sums: dict[tuple[object, ...], tuple[int, int, int, int]] = {}
            for cell in cells(view, NOW_MS - HOUR_MS, NOW_MS + HOUR_MS, by, where=where):  # type: ignore[arg-type]
                counts = cell.counts
                part = (counts[0], counts[2], counts[3], counts[7])
                before = sums.get(cell.names, (0, 0, 0, 0))
                sums[cell.names] = tuple(map(sum, zip(before, part, strict=True)))  # type: ignore[assignment]
            return sums

        return database.read(work)

    assert found("model", "effort") == {("weak", "low"): (2, 90, 9, 9), ("strong", "high"): (1, 400, 40, 40)}
    assert found("platform") == {("claude",): (2, 90, 9, 9), ("other",): (1, 400, 40, 40)}
    assert found() == {(): (3, 490, 49, 49)}
    assert found(
        "model", where="AND team_id = 'red' AND organisation = 'acme' AND key_id = 'k1' AND simulated = 0"
    ) == {
        ("weak",): (1, 10, 1, 1),
        ("strong",): (0, 200, 20, 20),
    }


def test_tables_of_effort_know_a_cascade_by_its_first_step_and_take_no_word_on_anothers_answer(
    fill: Callable[..., Database], make_outcome: MakeOutcome
) -> None:
    lost_first = Attempt("claude", "sent", "error", 529, cost_source="unbilled", total_ms=3.0, arm=WEAK)
    escalated = cascade(make_outcome, 1)
    after_failover = msgspec.structs.replace(
        cascade(make_outcome, 2), attempts=(lost_first, *escalated.attempts), cost_nanousd=210
    )
    kept_the_first = cascade(make_outcome, 3, answered=0)
    direct = plain(make_outcome, 4, STRONG, 7)
    database = fill(escalated, after_failover, kept_the_first, direct)
    for record in (escalated, after_failover, kept_the_first, direct):
        FeedbackStore(database).tell(Told(request=record.id, source="user", score=1.0))
    FeedbackStore(database).tell(Told(request=escalated.id, source="tests", score=0.0, covers="session"))

    def asked(**changes: object) -> dict[str, AskedOnce]:
        wanted = EffortsWanted(from_ms=0, to_ms=NOW_MS + HOUR_MS, simulated=False)
        found = requests_for_efforts(database, msgspec.structs.replace(wanted, **changes))
        return {one.id: one for one in found}

    everything = asked()
    first = everything[escalated.id]
    assert (first.model, first.effort, first.ok, first.several_arms) == ("weak", "low", True, True)
    assert (first.cost_nanousd, first.input_tokens, first.output_tokens, first.total_ms) == (10, 1, 1, 1.0)
    assert [word.covers for word in first.told] == ["session"]
    second = everything[after_failover.id]
    assert (second.model, second.cost_nanousd, second.total_ms, second.told) == ("weak", 10, 4.0, ())
    third = everything[kept_the_first.id]
    assert (third.model, third.cost_nanousd, [word.score for word in third.told]) == ("weak", 10, [1.0])
    last = everything[direct.id]
    assert (last.model, last.cost_nanousd, last.several_arms, len(last.told)) == ("strong", 70, False, 1)
    assert set(asked(model="weak")) == {escalated.id, after_failover.id, kept_the_first.id}
    assert set(asked(model="strong")) == {direct.id}


def test_what_calls_usually_come_to_counts_first_calls_whether_their_answers_passed_or_not(
    fill: Callable[..., Database], make_outcome: MakeOutcome
) -> None:
    passed = [plain(make_outcome, seed, WEAK, 3) for seed in range(CONVERSATIONS_MIN)]
    failed = [cascade(make_outcome, 100 + seed) for seed in range(CONVERSATIONS_MIN)]
    database = fill(*passed, *failed)
    real = [one for one in database.read(usual_calls)[False] if one.task_class == "*"]
    assert [(one.model, one.effort, one.calls, one.cost_nanousd) for one in real] == [("weak", "low", 40, 20)]
    assert (real[0].most_output_tokens, real[0].input_permille) == (3, 3)


def test_errors_and_traffic_of_models_are_their_own(
    fill: Callable[..., Database], make_outcome: MakeOutcome
) -> None:
    broken = msgspec.structs.replace(
        attempt(WEAK, 0, 1, "", "other"), result="error", status=529, error="overloaded_error"
    )
    record = cascade(make_outcome, 1, attempts=(broken, attempt(STRONG, 1, 20, "accept", "other")))
    database = fill(record, plain(make_outcome, 2, STRONG, 7))
    figures = platform_figures(database, NOW_MS - HOUR_MS, NOW_MS + HOUR_MS, simulated=False)
    other = {one.model: one for one in figures if one.platform == "other"}
    assert {model: (one.calls.attempts, one.last_error is not None) for model, one in other.items()} == {
        "weak": (1, True),
        "strong": (1, False),
    }
    traffic = model_traffic(database, "strong", from_ms=0, simulated=False)
    assert (traffic.requests, traffic.input_tokens) == (1, 7), "a cascade's tokens are of several models"
