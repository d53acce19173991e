"""The witnesses of the platforms' chaos themselves: what they are there to notice, they notice."""

import json
from typing import Any

import pytest
from findings import Findings
from platforms_answers import Said, events_of, read_stream, read_whole
from platforms_drive import Arrival
from platforms_framing import EVENTS, events, framed, message
from platforms_judging import judge_answers, judge_books, wilson

A, B = events("a-1", "claude-1"), events("a-1", "aws-2")
ERROR = {"type": "error", "error": {"type": "overloaded_error", "message": "no"}}


def verdict(*said: dict[str, Any], ended: bool = True, torn: bool = False) -> str:
    return read_stream("a-1", said, ended=ended, torn=torn)[0]


def test_one_whole_stream_is_whole_and_names_its_attempt() -> None:
    assert read_stream("a-1", A, ended=True) == ("whole", "", "claude-1")


@pytest.mark.parametrize(
    "said",
    [
        [A[0], *B],
        [*A[:5], *B[5:]],
        [*A[:4], *B[3:]],
        [*A[:5], *A[4:]],
        [*A, ERROR, A[-1]],
        [*A[:5], ERROR, ERROR],
        A[:-1],
        A[:3],
        A[1:],
        [*A[:4], *A[5:]],
        events("a-2", "claude-1"),
        [],
    ],
    ids=[
        "two beginnings",
        "words of two attempts",
        "an answer goes on as another",
        "words twice",
        "an error in the middle",
        "two errors",
        "no message_stop",
        "nothing said",
        "no beginning",
        "words missing",
        "somebody else's",
        "nothing at all",
    ],
)
def test_what_must_never_be_is_seen(said: list[dict[str, Any]]) -> None:
    assert verdict(*said) == "wrong"


def test_an_honest_end_is_told_from_a_silent_one() -> None:
    assert verdict(*A[:5], ERROR) == verdict(ERROR) == "broken"
    assert verdict(*A[:5], ended=False, torn=True) == "broken"
    assert verdict(*A[:5], ended=False) == "cut"
    assert verdict(*A[:5], B[5], ERROR) == "wrong"


def test_answers_in_one_piece_are_read_as_strictly() -> None:
    whole = message("a-1", "claude-1", whole=True)
    assert read_whole("a-1", 200, json.dumps(whole).encode()) == ("whole", "", "claude-1")
    assert read_whole("a-2", 200, json.dumps(whole).encode())[0] == "wrong"
    assert read_whole("a-1", 200, json.dumps({**whole, "id": "msg_aws-2"}).encode())[0] == "wrong"
    assert read_whole("a-1", 529, json.dumps(ERROR).encode())[0] == "refused"
    assert read_whole("a-1", 502, b"<html>")[0] == "wrong"


def test_half_an_event_at_the_end_is_seen() -> None:
    body = b"".join(framed("anthropic", event) for event in A[:4])
    assert events_of(body) == (A[:4], False)
    assert events_of(body + b"event: content_bl") == (A[:4], True)


def said(verdict: Any, attempt: str = "claude-1", status: int = 200) -> Said:
    return Said("a-1", "a", 0.0, 1.0, status, verdict, "", attempt, stream=True)


def arrival(platform: str, n: int, how: str, sent: int, billed: bool = True) -> Arrival:
    return Arrival(platform, "a-1", f"{platform}-{n}", 0.0, 1.0, how, sent, billed)


def test_a_request_that_nobody_answered_is_seen() -> None:
    unserved, fine = Findings("unserved"), Findings("fine")
    tally = judge_answers(
        unserved, [said("refused", status=529)], [arrival("claude", 1, "status:529", 0, False)]
    )
    assert (tally.could, tally.served, len(unserved.missed)) == (1, 0, 1)
    tally = judge_answers(fine, [said("broken")], [arrival("claude", 1, "cut", 5)])
    assert (tally.could, tally.cut_after_content, fine.missed) == (0, 1, [])


def record(*attempts: dict[str, Any], cost: int) -> dict[str, Any]:
    return {"id": "r", "session": "s:a-1", "key": "k", "cost_nanousd": cost, "attempts": list(attempts)}


def test_an_attempt_that_is_missing_or_free_or_added_up_wrongly_is_seen() -> None:
    calls = [arrival("claude", 1, "cut", 2), arrival("aws", 2, "answered", EVENTS)]
    cut = {"platform": "claude", "provider_request_id": "claude-1", "result": "truncated", "error": "cut"}
    paid = {**cut, "cost_nanousd": 5, "cost_source": "estimated"}
    served = {"platform": "aws", "provider_request_id": "aws-2", "result": "ok", "cost_nanousd": 198_000}
    books = {
        "whole": (record(paid, served, cost=198_005), {"k": 198_005}, 0),
        "missing": (record(served, cost=198_000), {"k": 198_000}, 1),
        "free": (record(cut, served, cost=198_000), {"k": 198_000}, 1),
        "sum": (record(paid, served, cost=198_000), {"k": 198_000}, 1),
        "spend": (record(paid, served, cost=198_005), {"k": 5}, 1),
        "two answers": (record({**paid, "result": "ok"}, served, cost=198_005), {"k": 198_005}, 1),
    }
    for name, (made, spent, missed) in books.items():
        findings = Findings(name)
        judge_books(findings, [said("whole", "aws-2")], calls, [made], spent)
        assert len(findings.missed) == missed, findings


def test_the_interval_is_wilsons() -> None:
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert wilson(4000, 4000)[0] > 0.999 > wilson(3800, 3800)[0]
