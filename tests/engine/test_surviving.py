"""What is done when a platform fails: where the next call goes, what is recorded, and what a client never sees."""

import asyncio
import datetime
import json
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from fake_replies import (
    BLOCK,
    CLOSE,
    DELTA,
    END,
    JSON,
    SSE,
    START,
    STOP,
    FakeReply,
    event,
    message,
)

from trimtab.budgets import Ledger
from trimtab.catalogue import Catalogue, Model, TierSettings, resolve_tiers
from trimtab.engine import Inbound, Metered, Pipeline, Recorder, RetrySettings, Runtime, Surviving
from trimtab.errors import UpstreamBroken, UpstreamError, UpstreamRefused, UpstreamTimeout
from trimtab.providers import Call, Headers, Sink
from trimtab.records import Intent, Outcome, RequestId
from trimtab.routing import Place, Standings, TierRouter
from trimtab.telemetry import Metrics

CATALOGUE = Catalogue.load()
AT = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC)
WHOLE = [START, BLOCK, DELTA, CLOSE, END, STOP]
ANSWER = message({"input_tokens": 1000, "output_tokens": 100})


def failing(
    status: int, kind: str = "overloaded_error", *headers: tuple[bytes, bytes], **details: str
) -> FakeReply:
    error: dict[str, Any] = {"type": kind, "message": "no"}
    if details:
        error["details"] = details
    return FakeReply(status, [*JSON, *headers], [json.dumps({"type": "error", "error": error}).encode()])


class Fake:
    """A platform that answers from a list, in order; its last answer again and again if it is made anew."""

    platform, regional, discount, api_versions = "anthropic", False, Decimal(0), ("2023-06-01", "2026-10-21")

    def __init__(
        self, name: str, *answers: Callable[[], FakeReply] | UpstreamError, simulated: bool = False
    ) -> None:
        self.name, self.simulated = name, simulated
        self.answers = list(answers)
        self.calls: list[Call] = []
        self.replies: list[FakeReply] = []
        self.asked = asyncio.Event()

    def model_id(self, model: Model) -> str | None:
        return model.id

    async def send(self, call: Call) -> FakeReply:
        self.calls.append(call)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, UpstreamError):
            raise answer
        self.replies.append(answer())
        self.asked.set()
        return self.replies[-1]

    async def aclose(self) -> None: ...


def stream(*steps: bytes | BaseException | float) -> Callable[[], FakeReply]:
    return lambda: FakeReply(200, SSE, list(steps))


def whole(body: bytes = ANSWER, headers: Headers = JSON) -> Callable[[], FakeReply]:
    return lambda: FakeReply(200, headers, [body])


class House:
    """A pipeline around several platforms."""

    def __init__(self, *platforms: Fake, **retries: Any) -> None:
        self.platforms = platforms
        self.records: list[Outcome] = []
        self.intents: list[Intent] = []
        self.waited: list[float] = []
        self.now = 1000.0
        self.ledger = Ledger()
        clock = lambda: self.now  # noqa: E731
        self.standings = Standings(clock, AT.timestamp, lambda: 0.5)
        runtime = Runtime(monotonic=clock, config_version="c1", catalogue_version="k1")
        self.metered = Metered(CATALOGUE, self.ledger, Recorder(self, Metrics()), runtime, self.standings)
        ids = {model.id: model.id for model in CATALOGUE.models}
        router = TierRouter(
            CATALOGUE,
            resolve_tiers(TierSettings(), CATALOGUE, str),
            tuple(Place(platform.name, "anthropic", ids) for platform in platforms),
        )
        self.surviving = Surviving(
            self.metered, RetrySettings(**retries), lambda: 1.0, AT.timestamp, self.sleep
        )
        self.pipeline = Pipeline(
            self.metered, router, {one.name: one for one in platforms}, surviving=self.surviving
        )

    async def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.now += seconds

    def put(self, outcome: Outcome) -> None:
        self.records.append(outcome)

    def intend(self, intent: Intent) -> bool:
        self.intents.append(intent)
        return True

    def inbound(self, **fields: Any) -> Inbound:
        body = {
            "model": "trimtab/default",
            "max_tokens": 100,
            "messages": [{"role": "user", "content": "hi"}],
        }
        return Inbound(
            id=RequestId("r1"), endpoint="messages", path="/v1/messages", query=b"",
            body=json.dumps({**body, **fields}).encode(), headers=[(b"anthropic-version", b"2023-06-01")], own={},
            arrived_ms=int(AT.timestamp() * 1000), arrived=1000.0,
        )  # fmt: skip

    def ask(self, **fields: Any) -> tuple[int, bytes]:
        async def work() -> tuple[int, bytes]:
            reply = await self.pipeline.answer(self.inbound(**fields))
            try:
                if not reply.is_event_stream:
                    return reply.status, await reply.body()
                parts = []
                while chunk := await reply.read():
                    parts.append(chunk)
                return reply.status, b"".join(parts)
            finally:
                reply.close()

        return asyncio.run(work())

    @property
    def record(self) -> Outcome:
        """The only record; nothing is held any more."""
        (outcome,) = self.records
        assert self.ledger.held() == self.ledger.held(simulated=True) == 0
        assert outcome.cost_nanousd == sum(made.cost_nanousd for made in outcome.attempts)
        return outcome

    def tried(self) -> list[tuple[str, str, int | None]]:
        return [(made.platform, made.result, made.status) for made in self.record.attempts]


@pytest.mark.parametrize(
    "answer",
    [
        lambda: failing(529),
        lambda: failing(500, "api_error"),
        lambda: failing(503, "api_error"),
        lambda: failing(429, "rate_limit_error"),
        lambda: failing(429, "rate_limit_error", (b"retry-after", b"30")),
        lambda: failing(429, "rate_limit_error", error_code="enforced_spend_limit_reached"),
        lambda: failing(401, "authentication_error"),
        lambda: failing(403, "permission_error"),
        lambda: failing(402, "billing_error"),
        lambda: failing(529, "overloaded_error", (b"x-should-retry", b"false")),
        UpstreamRefused("no"),
        UpstreamTimeout("no", "connect"),
        UpstreamTimeout("no", "header"),
        UpstreamBroken("no"),
        stream(UpstreamTimeout("no", "first_event")),
        stream(START, UpstreamBroken("cut")),
        stream(START, BLOCK, UpstreamTimeout("no", "idle")),
        stream(START),
        stream(START, event("error", error={"type": "overloaded_error", "message": "no"})),
    ],
)
def test_another_platform_answers_in_its_place(answer: Any) -> None:
    first, second = Fake("one", answer), Fake("two", stream(*WHOLE))
    house = House(first, second)
    assert house.ask(stream=True) == (200, b"".join(WHOLE))
    assert house.tried()[1] == ("two", "ok", 200)
    assert house.tried()[0][1] in ("error", "truncated")
    assert house.record.attempts[0].error, "how it failed"
    assert house.waited == []
    record = house.record
    assert (record.result, record.status, record.plan and record.plan.platform) == ("ok", 200, "one")
    assert all(reply.closed for reply in first.replies)


@pytest.mark.parametrize(
    "answer",
    [
        lambda: failing(529),
        UpstreamRefused("no"),
        UpstreamTimeout("no", "header"),
        UpstreamBroken("no"),
        stream(UpstreamTimeout("no", "first_event")),
        stream(START, UpstreamBroken("cut")),
        stream(START, event("error", error={"type": "overloaded_error", "message": "no"})),
    ],
)
def test_a_platform_that_fails_however_is_soon_left_alone(answer: Any) -> None:
    first = Fake("one", answer)
    house = House(first, Fake("two", stream(*WHOLE)))
    for _ in range(5):
        house.ask(stream=True)
    assert house.standings.keeps_away("one", "claude-sonnet-4-6") is not None
    assert len(first.calls) == 5


class Mute(Fake):
    """Takes calls and answers none."""

    async def send(self, call: Call) -> FakeReply:
        self.calls.append(call)
        await asyncio.Event().wait()
        raise AssertionError


SILENT = [Mute("one", UpstreamRefused("not so")), Fake("one", stream(3600.0, *WHOLE))]


@pytest.mark.parametrize("first", SILENT, ids=["no head", "no event"])
def test_a_stream_does_not_wait_for_the_deadline_of_a_silent_platform_where_another_one_can_answer(
    first: Fake,
) -> None:
    house = House(first, Fake("two", stream(*WHOLE)), silent_s=0.01)
    assert house.ask(stream=True) == (200, b"".join(WHOLE))
    assert [result for _, result, _ in house.tried()][1] == "ok"
    silent = house.record.attempts[0]
    assert "the platform said nothing for 0.01 s" in (silent.error or "")
    assert (silent.cost_nanousd, silent.cost_source) == (silent.reserved_nanousd, "estimated")


def test_an_answer_in_one_piece_may_be_silent_while_the_model_works() -> None:
    slow = lambda: FakeReply(200, JSON, [0.05, ANSWER])  # noqa: E731
    house = House(Fake("one", slow), Fake("two", whole()), silent_s=0.001)
    assert house.ask() == (200, ANSWER)
    assert house.tried() == [("one", "ok", 200)]


def test_the_last_place_may_be_silent_as_long_as_its_own_deadlines_let_it() -> None:
    house = House(Fake("one", lambda: failing(529)), Fake("two", stream(0.05, *WHOLE)), silent_s=0.001)
    assert house.ask(stream=True) == (200, b"".join(WHOLE))


@pytest.mark.parametrize(
    ("status", "kind"), [(400, "invalid_request_error"), (404, "not_found_error"), (413, "request_too_large")]
)
def test_an_answer_that_the_request_caused_is_the_answer(status: int, kind: str) -> None:
    house = House(Fake("one", lambda: failing(status, kind)), Fake("two", whole()))
    assert house.ask()[0] == status
    assert house.tried() == [("one", "error", status)]


MODEL = "claude-sonnet-4-6"


def counting(house: House) -> Inbound:
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}).encode()
    path = "/v1/messages/count_tokens"
    return msgspec.structs.replace(house.inbound(), endpoint="count_tokens", path=path, body=body)


def answered(house: House, inbound: Inbound) -> int:
    async def work() -> int:
        reply = await house.pipeline.answer(inbound)
        await reply.body()
        reply.close()
        return reply.status

    return asyncio.run(work())


def test_counting_tokens_sends_no_other_request_elsewhere() -> None:
    house = House(Fake("one", lambda: failing(500, "api_error")), Fake("two", whole()))
    for _ in range(20):
        assert answered(house, counting(house)) == 200
    assert house.standings.keeps_away("one", MODEL) is None


@pytest.mark.parametrize(
    "other", [whole(b'{"input_tokens": 5}'), lambda: failing(400, "invalid_request_error")]
)
def test_no_caller_hides_that_a_platform_fails_by_what_is_answered_without_the_model(other: Any) -> None:
    one = Fake("one", other)
    house = House(one, Fake("two", whole()))
    for _ in range(5):
        one.answers = [lambda: failing(529)]
        house.ask()
        one.answers = [other]
        answered(house, counting(house) if other().status == 200 else house.inbound())
    assert house.standings.keeps_away("one", MODEL) is not None


def test_the_rate_limit_of_fast_mode_sends_no_other_request_elsewhere() -> None:
    limited = lambda: failing(429, "rate_limit_error", (b"retry-after", b"600"))  # noqa: E731
    house = House(Fake("one", limited), Fake("two", whole()))
    assert house.ask(model="claude-opus-4-6", speed="fast")[0] == 200
    assert house.standings.keeps_away("one", "claude-opus-4-6") is None
    house.ask(model="claude-opus-4-6")
    assert house.standings.keeps_away("one", "claude-opus-4-6") is not None


class Pumped(FakeReply):
    async def pump(self, sink: Sink) -> bool:
        while chunk := await self.read():
            if not sink(chunk):
                return False
        return True


@pytest.mark.parametrize("keeps_up", [True, False])
def test_a_client_that_reads_slowly_does_not_make_a_platform_slow_or_failing(keeps_up: bool) -> None:
    cut = Fake("one", lambda: Pumped(200, SSE, [START, BLOCK, DELTA, DELTA, UpstreamBroken("cut")]))
    house = House(cut, Fake("two", whole()))

    async def work() -> None:
        reply = await house.pipeline.answer(house.inbound(stream=True))
        with suppress(UpstreamBroken):
            while not await reply.pump(lambda _: keeps_up):
                house.now += 5
        reply.close()

    for _ in range(5):
        asyncio.run(work())
    assert (house.standings.keeps_away("one", MODEL) is None) is not keeps_up
    house.now += 100
    cut.answers = [lambda: Pumped(200, SSE, list(WHOLE))]
    asyncio.run(work())
    (standing,) = (one for one in house.standings.snapshot() if one.place == "one")
    assert standing.measured
    if not keeps_up:
        assert standing.tokens_per_s is None


def test_an_error_event_of_the_request_is_passed_on_as_it_came() -> None:
    refusal = event("error", error={"type": "invalid_request_error", "message": "no"})
    house = House(Fake("one", stream(START, refusal)), Fake("two", stream(*WHOLE)))
    assert house.ask(stream=True) == (200, START + refusal)
    assert house.tried() == [("one", "error", 200)]


def test_after_the_first_content_nobody_takes_over() -> None:
    house = House(
        Fake("one", stream(START, BLOCK, DELTA, UpstreamBroken("cut"))), Fake("two", stream(*WHOLE))
    )
    with pytest.raises(UpstreamBroken):
        house.ask(stream=True)
    assert house.tried() == [("one", "truncated", 200)]


def test_a_json_answer_that_is_cut_is_asked_for_elsewhere_and_both_are_paid() -> None:
    cut = lambda: FakeReply(200, JSON, [ANSWER[:20], UpstreamBroken("cut")])  # noqa: E731
    house = House(Fake("one", cut), Fake("two", whole()))
    assert house.ask() == (200, ANSWER)
    first, second = house.record.attempts
    assert (first.cost_source, first.cost_nanousd) == ("estimated", first.reserved_nanousd)
    assert (second.cost_source, second.cost_nanousd) == ("reported", 4_500_000)


def test_each_attempt_has_an_intent_that_holds_those_before_it() -> None:
    house = House(
        Fake("one", UpstreamBroken("cut")), Fake("two", lambda: failing(529)), Fake("three", whole())
    )
    house.ask()
    assert [(intent.platform, len(intent.before)) for intent in house.intents] == [
        ("", 0),
        ("two", 1),
        ("three", 2),
    ]
    # The process may die while the last call is under way: what the first may have cost is not forgotten.
    lost = house.intents[-1].outcome()
    assert [made.platform for made in lost.attempts] == ["one", "two", "three"]
    assert (
        lost.cost_nanousd == sum(made.cost_nanousd for made in lost.attempts) > lost.attempts[-1].cost_nanousd
    )


def test_where_nothing_is_left_the_last_answer_goes_to_the_client_as_it_came() -> None:
    limited = failing(429, "rate_limit_error", (b"retry-after", b"7"))
    house = House(Fake("one", lambda: failing(529)), Fake("two", lambda: limited))
    status, body = house.ask()
    assert (status, json.loads(body)["error"]["type"]) == (429, "rate_limit_error")
    assert house.tried() == [("one", "error", 529), ("two", "error", 429)]


def test_a_platform_that_asks_to_be_left_alone_is_left_alone() -> None:
    one, two = (
        Fake("one", lambda: failing(429, "rate_limit_error", (b"retry-after", b"30"))),
        Fake("two", whole()),
    )
    house = House(one, two)
    house.ask()
    assert house.standings.keeps_away("one", "claude-sonnet-4-6") is not None
    # Another failure elsewhere does not send anybody there.
    two.answers = [lambda: failing(529)]
    three = House(two, one)
    three.standings.ended("one", "claude-sonnet-4-6", "limited", retry_after_s=30.0)
    calls = len(one.calls)
    assert three.ask()[0] == 529
    assert len(one.calls) == calls


def test_the_log_says_which_platform_gets_no_calls_for_now_and_why_and_when_it_gets_them_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    one, two = Fake("one", lambda: failing(529)), Fake("two", whole())
    house = House(one, two)
    for _ in range(8):
        house.ask()
    refused = (
        "platform one (claude-sonnet-4-6) gets no calls for now: 5 calls in a row failed; tried again in 5 s"
    )
    assert [record.getMessage()[:60] for record in caplog.records] == [refused[:60]]
    # It is tried again and again and fails: no more than a line a minute.
    for _ in range(4):
        house.now += 10
        house.ask()
    assert len(caplog.records) == 1
    house.now += 70
    house.ask()
    assert len(caplog.records) == 2
    one.answers = [whole()]
    house.now += 120
    house.ask()
    house.ask()
    assert [record.getMessage() for record in caplog.records[2:]] == [
        "platform one (claude-sonnet-4-6) gets calls again"
    ]


def test_a_rate_limit_that_is_reached_every_other_second_does_not_fill_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    limited = lambda: failing(429, "rate_limit_error", (b"retry-after", b"1"))  # noqa: E731
    one = Fake("one", *[answer for _ in range(20) for answer in (limited, whole())])
    house = House(one, Fake("two", whole()))
    for _ in range(30):
        house.ask()
        house.now += 2
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "platform one (claude-sonnet-4-6) gets no calls for now",
        "platform one (claude-sonnet-4-6) gets calls again",
    ]


def test_a_platform_that_only_failed_is_the_last_resort() -> None:
    two = Fake("two", whole())
    house = House(Fake("one", lambda: failing(529)), two)
    for _ in range(10):
        house.standings.ended("two", "claude-sonnet-4-6", "failed")
    assert house.standings.keeps_away("two", "claude-sonnet-4-6") is not None
    assert house.ask() == (200, ANSWER)


def test_an_error_whose_body_does_not_come_is_not_waited_for() -> None:
    stalled = lambda: FakeReply(529, JSON, [b'{"type":', 30.0])  # noqa: E731
    house = House(Fake("one", stalled), Fake("two", whole()), hold_s=0.01)
    assert house.ask() == (200, ANSWER)
    assert house.tried() == [("one", "error", 529), ("two", "ok", 200)]


def test_an_error_whose_body_does_not_end_is_not_kept() -> None:
    endless = lambda: FakeReply(529, JSON, [*[bytes(65_536)] * 20, AssertionError("read on")])  # noqa: E731
    house = House(Fake("one", endless), Fake("two", whole()))
    assert house.ask() == (200, ANSWER)
    assert house.tried() == [("one", "error", 529), ("two", "ok", 200)]


def test_an_error_whose_body_comes_late_is_given_whole_where_nobody_takes_over() -> None:
    late = failing(529)
    first, second = late.script[0][:10], late.script[0][10:]  # type: ignore[index]
    late.script = [first, 0.05, second]
    house = House(Fake("one", lambda: late), hold_s=0.01, here=1, share=0.0)
    house.surviving._again["one"] = 0.0
    assert house.ask() == (529, first + second)


def test_an_error_with_status_200_is_recorded_as_one() -> None:
    body = json.dumps({"type": "error", "error": {"type": "overloaded_error", "message": "no"}}).encode()
    house = House(Fake("one", whole(body)), Fake("two", whole()))
    assert house.ask() == (200, ANSWER)
    assert house.tried() == [("one", "error", 200), ("two", "ok", 200)]


def test_a_whole_answer_is_the_answer_whatever_comes_behind_it() -> None:
    late = b"".join(WHOLE) + event("error", error={"type": "overloaded_error", "message": "no"})
    house = House(Fake("one", stream(late)), Fake("two", stream(*WHOLE)))
    assert house.ask(stream=True) == (200, late)
    assert [made.platform for made in house.record.attempts] == ["one"]


def test_a_flood_before_the_first_content_is_not_kept() -> None:
    pings = event("ping") * 2000
    house = House(
        Fake("one", stream(START, *[pings] * 50, AssertionError("held"))), Fake("two", whole()), hold_s=30
    )

    async def work() -> int:
        reply = await house.pipeline.answer(house.inbound(stream=True))
        first = await reply.read()
        reply.close()
        return len(first)

    assert asyncio.run(work()) < 1024 * 1024 + 2 * len(pings)


def test_no_wait_ends_after_the_last_moment_for_a_call() -> None:
    wait = lambda: failing(429, "rate_limit_error", (b"retry-after", b"3"))  # noqa: E731
    house = House(Fake("one", wait, whole()), here=1, within_s=2)
    assert house.ask()[0] == 429
    assert house.waited == []


def test_the_same_platform_is_asked_again_where_that_is_wanted() -> None:
    house = House(Fake("one", lambda: failing(529), lambda: failing(500, "api_error"), whole()), here=2)
    assert house.ask() == (200, ANSWER)
    assert house.waited == [0.5, 1.0]
    assert [made.status for made in house.record.attempts] == [529, 500, 200]


def test_it_is_asked_again_when_it_says_and_not_at_all_when_that_is_late() -> None:
    wait = lambda told: lambda: failing(429, "rate_limit_error", (b"retry-after", told))  # noqa: E731
    house = House(Fake("one", wait(b"3"), wait(b"60"), whole()), here=2)
    assert house.ask()[0] == 429
    assert house.waited == [3.0]


@pytest.mark.parametrize(
    "answer",
    [
        lambda: failing(529, "overloaded_error", (b"x-should-retry", b"false")),
        lambda: failing(429, "rate_limit_error", error_code="enforced_spend_limit_reached"),
        lambda: failing(401, "authentication_error"),
    ],
)
def test_what_the_same_platform_would_refuse_again_is_not_asked_again(answer: Any) -> None:
    house = House(Fake("one", answer, whole()), here=2)
    house.ask()
    assert len(house.record.attempts) == 1


def test_a_platform_in_trouble_is_given_only_a_share_more() -> None:
    house = House(Fake("one", lambda: failing(529)), here=1, attempts=2, share=0.1)
    for _ in range(100):
        house.ask()
    assert sum(len(record.attempts) for record in house.records) <= 100 + 10 + 10


def test_a_client_that_leaves_while_we_wait_is_recorded_once() -> None:
    house = House(Fake("one", lambda: failing(529)), here=1)

    async def gone(_: float) -> None:
        raise asyncio.CancelledError

    house.surviving._sleep = gone
    with pytest.raises(asyncio.CancelledError):
        house.ask()
    assert house.tried() == [("one", "error", 529)]


def test_real_and_simulated_answers_never_share_a_record() -> None:
    simulated = whole(headers=[*JSON, (b"x-trimtab-simulated", b"true")])
    house = House(Fake("one", lambda: failing(529)), Fake("two", simulated))
    with pytest.raises(UpstreamBroken, match="simulated"):
        house.ask()
    assert [made.result for made in house.record.attempts] == ["error", "truncated"]


@pytest.mark.parametrize("failure", [UpstreamBroken("cut"), lambda: failing(529)])
@pytest.mark.parametrize("first_simulated", [False, True])
def test_the_simulator_never_takes_over_from_a_real_platform_nor_a_real_one_from_it(
    failure: Any, first_simulated: bool
) -> None:
    one = Fake("one", failure, simulated=first_simulated)
    two, three = (
        Fake("two", whole(), simulated=not first_simulated),
        Fake("three", whole(), simulated=first_simulated),
    )
    assert House(one, two, three).ask() == (200, ANSWER)
    house = House(one, two)
    with suppress(UpstreamBroken):
        assert house.ask()[0] == 529
    assert [made.platform for made in house.record.attempts] == ["one"]
    assert house.record.simulated is first_simulated
    assert two.calls == []


def test_the_beginning_of_a_stream_is_not_held_for_long() -> None:
    house = House(Fake("one", stream(START, 0.5, *WHOLE[1:])), Fake("two", whole()), hold_s=0.01)

    async def work() -> bytes:
        reply = await house.pipeline.answer(house.inbound(stream=True))
        first = await reply.read()
        reply.close()
        return first

    assert asyncio.run(work()) == START


def test_the_last_place_streams_at_once() -> None:
    house = House(Fake("one", UpstreamRefused("no")), Fake("two", stream(START, 30.0)))

    async def work() -> bytes:
        reply = await house.pipeline.answer(house.inbound(stream=True))
        first = await reply.read()
        reply.close()
        return first

    assert asyncio.run(work()) == START


def test_a_second_platform_is_asked_beside_a_slow_one_where_that_is_wanted_and_both_are_paid() -> None:
    slow, quick = Fake("one", stream(START, 30.0, *WHOLE[1:])), Fake("two", stream(*WHOLE))
    house = House(slow, quick, hedge_after_s=0.2)
    assert house.ask(stream=True) == (200, b"".join(WHOLE))
    first, second = house.record.attempts
    assert (first.platform, first.result, first.cost_source) == ("one", "truncated", "estimated")
    assert first.cost_nanousd > 0
    assert (second.platform, second.result) == ("two", "ok")
    assert slow.replies[0].closed
    # Were the process to die meanwhile, both would be accounted for at their worst.
    lost = house.intents[-1].outcome()
    assert [made.platform for made in lost.attempts] == ["one", "two"]
    assert lost.cost_nanousd == sum(made.reserved_nanousd for made in lost.attempts)


def test_a_platform_that_is_a_little_slower_than_the_one_beside_it_is_not_left_alone() -> None:
    slow, quick = Fake("one", stream(START, 30.0)), Fake("two", stream(START, 0.02, *WHOLE[1:]))
    house = House(slow, quick, hedge_after_s=0.01)
    for _ in range(6):
        house.ask(stream=True)
    assert len(slow.calls) == 6
    assert {(made.platform, made.result) for record in house.records for made in record.attempts} == {
        ("one", "cancelled"),
        ("two", "ok"),
    }


def test_the_first_one_may_still_win_and_the_second_is_paid_too() -> None:
    house = House(
        Fake("one", stream(START, 0.1, *WHOLE[1:])),
        Fake("two", stream(START, 30.0, *WHOLE[1:])),
        hedge_after_s=0.01,
    )
    assert house.ask(stream=True) == (200, b"".join(WHOLE))
    assert house.tried() == [("two", "cancelled", 200), ("one", "ok", 200)]


def test_where_both_fail_a_third_is_asked() -> None:
    house = House(
        Fake("one", stream(START, 0.1, UpstreamBroken("cut"))),
        Fake("two", lambda: failing(529)),
        Fake("three", stream(*WHOLE)),
        hedge_after_s=0.01,
    )
    assert house.ask(stream=True) == (200, b"".join(WHOLE))
    assert sorted(house.tried()) == [("one", "truncated", 200), ("three", "ok", 200), ("two", "error", 529)]


def test_a_client_that_leaves_two_calls_is_recorded_once() -> None:
    one, two = Fake("one", stream(START, 30.0)), Fake("two", stream(START, 30.0))
    house = House(one, two, hedge_after_s=0.01)

    async def work() -> None:
        asking = asyncio.ensure_future(house.pipeline.answer(house.inbound(stream=True)))
        await two.asked.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(work())
    assert house.tried() == [("one", "cancelled", 200), ("two", "cancelled", 200)]
    assert one.replies[0].closed
    assert two.replies[0].closed


def test_a_client_that_leaves_the_second_call_does_not_change_how_the_first_ended() -> None:
    first = stream(START, 0.05, event("error", error={"type": "overloaded_error", "message": "no"}))
    one, two = Fake("one", first), Fake("two", stream(START, 30.0))
    house = House(one, two, hedge_after_s=0.01)

    async def work() -> None:
        asking = asyncio.ensure_future(house.pipeline.answer(house.inbound(stream=True)))
        await two.asked.wait()
        both = house.ledger.held()
        while house.ledger.held() == both:  # noqa: ASYNC110 - settled when it failed, not when the other ends
            await asyncio.sleep(0.001)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(work())
    assert house.tried() == [("one", "error", 200), ("two", "cancelled", 200)]
    assert house.record.result == "cancelled"


def test_without_hedging_a_slow_platform_is_waited_for() -> None:
    house = House(Fake("one", stream(START, 0.05, *WHOLE[1:])), Fake("two", stream(*WHOLE)))
    house.ask(stream=True)
    assert house.tried() == [("one", "ok", 200)]


def test_a_call_that_tries_a_platform_again_does_not_wait_for_its_deadline() -> None:
    one, two = Fake("one", UpstreamBroken("no")), Fake("two", stream(*WHOLE))
    house = House(one, two)
    for _ in range(5):
        house.ask(stream=True)
    assert house.standings.keeps_away("one", "claude-sonnet-4-6") is not None
    house.now += 10
    house.records.clear()
    one.answers = [stream(30.0)]
    assert house.ask(stream=True) == (200, b"".join(WHOLE))
    assert [made.platform for made in house.record.attempts] == ["one", "two"]
    assert house.standings.keeps_away("one", "claude-sonnet-4-6") is not None
