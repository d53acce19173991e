"""Outcomes told to a gateway: by whom, of what, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving_harness import ASK, VERSION, Site, head, parsed, run, site

from trimtab.admin import Actor, NewKey
from trimtab.errors import RequestError
from trimtab.gateway.feedback_api import read_feedback

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
        ({"request": "r", "success": True, "source": "a b"}, "source"),
        ({"request": "r", "success": True, "source": "a\n"}, "source"),
        ({"request": "r", "success": True, "note": "x" * 1001}, "note"),
        ({"request": "r", "success": True, "sucess": 1}, "permitted are request, success"),
        ({"success": True}, "request"),
    ],
)
def test_what_is_told_wrongly_is_refused_with_what_is_right(body: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        read_feedback(json.dumps(body).encode())


VALUES = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5) | st.just([])


@given(
    st.binary(max_size=60)
    | st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(("request", "success", "score", "covers", "note", "source", "x"), VALUES),
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
