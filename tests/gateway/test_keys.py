"""Callers with and without keys at a gateway: who is let in, what each may use, see and change."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from serving_harness import ASK, VERSION, Site, head, parsed, problem_of, run, site

from trimtab.admin import Actor, KeyAdmin, NewKey
from trimtab.app import load_settings
from trimtab.app.assemble import build
from trimtab.identity import make_secret
from trimtab.records import Limits

CLI = Actor("cli:tester")
REQUIRED = "[server]\nrequire_keys = true\n"
SONNET, OPUS, HAIKU = "claude-sonnet-4-6", "claude-opus-4-7", "claude-haiku-4-5-20251001"


class Keyed:
    """A site with the door for its keys."""

    def __init__(self, at: Site) -> None:
        self.site = at
        self.door: KeyAdmin = at.application.parts.callers.admin(at.application.settings)

    def make(self, name: str = "ci", **fields: Any) -> tuple[str, str]:
        made = self.door.add(CLI, NewKey(name=name, **fields))
        return made.key.id, made.secret.reveal()

    async def send(
        self,
        method: str,
        path: str,
        secret: str | None = None,
        body: Any = None,
        headers: bytes = b"",
    ) -> tuple[int, dict[str, str], Any]:
        """One exchange; asked again where the store could not be asked in time for a key that is unknown."""
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        shown = b"" if secret is None else b"x-api-key: %b\r\n" % secret.encode("latin-1")
        length = len(content) if method in ("POST", "PUT") else None
        for _ in range(50):
            answer = parsed(
                await self.site.raw(head(method, path, VERSION + shown + headers, length) + content)
            )
            if answer[0] != 503:
                break
            await asyncio.sleep(0.05)
        status, named, text = answer
        return status, named, json.loads(text) if named.get("content-type") == "application/json" else text

    async def ask(
        self, secret: str | None, model: str = "trimtab/auto", headers: bytes = b""
    ) -> tuple[int, Any]:
        status, _, body = await self.send("POST", "/v1/messages", secret, {**ASK, "model": model}, headers)
        return status, body

    async def refused(
        self, secret: str | None, model: str = "trimtab/auto", headers: bytes = b""
    ) -> tuple[int, str]:
        status, body = await self.ask(secret, model, headers)
        assert body["type"] == "error"
        assert body["request_id"]
        return status, body["error"]["message"]


@asynccontextmanager
async def keyed(folder: Path, config: str = "") -> AsyncIterator[Keyed]:
    async with site(folder, config) as at:
        yield Keyed(at)


def with_keys(folder: Path, work: Callable[[Keyed], Awaitable[None]], config: str = "") -> None:
    async def whole() -> None:
        async with keyed(folder, config) as k:
            await work(k)

    run(whole)


def test_where_keys_are_required_nothing_but_health_answers_without_one(tmp_path: Path) -> None:
    async def work(k: Keyed) -> None:
        for path in ("/", "/metrics", "/openapi.json", "/v1/models", "/v1/files", "/trimtab/v1/requests/x",
                     "/trimtab/v1/keys", "/trimtab/v1/audit", "/nowhere"):  # fmt: skip
            status, headers, body = await k.send("GET", path)
            assert (status, body["error"]["type"]) == (401, "authentication_error"), path
            assert headers["www-authenticate"] == "Bearer"
            assert (
                "no key is shown and this server needs one; send it in the x-api-key header"
                in body["error"]["message"]
            )
        assert (await k.refused(None))[0] == 401
        for path in ("/healthz", "/readyz"):
            assert (await k.send("GET", path))[0] == 200
        _, secret = k.make()
        for path in ("/", "/metrics", "/openapi.json", "/v1/models"):
            assert (await k.send("GET", path, secret))[0] == 200, path
        assert (await k.ask(secret))[0] == 200

    with_keys(tmp_path, work, REQUIRED)


def test_on_loopback_a_foreign_credential_is_ignored_and_one_of_ours_is_checked(tmp_path: Path) -> None:
    async def work(k: Keyed) -> None:
        key_id, secret = k.make()
        assert (await k.ask(None))[0] == 200
        assert (await k.ask("sk-ant-anything"))[0] == 200
        assert (await k.ask("sk-ant-1", headers=b"authorization: Bearer other\r\n"))[0] == 200
        assert (await k.ask(None, headers=b"authorization: Basic dHQtYQ==\r\n"))[0] == 200
        assert (await k.ask("sk-ant-1", headers=b"authorization: Bearer %b\r\n" % secret.encode()))[0] == 200
        status, headers, _ = await k.send("POST", "/v1/messages", secret, ASK)
        assert status == 200
        record = await recorded(k, headers["x-trimtab-request"])
        assert (record["key"], record["organisation"]) == (key_id, "default")
        status, said = await k.refused("tt-nonsense")
        assert (status, said) == (
            401,
            "the key shown has 11 characters instead of 50: it was cut off; copy it again",
        )
        status, said = await k.refused(make_secret(lambda n: b"7" * n))
        assert (status, said) == (
            401,
            "no key has the secret shown; check that it is this server's, and whole",
        )

    with_keys(tmp_path, work)


async def recorded(k: Keyed, request_id: str, secret: str | None = None) -> Any:
    for _ in range(200):
        status, _, body = await k.send("GET", f"/trimtab/v1/requests/{request_id}", secret)
        if status == 200:
            return body
        await asyncio.sleep(0.02)
    raise AssertionError(body)


def test_each_way_to_show_a_key_is_understood_and_two_keys_are_not(tmp_path: Path) -> None:
    async def work(k: Keyed) -> None:
        _, one = k.make("one")
        _, two = k.make("two")
        bearer = b"authorization: Bearer %b\r\n"
        assert (await k.ask(one))[0] == 200
        assert (await k.ask(None, headers=bearer % one.encode()))[0] == 200
        assert (await k.ask(None, headers=b"Authorization:bEARER   %b \r\n" % one.encode()))[0] == 200
        assert (await k.ask(one, headers=bearer % one.encode()))[0] == 200, "the same key twice is one key"
        assert (await k.ask("", headers=bearer % one.encode()))[0] == 200, "an empty header shows nothing"
        both = "two different keys are shown"
        for secret, headers in (
            (one, bearer % two.encode()),
            (one, b"x-api-key: %b\r\n" % two.encode()),
            ("sk-ant-1", bearer % one.encode()),
        ):
            status, said = await k.refused(secret, headers=headers)
            assert (status, said[: len(both)]) == (401, both)
        status, said = await k.refused(None, headers=b"authorization: Basic eDp5\r\n")
        assert (status, "Bearer scheme only" in said) == (401, True)
        for secret, words in (
            ("", "no key is shown"),
            ("sk-ant-api03-x", "begin with 'tt-'"),
            (one[:-1], "49 characters instead of 50: it was cut off"),
            (one[:20] + ("a" if one[20] != "a" else "b") + one[21:], "checksum does not fit"),
            (one + "\xff", "characters that no key has"),
            ("tt-" + "é" * 47, "characters that no key has"),
            ("tt-" + "a" * 30_000, "30,003 characters instead of 50"),
        ):
            status, said = await k.refused(secret)
            assert (status, words in said) == (401, True), (secret[:60], said)
            assert one[9:] not in said

    with_keys(tmp_path, work, REQUIRED)


def test_only_the_holder_of_a_key_hears_that_it_has_ended(tmp_path: Path) -> None:
    async def work(k: Keyed) -> None:
        key_id, secret = k.make()
        assert (await k.ask(secret))[0] == 200
        k.door.revoke(CLI, key_id)
        for _ in range(200):
            status, body = await k.ask(secret)
            if status != 200:
                break
            await asyncio.sleep(0.02)
        assert status == 401
        assert body["error"]["message"] == (
            f"the key shown ({key_id}) was revoked; ask whoever gave it to you for another"
        )

    with_keys(tmp_path, work, REQUIRED)


def test_a_key_is_held_to_its_models_tiers_and_platforms(tmp_path: Path) -> None:
    async def work(k: Keyed) -> None:
        _, secret = k.make(models=(HAIKU, OPUS), tiers=("fast",), default_tier="fast")
        assert (await k.ask(secret))[0] == 200, "auto is the default tier of this key"
        assert (await k.ask(secret, "trimtab/fast"))[0] == 200
        assert (await k.ask(secret, OPUS))[0] == 200
        status, said = await k.refused(secret, SONNET)
        assert (status, said) == (
            403, f"model: {SONNET!r}, which this key may not use; it may use {HAIKU}, {OPUS}",
        )  # fmt: skip
        status, said = await k.refused(secret, "trimtab/escalation")
        assert (status, "tier escalation, which this key may not name; it may name fast" in said) == (
            403,
            True,
        )
        _, _, listed = await k.send("GET", "/v1/models?limit=100", secret)
        assert [model["id"] for model in listed["data"]] == ["trimtab/auto", "trimtab/fast", OPUS, HAIKU]
        assert "fast (claude-haiku-4-5)" in listed["data"][0]["display_name"]
        assert (await k.send("GET", f"/v1/models/{OPUS}", secret))[0] == 200
        assert (await k.send("GET", f"/v1/models/{SONNET}", secret))[0] == 404
        assert (await k.send("GET", "/v1/models/trimtab/control", secret))[0] == 404
        _, nowhere = k.make("nowhere", platforms=())
        status, said = await k.refused(nowhere)
        assert (status, "served by no platform that this key may use (none)" in said) == (403, True)
        status, _, body = await k.send("GET", "/v1/files", nowhere)
        assert (status, body["error"]["message"]) == (
            403, "/v1/files: goes to platform 'sim', which this key may not use",
        )  # fmt: skip
        assert (await k.send("GET", "/v1/models", nowhere))[2]["data"] == []
        _, _, everything = await k.send("GET", "/v1/models?limit=100")
        assert len(everything["data"]) > 15

    with_keys(tmp_path, work)


def test_a_request_chooses_among_the_platforms_of_its_key_and_never_beyond(tmp_path: Path) -> None:
    async def work(k: Keyed) -> None:
        _, secret = k.make(platforms=("two", "three"))
        ask = json.dumps({**ASK, "model": OPUS}).encode()
        count = json.dumps({"model": OPUS, "messages": ASK["messages"]}).encode()
        for path, body in (("/v1/messages", ask), ("/v1/messages/count_tokens", count)):
            for named, served in ((b"three", "three"), (b" three , two", "three"), (b"two,three", "two")):
                header = b"x-trimtab-platform: %b\r\n" % named
                status, answered, _ = await k.send("POST", path, secret, body, header)
                assert (status, answered["x-trimtab-platform"]) == (200, served)
            for named, expected, kind, says in (
                (b"two, one", 403, "permission_error", "'one': this key may not use this platform; it may use two, three"),
                (b"four", 400, "invalid_request_error", "'four' is not a configured platform; there are two, three"),
                (b"", 400, "invalid_request_error", "names no platform entry"),
            ):  # fmt: skip
                header = b"x-trimtab-platform: %b\r\n" % named
                status, answered, said = await k.send("POST", path, secret, body, header)
                assert (status, said["error"]["type"]) == (expected, kind)
                assert says in said["error"]["message"]
                record = await k.site.record(answered["x-trimtab-request"])
                assert record["result"] == "error"
                assert not record.get("attempts")
        header = b"x-trimtab-platform: three\r\n"
        _, answered, _ = await k.send("POST", "/v1/messages", secret, ask, header)
        record = await k.site.record(answered["x-trimtab-request"])
        assert "platform three, from the x-trimtab-platform header" in record["plan"]["reasons"]

    entry = '[platforms.{}]\nkind = "simulator"\nlatency_scale = 0.0\n'
    with_keys(tmp_path, work, "".join(map(entry.format, ("one", "two", "three"))))


def test_a_request_that_names_its_platforms_fails_over_among_them_and_to_no_other(tmp_path: Path) -> None:
    async def work(k: Keyed) -> None:
        _, secret = k.make(platforms=("one", "broken", "gone", "two"))
        ask = json.dumps({**ASK, "model": OPUS}).encode()

        async def served(named: bytes) -> tuple[int, str, list[str]]:
            header = b"x-trimtab-platform: %b\r\n" % named
            status, answered, _ = await k.send("POST", "/v1/messages", secret, ask, header)
            record = await k.site.record(answered["x-trimtab-request"])
            return status, answered["x-trimtab-platform"], [tried["platform"] for tried in record["attempts"]]

        assert await served(b"broken, two") == (200, "two", ["broken", "two"])
        assert await served(b"broken") == (529, "broken", ["broken"])
        assert await served(b"gone, broken") == (529, "broken", ["gone", "broken"])

    config = "".join(
        f'[platforms.{name}]\nkind = "simulator"\nlatency_scale = 0.0\n{script}'
        for name, script in (
            ("one", ""), ("two", ""), ("broken", 'script = "broken.yaml"\n'), ("gone", 'script = "broken.yaml"\n'),
        )
    )  # fmt: skip
    (tmp_path / "broken.yaml").write_text(
        "version: 1\nrules:\n- {match: {}, reply: {error: {status: 529}}}\n"
    )
    with_keys(tmp_path, work, config)


def test_a_record_is_read_by_its_team_its_key_or_an_admin_of_its_organisation(tmp_path: Path) -> None:
    async def work(k: Keyed) -> None:
        red, red2, blue, alone, admin, other = (
            k.make(name, **fields)[1]
            for name, fields in {
                "red": {"organisation": "acme", "team": "red"},
                "red2": {"organisation": "acme", "team": "red"},
                "blue": {"organisation": "acme", "team": "blue"},
                "alone": {"organisation": "acme"},
                "admin": {"organisation": "acme", "admin": True},
                "other": {"organisation": "other", "team": "red", "admin": True},
            }.items()
        )
        readers = {"red": red, "red2": red2, "blue": blue, "alone": alone, "admin": admin, "other": other}

        async def who_reads(secret: str, model: str = "trimtab/auto") -> set[str]:
            _, headers, _ = await k.send("POST", "/v1/messages", secret, {**ASK, "model": model})
            request_id = headers["x-trimtab-request"]
            await recorded(k, request_id, secret)
            return {
                name
                for name, reader in readers.items()
                if (await k.send("GET", f"/trimtab/v1/requests/{request_id}", reader))[0] == 200
            }

        assert await who_reads(red) == {"red", "red2", "admin"}
        assert await who_reads(red, "no-such-model") == {"red", "red2", "admin"}, "also what was refused"
        assert await who_reads(alone) == {"alone", "admin"}
        assert await who_reads(other) == {"other"}

    with_keys(tmp_path, work, REQUIRED)


def test_an_admin_key_makes_shows_limits_rotates_and_revokes_keys(tmp_path: Path) -> None:
    async def work(k: Keyed) -> None:
        admin_id, admin = k.make("boss", organisation="acme", admin=True)
        _, headers, made = await k.send(
            "POST", "/trimtab/v1/keys", admin,
            {"name": "ci", "team": "red", "models": ["claude-haiku-4-5"], "limits": {"concurrency": 2}},
        )  # fmt: skip
        assert headers["content-type"] == "application/json"
        assert (made["organisation"], made["team"], made["models"], made["state"]) == (
            "acme",
            "red",
            [HAIKU],
            "active",
        )
        secret, path = made["secret"], f"/trimtab/v1/keys/{made['id']}"
        assert (await k.ask(secret, HAIKU))[0] == 200, "works at once"
        status, _, again = await k.send("POST", "/trimtab/v1/keys", admin, {"name": "ci"})
        assert (status, again["error"]["type"]) == (409, "conflict_error")
        _, _, shown = await k.send("GET", path, admin)
        _, _, by_name = await k.send("GET", "/trimtab/v1/keys/ci", admin)
        for one in (shown, by_name):
            one.pop("simulated_money", None)  # what it asked for may be written down by now, or not yet
            assert one == {name: value for name, value in made.items() if name != "secret"}
        for _ in range(2):
            status, _, limited = await k.send("POST", f"{path}/limits", admin, {"requests_per_minute": 9})
            assert (status, limited["limits"]) == (200, {"requests_per_minute": 9})
        status, _, rotated = await k.send("POST", f"{path}/rotate", admin, {"grace_s": 60})
        assert (status, len(rotated["secrets"])) == (200, 2)
        assert (await k.ask(rotated["secret"], HAIKU))[0] == 200
        assert (await k.ask(secret, HAIKU))[0] == 200, "the time of grace"
        assert (await k.send("POST", f"{path}/rotate", admin))[0] == 200, "a body is not needed"
        for _ in range(2):
            status, _, revoked = await k.send("POST", f"{path}/revoke", admin)
            assert (status, revoked["state"]) == (200, "revoked")
        _, _, listed = await k.send("GET", "/trimtab/v1/keys?limit=1", admin)
        assert (len(listed["data"]), listed["has_more"]) == (1, True)
        _, _, rest = await k.send("GET", f"/trimtab/v1/keys?after={listed['data'][0]['id']}", admin)
        assert {listed["data"][0]["id"], rest["data"][0]["id"]} == {admin_id, made["id"]}
        _, _, trail = await k.send("GET", f"/trimtab/v1/audit?key={made['id']}&limit=2", admin)
        assert ([entry["action"] for entry in trail["data"]], trail["has_more"]) == (
            ["keys.revoke", "keys.rotate"],
            True,
        )
        assert trail["data"][0]["actor"] == f"key:{admin_id}"
        assert trail["data"][0]["before"]["state"] == "active"
        for bad, words in (
            ({"name": "x", "modles": []}, "modles"),
            ({"name": 5}, "$.name"),
            ({"name": "x", "tiers": ["fats"]}, "did you mean 'fast'"),
            ({"name": "x", "platforms": ["simm"]}, "did you mean 'sim'"),
            ({}, "name"),
            (b"{", "body:"),
            (b"\xff", "body:"),
            (b"", "body:"),
        ):
            status, _, body = await k.send("POST", "/trimtab/v1/keys", admin, bad)
            assert (status, words in body["error"]["message"]) == (400, True), body
        for query in ("limit=0", "limit=1001", "limit=x", "limt=5", "limit=1&limit=2"):
            assert (await k.send("GET", f"/trimtab/v1/keys?{query}", admin))[0] == 400, query
        status, _, body = await k.send(
            "POST", "/trimtab/v1/keys", admin, {"name": "x", "organisation": "other"}
        )
        assert (status, "own organisation only" in body["error"]["message"]) == (403, True)
        assert (await k.send("POST", "/trimtab/v1/keys", admin, b" " * 70_000))[0] == 413
        assert (await k.send("DELETE", path, admin))[0] == 405
        assert (await k.send("POST", f"{path}/burn", admin))[0] == 404
        assert (await k.send("GET", "/trimtab/v1/keys/", admin))[0] == 404

    with_keys(tmp_path, work)


def test_without_an_admin_key_the_door_is_shut_on_this_machine_too(tmp_path: Path) -> None:
    async def work(k: Keyed) -> None:
        _, plain = k.make("plain")
        for method, path in (
            ("GET", "/trimtab/v1/keys"),
            ("POST", "/trimtab/v1/keys"),
            ("GET", "/trimtab/v1/keys/plain"),
            ("POST", "/trimtab/v1/keys/plain/revoke"),
            ("POST", "/trimtab/v1/keys/plain/rotate"),
            ("POST", "/trimtab/v1/keys/plain/limits"),
            ("GET", "/trimtab/v1/audit"),
        ):
            status, _, body = await k.send(method, path, body={})
            assert status == 403
            assert "on this machine use `trimtab keys`" in body["error"]["message"]
            status, _, body = await k.send(method, path, plain, {})
            assert status == 403
            assert "was not made with --admin" in body["error"]["message"]
        assert k.door.show(CLI, "plain").state == "active"

    with_keys(tmp_path, work)


def test_an_admin_key_that_was_just_revoked_changes_nothing_any_more(tmp_path: Path) -> None:
    async def work(k: Keyed) -> None:
        admin_id, admin = k.make("boss", admin=True)
        assert (await k.send("GET", "/trimtab/v1/keys", admin))[0] == 200
        k.door.revoke(CLI, admin_id)
        # The gateway may not know it yet; the door does.
        status, _, body = await k.send("POST", "/trimtab/v1/keys", admin, {"name": "backdoor"})
        assert status in (401, 403), body
        assert [key.name for key in k.door.keys(CLI)] == ["boss"]

    with_keys(tmp_path, work)


def test_web_pages_may_call_only_from_origins_that_are_listed(tmp_path: Path) -> None:
    async def work(k: Keyed) -> None:
        _, secret = k.make()
        assert (await k.ask(secret, headers=b"origin: https://app.example\r\n"))[0] == 200
        assert (await k.ask(secret, headers=b"origin: http://localhost:3000\r\n"))[0] == 200
        status, said = await k.refused(secret, headers=b"origin: https://evil.example\r\n")
        assert (status, "https://evil.example" in said) == (403, True)
        answer = await k.site.raw(
            b"GET /v1/models HTTP/1.1\r\nhost: evil.example\r\nx-api-key: %b\r\n\r\n" % secret.encode()
        )
        assert problem_of(answer)[0] == 403, "on loopback a foreign host is DNS rebinding, key or no key"

    with_keys(tmp_path, work, REQUIRED + "allowed_origins = ['https://app.example']\n")


def test_a_reload_that_requires_keys_holds_from_the_next_request_on(tmp_path: Path) -> None:
    async def work(k: Keyed) -> None:
        _, secret = k.make()
        assert (await k.ask(None))[0] == 200
        application = k.site.application
        file = tmp_path / "trimtab.toml"
        file.write_text(file.read_text() + REQUIRED)
        application.put_in_force(build(load_settings(file, listen="127.0.0.1:0"), application.parts))
        assert (await k.ask(None))[0] == 401
        assert (await k.ask(secret))[0] == 200

    with_keys(tmp_path, work)


def test_sessions_of_different_keys_are_different_sessions(tmp_path: Path) -> None:
    async def work(k: Keyed) -> None:
        sessions = []
        for name in ("a", "b"):
            _, secret = k.make(name)
            _, headers, _ = await k.send("POST", "/v1/messages", secret, ASK)
            sessions.append((await recorded(k, headers["x-trimtab-request"]))["session"])
        assert sessions[0] != sessions[1]

    with_keys(tmp_path, work)


def test_no_secret_reaches_logs_records_metrics_or_the_platform(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secrets: list[str] = []

    async def work(k: Keyed) -> None:
        _, secret = k.make("ci", limits=Limits(concurrency=5))
        _, headers, _ = await k.send("POST", "/v1/messages", secret, ASK)
        record = await recorded(k, headers["x-trimtab-request"], secret)
        await k.refused(secret[:-3])
        await k.refused(secret, "no-such-model")
        _, _, metrics = await k.send("GET", "/metrics", secret)
        assert b"trimtab_keys_refused_total 1.0" in metrics
        assert b"trimtab_keys_age_seconds" in metrics
        texts = (
            json.dumps(record),
            metrics.decode(),
            caplog.text,
            repr(k.site.application.parts.callers.keys),
        )
        assert all(secret[9:] not in text for text in texts)
        secrets.append(secret)

    with caplog.at_level(logging.DEBUG):
        with_keys(tmp_path, work, REQUIRED)
    files = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert secrets[0][9:].encode() not in files


def test_an_admin_reads_what_a_key_spent_and_is_told_what_may_be_said(tmp_path: Path) -> None:
    async def work(k: Keyed) -> None:
        _, boss = k.make("boss", admin=True)
        key_id, _ = k.make("x", limits=Limits(total_nanousd=9))
        _, _, shown = await k.send("GET", f"/trimtab/v1/keys/{key_id}", boss)
        assert shown["money"] == {"spent_nanousd": 0, "held_nanousd": 0, "left_nanousd": 9}
        _, _, listed = await k.send("GET", "/trimtab/v1/keys", boss)
        assert all("money" in key for key in listed["data"])
        status, _, refused = await k.send(
            "POST", "/trimtab/v1/keys", boss, {"name": "y", "limits": {"usd": 5}}
        )
        assert status == 400
        assert "permitted are concurrency, requests_per_minute, total_nanousd" in refused["error"]["message"]
        status, _, refused = await k.send("POST", "/trimtab/v1/keys/x/limits", boss, {"rpm": 5})
        assert (status, "permitted are concurrency" in refused["error"]["message"]) == (400, True)
        status, _, refused = await k.send("POST", "/trimtab/v1/keys", boss, {"nam": "y"})
        assert "permitted are name, organisation, team" in refused["error"]["message"]

    with_keys(tmp_path, work, REQUIRED)


def test_a_name_with_nul_is_the_callers_mistake(tmp_path: Path) -> None:
    """Of PostgreSQL, which takes no such text, the tests of `admin` tell."""

    async def work(k: Keyed) -> None:
        _, boss = k.make("boss", admin=True)
        for path, expected in (
            ("/trimtab/v1/keys?after=%00", 400),
            ("/trimtab/v1/keys/%00", 404),
            ("/trimtab/v1/audit?key=%00", 400),
        ):
            assert (await k.send("GET", path, boss))[0] == expected, path
        assert (await k.send("POST", "/trimtab/v1/keys/%00/revoke", boss))[0] == 404

    with_keys(tmp_path, work, REQUIRED)
