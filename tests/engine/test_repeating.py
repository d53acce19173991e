"""Earlier answers given again: byte for byte, for nothing, to whoever asks the very same, and to nobody else."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from answer_house import ANSWER, COLD, END, ON, STREAM, USAGE, House, houses
from drive import eventually
from fake_replies import BLOCK, CLOSE, DELTA, JSON, SSE, START, STOP, event, message

from trimtab.errors import RateLimited, RequestError
from trimtab.providers import Headers
from trimtab.records import Caller, Limits
from trimtab.store.answers import AnswerStore
from trimtab.store.content import Selection, delete


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Callable[..., House]]:
    yield from houses(tmp_path)


@pytest.mark.parametrize("stream", [False, True])
def test_the_very_same_request_is_answered_byte_for_byte_without_a_call_and_for_nothing(
    house: Callable[..., House], stream: bool
) -> None:
    h = house(*STREAM, headers=SSE) if stream else house(ANSWER)
    body = {"stream": stream, **COLD}
    first, told = h.tell(body)
    assert told == "miss"
    h.kept()
    written_otherwise = json.dumps(
        {"messages": [{"content": "hi", "role": "user"}], "max_tokens": 1e2, **body, "model": "trimtab/auto"},
        indent=1,
    ).encode()
    again, told = h.tell(written_otherwise)
    assert again == first
    assert told.startswith("hit; age=")
    assert told.endswith("; from=r1")
    assert len(h.provider.calls) == 1
    made, given = h.records
    assert made.cached is None
    assert made.cost_nanousd > 0
    assert (given.cached, given.cost_nanousd, given.attempts, given.result) == ("r1", 0, (), "ok")
    assert (given.status, given.stream, given.response_bytes) == (200, stream, len(first))
    assert given.plan == made.plan
    assert h.ledger.spent() == made.cost_nanousd


def test_a_stream_is_no_answer_in_one_piece_and_the_other_way_round(house: Callable[..., House]) -> None:
    h = house(ANSWER)
    h.tell(COLD)
    h.kept()
    h.provider.script, h.provider.headers = list(STREAM), SSE
    assert h.tell({**COLD, "stream": True})[1] == "miss"


def test_what_was_kept_is_given_as_long_as_it_may_be_and_no_longer(house: Callable[..., House]) -> None:
    h = house(ANSWER, ttl_s=1)
    h.tell(COLD)
    h.kept()
    eventually(lambda: h.tell(COLD)[1] == "miss")


@pytest.mark.parametrize(
    "changes",
    [
        {"caller": Caller(key="key_2", organisation="acme")},
        {"headers": [(b"anthropic-version", b"2026-10-21"), (b"x-new", b"kept")]},
        {"headers": [(b"anthropic-version", b"2023-06-01"), (b"x-new", b"kept"), (b"anthropic-beta", b"b")]},
        {"query": b"beta=true"},
    ],
)
def test_another_key_or_another_way_to_ask_hears_nothing_of_it(
    house: Callable[..., House], changes: dict[str, Any]
) -> None:
    h = house(ANSWER)
    ann = Caller(key="key_1", organisation="acme")
    h.tell(COLD, caller=ann)
    h.kept()
    assert h.tell(COLD, **{"caller": ann, **changes})[1] == "miss"
    assert h.tell(COLD, caller=ann)[1].startswith("hit")


def test_answers_are_shared_where_the_operator_says_so(house: Callable[..., House]) -> None:
    h = house(ANSWER, share="team")
    h.tell(COLD, caller=Caller(key="key_1", organisation="acme", team="red"))
    h.kept()
    assert h.tell(COLD, caller=Caller(key="key_2", organisation="acme", team="red"))[1].startswith("hit")
    assert h.tell(COLD, caller=Caller(key="key_3", organisation="acme", team="blue"))[1] == "miss"


@pytest.mark.parametrize(
    ("settings", "own", "fields", "headers", "told"),
    [
        ({"mode": "off"}, {}, COLD, [], ""),
        ({"mode": "off"}, ON, COLD, [], "bypass; reason=off"),
        ({"mode": "off"}, {"x-trimtab-cache": "off"}, COLD, [], ""),
        ({"mode": "on_request"}, {}, COLD, [], ""),
        ({"mode": "on_request"}, ON, {}, [], "miss"),
        ({"mode": "on_request"}, {"x-trimtab-cache": "Refresh"}, {}, [], "refresh"),
        ({}, {"x-trimtab-cache": "off"}, COLD, [], "bypass; reason=asked"),
        ({}, {}, {}, [], "bypass; reason=sampled"),
        ({}, {}, {"temperature": 0.5}, [], "bypass; reason=sampled"),
        ({"sampled": True}, {}, {}, [], "miss"),
        ({}, {}, COLD, [(b"cache-control", b"no-store")], "bypass; reason=asked"),
        ({}, {}, COLD, [(b"cache-control", b"max-age=0, No-Cache")], "refresh"),
        ({}, ON, COLD, [(b"cache-control", b"no-store")], "miss"),
        ({"tiers": ("fast",)}, ON, COLD, [], "bypass; reason=tier"),
        ({"tiers": ("default",)}, {}, COLD, [], "miss"),
        ({}, ON, {"container": "c"}, [], "bypass; reason=field"),
    ],
)
def test_only_what_was_asked_for_is_looked_for_and_the_answer_says_so(
    house: Callable[..., House], settings: Any, own: Any, fields: Any, headers: Any, told: str
) -> None:
    h = house(ANSWER, **settings)
    version = (b"anthropic-version", b"2023-06-01")
    assert h.tell(fields, own=own, headers=[version, *headers])[1] == told
    if told not in ("miss", "refresh"):
        assert h.kept_none()


def test_refresh_replaces_what_is_kept(house: Callable[..., House]) -> None:
    h = house(ANSWER)
    first, _ = h.tell(COLD)
    h.kept()
    second, _ = h.tell(COLD, own={"x-trimtab-cache": "refresh"})
    assert second != first
    eventually(lambda: h.shelves.stored == 2)
    eventually(lambda: h.tell(COLD)[0] == second)  # what was looked up a moment ago is believed for a second


def test_a_wish_that_is_none_is_refused(house: Callable[..., House]) -> None:
    h = house(ANSWER, mode="off")
    with pytest.raises(RequestError, match="x-trimtab-cache: 'always': must be one of on, off, refresh"):
        h.tell(COLD, own={"x-trimtab-cache": "always"})


@pytest.mark.parametrize(
    ("script", "status", "headers"),
    [
        ([message(USAGE, stop_reason="max_tokens")], 200, JSON),
        ([message(USAGE, stop_reason="refusal")], 200, JSON),
        ([message(USAGE, stop_reason="pause_turn")], 200, JSON),
        ([message(USAGE, stop_reason="an ending of tomorrow")], 200, JSON),
        ([message(USAGE, stop_reason=None)], 200, JSON),
        ([b'{"type":"error","error":{"type":"api_error","message":"x"}}'], 200, JSON),
        ([b'{"type":"error","error":{"type":"overloaded_error","message":"x"}}'], 529, JSON),
        ([ANSWER], 200, [*JSON, (b"content-encoding", b"gzip")]),
        ([b"not JSON"], 200, JSON),
        ([b""], 200, JSON),
        (STREAM, 200, SSE),
    ],
)
def test_what_is_no_whole_answer_is_not_kept(
    house: Callable[..., House], script: list[bytes], status: int, headers: Headers
) -> None:
    h = house(*script, status=status, headers=headers)
    assert h.tell(COLD)[1] == "miss"
    assert h.kept_none()


@pytest.mark.parametrize(
    "script",
    [
        [START, BLOCK, DELTA, event("error", error={"type": "overloaded_error", "message": "x"})],
        [
            START,
            BLOCK,
            DELTA,
            CLOSE,
            event("message_delta", delta={"stop_reason": "max_tokens"}, usage={}),
            STOP,
        ],
    ],
)
def test_a_stream_that_ends_in_an_error_or_is_cut_short_by_its_limit_is_not_kept(
    house: Callable[..., House], script: list[bytes]
) -> None:
    h = house(*script, headers=SSE)
    h.tell({**COLD, "stream": True})
    assert h.kept_none()


def test_a_stream_that_the_platform_cuts_or_the_client_leaves_is_not_kept(
    house: Callable[..., House],
) -> None:
    h = house(START, BLOCK, DELTA, headers=SSE)
    with pytest.raises(Exception, match="ended the stream"):
        h.tell({**COLD, "stream": True})
    h.provider.script = list(STREAM)
    h.tell({**COLD, "stream": True}, early=True)
    assert h.kept_none()


def test_who_leaves_while_an_answer_is_given_again_is_recorded_so(house: Callable[..., House]) -> None:
    big = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "x" * 200_000})
    h = house(START, BLOCK, big, CLOSE, END, STOP, headers=SSE)
    h.tell({**COLD, "stream": True})
    h.kept()
    h.tell({**COLD, "stream": True}, early=True)
    assert h.records[-1].cached == "r1"
    assert h.records[-1].result == "cancelled"
    assert 0 < h.records[-1].response_bytes < 200_000


def test_an_answer_with_tools_to_use_is_an_answer(house: Callable[..., House]) -> None:
    h = house(message(USAGE, stop_reason="tool_use"))
    h.tell({**COLD, "tools": [{"name": "f", "input_schema": {"type": "object"}}]})
    h.kept()


def test_a_giant_answer_is_given_and_not_kept(house: Callable[..., House]) -> None:
    h = house(message(USAGE, content=[{"type": "text", "text": "x" * 300_000}]), max_mb=1)
    assert len(h.tell(COLD)[0]) > 300_000
    assert h.kept_none()


def test_simulated_and_real_answers_never_mix(house: Callable[..., House]) -> None:
    simulated = [*JSON, (b"x-trimtab-simulated", b"true")]
    h = house(ANSWER, headers=simulated)
    h.tell(COLD)  # only the answer shows that this platform is simulated
    h.kept()
    assert h.tell(COLD)[1] == "miss"
    h.kept(2)
    _, told = h.tell(COLD)
    assert told.startswith("hit")
    assert h.records[-1].simulated
    h.metered.simulated.clear()  # as after a restart
    assert h.tell(COLD)[1] == "miss", "a real model may be there now"
    h.provider.headers = list(JSON)
    h.tell({**COLD, "max_tokens": 7})
    assert h.tell(COLD)[1] == "miss"


def test_an_entry_that_is_configured_otherwise_gives_no_earlier_answer(house: Callable[..., House]) -> None:
    h = house(ANSWER)
    h.tell(COLD)
    h.kept()
    h.configure(stamp="2")
    assert h.tell(COLD)[1] == "miss"


def test_an_answer_given_again_counts_against_rate_limits_and_takes_no_money(
    house: Callable[..., House],
) -> None:
    h = house(ANSWER)
    asked: list[tuple[int, Any]] = []
    reserve = h.ledger.reserve

    async def reserving(worst_case: Any, *, caller: Caller, simulated: bool, **_: Any) -> Any:
        asked.append((worst_case, caller))
        if len(asked) == 3:
            raise RateLimited("too many", 7)
        return await reserve(worst_case, simulated=simulated)

    h.ledger.reserve = reserving  # type: ignore[method-assign, assignment]
    poor = Caller(key="key_1", limits=Limits(requests_per_minute=2, total_nanousd=10))
    h.tell(COLD, caller=poor)
    h.kept()
    h.tell(COLD, caller=poor)
    assert asked[0][0] > 0
    assert asked[1] == (0, poor)
    with pytest.raises(RateLimited):
        h.tell(COLD, caller=poor)
    assert h.records[-1].error == "RateLimited: too many"
    h.shelves.close(30)
    sums = AnswerStore(h.database).asked(h.records[0].at_ms, simulated=False)
    assert (sums.hits, sums.misses) == (1, 1), "what was refused was not given"
    assert sums.saved_nanousd == h.records[0].cost_nanousd


def test_a_store_in_trouble_costs_nobody_an_answer(house: Callable[..., House]) -> None:
    h = house(ANSWER)
    h.tell(COLD)
    h.kept()
    h.database.close()
    body, told = h.tell({**COLD, "max_tokens": 9})
    assert told == "miss"
    assert body
    assert h.shelves.troubles == 1
    eventually(lambda: h.shelves.dropped == 1)
    assert "answers are not kept until the store is back" in h.problems[0]


def test_a_store_that_does_not_answer_is_waited_for_no_longer_than_a_request_may(
    house: Callable[..., House],
) -> None:
    h = house(ANSWER)
    let_go = asyncio.Event()

    class Stuck:
        def find(self, digest: str) -> None:
            eventually(let_go.is_set)

    h.shelves._store = Stuck()  # type: ignore[assignment]
    h.shelves._wait_s = 0.01

    async def work() -> list[object]:
        found = [await h.shelves.find("d") for _ in range(3)]
        many = await asyncio.gather(*(h.shelves.find("d") for _ in range(200)))
        assert h.shelves._asking <= 64, "no more wait than that"
        let_go.set()
        return [*found, *many]

    assert set(asyncio.run(work())) == {None}
    assert h.shelves.troubles == 203


def test_what_was_deleted_is_given_from_no_memory_a_second_later(house: Callable[..., House]) -> None:
    h = house(ANSWER)
    now = [100.0]
    h.shelves._monotonic = lambda: now[0]
    h.tell(COLD, caller=Caller(key="key_1"))
    h.kept()
    assert h.tell(COLD, caller=Caller(key="key_1"))[1].startswith("hit")
    delete(h.database, Selection("request", "r1"))
    now[0] += 1.0
    assert h.tell(COLD, caller=Caller(key="key_1"))[1] == "miss"


def test_the_same_question_of_many_at_once_is_looked_up_once_a_second(house: Callable[..., House]) -> None:
    h = house(ANSWER)
    h.tell(COLD)
    h.kept()
    h.tell(COLD)
    looked: list[str] = []
    real = h.shelves._store.find

    class Counting:
        count = h.shelves._store.count

        def find(self, digest: str) -> object:
            looked.append(digest)
            return real(digest)

    h.shelves._store = Counting()  # type: ignore[assignment]
    now = [h.shelves._monotonic()]
    h.shelves._monotonic = lambda: now[0]
    for _ in range(5):
        assert h.tell(COLD)[1].startswith("hit")
    assert looked == []
    now[0] += 2
    assert h.tell(COLD)[1].startswith("hit")
    assert len(looked) == 1


def test_tokens_are_counted_anew_each_time(house: Callable[..., House]) -> None:
    h = house(b'{"input_tokens":7}')
    body = {"model": "trimtab/auto", "messages": [{"role": "user", "content": "hi"}], "temperature": 0}
    for _ in range(2):
        h.tell(json.dumps(body).encode(), endpoint="count_tokens", own=ON)
    assert len(h.provider.calls) == 2
    assert h.kept_none()
