"""A server whose records, keys and users are hostile in every field, and ways to ask it: what the attacks share."""

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from scripted_upstream import Received, Upstream, streamed, whole
from waiting import until

HOME = "/console"
PASSWORD = "correct horse battery"
PATIENCE_S = 15.0


def hostile(place: str) -> str:
    """What breaks out of a text, an attribute or a script, if anything lets it; `place` says where it was planted."""
    return f"'\"><img src=x onerror=hit('{place}')>"


def also_hostile(place: str) -> str:
    return f"</script><script>hit('{place}')</script>"


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def named(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.headers}

    @property
    def cookie(self) -> str:
        """What a browser would send back."""
        return self.named["set-cookie"].partition(";")[0]


@dataclass
class House:
    """A running server."""

    server: Any
    ids: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.server.port)

    @property
    def url(self) -> str:
        return str(self.server.url)

    def ask(
        self,
        method: str,
        path: str,
        form: dict[str, str] | None = None,
        *,
        cookie: str = "",
        source: str = "127.0.0.1",
        **headers: str,
    ) -> Answer:
        """One request as somebody with a program sends it: no browser adds or holds anything back."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=60, source_address=(source, 0)
        )
        body = None if form is None else urlencode(form)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            sent["content-type"] = "application/x-www-form-urlencoded"
        if cookie:
            sent["cookie"] = cookie
        connection.request(method, path, body, sent)
        got = connection.getresponse()
        answer = Answer(got.status, got.getheaders(), got.read())
        connection.close()
        return answer

    def raw(self, request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(request)
            got = b""
            while piece := connection.recv(65536):
                got += piece
            return got

    def users(self, *words: str, typed: str = "") -> None:
        """`trimtab users`, beside the running server."""
        done = subprocess.run(
            [sys.executable, "-m", "trimtab", "users", *words, "--config", str(self.server.config)],
            cwd=self.server.folder,
            input=typed,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def add(self, name: str, role: str) -> None:
        self.users("add", name, "--role", role, "--password-stdin", typed=PASSWORD + "\n")

    def log_in(self, name: str, password: str = PASSWORD, source: str = "127.0.0.1") -> Answer:
        return self.ask("POST", "/console/login", {"name": name, "password": password}, source=source)

    def session(self, name: str) -> str:
        got = self.log_in(name)
        assert got.status == 303, got.body
        return got.cookie

    def token(self, cookie: str) -> str:
        """The token in the forms of this session's pages."""
        found = re.search(rb'name="csrf" value="([0-9a-f]+)"', self.ask("GET", HOME, cookie=cookie).body)
        assert found
        return found.group(1).decode()

    def is_in(self, cookie: str) -> bool:
        return self.ask("GET", HOME, cookie=cookie).status == 200

    def until(self, wanted: Callable[[], bool]) -> None:
        """What is taken away is gone within 2 s; here it only has to be gone."""
        until(wanted)

    def record(self, name: str) -> None:
        """Wait until it is written."""
        self.until(lambda: self.ask("GET", f"/trimtab/v1/requests/{name}").status == 200)


def hostile_platform(request: Received) -> Any:
    """Says, in every field that Trimtab reads, what an attacker would."""
    asked = json.loads(request.body or b"{}")
    text = json.dumps(asked.get("messages", ""))
    heads = (b"request-id: " + hostile("request-id").encode(),)
    if request.target.startswith(b"/v1/files"):
        page = b"<h1>a file</h1><script>fetch('/console').then(r=>r.text()).then(t=>{document.title=t.length})</script>"
        return [
            b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: %d\r\n\r\n" % len(page) + page
        ]
    if "fail" in text:
        error = {"type": hostile("error-type"), "message": also_hostile("error-message")}
        return whole(
            json.dumps({"type": "error", "error": error, "request_id": also_hostile("error-id")}).encode(),
            *heads,
            status=b"400 Bad Request",
        )
    message = {
        "id": hostile("message-id"),
        "type": "message",
        "role": "assistant",
        "model": hostile("response-model"),
        "content": [
            {"type": "text", "text": hostile("answer") + also_hostile("answer")},
            {"type": "tool_use", "id": "t", "name": hostile("tool"), "input": {"a": also_hostile("input")}},
        ],
        "stop_reason": hostile("stop-reason"),
        "stop_sequence": hostile("stop-sequence"),
        "usage": {"input_tokens": 5, "output_tokens": 7, "service_tier": hostile("service-tier")},
    }
    if not asked.get("stream"):
        return whole(json.dumps(message).encode(), *heads)
    events = [
        {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": hostile("delta")}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": hostile("stop-reason")},
            "usage": {"output_tokens": 7},
        },
        {"type": "message_stop"},
    ]  # fmt: skip
    return streamed(
        [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events], *heads
    )


def hostile_house(serve: Callable[..., Any], upstream: Upstream) -> House:
    """A server on loopback with a viewer, an operator and an admin, and everything that it records hostile."""
    upstream.answer = hostile_platform

    def before(config: Path) -> None:
        made = subprocess.run(
            [sys.executable, "-m", "trimtab", "keys", "add", hostile("key"), "--org", hostile("org"),
             "--team", hostile("team"), "--user", hostile("user"), "--label", f"{hostile('label')[:60]}={also_hostile('label')}",
             "--quiet", "--config", str(config)],
            cwd=config.parent, capture_output=True, text=True, check=True, env={**os.environ, "UP": "k"},
        )  # fmt: skip
        (config.parent / "key").write_text(made.stdout.strip())

    server = serve(
        f'[platforms.claude]\nkind = "anthropic"\napi_key = "env:UP"\nbase_url = "{upstream.url}"\n'
        '[content]\nkeep = "full"\n[telemetry]\nlog_level = "info"\n',
        before=before,
        UP="k",
    )
    house = House(server)
    for name, role in (("viewer", "viewer"), ("operator", "operator"), ("admin", "admin")):
        house.add(name, role)
    house.add(hostile("console-user"), "operator")
    secret = (server.folder / "key").read_text()
    heads = {
        "content-type": "application/json",
        "anthropic-version": "2023-06-01",
        "user-agent": hostile("user-agent"),
        "x-trimtab-session": hostile("session") + also_hostile("session"),
        "x-trimtab-tags": f"{hostile('tag')}, {also_hostile('tag')}, javascript:hit('tag-link')",
    }
    for model, text, stream, key in (
        ("trimtab/auto", "hello", False, True),
        ("trimtab/auto", "hello", True, True),
        ("claude-opus-4-7", "fail", False, True),
        (hostile("model") + also_hostile("model"), "hello", False, False),
        ("javascript:hit('model-link')", "hello", False, False),
    ):
        body = {
            "model": model,
            "max_tokens": 9,
            "stream": stream,
            "system": hostile("system"),
            "metadata": {"user_id": hostile("user-id")},
            "messages": [{"role": "user", "content": text + hostile("prompt") + also_hostile("prompt")}],
        }
        shown = {**heads, **({"x-api-key": secret} if key else {})}
        request = urllib.request.Request(
            f"{house.url}/v1/messages?{quote(hostile('query'))}", json.dumps(body).encode(), shown
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                answer.read()
                house.ids.append(answer.headers["x-trimtab-request"])
        except urllib.error.HTTPError as problem:
            with problem:
                house.ids.append(problem.headers["x-trimtab-request"])
    seen = {"cookie": house.session("admin")}
    for name in house.ids:
        house.until(
            lambda name=name: house.ask("GET", f"/console/requests/{name}.json", **seen).status == 200  # type: ignore[misc]
        )
    return house


def pages_of(house: House) -> list[str]:
    odd = quote(hostile("asked"))
    found = ["/console", "/console/requests?simulated=false"]
    found += [f"/console?by={by}&window=hour&simulated=false" for by in ("arm", "key", "team", "tier", "platform", "result")]  # fmt: skip
    found += [f"/console/requests/{name}" for name in house.ids]
    found += [f"/console/requests?simulated=false&{name}={odd}" for name in
              ("arm", "key", "team", "error", "session", "tier", "platform", "organisation", "result", "status", "after", "window")]  # fmt: skip
    found += [f"/console?by={odd}", f"/console/{odd}", f"/console/requests/{odd}", f"/console?{odd}={odd}"]
    return found
