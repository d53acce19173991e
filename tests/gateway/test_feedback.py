"""Outcomes told to a gateway: by whom, of what, and what is refused."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving_harness import ASK, VERSION, Site, head, parsed, run, site
from waiting import until_given

from trimtab.admin import Actor, NewKey, UserAdmin
from trimtab.errors import RequestError
from trimtab.gateway.feedback_api import read_feedback
from trimtab.gateway.opinion import Opinion

SIM = '[platforms.sim]\nkind = "simulator"\nlatency_scale = 0.0\n'
PATH = "/trimtab/v1/feedback"


async def send(at: Site, secret: str | None, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    content = b"" if body is None else json.dumps(body).encode()
    shown = b"" if secret is None else b"x-api-key: %b\r\n" % secret.encode()
    length = len(content) if method == "POST" else None
    status, headers, answer = parsed(
        await at.raw(head(method, path, VERSION + shown, length) + content, wait_s=60)
    )
    told = json.loads(answer)
    if path == "/v1/messages":
        assert status == 200, told
        told["id"] = headers["x-trimtab-request"]
    return status, told


def test_a_key_tells_of_its_own_requests_and_an_admin_key_of_all_of_its_organisation(tmp_path: Path) -> None:
    async def whole() -> None:
        async with site(tmp_path, SIM) as at:
            door = at.application.parts.callers.admin(at.application.settings)

            def key(name: str, **fields: Any) -> str:
                return door.add(Actor("cli:t"), NewKey(name=name, **fields)).secret.reveal()

            mine, mate, boss = key("mine", team="red"), key("mate", team="red"), key("boss", admin=True)
            foreign = key("foreign", organisation="other", admin=True)
            request = (await send(at, mine, "POST", "/v1/messages", ASK))[1]["id"]
            told = {"request": request, "success": True, "note": "as asked"}
            for stranger in (mate, foreign, None):
                for method, path, body in (("POST", PATH, told), ("GET", f"{PATH}?request={request}", None)):
                    status, answer = await send(at, stranger, method, path, body)
                    assert (status, answer["error"]["type"]) == (404, "not_found_error")
            status, answer = await send(at, mine, "POST", PATH, told)
            assert status == 200
            assert (answer["score"], answer["source"], answer["earlier"]) == (1.0, "user", [])
            assert answer["teller"].startswith("key:")
            assert await send(at, mine, "POST", PATH, told) == (200, answer)
            _, word = await send(
                at, boss, "POST", PATH, {"request": request, "score": 0.5, "source": "review"}
            )
            status, all_told = await send(at, mine, "GET", f"{PATH}?request={request}")
            assert (status, all_told) == (200, {"data": [word, answer]})
            free = (await send(at, None, "POST", "/v1/messages", ASK))[1]["id"]
            assert (await send(at, None, "POST", PATH, {"request": free, "success": False}))[0] == 200
            assert (await send(at, mine, "POST", PATH, {"request": free, "success": False}))[0] == 404

    run(whole)


MAIL = {"to": "ann@example.com", "sum": 391}


def test_an_edited_answer_is_kept_as_prompts_are_and_shown_to_who_may_read_them(tmp_path: Path) -> None:
    async def whole() -> None:
        async with site(tmp_path, f'{SIM}[content]\nkeep = "redacted"\n') as at:
            door = at.application.parts.callers.admin(at.application.settings)
            mine = door.add(Actor("cli:t"), NewKey(name="mine")).secret.reveal()
            boss = door.add(Actor("cli:t"), NewKey(name="boss", admin=True)).secret.reveal()
            asked = (await send(at, mine, "POST", "/v1/messages", ASK))[1]["id"]
            free = (await send(at, None, "POST", "/v1/messages", ASK))[1]["id"]
            told = {"request": asked, "score": 0.75, "label": "wrong_format", "edited": MAIL}
            status, word = await send(at, mine, "POST", PATH, told)
            assert (status, word["label"], word["edited_kept"], "edited" in word) == (
                200,
                "wrong_format",
                True,
                False,
            )
            shown = {"to": "[redacted: email]", "sum": 391}
            for key in (mine, boss):
                _, found = await send(at, key, "GET", f"{PATH}?request={asked}")
                assert [one["edited"] for one in found["data"]] == [shown]
            assert (await send(at, None, "POST", PATH, {**told, "request": free, "edited": "as text"}))[
                0
            ] == 200
            _, found = await send(at, None, "GET", f"{PATH}?request={free}")
            assert found["data"][0]["edited"] == "as text", "the console is open on this machine"
            UserAdmin(at.application.parts.ground.database).add(
                Actor("cli:t"), "ann", "viewer", "a long enough pass phrase"
            )

            async def closed() -> bool:
                return "edited" not in (await send(at, None, "GET", f"{PATH}?request={free}"))[1]["data"][0]

            await until_given(closed, lambda is_closed: is_closed)
            _, found = await send(at, None, "GET", f"{PATH}?request={free}")
            assert found["data"][0]["edited_kept"] is True
            too_long = {**told, "edited": "x" * (256 * 1024)}
            status, answer = await send(at, mine, "POST", PATH, too_long)
            assert (status, "at most 262,144 are taken" in answer["error"]["message"]) == (400, True)
            deleted = await send(at, boss, "DELETE", f"/trimtab/v1/requests/{asked}/content")
            assert deleted[1]["edited"] == 1
            _, found = await send(at, mine, "GET", f"{PATH}?request={asked}")
            assert (found["data"][0]["edited_kept"], found["data"][0]["label"]) == (False, "wrong_format")
            assert "edited" not in found["data"][0]

    run(whole)


def test_what_is_told_of_an_answer_is_heard_by_who_goes_by_it_and_off_keeps_nothing(tmp_path: Path) -> None:
    async def whole() -> None:
        async with site(tmp_path, SIM) as at:
            heard: list[Opinion] = []
            around = at.application._edition.surroundings
            at.application.gateway.put_in_force(msgspec.structs.replace(around, on_opinion=heard.append))
            asked = (await send(at, None, "POST", "/v1/messages", ASK))[1]["id"]
            for word in (
                {"success": True},
                {"score": 0.4},
                {"success": True, "edited": MAIL},
                {"score": 1, "edited": None},
            ):
                status, said = await send(at, None, "POST", PATH, {"request": asked, **word})
                assert status == 200
                assert said["edited_kept"] is (False if word.get("edited") else None)
            assert [one.disliked for one in heard] == [False, True, True, False]
            record = json.loads(at.application.store.find(asked) or b"")
            assert {(one.request, one.session) for one in heard} == {(asked, record["session"])}
            assert record["session"]

    run(whole)


def test_a_conversation_begins_higher_once_an_answer_of_it_was_disliked(tmp_path: Path) -> None:
    ladder = '[routes.auto]\nladder = ["claude-sonnet-4-6@medium", "claude-opus-4-7@high"]\nverify = ["not_refused"]\n'

    async def whole() -> None:
        async with site(tmp_path, SIM + ladder) as at:

            async def asked(session: bytes) -> tuple[str, str]:
                status, heads, _ = await at.post(
                    {**ASK, "model": "trimtab/auto"},
                    headers=VERSION + b"x-trimtab-session: %b\r\n" % session,
                )
                assert status == 200
                return heads["x-trimtab-arm"], heads["x-trimtab-request"]

            first, request = await asked(b"s")
            assert first == "claude-sonnet-4-6@medium"
            told = {"request": request, "score": 0.2, "label": "wrong_sum"}
            assert (await send(at, None, "POST", PATH, told))[0] == 200
            assert (await asked(b"s"))[0] == "claude-opus-4-7@high"
            assert (await asked(b"other"))[0] == first

    run(whole)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"request": "r"}, "say success"),
        ({"request": "r", "success": True, "score": 1}, "say success"),
        ({"request": "r", "score": 1.5}, "<= 1"),
        ({"request": "r", "score": -0.1}, ">= 0"),
        ({"request": "r", "score": True}, "float"),
        ({"request": "r", "success": "yes"}, "bool"),
        ({"request": "r", "success": True, "covers": "day"}, "covers"),
        ({"request": "r", "success": True, "source": ""}, "source"),
        ({"request": "r", "success": True, "source": "a b"}, "source: takes letters, digits"),
        ({"request": "r", "success": True, "source": "a\n"}, "source"),
        ({"request": "r", "success": True, "note": "x" * 1001}, "note"),
        ({"request": "r", "success": True, "label": "two words"}, "label: takes letters, digits"),
        ({"request": "r", "success": True, "label": "x" * 41}, "label"),
        ({"request": "r", "success": True, "sucess": 1}, "permitted are request, success"),
        ({"success": True}, "request"),
    ],
)
def test_what_is_told_wrongly_is_refused_with_what_is_right(body: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        read_feedback(json.dumps(body).encode())


def test_an_edited_answer_that_nothing_could_show_is_refused() -> None:
    for deep in (300, 990, 100_000):
        body = b'{"request":"r","score":1,"edited":' + b"[" * deep + b"]" * deep + b"}"
        if deep < 500:
            assert read_feedback(body).edited == b"[" * deep + b"]" * deep
        else:
            with pytest.raises(RequestError, match="recursion"):
                read_feedback(body)


VALUES = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5) | st.just([])


@given(
    st.binary(max_size=60)
    | st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ("request", "success", "score", "covers", "note", "source", "label", "edited", "x"), VALUES
        ),
    ).map(lambda made: json.dumps(made).encode())
)
def test_whatever_is_sent_is_understood_or_refused(body: bytes) -> None:
    try:
        told = read_feedback(body)
    except RequestError:
        return
    assert 0 <= told.score <= 1
    assert "\0" not in told.note + told.source
    told.note.encode()
    assert told.edited is None or msgspec.json.decode(told.edited) is not None
