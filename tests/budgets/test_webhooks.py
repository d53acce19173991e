"""What a receiver of warnings gets: one signed POST of JSON, whatever it answers."""

import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Iterator

import pytest
from webhook_receiver import Receiver, receiving

import trimtab.budgets.webhooks as webhooks
from trimtab.budgets.settings import Webhook
from trimtab.budgets.webhooks import TRIES, body_of, send, wait_ms
from trimtab.config import Secret
from trimtab.store.budgets.warnings import Notice

NOTICE = Notice(
    budget="team-a.usd_per_month", account="team=default/team-a/usd/2026-11", simulated=False, level=80,
    limit=500_000_000_000, spent=410_000_000_000, at_ms=1_795_000_000_000,
)  # fmt: skip


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


def hook(url: str, secret: str | None = "quiet") -> Webhook:
    return Webhook(Secret(url, "webhook"), None if secret is None else Secret(secret, "env:SIGN"))


def test_a_warning_is_one_signed_post_that_a_receiver_can_check(receiver: Receiver) -> None:
    assert send(hook(f"{receiver.url}/hooks/T0?x=1"), NOTICE, 1_795_000_123).ok
    ((path, headers, body),) = receiver.got
    assert path == "/hooks/T0?x=1"
    assert headers["content-type"] == "application/json"
    assert headers["host"] == receiver.url.removeprefix("http://")
    wanted = hmac.new(b"quiet", b"1795000123." + body, hashlib.sha256).hexdigest()
    assert headers["x-trimtab-signature"] == f"t=1795000123,v1={wanted}"
    said = json.loads(body)
    assert headers["x-trimtab-delivery"] == said.pop("id")
    assert said == {
        "type": "budget.warning", "at_ms": 1_795_000_000_000, "budget": "team-a", "limit_name": "usd_per_month",
        "scope": "team=default/team-a", "account": "team=default/team-a/usd/2026-11", "meter": "usd",
        "period": "month", "level_percent": 80, "spent_percent": 82, "spent": 410_000_000_000,
        "limit": 500_000_000_000, "left": 90_000_000_000, "renews_ms": 1_796_083_200_000, "simulated": False,
    }  # fmt: skip


def test_without_a_secret_nothing_is_signed_and_a_repeated_try_says_the_same_id(receiver: Receiver) -> None:
    receiver.answers = [503]
    first = send(hook(receiver.url, None), NOTICE, 1)
    assert (first.ok, first.problem) == (False, "answered 503")
    assert send(hook(receiver.url, None), NOTICE, 2).ok
    (_, one, body), (_, two, again) = receiver.got
    assert "x-trimtab-signature" not in one
    assert (one["x-trimtab-delivery"], body) == (two["x-trimtab-delivery"], again)


def test_an_address_that_sends_elsewhere_is_not_followed(receiver: Receiver) -> None:
    receiver.answers = [307]
    assert send(hook(receiver.url), NOTICE, 1).problem == "answered 307"
    assert len(receiver.got) == 1


def test_who_does_not_answer_is_told_without_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    sent = send(hook(f"http://127.0.0.1:{port}/s3cret"), NOTICE, 1)
    assert (sent.ok, sent.problem) == (False, "no answer: ConnectionRefusedError")


def test_a_receiver_that_sends_a_byte_now_and_then_does_not_hold_the_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webhooks, "WHOLE_S", 0.5)
    done = threading.Event()

    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            try:
                while not done.wait(0.05):
                    connection.sendall(b"H")
            except OSError:
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,), daemon=True)
        thread.start()
        sent = send(hook(f"http://127.0.0.1:{listener.getsockname()[1]}"), NOTICE, 1)
        done.set()
        thread.join()
    assert not sent.ok


def test_waits_grow_and_all_tries_take_hours() -> None:
    waits = [wait_ms(tries) for tries in range(1, TRIES)]
    assert waits == sorted(waits)
    assert waits[0] == 5_000
    assert 2 * 3_600_000 < sum(waits) < 24 * 3_600_000


def test_what_is_sent_says_that_a_limit_is_reached() -> None:
    full = Notice(
        budget="b.tokens_total",
        account="tag=a%2Fb/tokens/total",
        simulated=True,
        level=100,
        limit=10,
        spent=12,
    )
    said = json.loads(body_of(full))
    assert (said["type"], said["scope"], said["left"], said["spent_percent"], said["renews_ms"]) == (
        "budget.reached", "tag=a%2Fb", 0, 120, None,
    )  # fmt: skip
