"""Each page with the real server and store: what it shows, its JSON, and what it does with what nobody should send."""

import asyncio
import html
import json
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import apsw
import msgspec
import pytest
from judged_requests import JUDGE_ID, JUDGED_ID, WHY, judge_call, judged_outcome
from markupsafe import escape
from serving_harness import ASK, VERSION, Site, head, parsed, run, site
from waiting import until_given

from trimtab.admin import Actor, UserAdmin
from trimtab.catalogue.money import dollars
from trimtab.records import Outcome

T = TypeVar("T")
PASSWORD = "a long enough pass phrase"

HOSTILE = """"><script>alert(1)</script><img src=x onerror=alert(1)>'{{7*7}}{%raw%}"""


async def get(s: Site, path: str, headers: bytes = b"") -> tuple[int, dict[str, str], str]:
    status, heads, body = parsed(await s.raw(head("GET", path, headers)))
    return status, heads, body.decode()


async def said(s: Site, path: str) -> Any:
    status, _, body = await get(s, path)
    assert status == 200, body
    return json.loads(body)


async def until_written(s: Site, count: int) -> None:
    """Wait until the figures have so many requests: records reach the store in batches."""

    async def written() -> int:
        sides = [await said(s, f"/console/overview.json?simulated={side}") for side in ("true", "false")]
        return sum(side["figures"]["whole"]["sums"]["requests"] for side in sides)

    await until_given(written, lambda found: found >= count)


async def logged_in(s: Site, role: str, name: str = "ann") -> bytes:
    """A new user's cookie, as a header."""
    users = UserAdmin(s.application.parts.ground.database)
    users.add(Actor("cli:test"), name, role, PASSWORD)
    form = f"name={name}&password={quote(PASSWORD)}".encode()
    status, heads, _ = parsed(await s.raw(head("POST", "/console/login", b"", len(form)) + form))
    assert status == 303
    return b"cookie: %b\r\n" % heads["set-cookie"].partition(";")[0].encode()


def state_of(part: str) -> bytes:
    """What an open page sends when it asks whether anything changed."""
    state = html.unescape(part.split('data-state="')[1].split('"', maxsplit=1)[0])
    return b"hx-request: true\r\nx-state: %b\r\n" % state.encode()


def escaped(body: str) -> bool:
    return "<script>alert" not in body and "<img src=x" not in body and "49{%raw" not in body


def test_a_fresh_server_says_that_there_is_nothing_and_what_to_try(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            for path in ("/console", "/console/requests"):
                _, _, body = await get(s, path)
                assert "Try this" in body
                assert "/v1/messages" in body
                assert "Simulated." in body, "nothing but the simulator is configured"
            data = await said(s, "/console/overview.json")
            assert data["figures"]["whole"]["sums"]["requests"] == 0
            assert data["in_force"]["platforms"] == [{"name": "sim", "kind": "simulator", "simulated": True}]

    run(work)


def test_nothing_that_a_caller_sends_becomes_markup(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            tags = b"x-trimtab-tags: %b\r\nx-trimtab-session: %b\r\n" % (
                HOSTILE[:60].encode(),
                HOSTILE[:60].encode(),
            )
            _, heads, _ = await s.post(ASK, headers=VERSION + tags)
            _, refused, _ = await s.post({**ASK, "model": HOSTILE})
            await until_written(s, 2)
            for side in ("true", "false"):
                for path in ("/console", "/console/requests"):
                    assert escaped((await get(s, f"{path}?simulated={side}"))[2])
            for name in (heads, refused):
                _, _, body = await get(s, f"/console/requests/{name['x-trimtab-request']}")
                assert escaped(body)
                assert str(escape(HOSTILE[:60])) in body, "it is shown as it is"

    run(work)


def test_a_filter_that_nothing_can_fit_is_said_above_the_empty_list_and_its_form_stays(
    tmp_path: Path,
) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            for query, says in (
                (
                    "arm=claude-sonet-4-6",
                    "arm: &#39;claude-sonet-4-6&#39;: no such model or alias is known here",
                ),
                ("tier=best", "tier: &#39;best&#39;: must be one of default"),
                ("key=<b>", "key: &#39;&lt;b&gt;&#39;: no key here has this id or name"),
            ):
                status, _, body = await get(s, f"/console/requests?{query}")
                assert status == 200
                assert f'role="alert">{says}' in body
                assert 'aria-label="Filters"' in body
                status, _, body = await get(s, f"/console/requests.json?{query}")
                assert (status, query.partition("=")[0] in json.loads(body)["error"]["message"]) == (
                    400,
                    True,
                )

    run(work)


def test_pages_say_what_time_they_are_about_and_use_words_that_need_no_lesson(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            _, heads, _ = await s.post(ASK)
            await until_written(s, 1)
            _, _, body = await get(s, "/console")
            assert "UTC, the last 24 hours, one point for each 15 minutes" in body
            assert "Over time, by model" in body
            _, _, body = await get(s, "/console/requests?tier=default&after=9999999999999-f")
            name = heads["x-trimtab-request"]
            query = "?tier=default&amp;after=9999999999999-f"
            assert f'href="/console/requests/{name}{query}"' in body
            _, _, body = await get(s, f"/console/requests/{name}{html.unescape(query)}")
            assert f'href="/console/requests{query}&amp;simulated=true">Requests, filtered as before<' in body
            assert "Propensity" not in body
            assert "100 %: no choice was random" in body
            _, _, body = await get(s, f"/console/requests/{name}")
            assert 'href="/console/requests?simulated=true">Requests<' in body

    run(work)


def test_a_list_without_real_requests_leads_to_the_simulated_ones(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            assert (await s.post(ASK))[0] == 200
            await until_written(s, 1)
            _, _, body = await get(s, "/console/requests?simulated=false&tier=fast")
            assert 'id="other-side"' not in body
            _, _, body = await get(s, "/console/requests?simulated=false&tier=default")
            assert 'id="other-side" href="/console/requests?simulated=true&amp;tier=default"' in body

    run(work)


@pytest.mark.parametrize(
    "query",
    [
        "arm=",
        "team=",
        "error=",
        "session=",
        "key=",
        "result=",
        "window=",
        "after=",
        "by=",
        "from=",
        "purposes=",
        "",
    ],
)
def test_nothing_in_an_address_becomes_markup(tmp_path: Path, query: str) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            for path in ("/console", "/console/requests"):
                status, _, body = await get(s, f"{path}?{query or quote(HOSTILE) + '='}{quote(HOSTILE)}")
                assert status in (200, 400)
                assert escaped(body)
            status, _, body = await get(s, f"/console/requests/{quote(HOSTILE, safe='')}")
            assert status in (400, 404)
            assert escaped(body)

    run(work)


def test_the_story_of_a_request_is_told_whole_and_as_json(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            _, heads, _ = await s.post({**ASK, "model": "trimtab/escalation"})
            name = heads["x-trimtab-request"]
            await until_written(s, 1)
            _, _, body = await get(s, f"/console/requests/{name}")
            record = (await said(s, f"/console/requests/{name}.json"))["story"]["record"]
            assert record["id"] == name
            assert record["simulated"] is True
            for text in (
                name,
                "Where the time went",
                "Plan, and why",
                *record["plan"]["reasons"],
                record["plan"]["arm"]["model"],
                record["attempts"][0]["provider_request_id"],
                dollars(record["cost_nanousd"]),
                record["config_version"],
                record["catalogue_version"],
                record["session"],
                "nothing is kept",
                "Simulated.",
            ):
                assert html.escape(text) in body, text

    run(work)


def test_a_cascade_is_told_step_by_step_with_verdicts_and_what_may_be_of_the_answer_is_for_operators(
    tmp_path: Path,
) -> None:
    async def work() -> None:
        async with site(tmp_path, '[content]\nkeep = "full"\n') as s:
            for record in (judged_outcome(), judge_call()):
                s.application.store.put(record)
            page = f"/console/requests/{JUDGED_ID}"

            async def written() -> int:
                return s.application.store.status().written

            await until_given(written, lambda found: found == 2)
            viewer = await logged_in(s, "viewer")
            cookies = {"viewer": viewer, "operator": await logged_in(s, "operator", "bob")}
            bodies = {role: (await get(s, page, cookie))[2] for role, cookie in cookies.items()}
            for body in bodies.values():
                for text in (
                    f"Escalated: {WHY}",
                    "No further step: second: unsure, and there is no further rung",
                    "unsure, it failed",
                    "could not be checked: no such model",
                    "escalated: json_schema",
                    f"+ {dollars(2_100_000)} for checks: {dollars(28_800_000)}",
                    "answered by claude-opus-4-7@high on other",
                    "checking: second",
                    f'href="/console/requests/{JUDGE_ID}">called a model',
                ):
                    assert text in body, text
                assert body.count('class="tag given">given to the client') == 2, "the step and its attempt"
                assert "<dt>words</dt><dd>41</dd>" in body, "a figure is no text"
            assert "<dt>at</dt><dd>/answer</dd>" in bodies["operator"]
            assert "<dt>at</dt>" not in bodies["viewer"]
            assert "<dt>rule</dt><dd>required</dd>" in bodies["viewer"], (
                "words of the configuration are no quotes"
            )
            assert "There is more evidence" in bodies["viewer"]
            for query, there in (("verdict=unsure&escalated=", True), ("verdict=&escalated=false", False)):
                _, _, listed = await get(s, f"/console/requests?{query}", viewer)
                assert (f'href="/console/requests/{JUDGED_ID}' in listed) is there, query
                assert "<details open>" in listed
                assert ('<option value="unsure" selected>' in listed) is there, (
                    "what was asked for can be seen"
                )
            _, _, told = await get(s, f"{page}.json", viewer)
            data = json.loads(told)
            evidence = data["story"]["record"]["attempts"][0]["verdicts"][0]["evidence"]
            assert evidence == {"rule": "required", "words": 41}
            assert [one["says"] for one in data["tried"]["steps"]] == ["escalate", "unsure"]
            assert data["evidence_kept"] is True
            status, _, record = await get(s, f"/trimtab/v1/requests/{JUDGED_ID}")
            assert status == 200
            assert json.loads(record)["attempts"][0]["verdicts"][0]["evidence"] == evidence, "without a key"

    run(work)


def test_an_answer_that_was_given_again_says_whose_it_is(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            _, heads, _ = await s.post(ASK)
            await until_written(s, 1)
            first = heads["x-trimtab-request"]
            record = (await said(s, f"/console/requests/{first}.json"))["story"]["record"]
            again = msgspec.convert(
                {
                    **record,
                    "id": "01a1fe55e32a784fae48cc42dcbfdb7e",
                    "attempts": [],
                    "cost_nanousd": 0,
                    "cached": first,
                },
                Outcome,
            )
            s.application.store.put(again)
            await until_written(s, 2)
            _, _, body = await get(s, f"/console/requests/{again.id}")
            assert f'href="/console/requests/{first}"' in body
            assert "An earlier answer, given again for nothing" in body
            _, _, body = await get(s, f"/console/requests/{first}")
            assert "An earlier answer" not in body

    run(work)


def test_a_request_that_nobody_made_is_a_page_that_says_where_ids_are_found(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            status, _, body = await get(s, "/console/requests/01a1fe55e32a784fae48cc42dcbfdb7e")
            assert status == 404
            assert "x-trimtab-request" in body
            status, _, body = await get(s, "/console/requests/01a1fe55e32a784fae48cc42dcbfdb7e.json")
            assert status == 404
            assert json.loads(body)["error"]["type"] == "not_found_error"

    run(work)


def test_an_open_page_gets_its_changing_part_and_nothing_where_nothing_changed(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            for path in ("/console", "/console/requests"):
                _, _, part = await get(s, path, b"hx-request: true\r\n")
                assert part.lstrip().startswith('<div id="live"')
                assert "<html" not in part
                again = state_of(part)
                while True:  # figures that are a little old are asked for once more
                    status, _, more = await get(s, path, again)
                    if status == 204:
                        break
                    again = state_of(more)
                    await asyncio.sleep(0.05)
                assert more == ""
                await s.post(ASK)
                await until_given(partial(get, s, path, again), lambda answer: answer[0] == 200)

    run(work)


def test_older_requests_are_a_page_further_and_none_is_missing_or_twice(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            sent = [(await s.post(ASK))[1]["x-trimtab-request"] for _ in range(53)]
            await until_written(s, 53)
            path, found = "/console/requests", []
            while path:
                _, _, body = await get(s, html.unescape(path))
                found += [part.split('"')[0] for part in body.split('id="go-')[1:]]
                path = body.split('id="older" href="')[1].split('"')[0] if 'id="older"' in body else ""
            assert sorted(found) == sorted(sent)

    run(work)


@pytest.mark.parametrize(
    "query",
    ["window=year", "by=colour", "nonsense=1", "from=yesterday", "simulated=perhaps", "result=good", "after=zzz", "slower_ms=-1"],
)  # fmt: skip
def test_what_cannot_be_understood_is_said_not_guessed(tmp_path: Path, query: str) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            path = "/console" if query.startswith(("window", "by", "nonsense")) else "/console/requests"
            status, _, body = await get(s, f"{path}?{query}")
            assert status == 400
            assert query.partition("=")[0] in body or "cursor" in body
            status, _, body = await get(
                s,
                f"{path.replace('console', 'console/overview') if path == '/console' else path}.json?{query}",
            )
            assert status == 400
            assert json.loads(body)["error"]["message"]

    run(work)


def test_a_store_in_trouble_is_on_the_first_page(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            holder = apsw.Connection(str(tmp_path / "t.db"))
            holder.set_busy_timeout(5_000)
            await asyncio.to_thread(holder.execute, "BEGIN IMMEDIATE")
            try:
                await s.post(ASK)
                await until_given(
                    lambda: get(s, "/console"), lambda page: page[0] == 200 and "In trouble" in page[2]
                )
            finally:
                holder.execute("ROLLBACK")
                holder.close()

    run(work)


@pytest.mark.parametrize("role", ["", "viewer", "operator"])
def test_prompts_and_answers_are_for_operators_and_viewers_hear_that_they_are_kept(
    tmp_path: Path, role: str
) -> None:
    prompt = "a very private prompt <script>alert(1)</script>"

    async def work() -> None:
        async with site(tmp_path, '[content]\nkeep = "full"\ndays = 7\n') as s:
            cookie = await logged_in(s, role) if role else b""
            _, heads, _ = await s.post({**ASK, "messages": [{"role": "user", "content": prompt}]})
            name = heads["x-trimtab-request"]
            page = f"/console/requests/{name}"
            await until_given(partial(get, s, page, cookie), lambda answer: "are kept full" in answer[2])
            edit = {
                "request": name,
                "score": 0.5,
                "label": "wrong_sum",
                "edited": "a corrected <i>answer</i>",
            }
            assert (await s.post(edit, path="/trimtab/v1/feedback"))[0] == 200
            _, _, body = await get(s, page, cookie)
            _, _, data = await get(s, page + ".json", cookie)
            assert "for 7 days" in body
            assert escaped(body)
            reads = role == "operator"
            assert (str(escape(prompt)) in body) is reads
            assert ("very private" in data) is reads
            assert '<span class="tag">wrong_sum</span>' in body
            assert ("a corrected &lt;i&gt;answer&lt;/i&gt;" in body) is reads
            assert ("<h3>As answered</h3><pre" in body) is reads
            assert ("The answer was corrected, and that is kept; reading it needs" in body) is not reads
            assert ("a corrected" in data) is reads
            assert json.loads(data)["content"]["kept"] == "full"
            door = s.application.parts.ground.content_admin
            await asyncio.to_thread(door.delete_request, Actor("cli:bob"), name)
            _, _, body = await get(s, page, cookie)
            assert "Its content was deleted at " in body
            assert "The answer was corrected; the correction is not kept." in body
            assert ("by <code>cli:bob</code>" in body) is reads
            shown = json.loads((await get(s, page + ".json", cookie))[2])["content"]
            assert (shown["kept"], shown["deleted"]["of"]) == (None, "request")
            assert shown["deleted"]["by"] == ("cli:bob" if reads else None)

    run(work)


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_what_people_told_of_a_request_is_in_its_story_with_who_and_when_and_notes_are_for_operators(
    tmp_path: Path, role: str
) -> None:
    note = "the tests were not run <script>alert(1)</script>"

    async def work() -> None:
        async with site(tmp_path) as s:
            task = json.loads((await s.post({"total": 50_000}, path="/trimtab/v1/tasks"))[2])
            own = VERSION + f"x-trimtab-task: {task['id']}\r\nx-trimtab-phase: tools\r\n".encode()
            names = [(await s.post(ASK, headers=own))[1]["x-trimtab-request"] for _ in range(2)]
            await until_written(s, 2)
            cookie = await logged_in(s, role)
            page = f"/console/requests/{names[0]}"
            assert "Nobody has told." in (await get(s, page, cookie))[2]
            for name, body in (
                (names[0], {"success": True, "source": "ci"}),
                (names[0], {"success": False, "source": "ci", "note": note}),
                (names[1], {"score": 0.25, "covers": "task"}),
                (names[1], {"success": True, "covers": "request"}),
            ):
                status, _, answer = await s.post({"request": name, **body}, path="/trimtab/v1/feedback")
                assert status == 200, answer
            _, _, body = await get(s, page, cookie)
            section = body.partition('id="became"')[2].partition("</section>")[0]
            data = json.loads((await get(s, page + ".json", cookie))[2])
            reads = role == "operator"
            assert escaped(body)
            assert "0.25 of 1" not in section, "the last word of a source counts: it was of the answer"
            assert section.index("failed") < section.index("before that") < section.index("succeeded")
            assert "without a key, on this machine" in section
            assert (str(escape(note)) in section) is reads
            assert ("reading them needs the role operator" in section) is not reads
            (word,) = data["told"]
            assert (word["score"], word["source"], word["covers"]) == (0.0, "ci", "request")
            assert word["note"] == (note if reads else "")
            await s.post(
                {"request": names[1], "score": 0.25, "covers": "task", "source": "review"},
                path="/trimtab/v1/feedback",
            )
            _, _, body = await get(s, page, cookie)
            section = body.partition('id="became"')[2].partition("</section>")[0]
            assert (
                f'the whole task, as <span class="tag">review</span> judged, told with <a href="/console/requests/{names[1]}'
                in section
            )
            assert "0.25 of 1" in section

    run(work)


@pytest.mark.parametrize("role", ["", "viewer", "operator"])
def test_what_a_configuration_said_is_for_operators(tmp_path: Path, role: str) -> None:
    async def work() -> None:
        async with site(tmp_path, "# <script>alert(1)</script>\n[server]\nmax_body_bytes = 1000000\n") as s:
            cookie = await logged_in(s, role) if role else b""
            version = (await said(s, "/readyz"))["config"]
            page = f"/console/configurations/{version}"
            reads = role == "operator"
            if reads:
                await until_given(partial(get, s, page, cookie), lambda answer: answer[0] == 200)
            status, _, body = await get(s, page, cookie)
            assert status == (200 if reads else 403)
            assert ("max_body_bytes = 1000000" in body) is reads
            assert escaped(body)
            assert (await get(s, page + ".json", cookie))[0] == status
            assert (page in (await get(s, "/console", cookie))[2]) is reads
            if reads:
                assert (await get(s, "/console/configurations/" + quote(HOSTILE, safe=""), cookie))[0] == 404

    run(work)
