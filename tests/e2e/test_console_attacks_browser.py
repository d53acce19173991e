"""The console attacked in the browser that people use: scripts, forms of other sites, planted sessions, foreign names."""

import http.server
import json
import os
import re
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
from hostile_house import PASSWORD, House, hostile, hostile_house, pages_of
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from scripted_upstream import Upstream

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is not installed (apt-get install chromium)"
)


@pytest.fixture(scope="module")
def house(serve: Callable[..., Any], upstream: Upstream) -> House:
    return hostile_house(serve, upstream)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        flags = ["--host-resolver-rules=MAP rebound.example 127.0.0.1"]
        if os.geteuid() == 0:
            flags.append("--no-sandbox")
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield chromium
        chromium.close()


@dataclass
class Window:
    """A fresh browser profile, and what happened in it that should not."""

    context: BrowserContext
    page: Page
    happened: list[str]


@pytest.fixture
def window(browser: Browser) -> Iterator[Window]:
    context = browser.new_context()
    context.set_default_timeout(20_000)
    happened: list[str] = []
    page = context.new_page()
    page.expose_function("hit", lambda place: happened.append(f"a script ran: {place}"))

    def dialog(box: Any) -> None:
        happened.append(f"a dialog: {box.message}")
        box.dismiss()

    page.on("dialog", dialog)
    page.on("pageerror", lambda error: happened.append(f"an error: {error}"))
    page.on("console", lambda message: happened.append(f"the console says: {message.text}"))
    yield Window(context, page, happened)
    context.close()


def type_login(page: Page, house: House, name: str, password: str = PASSWORD) -> None:
    page.goto(f"{house.url}/console/login")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_load_state()


# --- Scripts through what is recorded ---

FOREIGN_MARKUP = """() => [
    ...document.querySelectorAll(
        'script:not([src]), [onerror], [onload], [onclick], img[src="x"], iframe, object, embed, base, [style]:not(.plot *), style'
    ),
    ...[...document.querySelectorAll('[href], [src], [action], [formaction], [hx-get]')].filter(
        (one) => ['href', 'src', 'action', 'formaction', 'hx-get'].some(
            (name) => one.hasAttribute(name) && !one.getAttribute(name).startsWith('/console')
                && !one.getAttribute(name).startsWith('#')
        )
    ),
].map((one) => one.outerHTML.slice(0, 200))"""


def test_nothing_that_is_recorded_becomes_a_script_or_markup_on_any_page(
    house: House, window: Window
) -> None:
    type_login(window.page, house, hostile("console-user"))
    shown: set[str] = set()
    for path in pages_of(house):
        window.page.goto(house.url + path)
        assert window.page.evaluate(FOREIGN_MARKUP) == [], path
        shown.update(re.findall(r"hit\('([a-z-]+)'\)", window.page.locator("body").inner_text()))
        shown.update(re.findall(r"hit\('([a-z-]+)'\)", " ".join(window.page.evaluate(
            "() => [...document.querySelectorAll('input, [title]')].map((one) => one.value || one.title)"
        ))))  # fmt: skip
    refused = [one for one in window.happened if "status of 4" not in one]
    assert refused == []
    planted = {
        "key", "org", "team", "user", "session", "tag", "tag-link", "model", "model-link", "request-id",
        "response-model", "stop-reason", "error-type", "console-user", "asked", "system", "prompt", "answer", "tool",
        "input", "delta", "error-message",
    }  # fmt: skip
    assert planted - shown == set(), "planted, but on no page: the test would not notice"


def test_the_page_that_renews_itself_puts_no_markup_of_others_in(house: House, window: Window) -> None:
    type_login(window.page, house, "viewer")
    window.page.goto(f"{house.url}/console/requests?simulated=false")
    before = window.page.locator("#live").get_attribute("data-state")
    request = urllib.request.Request(
        f"{house.url}/v1/messages",
        json.dumps({"model": hostile("late"), "max_tokens": 1, "messages": []}).encode(),
        {"content-type": "application/json", "anthropic-version": "2023-06-01"},
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=60)
    refused.value.close()
    window.page.wait_for_function(
        "(before) => document.getElementById('live').dataset.state !== before", arg=before
    )
    assert "hit('late')" in window.page.locator("#live").inner_text()
    assert window.page.evaluate(FOREIGN_MARKUP) == []
    assert window.happened == []


def test_what_these_tests_look_for_is_found_where_nothing_stands_against_it(window: Window) -> None:
    """Were the payloads harmless, or the watch blind, the tests above would prove nothing."""
    window.page.set_content(f"<p title='{hostile('control')}'></p><script>hit('control')</script>")
    window.page.wait_for_function("() => document.querySelector('img')")
    window.page.wait_for_timeout(300)
    assert window.happened.count("a script ran: control") == 2
    assert len(window.page.evaluate(FOREIGN_MARKUP)) >= 2


def test_json_is_never_taken_for_a_page(house: House, window: Window) -> None:
    type_login(window.page, house, "operator")
    for path in ["/console/overview.json?simulated=false", "/console/requests.json?simulated=false",
                 *[f"/console/requests/{name}.json" for name in house.ids], f"/console/{quote(hostile('x'))}.json"]:  # fmt: skip
        answer = window.page.goto(house.url + path)
        assert answer is not None
        heads = answer.headers
        assert heads["content-type"] == "application/json"
        assert heads["x-content-type-options"] == "nosniff"
        assert window.page.locator("img").count() == 0
    assert [one for one in window.happened if "status of 4" not in one] == []


def test_a_file_on_the_platform_cannot_use_the_console_of_whoever_opens_it(
    house: House, window: Window
) -> None:
    type_login(window.page, house, "admin")
    answer = window.page.goto(f"{house.url}/v1/files/file_1/content")
    assert answer is not None
    assert answer.headers["content-type"] == "text/html"
    assert window.page.locator("h1").inner_text() == "a file"
    assert window.page.evaluate("() => [document.title, window.origin]") == ["", "null"]


# --- Forms of other sites ---


@dataclass
class Elsewhere:
    """Another site: serves one page, and keeps what was asked of it."""

    html: bytes = b""
    port: int = 0


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    site = Elsewhere()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(site.html)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield site
    server.shutdown()
    thread.join()
    server.server_close()


def self_sending(url: str, fields: dict[str, str]) -> bytes:
    inputs = "".join(f"<input name='{name}' value='{value}'>" for name, value in fields.items())
    return f"<form method=post action='{url}'>{inputs}</form><script>document.forms[0].submit()</script>".encode()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_page_of_another_site_cannot_log_anybody_out_or_in(
    house: House, window: Window, elsewhere: Elsewhere, host: str
) -> None:
    """`127.0.0.1` on another port is the same site to cookies, so there only the form's checks stand against it."""
    type_login(window.page, house, "operator")
    mine = window.context.cookies()
    stolen = house.token(house.session("admin"))
    for fields in ({}, {"csrf": ""}, {"csrf": stolen}):
        elsewhere.html = self_sending(f"{house.url}/console/logout", fields)
        with window.page.expect_navigation(url=lambda url: url.startswith(house.url)):
            window.page.goto(f"http://{host}:{elsewhere.port}/")
        assert house.is_in(f"{mine[0]['name']}={mine[0]['value']}")  # type: ignore[typeddict-item]
    elsewhere.html = self_sending(
        f"{house.url}/console/login", {"name": "viewer", "password": PASSWORD, "next": "/console"}
    )
    with window.page.expect_navigation(url=lambda url: url.startswith(house.url)):
        answer = window.page.goto(f"http://{host}:{elsewhere.port}/")
    assert answer is not None
    assert "another site" in window.page.locator("body").inner_text()
    window.page.goto(f"{house.url}/console")
    assert "operator" in window.page.locator(".who").inner_text()
    assert window.context.cookies() == mine


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_page_of_another_site_cannot_read_frame_or_script_the_console(
    house: House, window: Window, elsewhere: Elsewhere, host: str
) -> None:
    type_login(window.page, house, "operator")
    elsewhere.html = b"<h1>elsewhere</h1>"
    window.page.goto(f"http://{host}:{elsewhere.port}/")
    read = """async (url) => {
        const got = [];
        for (const mode of ['cors', 'no-cors']) {
            try {
                const answer = await fetch(url, {mode, credentials: 'include'});
                got.push(mode + ' ' + answer.type + ' ' + (await answer.text()).length);
            } catch (problem) { got.push(mode + ' refused'); }
        }
        return got;
    }"""
    for path in ("/console", "/console/requests.json"):
        assert window.page.evaluate(read, house.url + path) == ["cors refused", "no-cors refused"]
    load = """(url) => new Promise((done) => {
        const one = document.createElement('script');
        one.onload = () => done('loaded'); one.onerror = () => done('refused');
        one.src = url; document.body.append(one);
    })"""
    assert window.page.evaluate(load, f"{house.url}/console/requests.json") == "refused"
    window.page.evaluate(
        """(url) => new Promise((done) => {
            const one = document.createElement('iframe'); one.onload = done; one.src = url;
            document.body.append(one);
        })""",
        f"{house.url}/console",
    )
    (framed,) = [frame for frame in window.page.frames if frame != window.page.main_frame]
    house.until(lambda: (window.page.wait_for_timeout(20), framed.url)[1] == "chrome-error://chromewebdata/")


# --- Sessions and names ---


def test_a_session_that_was_planted_in_a_browser_is_not_the_one_after_the_login(
    house: House, window: Window
) -> None:
    name, _, attackers = house.session("viewer").partition("=")
    for planted in (attackers, "A" * 43):
        window.context.clear_cookies()
        window.context.add_cookies(
            [{"name": name, "value": planted, "domain": "127.0.0.1", "path": "/console"}]
        )
        window.page.goto(f"{house.url}/console/login")
        if planted == attackers:  # the victim finds himself logged in as the attacker, and logs out
            window.page.get_by_role("button", name="Log out").click()
        type_login(window.page, house, "admin")
        (cookie,) = window.context.cookies()
        assert cookie["value"] != planted  # type: ignore[typeddict-item]
        assert cookie["httpOnly"] is True  # type: ignore[typeddict-item]
        assert cookie["sameSite"] == "Strict"  # type: ignore[typeddict-item]
        assert window.page.evaluate("() => document.cookie") == ""
        house.until(lambda planted=planted: not house.is_in(f"{name}={planted}"))  # type: ignore[misc]


def test_a_browser_that_was_led_here_under_another_name_sees_no_console(house: House, window: Window) -> None:
    answer = window.page.goto(f"http://rebound.example:{house.port}/console")
    assert answer is not None
    assert answer.status == 403
    assert window.page.locator("form").count() == 0
    assert "is not this machine" in window.page.locator("body").inner_text()
