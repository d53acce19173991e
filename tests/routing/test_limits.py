"""Rate limits as platforms tell them: every known form is read, and no bytes of theirs do harm."""

import datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trimtab.routing.limits import LONGEST_S, Bucket, Remaining, read_limits, retry_after

NOW = datetime.datetime(2026, 11, 22, 12, 0, 0, tzinfo=datetime.UTC).timestamp()

Head = list[tuple[bytes, bytes]]


def still() -> float:
    return 0.0


def bucket(chance: float = 0.0) -> Bucket:
    return Bucket(lambda: chance, lambda: NOW)


VENDOR: Head = [
    (b"content-type", b"application/json"),
    (b"anthropic-ratelimit-requests-limit", b"4000"),
    (b"anthropic-ratelimit-requests-remaining", b"3999"),
    (b"anthropic-ratelimit-requests-reset", b"2026-11-22T12:00:01Z"),
    (b"anthropic-ratelimit-input-tokens-limit", b"2000000"),
    (b"anthropic-ratelimit-input-tokens-remaining", b"500000"),
    (b"anthropic-ratelimit-input-tokens-reset", b"2026-11-22T12:00:45+00:00"),
    (b"anthropic-organization-id", b"org"),
]


def test_the_limits_of_the_vendor_are_read() -> None:
    assert read_limits(VENDOR, NOW) == (
        Remaining("requests", 4000, 3999, 1.0),
        Remaining("input-tokens", 2_000_000, 500_000, 45.0),
    )


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [(b"1s", 1.0), (b"6m0s", 360.0), (b"20ms", 0.02), (b"1h2m3.5s", LONGEST_S), (b"17", 17.0)],
)
def test_the_limits_of_servers_of_the_openai_api_are_read(reset: bytes, seconds: float) -> None:
    head = [
        (b"x-ratelimit-limit-requests", b"60"),
        (b"x-ratelimit-remaining-requests", b"59"),
        (b"x-ratelimit-reset-requests", reset),
    ]
    assert read_limits(head, NOW) == (Remaining("requests", 60, 59, pytest.approx(seconds)),)  # type: ignore[arg-type]


def test_a_reset_is_read_by_the_clock_of_the_platform_where_it_tells_its_time() -> None:
    head = [*VENDOR[1:4], (b"date", b"Sun, 22 Nov 2026 11:59:31 GMT")]
    assert read_limits(head, NOW + 999)[0].full_in_s == 30.0


@pytest.mark.parametrize(
    ("head", "seconds"),
    [
        ([(b"retry-after", b"7")], 7.0),
        ([(b"retry-after", b" 1.5 ")], 1.5),
        ([(b"retry-after", b"7"), (b"retry-after-ms", b"250")], 0.25),
        ([(b"retry-after", b"Sun, 22 Nov 2026 12:00:09 GMT")], 9.0),
        ([(b"retry-after", b"Sun, 22 Nov 2026 11:00:00 GMT")], 0.0),
        ([(b"retry-after", b"9999999")], LONGEST_S),
        ([(b"retry-after", b"-3")], None),
        ([(b"retry-after", b"nan")], None),
        ([(b"retry-after", b"1e400")], None),
        ([(b"retry-after", b"soon")], None),
        ([(b"retry-after", b"")], None),
        ([], None),
    ],
)
def test_every_form_of_retry_after_is_read_and_nonsense_is_not(head: Head, seconds: float | None) -> None:
    assert retry_after(head, NOW) == seconds


def test_figures_that_make_no_sense_are_as_if_they_were_not_told() -> None:
    name = b"anthropic-ratelimit-tokens-"
    for limit, remaining in ((b"0", b"0"), (b"-5", b"1"), (b"many", b"1"), (b"9" * 99, b"1"), (b"5", b"")):
        assert read_limits([(name + b"limit", limit), (name + b"remaining", remaining)], NOW) == ()
    assert read_limits([(name + b"limit", b"5"), (name + b"remaining", b"9")], NOW)[0].remaining == 5


NAMES = st.sampled_from(
    [
        b"retry-after",
        b"retry-after-ms",
        b"date",
        *(b"anthropic-ratelimit-tokens-" + what for what in (b"limit", b"remaining", b"reset", b"")),
        *(b"x-ratelimit-" + what + b"-tokens" for what in (b"limit", b"remaining", b"reset")),
        b"x-ratelimit-",
        b"anthropic-ratelimit-",
    ]
)
VALUES = st.one_of(
    st.binary(max_size=80),
    st.text("0123456789.:-+TZhms GMT,SunNov", max_size=40).map(str.encode),
    st.sampled_from([b"2026-11-22T12:00:45Z", b"Sun, 22 Nov 2026 12:00:09 GMT", b"6m0s", b"5", b"0"]),
    st.datetimes(timezones=st.just(datetime.UTC)).map(lambda moment: moment.isoformat().encode()),
)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=12))
@example([(b"retry-after", b"Mon, 01 Jan 99999999999 00:00:00 +9999")])
@example([(b"retry-after", b"Sun, 00 Nov 2026 12:00:09 GMT")])
@example([(b"retry-after", b"0001-01-01T00:00:00+23:59")])
def test_no_bytes_of_a_platform_raise_or_keep_it_away_for_long(head: Head) -> None:
    wait = retry_after(head, NOW)
    assert wait is None or 0 <= wait <= LONGEST_S
    for one in read_limits(head, NOW):
        assert 0 <= one.remaining <= one.limit
        assert 0 <= one.full_in_s <= LONGEST_S
    told = bucket(1.0)
    told.told(head, 5.0)
    room = told.room(6.0)
    assert room is None or 0 <= room <= 1
    told.limited(10.0, wait)
    assert told.until <= 10.0 + LONGEST_S + 1.0


@given(
    st.lists(
        st.tuples(st.floats(0, 100), st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True)))
    )
)
def test_a_second_refusal_never_shortens_the_wait_of_the_first(
    waits: list[tuple[float, float | None]],
) -> None:
    one, now = bucket(0.7), 50.0
    for passed, wait in waits:
        now += passed
        before = one.until
        one.limited(now, wait)
        assert one.until >= before
        assert one.until >= now
        assert one.until <= now + LONGEST_S + 1.0


def test_refusals_without_a_time_are_waited_for_longer_each_time_but_those_that_came_together_count_once() -> (
    None
):
    one, now, waits = bucket(), 100.0, []
    for _ in range(7):
        for _ in range(20):
            one.limited(now, None)
        waits.append(one.until - now)
        now = one.until
    assert waits == [1, 2, 4, 8, 16, 30, 30]
    one.answered()
    one.limited(now, None)
    assert one.until - now == 1


def test_what_is_left_fills_up_until_the_reset() -> None:
    one = bucket()
    assert one.room(100.0) is None
    one.told(VENDOR, 100.0)
    assert one.room(100.0) == 0.25, "of the kind of which least is left"
    assert one.room(115.0) == pytest.approx(0.5)
    assert one.room(200.0) == 1.0
    assert one.left(115.0) == (
        Remaining("requests", 4000, 4000, 0.0),
        Remaining("input-tokens", 2_000_000, 1_000_000, 30.0),
    )


def test_the_head_of_an_answer_that_came_earlier_does_not_replace_a_later_one() -> None:
    one = bucket()
    one.told([(name, b"1000" if b"remaining" in name else value) for name, value in VENDOR], 100.0)
    one.told(VENDOR, 60.0)  # a long stream, whose head is old when it ends
    assert one.left(100.0)[1].remaining == 1000
    one.told([(b"content-type", b"text/html")], 101.0)
    assert one.left(101.0)[1].limit == 2_000_000, "an answer that tells nothing changes nothing"
