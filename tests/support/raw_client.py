"""A client that sends exactly the bytes that it is given, and says exactly what it got: also half an answer.

What it is not: an SDK (those run as programs of their own, `sdk_programs`).
"""

import http.client
import json
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

ANSWER_S = 30.0
RECORD_S = 10.0


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: list[tuple[str, str]]
    """Names in lower case, in order."""
    body: bytes

    @property
    def named(self) -> dict[str, str]:
        return dict(self.headers)

    @property
    def id(self) -> str:
        """The gateway's name for the request."""
        return self.named["x-trimtab-request"]

    @property
    def error(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)["error"]
        return found


class Aborted(Exception):
    """The answer ended before its end."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"{answer.status} after {len(answer.body)} bytes")
        self.answer = answer


class Client:
    """One connection, and the credential that it shows."""

    def __init__(self, port: int, key: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
        self.usual = {"x-api-key": key, "anthropic-version": "2023-06-01"}

    def begin(
        self, body: bytes, headers: Iterable[tuple[str, str]] = (), path: str = "/v1/messages"
    ) -> http.client.HTTPResponse:
        """Send a request; the answer's head has arrived."""
        self.send(body, headers, path)
        return self.connection.getresponse()

    def send(self, body: bytes, headers: Iterable[tuple[str, str]] = (), path: str = "/v1/messages") -> None:
        """Send a request, and do not wait."""
        headers = list(headers)
        self.connection.putrequest("POST", path, skip_accept_encoding=True)
        given = {name.lower() for name, _ in headers}
        for name, value in self.usual.items():
            if name not in given:
                self.connection.putheader(name, value)
        self.connection.putheader("content-type", "application/json")
        self.connection.putheader("content-length", str(len(body)))
        for name, value in headers:
            self.connection.putheader(name, value)
        self.connection.endheaders(body)

    def post(
        self, body: bytes, headers: Iterable[tuple[str, str]] = (), path: str = "/v1/messages"
    ) -> Answer:
        """The whole answer. Raises `Aborted` for one that is cut off."""
        answer = self.begin(body, headers, path)
        named = [(name.lower(), value) for name, value in answer.getheaders()]
        try:
            return Answer(answer.status, named, answer.read())
        except http.client.IncompleteRead as problem:
            self.close()
            raise Aborted(Answer(answer.status, named, problem.partial)) from None

    def get(self, path: str) -> Answer:
        self.connection.request("GET", path, headers=self.usual)
        answer = self.connection.getresponse()
        return Answer(answer.status, [(k.lower(), v) for k, v in answer.getheaders()], answer.read())

    def record(self, request_id: str) -> dict[str, Any]:
        """The record of a request, waiting for the writer: records reach the store in batches."""
        give_up = time.monotonic() + RECORD_S
        while True:
            answer = self.get(f"/trimtab/v1/requests/{request_id}")
            if answer.status == 200:
                record: dict[str, Any] = json.loads(answer.body)
                return record
            assert answer.status == 404, answer
            assert time.monotonic() < give_up, f"no record of {request_id}"
            time.sleep(0.01)

    def close(self) -> None:
        self.connection.close()
