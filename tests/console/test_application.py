"""The door of the console: paths, methods, files, and who is let in. With the real server in front of it."""

import asyncio
import gzip
import json
from pathlib import Path

import pytest
from serving_harness import Site, head, parsed, run, site

from trimtab.console.files import TYPES, Files


async def ask(
    s: Site, method: str, path: str, headers: bytes = b"", body: bytes = b""
) -> tuple[int, dict[str, str], bytes]:
    return parsed(await s.raw(head(method, path, headers, len(body) if body else None) + body))


def test_a_browser_that_opens_the_address_sees_the_console_and_a_program_json(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            status, headers, _ = await ask(s, "GET", "/", b"accept: text/html,*/*;q=0.8\r\n")
            assert (status, headers["location"]) == (303, "/console")
            status, headers, body = await ask(s, "GET", "/", b"accept: */*\r\n")
            assert status == 200
            assert json.loads(body)["console"] == "/console"

    run(work)


def test_where_keys_are_needed_a_browser_still_reaches_the_console_and_a_program_is_told(
    tmp_path: Path,
) -> None:
    async def work() -> None:
        async with site(tmp_path, "[server]\nrequire_keys = true\n") as s:
            assert (await ask(s, "GET", "/", b"accept: text/html\r\n"))[0] == 303
            assert (await ask(s, "GET", "/"))[0] == 401
            assert (await ask(s, "GET", "/console/login"))[0] == 200

    run(work)


@pytest.mark.parametrize("path", ["/console", "/console/", "/console/overview", "/console/overview.json"])
def test_pages_cannot_be_framed_cached_or_sniffed(tmp_path: Path, path: str) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            status, headers, _ = await ask(s, "GET", path)
            assert status == 200
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert headers["cache-control"] == "no-store"
            assert headers["x-content-type-options"] == "nosniff"

    run(work)


def test_head_has_the_headers_of_get_and_no_body(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            for path in ("/console", Files().url("console.css")):
                got = await ask(s, "GET", path)
                reader, writer = await asyncio.open_connection("127.0.0.1", s.port)
                writer.write(head("HEAD", path, b"connection: close\r\n"))
                status, headers, body = parsed(await reader.read())
                writer.close()
                assert (status, body) == (200, b"")
                assert headers["content-length"] == got[1]["content-length"]

    run(work)


def test_files_are_kept_by_browsers_for_good_and_named_by_their_content(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            files = Files()
            for name, content_type in TYPES.items():
                status, headers, body = await ask(s, "GET", files.url(name))
                assert (status, headers["content-type"]) == (200, content_type)
                assert "immutable" in headers["cache-control"]
                tag = headers["etag"]
                status, headers, again = await ask(
                    s, "GET", files.url(name), f"if-none-match: {tag}\r\n".encode()
                )
                assert (status, again) == (304, b"")
                assert body

    run(work)


@pytest.mark.parametrize(
    "path",
    [
        "/console/static/",
        "/console/static/console.css",
        "/console/static/../files.py",
        "/console/static/..%2ffiles.py",
        "/console/static/%2e%2e/%2e%2e/errors.py",
        "/console/static/htmx.LICENSE.txt",
        "/console/static//etc/passwd",
        "/console/../console",
        "/console/templates/base.html",
        "/console/nothing",
        "/console/nothing.json",
        "/console/requests/a/b",
        "/consolexyz",
        "/console%00",
    ],
)
def test_there_is_nothing_but_the_pages_and_their_files(tmp_path: Path, path: str) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            status, _, body = await ask(s, "GET", path)
            assert status in (400, 404)
            assert b"root:" not in body

    run(work)


@pytest.mark.parametrize(("method", "path"), [("POST", "/console"), ("DELETE", "/console/overview.json"), ("GET", "/console/logout"), ("PUT", "/console/login")])  # fmt: skip
def test_other_methods_are_refused_with_what_may_be_used(tmp_path: Path, method: str, path: str) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            status, headers, _ = await ask(s, method, path)
            assert status == 405
            assert headers["allow"]

    run(work)


def test_a_problem_is_json_where_json_was_asked_for_and_a_page_elsewhere(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            status, headers, body = await ask(s, "GET", "/console/nothing.json")
            assert (status, headers["content-type"]) == (404, "application/json")
            assert json.loads(body)["error"]["type"] == "not_found_error"
            status, headers, body = await ask(s, "GET", "/console/%3Cscript%3Ealert(1)%3C%2fscript%3E")
            assert (status, headers["content-type"]) == (404, "text/html; charset=utf-8")
            assert b"<script>alert" not in body

    run(work)


def test_a_form_without_its_token_changes_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            for form in (b"", b"csrf=", b"csrf=abc", b"csrf=%ff"):
                status, headers, _ = await ask(
                    s, "POST", "/console/logout", b"content-type: application/x-www-form-urlencoded\r\n", form
                )
                assert status == 403
                assert "set-cookie" not in headers

    run(work)


@pytest.mark.parametrize(
    "wanted",
    ["//evil.example", "https://evil.example", "/console//evil.example", "/\\evil.example", "/console/\\evil",
     "/consolex", "/console/a\r\nset-cookie: x=y", "javascript:alert(1)", "/console@evil.example"],
)  # fmt: skip
def test_the_login_sends_nobody_to_another_server(tmp_path: Path, wanted: str) -> None:
    from urllib.parse import quote

    async def work() -> None:
        async with site(tmp_path) as s:
            status, headers, _ = await ask(s, "GET", f"/console/login?next={quote(wanted, safe='')}")
            assert (status, headers["location"]) == (303, "/console")

    run(work)


def test_too_many_fields_are_refused_not_read(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            assert (await ask(s, "GET", "/console?" + "&".join(["a=1"] * 51)))[0] == 400

    run(work)


def test_files_are_packed_for_browsers_that_can_unpack_them_and_pages_never(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            for name in TYPES:
                url = Files().url(name)
                _, plain, body = await ask(s, "GET", url)
                assert "content-encoding" not in plain
                _, packed, short = await ask(s, "GET", url, b"accept-encoding: br, gzip\r\n")
                assert packed["content-encoding"] == "gzip"
                assert gzip.decompress(short) == body
                assert "accept-encoding" in packed["vary"]
            _, headers, _ = await ask(s, "GET", "/console", b"accept-encoding: gzip\r\n")
            assert "content-encoding" not in headers

    run(work)
