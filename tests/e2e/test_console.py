"""The console in the browser that people use: what is shown, what moves, what a keyboard and a phone can do.

`TRIMTAB_SCREENSHOTS=/some/folder` has every page photographed, in light and dark and as a phone shows it.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from judged_requests import FIRST, JUDGE_ID, JUDGED_ID, judge_call, judged_outcome
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from trimtab.catalogue.money import dollars
from trimtab.store import StoreSettings, open_store

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is not installed (apt-get install chromium)"
)

FAULTS = Path(__file__).parent / "faults.yaml"
HOSTILE = """"><img src=x onerror="window.hit=1"><script>window.hit=1</script><b>'{{7*7}}&amp;"""
CONFIG = f"""
[platforms.simulator]
kind = "simulator"
latency_scale = 0.0
script = "{FAULTS}"
hardware = "<b>odd</b>"
data_region = "here"
commitment = {{ usd = 1000, from = 2026-01-01, until = 2099-12-31 }}
[budgets.house]
organisation = "*"
usd_per_month = 500
requests_per_minute = 600
[budgets.odd]
tag = "<b>odd</b><img src=x onerror='window.hit=1'>"
tokens_per_day = 1000
soft = true
[budgets.ghosts]
usd_total = 5
[platforms.other]
kind = "simulator"
latency_scale = 0.0
online_from = 2099-12-31
discount_percent = 12.5
"""
WEIGHT = 300_000
"""Bytes that a page may take from an empty cache, heads and all that it loads included."""


@dataclass
class Site:
    """A server with something to show."""

    url: str
    good: str
    """The id of a request that went well."""
    bad: str
    """... and of one that did not, and holds what an attacker wrote."""
    judged: str = ""
    """... and of one that was escalated after a check."""

    def ask(self, text: str, model: str = "trimtab/auto", **headers: str) -> str:
        """Send a request; its id."""
        body = {"model": model, "max_tokens": 64, "messages": [{"role": "user", "content": text}]}
        request = urllib.request.Request(
            f"{self.url}/v1/messages",
            json.dumps(body).encode(),
            {"anthropic-version": "2023-06-01", "content-type": "application/json", **headers},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return str(answer.headers["x-trimtab-request"])
        except urllib.error.HTTPError as problem:
            with problem:
                return str(problem.headers["x-trimtab-request"])

    def json(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return json.load(answer)

    def pages(self) -> dict[str, str]:
        return {
            "overview": "/console",
            "overview-by-team": "/console?by=team&window=hour",
            "overview-real": "/console?simulated=false",
            "requests": "/console/requests",
            "requests-filtered": "/console/requests?result=failed&error=nothing+like+it",
            "platforms": "/console/platforms",
            "platforms-real": "/console/platforms?simulated=false",
            "budgets": "/console/budgets",
            "request": f"/console/requests/{self.good}",
            "request-refused": f"/console/requests/{self.bad}",
            "request-judged": f"/console/requests/{self.judged}",
            "not-found": "/console/nothing",
        }


@pytest.fixture(scope="module")
def here(serve: Callable[..., Any]) -> Site:
    server = serve(CONFIG)
    site = Site(server.url, "", "")
    tags = {"x-trimtab-tags": HOSTILE.replace(",", "")[:60], "x-trimtab-session": HOSTILE[:100]}
    for number in range(12):
        site.ask(f"What is {number} + 2?", ("trimtab/auto", "trimtab/fast", "claude-opus-4-7")[number % 3])
    site.ask("please: overloaded always")
    site.bad = site.ask("hello", HOSTILE)
    site.good = site.ask("What is 17 * 23?", **tags)
    for name in (site.bad, site.good):
        server.record(name)
    site.judged = judged(server)
    for word in ({"success": False}, {"success": True, "note": HOSTILE}, {"score": 0.5, "source": "review"}):
        told = json.dumps({"request": site.good, **word}).encode()
        headers = {"content-type": "application/json"}
        urllib.request.urlopen(
            urllib.request.Request(f"{site.url}/trimtab/v1/feedback", told, headers), timeout=10
        ).close()
    return site


def judged(server: Any) -> str:
    """A record of a cascade, and of the call of its check, written beside the server; its id."""
    now_ms = time.time_ns() // 1_000_000
    store = open_store(
        StoreSettings(url=f"sqlite:///{server.store}", batch_ms=5),
        clock_ms=lambda: now_ms,
        on_problem=None,
    )
    story = judged_outcome(at_ms=now_ms)
    odd = msgspec.structs.replace(
        FIRST.verdicts[0], reason=HOSTILE[:200], evidence={HOSTILE[:60]: HOSTILE[:200]}
    )
    first = msgspec.structs.replace(FIRST, verdicts=(*FIRST.verdicts, odd))
    store.put(msgspec.structs.replace(story, attempts=(first, *story.attempts[1:])))
    store.put(judge_call(at_ms=now_ms))
    assert store.close(30) == 0
    for name in (JUDGED_ID, JUDGE_ID):
        server.record(name)
    return JUDGED_ID


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield chromium
        chromium.close()


@dataclass
class Window:
    """A page of the browser that keeps what went wrong in it and what it fetched."""

    page: Page
    problems: list[str]
    fetched: list[str]


@pytest.fixture
def window(browser: Browser) -> Iterator[Callable[..., Window]]:
    """`window(...)` opens a fresh browser profile; at the end nothing may have gone wrong in any of them."""
    opened: list[tuple[BrowserContext, Window]] = []

    def make(**options: Any) -> Window:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        made = Window(context.new_page(), [], [])
        made.page.on("console", lambda message: made.problems.append(message.text))
        made.page.on("pageerror", lambda error: made.problems.append(str(error)))
        made.page.on("request", lambda request: made.fetched.append(request.url))
        opened.append((context, made))
        return made

    yield make
    for context, made in opened:
        context.close()
        # Chromium logs each answer that is an error; those of pages are wanted.
        wanted = ("status of 404", "status of 403", "status of 401")
        assert [one for one in made.problems if not any(text in one for text in wanted)] == []


NAMES = list(Site("", "", "").pages())


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_light_stays_at_home_and_breaks_no_rule_of_its_policy(
    here: Site, window: Callable[..., Window], name: str
) -> None:
    w = window()
    session = w.page.context.new_cdp_session(w.page)
    session.send("Network.enable")
    sizes: list[float] = []
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    w.page.goto(here.url + here.pages()[name], wait_until="networkidle")
    assert {urlsplit(url).netloc for url in w.fetched} == {urlsplit(here.url).netloc}
    assert len(sizes) >= 5
    assert sum(sizes) < WEIGHT, f"{sum(sizes):.0f} bytes"
    assert w.page.evaluate("window.hit") is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", NAMES)
def test_a_phone_shows_a_page_without_scrolling_it_sideways(
    here: Site, window: Callable[..., Window], name: str, scheme: str
) -> None:
    w = window(viewport={"width": 375, "height": 800}, color_scheme=scheme, has_touch=True)
    w.page.goto(here.url + here.pages()[name], wait_until="networkidle")
    assert w.page.evaluate("document.documentElement.scrollWidth") <= 375
    photograph(w.page, f"{name}-phone-{scheme}")


CONTRAST = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, n) => sum + c * [0.2126, 0.7152, 0.0722][n], 0);
  const behind = (one) => {
    for (; one; one = one.parentElement) {
      const colour = parse(getComputedStyle(one).backgroundColor);
      if (colour.length < 4 || colour[3] > 0.99) return colour;
    }
    return [255, 255, 255];
  };
  const bad = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const one = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !one.checkVisibility() || one.closest(".skip, option")) continue;
    const style = getComputedStyle(one);
    const ink = light(parse(one.closest("svg") ? style.fill : style.color)), paper = light(behind(one));
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    if (ratio < 4.5) bad.push(one.tagName + "." + one.className + ": " + ratio.toFixed(2));
  }
  return bad;
}"""
"""Text whose contrast is too weak. Source: WCAG 2.2, 1.4.3 and the definition of relative luminance."""

SHAPE = """() => {
  const bad = [];
  const all = (what) => [...document.querySelectorAll(what)].filter((one) => one.checkVisibility());
  const named = (one) => (one.getAttribute("aria-label") || one.textContent || one.title || "").trim()
    || (one.labels && one.labels.length) || one.getAttribute("aria-labelledby");
  if (document.querySelectorAll("h1").length !== 1) bad.push("not one h1");
  let depth = 0;
  for (const one of all("h1, h2, h3, h4")) {
    const level = Number(one.tagName[1]);
    if (level > depth + 1) bad.push("a heading is skipped before " + one.textContent);
    depth = level;
  }
  for (const one of all("a, button, input:not([type=hidden]), select, summary")) if (!named(one)) bad.push("no name: " + one.outerHTML);
  for (const one of all("th")) if (!one.scope) bad.push("no scope: " + one.textContent);
  for (const one of all("table")) if (!(one.caption || one.getAttribute("aria-label") || one.closest("[role=region]"))) bad.push("a table without a name");
  for (const one of all("svg")) if (!one.parentElement.closest("svg") && one.getAttribute("aria-hidden") !== "true" && !(one.getAttribute("role") === "img" && one.getAttribute("aria-label"))) bad.push("a picture without words");
  for (const one of all(".scroll")) if (one.scrollWidth > one.clientWidth && one.tabIndex !== 0) bad.push("cannot be scrolled by keyboard");
  for (const one of all("[aria-labelledby], [aria-describedby]")) for (const name of ["aria-labelledby", "aria-describedby"]) {
    const id = one.getAttribute(name);
    if (id && !document.getElementById(id)) bad.push("nothing has the id " + id);
  }
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  for (const id of new Set(ids)) if (ids.filter((other) => other === id).length > 1) bad.push("twice: #" + id);
  if (!document.documentElement.lang) bad.push("no language");
  if (!document.querySelector("main") || !document.querySelector("header")) bad.push("no landmarks");
  if (document.querySelector("[style]:not([style=''], .plot *, .plot), [onclick], script:not([src]), style")) bad.push("inline: " + document.querySelector("[style]:not([style=''], .plot *, .plot), [onclick], script:not([src]), style").outerHTML);
  return bad;
}"""
"""What a screen reader would stumble over."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", NAMES)
def test_a_page_can_be_read_by_everybody(
    here: Site, window: Callable[..., Window], name: str, scheme: str
) -> None:
    w = window(color_scheme=scheme)
    w.page.goto(here.url + here.pages()[name], wait_until="networkidle")
    photograph(w.page, f"{name}-{scheme}")
    assert w.page.evaluate(CONTRAST) == []
    assert w.page.evaluate(SHAPE) == []


@pytest.mark.parametrize("name", ["overview", "requests", "request", "platforms", "budgets"])
def test_the_keyboard_reaches_everything_and_the_first_key_can_skip_to_the_content(
    here: Site, window: Callable[..., Window], name: str
) -> None:
    w = window()
    w.page.goto(here.url + here.pages()[name], wait_until="networkidle")
    w.page.evaluate(
        "document.getElementById('pause')?.click()"
    )  # so that nothing is replaced while this counts
    w.page.wait_for_load_state("networkidle")
    wanted = w.page.evaluate(
        "() => [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, summary, [tabindex=\"0\"]')]"
        ".filter((one) => one.checkVisibility()).map((one, n) => { one.dataset.n = n; return n; })"
    )
    reached: list[int] = []
    for _ in range(len(wanted) + 5):
        w.page.keyboard.press("Tab")
        number, outlined = w.page.evaluate(
            "() => [document.activeElement.dataset.n, getComputedStyle(document.activeElement).outlineStyle]"
        )
        if number is None:
            break
        assert outlined != "none", f"focus cannot be seen on element {number}"
        reached.append(int(number))
    assert reached == wanted
    w.page.goto(here.url + here.pages()[name], wait_until="networkidle")
    w.page.keyboard.press("Tab")
    expect(w.page.get_by_role("link", name="Skip to the content")).to_be_focused()
    w.page.keyboard.press("Enter")
    expect(w.page.locator("main")).to_be_focused()


def test_what_attackers_write_is_shown_and_never_run(here: Site, window: Callable[..., Window]) -> None:
    w = window()
    for name in ("requests", "request", "request-refused", "overview", "platforms", "budgets"):
        w.page.goto(here.url + here.pages()[name], wait_until="networkidle")
        assert w.page.evaluate("window.hit") is None
        assert w.page.locator("img[src=x]").count() == 0
        assert "49&amp;" not in w.page.content(), "nothing recorded is ever a template"
    w.page.goto(here.url + here.pages()["request-refused"])
    expect(w.page.locator("main")).to_contain_text("<img src=x onerror=")


def test_pages_show_what_their_json_says(here: Site, window: Callable[..., Window]) -> None:
    w = window()
    w.page.goto(here.url + "/console/requests")
    found = here.json("/console/requests.json")["found"]
    shown = w.page.locator("table.rows tbody a").evaluate_all("all => all.map((one) => one.id)")
    assert shown == [f"go-{row['id']}" for row in found["rows"]]
    w.page.goto(here.url + "/console")
    figures = here.json("/console/overview.json")["figures"]
    tiles = w.page.locator(".tiles")
    expect(tiles).to_contain_text(f"{figures['whole']['sums']['requests']:,}")
    expect(tiles).to_contain_text(f"{figures['whole']['sums']['errors']} of ")
    assert w.page.locator("#live tbody th a").all_inner_texts()[: len(figures["groups"])] == [
        group["label"] for group in figures["groups"] if group["name"]
    ]
    story = here.json(f"/console/requests/{here.good}.json")["story"]
    w.page.goto(here.url + here.pages()["request"])
    for reason in story["record"]["plan"].get("reasons", []):
        expect(w.page.locator("main")).to_contain_text(reason)
    expect(w.page.locator("main")).to_contain_text(dollars(story["record"]["cost_nanousd"]))


def test_simulated_figures_say_so_and_are_never_among_real_ones(
    here: Site, window: Callable[..., Window]
) -> None:
    w = window()
    for path in (
        "/console", "/console/requests", "/console/platforms", "/console/budgets", f"/console/requests/{here.good}",
    ):  # fmt: skip
        w.page.goto(here.url + path)
        expect(w.page.locator(".simulated")).to_be_visible()
        assert w.page.title().startswith("SIMULATED")
    for path in ("/console", "/console/requests", "/console/platforms", "/console/budgets"):
        w.page.goto(here.url + path)
        w.page.get_by_role("link", name="Real", exact=True).click()
        expect(w.page.locator(".simulated")).to_have_count(0)
        assert not w.page.title().startswith("SIMULATED")
    # Only the refused request is there: it never came to a platform.
    assert [row["id"] for row in here.json("/console/requests.json?simulated=false")["found"]["rows"]] == [
        here.bad
    ]
    assert all(row["simulated"] for row in here.json("/console/requests.json")["found"]["rows"])


def test_a_page_that_is_open_renews_itself_until_it_is_paused(
    here: Site, window: Callable[..., Window]
) -> None:
    w = window()
    w.page.goto(here.url + "/console/requests")
    w.page.evaluate("window.same = true")
    rows = w.page.locator("table.rows tbody tr")
    first = rows.count()
    expect(w.page.locator("#live-note")).to_have_text("Live")
    here.ask("What is 5 + 5?")
    expect(rows).to_have_count(first + 1, timeout=10_000)
    w.page.get_by_role("button", name="Pause").click()
    expect(w.page.locator("#live-note")).to_have_text("Paused")
    w.page.wait_for_load_state("networkidle")
    before = len(w.fetched)
    here.ask("What is 6 + 6?")
    w.page.wait_for_timeout(3_000)  # one time to renew, and a half
    assert len(w.fetched) == before, "paused, it asks for nothing"
    w.page.get_by_role("button", name="Go on").click()
    expect(rows).to_have_count(first + 2, timeout=10_000)
    assert w.page.evaluate("window.same"), "it was never loaded anew"


def test_focus_stays_where_it_is_when_a_page_renews_itself(here: Site, window: Callable[..., Window]) -> None:
    w = window()
    w.page.goto(here.url + "/console/requests")
    link = w.page.locator(f"#go-{here.good}")
    link.focus()
    rows = w.page.locator("table.rows tbody tr")
    first = rows.count()
    here.ask("What is 7 + 7?")
    expect(rows).to_have_count(first + 1, timeout=10_000)
    expect(link).to_be_focused()


def test_charts_have_a_cursor_that_says_the_figures(here: Site, window: Callable[..., Window]) -> None:
    w = window()
    w.page.goto(here.url + "/console?window=hour", wait_until="networkidle")
    plots = w.page.locator(".plot canvas")
    expect(plots).to_have_count(6)
    box = w.page.locator(".plot .u-over").first.bounding_box()
    assert box is not None
    w.page.mouse.move(box["x"] + box["width"] - 3, box["y"] + 20)
    w.page.mouse.move(box["x"] + box["width"] - 4, box["y"] + 21)
    expect(w.page.locator("figcaption output").first).to_contain_text(":")


def test_filters_narrow_the_list_without_a_reload_and_the_address_keeps_them(
    here: Site, window: Callable[..., Window]
) -> None:
    w = window()
    w.page.goto(here.url + "/console/requests")
    w.page.evaluate("window.same = true")
    w.page.get_by_label("Result").select_option("failed")
    w.page.wait_for_url("**result=failed**")
    results = w.page.locator("table.rows .result")
    expect(results.first).to_contain_text("error")
    assert all("ok" not in text for text in results.all_inner_texts())
    assert w.page.evaluate("window.same")
    assert "team=" not in w.page.url
    w.page.reload()
    expect(w.page.get_by_label("Result")).to_have_value("failed")
    assert all("ok" not in text for text in results.all_inner_texts())
    w.page.get_by_label("Model").fill("no-such-model")
    w.page.keyboard.press("Enter")
    expect(w.page.get_by_role("alert")).to_contain_text(
        "arm: 'no-such-model': no such model or alias is known"
    )
    w.page.get_by_label("Model").fill("claude-opus-4-6@max")
    w.page.keyboard.press("Enter")
    expect(w.page.locator(".nothing")).to_contain_text("fits these filters")


def test_the_way_back_from_a_request_keeps_the_filters_of_the_list(
    here: Site, window: Callable[..., Window]
) -> None:
    w = window()
    w.page.goto(here.url + "/console/requests?result=ok&tier=default")
    w.page.locator("table.rows tbody a").first.click()
    w.page.get_by_role("link", name="Requests, filtered as before").click()
    expect(w.page.get_by_label("Result")).to_have_value("ok")
    expect(w.page.get_by_label("Tier", exact=True)).to_have_value("default")


def test_on_a_phone_a_table_that_goes_on_sideways_says_so(here: Site, window: Callable[..., Window]) -> None:
    for width, visible in ((375, True), (1280, False)):
        w = window(viewport={"width": width, "height": 800})
        w.page.goto(here.url + f"/console/requests/{here.good}")
        hint = w.page.locator(".scroll .sideways").first
        (expect(hint).to_be_visible if visible else expect(hint).to_be_hidden)()


def test_on_a_phone_each_limit_of_the_budgets_is_a_card_of_which_all_can_be_seen(
    here: Site, window: Callable[..., Window]
) -> None:
    w = window(viewport={"width": 400, "height": 800})
    w.page.goto(here.url + "/console/budgets")
    cells = w.page.locator(".limits tbody tr").first.locator("td:not([data-none])")
    edges = cells.evaluate_all("(found) => found.map((one) => one.getBoundingClientRect().right)")
    assert len(edges) >= 6
    assert max(edges) <= 400
    said = cells.nth(1).evaluate("(one) => getComputedStyle(one, '::before').content")
    assert said == '"limit"'


def test_without_scripts_pages_have_their_figures_links_and_filters(
    here: Site, window: Callable[..., Window]
) -> None:
    w = window(java_script_enabled=False)
    w.page.goto(here.url + "/console?window=hour")
    expect(w.page.locator(".plot svg path").first).to_be_attached()
    expect(w.page.locator(".livebar")).to_be_hidden()
    expect(w.page.get_by_role("table").first).to_be_visible()
    w.page.get_by_role("link", name="All requests").click()
    w.page.get_by_label("Result").select_option("error")
    w.page.get_by_role("button", name="Filter").click()
    assert "result=error" in w.page.url
    expect(w.page.locator("table.rows .result").first).to_contain_text("error")
    w.page.locator("table.rows tbody a").first.click()
    expect(w.page.get_by_role("heading", name="Where the time went")).to_be_visible()
    expect(w.page.locator("[data-copy]").first).to_be_hidden()


PASSWORD = "a long enough pass phrase"


def make_user(config: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "trimtab",
        "users",
        "add",
        "mara",
        "--password-stdin",
        "--config",
        str(config),
    ]
    subprocess.run(command, input=PASSWORD.encode(), check=True, capture_output=True, cwd=config.parent)


def test_people_log_in_see_what_they_asked_for_and_log_out_everywhere(
    serve: Callable[..., Any], window: Callable[..., Window]
) -> None:
    server = serve(CONFIG, before=make_user)
    w = window()
    page = w.page
    page.goto(server.url + "/console/requests?simulated=true&result=ok")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    assert w.page.evaluate(SHAPE) == []
    assert w.page.evaluate(CONTRAST) == []
    photograph(page, "login-light")
    page.get_by_label("Name").fill("mara")
    page.get_by_label("Password").fill("not her password")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("do not fit")
    expect(page.get_by_label("Name")).to_have_value("mara")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/console/requests?simulated=true&result=ok")
    expect(page.locator(".who")).to_contain_text("mara")
    other = page.context.new_page()
    other.goto(server.url + "/console")
    other.get_by_role("button", name="Log out").click()
    other.wait_for_url("**/console/login")
    # The page that is still open is led to the login when it next renews itself.
    page.wait_for_url("**/console/login", timeout=15_000)
    page.goto(server.url + "/console")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def photograph(page: Page, name: str) -> None:
    """For people to look at."""
    if folder := os.environ.get("TRIMTAB_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
