"""Whatever the order of events, each record is counted exactly once."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from trimtab.records import Outcome, RequestId
from trimtab.store.records.backlog import Backlog, Batch, Entry, Replay
from trimtab.store.records.rows import HOUR_MS, NO_COUNTS, Counts, add, counts

BASE = Outcome(
    id=RequestId("0" * 32),
    at_ms=0,
    purpose="live",
    surface="messages",
    endpoint="messages",
    requested_model="m",
    session="s",
    result="ok",
    status=200,
    stream=False,
)


HOUR_S = 3_600.0


class Looking:
    """The writer's thread while it waits for a batch."""

    def __init__(self, backlog: Backlog, linger_s: float) -> None:
        self._thread = threading.Thread(target=backlog.wait_for_batch, args=(linger_s,), daemon=True)
        self._thread.start()

    def wakes(self) -> int:
        """How often it has woken and waited anew, from a moment at which it waits."""
        file = Path(f"/proc/self/task/{self._thread.native_id}/status")
        while True:
            fields = dict(line.split(":\t", 1) for line in file.read_text().splitlines() if ":\t" in line)
            if fields["State"].startswith("S"):
                return int(fields["voluntary_ctxt_switches"])

    def rest(self) -> None:
        """Wait until it wakes no more by itself."""
        before = -1
        while (now := self.wakes()) != before:
            before = now
            time.sleep(0.05)

    def ended(self) -> bool:
        self._thread.join(60)
        return not self._thread.is_alive()


def record(n: int, cost: int, hour: int, simulated: bool) -> Outcome:
    return msgspec.structs.replace(
        BASE, id=RequestId(f"{n:032x}"), cost_nanousd=cost, at_ms=hour * HOUR_MS, simulated=simulated
    )


def total(parts: list[Counts]) -> Counts:
    so_far = NO_COUNTS
    for part in parts:
        so_far = add(so_far, part)
    return so_far


events = st.lists(
    st.one_of(
        st.tuples(
            st.just("put"), st.integers(0, 40), st.integers(0, 10**15), st.integers(0, 2), st.booleans()
        ),
        st.tuples(st.sampled_from(["take", "settle", "reject", "close"])),
    ),
    max_size=120,
)


@given(events, st.integers(1, 8), st.integers(1, 5))
def test_every_record_is_pending_or_in_a_gap_or_settled(
    happenings: list[tuple[Any, ...]], queue_max: int, batch_max: int
) -> None:
    backlog = Backlog(queue_max, batch_max)
    put: list[Counts] = []
    settled: list[Counts] = []
    taken: Batch | None = None
    for happening in happenings:
        if happening[0] == "put":
            outcome = record(*happening[1:])
            if backlog.find(outcome.id) is None:
                put.append(counts(outcome))
            backlog.put(outcome)
        elif happening[0] == "take":
            taken = backlog.batch()
        elif happening[0] == "settle" and taken is not None:
            settled += [counts(entry.outcome) for entry in taken.entries] + [gap.counts for gap in taken.gaps]
            backlog.settle(taken)
            taken = None
        elif happening[0] == "reject" and taken is not None and taken.entries:
            backlog.reject(taken.entries[0])
            taken = None
        elif happening[0] == "close":
            backlog.start_closing()
        waiting = backlog.waiting()
        everything = waiting.counts(0, False) + waiting.counts(0, True)
        assert total(everything + settled) == total(put)
        assert len(waiting.entries) <= queue_max
        assert backlog.unaccounted() == total(everything)[0]


def test_gaps_keep_hours_purposes_and_simulation_apart(make_outcome: Callable[..., Outcome]) -> None:
    backlog = Backlog(1, 1)
    backlog.put(make_outcome(0))
    for seed, (hour, purpose, simulated) in enumerate(
        [(0, "live", False), (0, "live", False), (1, "live", False), (0, "eval", False), (0, "live", True)], 1
    ):
        backlog.put(make_outcome(seed, at_ms=hour * HOUR_MS + seed, purpose=purpose, simulated=simulated))
    gaps = backlog.waiting().gaps
    assert [(gap.from_ms, gap.to_ms, gap.counts[0]) for gap in gaps] == [
        (1, 2, 2),
        (HOUR_MS + 3, HOUR_MS + 3, 1),
        (4, 4, 1),
        (5, 5, 1),
    ]


def test_memory_is_bounded_by_bytes_too(make_outcome: Callable[..., Outcome]) -> None:
    big = make_outcome(1, error="x" * 6000)
    backlog = Backlog(queue_max=1000, batch_max=10, bytes_max=10_000)
    backlog.put(big)
    backlog.put(make_outcome(2, error="x" * 6000))
    assert (backlog.pending, backlog.dropped) == (1, 1)
    batch = backlog.batch()
    assert batch is not None
    backlog.settle(batch)
    backlog.put(make_outcome(3, error="x" * 6000))
    assert (backlog.pending, backlog.dropped) == (1, 1)


def test_a_gap_that_is_being_written_keeps_its_name_until_it_is(make_outcome: Callable[..., Outcome]) -> None:
    backlog = Backlog(1, 1)
    for seed in range(3):
        backlog.put(make_outcome(seed))
    first = backlog.batch()
    backlog.put(make_outcome(9))
    again = backlog.batch()
    assert first == again  # what was dropped in between is the next gap
    assert first is not None
    backlog.settle(first)
    later = backlog.batch()
    assert later is not None
    assert [gap.counts[0] for gap in (*first.gaps, *later.gaps)] == [2, 1]
    assert later.gap_serial == first.gap_serial + 1


def test_a_record_that_the_store_refuses_counts_once_however_often_its_file_is_read_again(
    make_outcome: Callable[..., Outcome],
) -> None:
    backlog = Backlog(queue_max=10, batch_max=10)
    record = make_outcome()
    replay = Replay(lambda: [record], False, lambda: None)
    backlog.replay(replay)
    assert backlog.next_replay() is replay
    entry = Entry(record, b"{}", False)
    for _ in range(3):
        backlog.reject(entry, replayed=True)
    assert backlog.dropped == 1
    backlog.settle(Batch((entry,), (), 0, (), replay))
    assert backlog.next_replay() is None


def test_no_record_wakes_the_writer_before_a_batch_is_full(make_outcome: Callable[..., Outcome]) -> None:
    backlog = Backlog(100, 50)
    writer = Looking(backlog, HOUR_S)
    writer.rest()
    before = writer.wakes()
    for n in range(49):
        backlog.put(make_outcome(n))
    assert writer.wakes() == before
    backlog.put(make_outcome(49))
    assert writer.ended()


def test_a_record_wakes_a_writer_that_sleeps(make_outcome: Callable[..., Outcome]) -> None:
    backlog = Backlog(100, 50)
    writer = Looking(backlog, 0.001)
    writer.rest()
    backlog.put(make_outcome(1))
    assert writer.ended()


def test_what_waits_when_the_writer_looks_is_not_left_for_the_next_look(
    make_outcome: Callable[..., Outcome],
) -> None:
    backlog = Backlog(100, 50)
    backlog.put(make_outcome(1))
    assert Looking(backlog, 0.001).ended()
    backlog.start_closing()
    assert Looking(backlog, HOUR_S).ended()
