"""The console attacked by programs that send what no browser would: forms, sessions, roles, paths, hosts, passwords.

What a browser would do is in `test_console_attacks_browser`.
"""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hostile_house import HOME, PASSWORD, Answer, House, hostile_house, pages_of
from scripted_upstream import Upstream


@pytest.fixture(scope="module")
def house(serve: Callable[..., Any], upstream: Upstream) -> House:
    return hostile_house(serve, upstream)


# --- Forms ---


def test_a_form_needs_its_own_sessions_token_and_its_own_page(house: House) -> None:
    mine, other = house.session("operator"), house.session("operator")
    token = house.token(mine)
    own = {"origin": house.url, "sec_fetch_site": "same-origin"}
    for form, heads in (
        ({}, own),
        ({"csrf": ""}, own),
        ({"csrf": house.token(other)}, own),
        ({"csrf": token[:-1]}, own),
        ({"csrf": token}, {"origin": "http://localhost:3000"}),
        ({"csrf": token}, {"origin": f"http://localhost:{house.port}"}),
        ({"csrf": token}, {"origin": "null"}),
        ({"csrf": token}, {"sec_fetch_site": "same-site"}),
    ):
        got = house.ask("POST", "/console/logout", form, cookie=mine, **heads)
        assert got.status == 403, (form, heads)
        assert house.is_in(mine)
    # Nor in the address instead of the form, nor by another method.
    assert house.ask("POST", f"/console/logout?csrf={token}", {}, cookie=mine, **own).status == 403
    assert house.ask("GET", f"/console/logout?csrf={token}", cookie=mine, **own).status == 405
    assert house.is_in(mine)
    assert house.ask("POST", "/console/logout", {"csrf": token}, cookie=mine, **own).status == 303
    assert not house.is_in(mine)
    assert house.is_in(other)


# --- Sessions ---


def test_a_login_with_somebody_elses_cookie_ends_that_session_and_begins_another(house: House) -> None:
    attackers = house.session("viewer")
    got = house.ask(
        "POST", "/console/login", {"name": "admin", "password": PASSWORD}, cookie=attackers, origin=house.url
    )
    assert got.status == 303
    assert got.cookie != attackers
    assert not house.is_in(attackers)
    assert b"admin" in house.ask("GET", HOME, cookie=got.cookie).body


def test_a_forged_cookie_opens_nothing(house: House) -> None:
    mine = house.session("viewer")
    name, _, value = mine.partition("=")
    flipped = value[:-1] + ("A" if value[-1] != "A" else "B")
    for cookie in (
        f"{name}={flipped}",
        f"{name}=admin",
        f"{name}={value}x",
        f"{name}={'A' * 43}",
        f"trimtab={value}",
        f"{mine}; {name}={flipped}",
        "role=admin; user=admin",
        f"{name}=' OR 1=1 --",
    ):
        assert not house.is_in(cookie), cookie
    # What else is in the cookie header gives nobody a role.
    body = house.ask("GET", HOME, cookie=f"{mine}; role=admin; user=admin").body
    assert b'viewer <span class="quiet">viewer</span>' in body


def test_who_loses_a_role_the_account_or_the_password_loses_it_while_logged_in(house: House) -> None:
    house.add("temp", "admin")
    cookie = house.session("temp")
    assert b'temp <span class="quiet">admin</span>' in house.ask("GET", HOME, cookie=cookie).body
    house.users("role", "temp", "viewer")
    house.until(
        lambda: b'temp <span class="quiet">viewer</span>' in house.ask("GET", HOME, cookie=cookie).body
    )
    house.users("disable", "temp")
    house.until(lambda: not house.is_in(cookie))
    assert house.log_in("temp").status == 403
    house.users("enable", "temp")
    assert not house.is_in(cookie)
    again = house.session("temp")
    house.users("passwd", "temp", "--password-stdin", typed="another horse battery\n")
    house.until(lambda: not house.is_in(again))
    assert house.log_in("temp").status == 403
    house.users("remove", "temp")


# --- Roles ---

CHANGES = [
    ("POST", "/trimtab/v1/keys", b'{"name":"mine","admin":true}'),
    ("POST", "/trimtab/v1/keys/key_1/revoke", b""),
    ("POST", "/trimtab/v1/keys/key_1/limits", b"{}"),
    ("GET", "/trimtab/v1/keys", b""),
    ("GET", "/trimtab/v1/audit", b""),
    ("DELETE", "/trimtab/v1/content?before_ms=1", b""),
]


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
def test_a_session_of_the_console_is_no_key_and_makes_none(house: House, role: str) -> None:
    cookie = house.session(role)
    for method, path, body in CHANGES:
        got = house.raw(
            f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{house.port}\r\ncookie: {cookie}\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode()
            + body
        )
        assert got.split(b" ")[1] == b"403", (path, got)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "FOO"])
def test_no_page_does_anything_but_show_whoever_asks_and_however(house: House, method: str) -> None:
    cookie = house.session("viewer")
    token = house.token(cookie)
    for path in ("/console", "/console/requests", f"/console/requests/{house.ids[0]}", "/console/overview.json",
                 "/console/users", "/console/keys", "/console/admin"):  # fmt: skip
        body = f"csrf={token}&role=admin&name=viewer".encode()
        got = house.raw(
            f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{house.port}\r\ncookie: {cookie}\r\n"
            f"content-type: application/x-www-form-urlencoded\r\nx-http-method-override: GET\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode()
            + body
        )
        assert got.split(b" ")[1] in (b"400", b"403", b"404", b"405"), (path, got[:200])


def test_what_was_asked_and_answered_is_for_operators_only(house: House) -> None:
    path = f"/console/requests/{house.ids[0]}"
    viewers, operators = house.session("viewer"), house.session("operator")
    for page in (path, path + ".json"):
        assert b"hit(&#39;prompt&#39;)" not in house.ask("GET", page, cookie=viewers).body
        assert b"hit('prompt')" not in house.ask("GET", page, cookie=viewers).body
    assert b"prompt" in house.ask("GET", path, cookie=operators).body


def test_without_a_session_there_is_the_login_and_nothing_of_what_is_recorded(house: House) -> None:
    for path in [*pages_of(house), "/console/requests.json", f"/console/requests/{house.ids[0]}.json", "/console/logout"]:  # fmt: skip
        for cookie in ("", f"trimtab-{house.port}={'A' * 43}"):
            got = house.ask("GET", path, cookie=cookie)
            assert got.status in (303, 401, 400, 404), path
            if got.status == 303:
                assert got.named["location"].startswith("/console/login")
            assert b"claude-" not in got.body
    # A page that renews itself is sent to the login too, and gets no part of anything.
    got = house.ask("GET", "/console/requests", hx_request="true")
    assert (got.status, got.named["hx-redirect"], got.body) == (401, "/console/login", b"")


# --- Paths ---

SECRETS = (b"root:", b"base_url", b"Implements the gateway", b"SQLite format 3", b"{% block")


@pytest.mark.parametrize(
    "path",
    [
        "/console/static/../templates/base.html",
        "/console/static/../../errors.py",
        "/console/static/..%2f..%2ferrors.py",
        "/console/static/%2e%2e/%2e%2e/errors.py",
        "/console/static/%252e%252e/errors.py",
        "/console/static/..%5c..%5cerrors.py",
        "/console/static/..\\..\\errors.py",
        "/console/static/....//....//errors.py",
        "/console/static/%c0%ae%c0%ae/errors.py",
        "/console/static//etc/passwd",
        "/console/static/%2fetc%2fpasswd",
        "/console/static/file:///etc/passwd",
        "/console/static/console.css%00.html",
        "/console/static/console.css/..",
        "/console/static/.",
        "/console/static/",
        "/console/static",
        "/console/requests/../../../../etc/passwd",
        "/console/requests/..%2f..%2ftrimtab.toml",
        "/console/..%2ftrimtab.db",
        "/console/../trimtab.toml",
        "/console/%2e%2e/v1/models",
        "/console//v1/models",
        "/console/login/../../metrics",
        "/console;/../metrics",
        "/consolex",
        "/CONSOLE/requests",
        "/console/" + "a/" * 4000,
        "/console/requests/" + "%00" * 10,
    ],
)
def test_no_path_leads_to_a_file_or_around_the_login(house: House, path: str) -> None:
    for cookie in ("", house.session("admin") if path.endswith("passwd") else ""):
        got = house.raw(
            f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{house.port}\r\n"
            f"{f'cookie: {cookie}' if cookie else 'x-a: b'}\r\nconnection: close\r\n\r\n".encode()
        )
        status = int(got.split(b" ")[1])
        assert status in (303, 400, 404, 405, 414, 431), got[:300]
        assert not any(secret in got for secret in SECRETS)
        if status == 303:
            assert b"location: /console/login" in got


# --- Foreign hosts ---


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "localhost.evil.example:{port}",
     "127.0.0.1:{port}@evil.example", "169.254.169.254", "0.0.0.0", "[::2]", ""],
)  # fmt: skip
def test_a_name_that_was_rebound_to_this_machine_gets_nothing(house: House, host: str) -> None:
    host = host.replace("{port}", str(house.port))
    cookie = house.session("admin")
    for method, path in (("GET", "/console"), ("GET", "/console/login"), ("GET", "/console/requests.json"),
                         ("POST", "/console/login"), ("GET", "/console/static/console.js")):  # fmt: skip
        got = house.raw(
            f"{method} {path} HTTP/1.1\r\nhost: {host}\r\ncookie: {cookie}\r\norigin: http://{host}\r\n"
            "content-length: 0\r\nconnection: close\r\n\r\n".encode()
        )
        assert got.split(b" ")[1] in (b"400", b"403"), got[:300]
        assert b"<form" not in got
        assert b"set-cookie" not in got.lower()


# --- Trying out passwords ---


def test_a_wrong_name_and_a_wrong_password_look_the_same(house: House) -> None:
    known, unknown = (house.log_in(name, "wrong horse battery", source="127.0.0.9") for name in ("viewer", "nobody"))  # fmt: skip
    assert known.status == unknown.status == 403
    assert known.body.replace(b"viewer", b"nobody") == unknown.body
    assert [name for name, _ in known.headers] == [name for name, _ in unknown.headers]
    assert "set-cookie" not in known.named


def test_after_five_mistakes_an_address_waits_and_the_owner_elsewhere_does_not(house: House) -> None:
    tries = [house.log_in("operator", f"wrong {n}", source="127.0.0.2").status for n in range(6)]
    assert tries == [403] * 5 + [429]
    assert house.log_in("operator", PASSWORD, source="127.0.0.2").status == 429
    assert house.log_in("operator", PASSWORD).status == 303


@pytest.mark.parametrize(
    "form",
    [{}, {"name": "admin"}, {"password": PASSWORD}, {"name": "admin", "password": ""},
     {"name": "admin'--", "password": "x"}, {"name": "admin\0", "password": PASSWORD}, {"name": "A" * 60_000, "password": "x"},
     {"name": "admin", "password": "x" * 60_000}, {"name": "\ud7ff\U0010ffff", "password": "\u202e"}],
)  # fmt: skip
def test_odd_names_and_passwords_are_just_wrong(house: House, form: dict[str, str]) -> None:
    got = house.ask("POST", "/console/login", form, source="127.0.0.3")
    assert got.status in (403, 429)
    assert "set-cookie" not in got.named


def test_no_password_and_no_token_is_in_the_log(house: House) -> None:
    cookie = house.session("operator")
    house.log_in(PASSWORD, "typed into the wrong field", source="127.0.0.4")
    said = house.server.log.read_text()
    assert "a login failed: a name that no user has, from 127.0.0.4" in said
    assert "horse" not in said
    assert "wrong field" not in said
    assert cookie.partition("=")[2] not in said


# --- What every answer says to a browser ---


def test_every_answer_of_the_console_is_guarded_whatever_it_is(house: House) -> None:
    cookie = house.session("admin")
    for method, path, sent in (
        ("GET", "/console", cookie), ("GET", "/console", ""), ("GET", "/console/login", ""),
        ("GET", "/console/requests.json", cookie), ("GET", "/console/requests.json", ""),
        ("GET", "/console/nothing", cookie), ("GET", "/console/nothing.json", cookie), ("DELETE", "/console", cookie),
        ("POST", "/console/logout", cookie), ("POST", "/console/login", ""), ("GET", "/console/static/none.js", ""),
        ("GET", "/console/requests?status=x", cookie),
    ):  # fmt: skip
        got = house.ask(method, path, {} if method == "POST" else None, cookie=sent)
        policy = dict(
            part.strip().partition(" ")[::2] for part in got.named["content-security-policy"].split(";")
        )
        assert policy["default-src"] == "'none'", path
        assert policy["script-src"] == policy["style-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert policy["form-action"] == "'self'"
        assert "unsafe" not in got.named["content-security-policy"]
        assert got.named["x-content-type-options"] == "nosniff"
        assert got.named["x-frame-options"] == "DENY"
        assert got.named["cross-origin-opener-policy"] == "same-origin"
        assert got.named["cross-origin-resource-policy"] == "same-origin"
        assert got.named["referrer-policy"] == "same-origin"
        assert "camera=()" in got.named["permissions-policy"]
        assert got.named["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in got.named


# --- Where it is open, and where it is not ---


@pytest.mark.parametrize("workers", [1, 4])
def test_an_open_console_shows_and_changes_nothing_and_the_first_user_closes_it(
    serve: Callable[..., Any], workers: int
) -> None:
    house = House(serve(f"[server]\nworkers = {workers}\n"))
    got = house.ask("GET", "/console")
    assert got.status == 200
    assert b"open on this machine" in got.body
    for form in ({}, {"csrf": "0" * 64}):
        assert house.ask("POST", "/console/logout", form, origin=house.url).status == 403
    assert house.ask("GET", "/console", host="evil.example").status == 403
    house.add("ann", "admin")
    house.until(lambda: {house.ask("GET", "/console").status for _ in range(8)} == {303})
    cookie = house.session("ann")
    assert [house.is_in(cookie) for _ in range(8)] == [True] * 8  # in every process
    assert house.ask("POST", "/console/logout", {"csrf": house.token(cookie)}, cookie=cookie).status == 303
    house.until(lambda: not any(house.is_in(cookie) for _ in range(8)))


def test_where_callers_need_keys_the_console_is_not_open_either(serve: Callable[..., Any]) -> None:
    house = House(serve("[server]\nrequire_keys = true\n"))
    got = house.ask("GET", "/console")
    assert (got.status, got.named["location"]) == (303, "/console/login")
    login = house.ask("GET", "/console/login").body
    assert b"trimtab users add NAME --role admin" in login


def test_behind_a_proxy_on_the_same_machine_its_own_pages_log_in_and_no_others(
    serve: Callable[..., Any],
) -> None:
    """The proxy speaks TLS as console.example and calls 127.0.0.1, as nginx does where nothing else is said."""
    house = House(
        serve(
            '[server]\nrequire_keys = true\nallowed_origins = ["https://console.example", "https://app.example"]\n'
        )
    )
    house.add("ann", "admin")
    form = {"name": "ann", "password": PASSWORD}

    def log_in(origin: str, site: str) -> Answer:
        return house.ask("POST", "/console/login", form, origin=origin, sec_fetch_site=site)

    got = log_in("https://console.example", "same-origin")
    assert got.status == 303
    assert got.named["set-cookie"].startswith(f"__Host-trimtab-{house.port}=")
    assert house.is_in(got.cookie)
    for origin, site in (
        ("https://app.example", "same-site"),  # it may call the API, not use the console
        ("https://app.example", "cross-site"),
        ("https://evil.example", "cross-site"),
        ("https://evil.example", "same-origin"),
    ):
        assert log_in(origin, site).status == 403
    assert house.ask("POST", "/console/login", form, origin="https://app.example").status == 403


def test_where_other_machines_can_reach_it_nobody_comes_in_without_a_user_or_an_admin_key(
    serve: Callable[..., Any],
) -> None:
    def before(config: Path) -> None:
        for name, more in (("acme", ["--org", "acme", "--admin"]), ("plain", [])):
            made = subprocess.run(
                [sys.executable, "-m", "trimtab", "keys", "add", name, "--quiet", "--config", str(config), *more],
                cwd=config.parent, capture_output=True, text=True, check=True,
            )  # fmt: skip
            (config.parent / name).write_text(made.stdout.strip())

    server = serve("", host="0.0.0.0", before=before)
    house = House(server)
    acme, plain = ((server.folder / name).read_text() for name in ("acme", "plain"))
    assert house.ask("GET", "/console").named["location"] == "/console/login"
    assert b"Nobody can log in yet" in house.ask("GET", "/console/login").body
    assert house.log_in("admin").status == 403
    assert house.ask("GET", "/console/requests.json").status == 401
    # A program with an admin key reads what is its organisation's, as JSON only.
    for key in (acme, plain):
        request = urllib.request.Request(
            f"{house.url}/v1/messages",
            json.dumps({"model": "trimtab/auto", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}).encode(),
            {"content-type": "application/json", "anthropic-version": "2023-06-01", "x-api-key": key},
        )  # fmt: skip
        urllib.request.urlopen(request, timeout=60).read()

    def rows() -> list[Any]:
        got = house.ask("GET", "/console/requests.json?simulated=true", x_api_key=acme)
        assert got.status == 200
        found: list[Any] = json.loads(got.body)["found"]["rows"]
        return found

    house.until(lambda: len(rows()) == 1)
    assert {row["organisation"] for row in rows()} == {"acme"}
    assert house.ask("GET", "/console/requests.json", x_api_key=plain).status == 403
    assert house.ask("GET", "/console/requests.json", x_api_key="tt-nonsense").status == 401
    assert (
        house.ask("GET", "/console/requests", x_api_key=acme).named["location"].startswith("/console/login")
    )
    assert house.ask("POST", "/console/logout", {"csrf": ""}, x_api_key=acme).status == 303
    # And a person logs in, by the form of our own page: the browser says where it comes from.
    house.add("ann", "viewer")
    own = house.ask("POST", "/console/login", {"name": "ann", "password": PASSWORD}, origin=house.url)
    assert own.status == 303
    assert house.is_in(own.cookie)
    for origin in ("https://evil.example", "null", f"http://127.0.0.1:{house.port + 1}"):
        got = house.ask("POST", "/console/login", {"name": "ann", "password": PASSWORD}, origin=origin)
        assert got.status == 403
        assert "set-cookie" not in got.named
    # Behind TLS, which the browser tells by its origin, the cookie is for TLS only.
    got = house.ask("POST", "/console/login", {"name": "ann", "password": PASSWORD}, host="c.example", origin="https://c.example")  # fmt: skip
    assert got.named["set-cookie"].startswith("__Host-trimtab=")
    assert "; Secure;" in got.named["set-cookie"]
