"""Sends the warnings of budgets where their owners asked for them: one POST of JSON each, signed.

What it is not: the queue (`store.budgets.warnings`), or a place that a request waits for. Invariants: an address and a
secret are in no error and no log; no answer of a webhook, however slow or long, holds the thread for longer than
`WHOLE_S`; an address that sends elsewhere is not followed.
"""

import hashlib
import hmac
import http.client
import socket
import ssl
import threading
from urllib.parse import urlsplit

import msgspec

from trimtab.budgets.settings import LIMITS, Webhook
from trimtab.budgets.warnings import REFUSING
from trimtab.records import period_of
from trimtab.store.budgets.warnings import Notice

CONNECT_S = 5.0
WHOLE_S = 15.0

TRIES = 14
"""With waits of 5 s, doubled up to an hour, the last try is some five hours after the first."""
FIRST_WAIT_MS = 5_000
LONGEST_WAIT_MS = 3_600_000

HTTP_OK, HTTP_MORE = 200, 300


class Sent(msgspec.Struct, frozen=True):
    """What came of a try."""

    ok: bool
    problem: str = ""


def wait_ms(tries: int) -> int:
    """Before the next try, after so many."""
    return min(FIRST_WAIT_MS << max(0, tries - 1), LONGEST_WAIT_MS)


def delivery_id(one: Notice) -> str:
    """Names a warning, the same in every try, so that a receiver knows one that it has."""
    text = f"{one.budget}\n{one.account}\n{one.simulated}\n{one.level}\n{one.limit}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def body_of(one: Notice) -> bytes:
    """What is sent, JSON; money in nano-dollars, times in Unix milliseconds."""
    name, _, field = one.budget.rpartition(".")
    meter, period = LIMITS[field]
    _, renews_ms = period_of(period, one.at_ms)
    refusing = one.level == REFUSING
    kind = "budget.refusing" if refusing else "budget.reached" if one.spent >= one.limit else "budget.warning"
    return msgspec.json.encode(
        {
            "type": kind,
            "id": delivery_id(one),
            "at_ms": one.at_ms,
            "budget": name,
            "limit_name": field,
            "scope": one.account[: one.account.rindex(f"/{meter}")],
            "account": one.account,
            "meter": meter,
            "period": period,
            **({"asked": one.asked} if refusing else {"level_percent": one.level}),
            "spent_percent": 100 * one.spent // one.limit,
            "spent": one.spent,
            "limit": one.limit,
            "left": max(0, one.limit - one.spent),
            "renews_ms": renews_ms,
            "simulated": one.simulated,
        }
    )


def signature(secret: str, at_s: int, body: bytes) -> str:
    """`t=<Unix seconds>,v1=<hexadecimal HMAC-SHA256 of "<t>.<body>">`."""
    signed = hmac.new(secret.encode(), b"%d." % at_s + body, hashlib.sha256)
    return f"t={at_s},v1={signed.hexdigest()}"


def send(hook: Webhook, one: Notice, now_s: int) -> Sent:
    """One try. Blocks for at most about `WHOLE_S`. Never raises for what a network does."""
    parts = urlsplit(hook.address.reveal())
    body = body_of(one)
    headers = {
        "content-type": "application/json",
        "user-agent": "trimtab",
        "x-trimtab-delivery": delivery_id(one),
        "connection": "close",
    }
    if hook.signed_with is not None:
        headers["x-trimtab-signature"] = signature(hook.signed_with.reveal(), now_s, body)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    host = parts.hostname or ""
    connection = (
        http.client.HTTPSConnection(host, parts.port, timeout=CONNECT_S, context=ssl.create_default_context())
        if parts.scheme == "https"
        else http.client.HTTPConnection(host, parts.port, timeout=CONNECT_S)
    )
    # Deadlines of sockets are for each read: who sends a byte now and then would hold the thread for ever.
    ended = threading.Timer(WHOLE_S, _cut, (connection,))
    ended.daemon = True
    ended.start()
    try:
        connection.request("POST", path, body, headers)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException, ValueError) as problem:
        return Sent(False, f"no answer: {type(problem).__name__}")
    finally:
        ended.cancel()
        connection.close()
    if HTTP_OK <= status < HTTP_MORE:
        return Sent(True)
    return Sent(False, f"answered {status}")


def _cut(connection: http.client.HTTPConnection) -> None:
    """End whatever the other thread waits for."""
    used = connection.sock
    if used is not None:
        try:
            used.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
