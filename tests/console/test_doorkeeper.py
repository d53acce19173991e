"""The doorkeeper on a real store: cookies, forms, the open console, keys of programs, and what strangers can take."""

import asyncio
import secrets
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from key_store import CLI, Clock, admin_of, make

from trimtab.admin import UserAdmin
from trimtab.console.doorkeeper import KNOWN_S, MOST_WAITING, LoginDoorkeeper
from trimtab.console.visitors import Doorkeeper, Visitor
from trimtab.errors import AuthenticationFailed, PermissionDenied, RateLimited, StoreError, Unavailable
from trimtab.identity import Keys
from trimtab.identity.logins import Login, Logins, Session
from trimtab.providers import Headers
from trimtab.store import Database, StoreSettings, open_database

PASSWORD = "correct horse battery"
HOST = (b"host", b"127.0.0.1:8787")
ORIGIN = (b"origin", b"http://127.0.0.1:8787")
T = TypeVar("T")


class Watch:
    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


class House:
    """A store with its doorkeepers."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.database = open_database(StoreSettings(url=f"sqlite:///{folder}/t.db"), clock_ms=self.clock)
        self.users = UserAdmin(self.database)
        self.watch = Watch()
        self.keys = Keys(self.database, clock_ms=self.clock, monotonic=self.watch)
        self.loop = asyncio.new_event_loop()

    def doorkeeper(self, may_be_open: bool = True, instance: str = "one") -> LoginDoorkeeper:
        """One for each process."""
        return LoginDoorkeeper(
            Logins(self.database, secrets.token_bytes),
            self.keys,
            may_be_open=may_be_open,
            instance=instance,
            monotonic=self.watch,
        )

    def run(self, work: Awaitable[T]) -> T:
        return self.loop.run_until_complete(work)

    def close(self) -> None:
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self.database.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.close()


def headers(*more: tuple[bytes, bytes], host: bytes = HOST[1]) -> Headers:
    return [(b"host", host), *more]


def cookie_in(set_cookie: bytes | None) -> tuple[bytes, bytes]:
    """What a browser sends back."""
    assert set_cookie is not None
    return b"cookie", set_cookie.partition(b";")[0]


def log_in(house: House, door: Doorkeeper, *more: tuple[bytes, bytes], host: bytes = HOST[1]) -> bytes:
    got = house.run(door.log_in("ann", PASSWORD, headers(*more, host=host), "10.0.0.1"))
    assert got is not None
    return got


def visitor(house: House, door: Doorkeeper, *more: tuple[bytes, bytes]) -> Visitor | None:
    return house.run(door.visitor(headers(*more)))


# --- Who comes in ---


def test_while_there_is_no_user_anybody_on_this_machine_may_look_and_no_more(house: House) -> None:
    found = visitor(house, house.doorkeeper())
    assert found is not None
    assert (found.user, found.role) == ("", "viewer")
    assert not found.may("operator")
    assert not house.run(house.doorkeeper().needs_user())


def test_elsewhere_nobody_comes_in_before_there_is_a_user(house: House) -> None:
    door = house.doorkeeper(may_be_open=False)
    assert visitor(house, door) is None
    assert house.run(door.needs_user())
    house.users.add(CLI, "ann", "viewer", PASSWORD)
    house.watch.s += KNOWN_S
    assert not house.run(door.needs_user())
    assert visitor(house, door) is None


def test_the_first_user_closes_the_open_console_and_a_disabled_one_keeps_it_closed(house: House) -> None:
    door = house.doorkeeper()
    assert visitor(house, door) is not None
    house.users.add(CLI, "ann", "admin", PASSWORD)
    house.users.disable(CLI, "ann")
    house.watch.s += KNOWN_S
    assert visitor(house, door) is None


def test_who_logs_in_is_known_by_the_cookie_in_every_process(house: House) -> None:
    house.users.add(CLI, "ann", "operator", PASSWORD)
    one, other = house.doorkeeper(), house.doorkeeper()
    cookie = cookie_in(log_in(house, one))
    first, second = visitor(house, one, cookie), visitor(house, other, cookie)
    assert first == second
    assert first is not None
    assert (first.user, first.role, first.organisation) == ("ann", "operator", None)
    assert first.csrf
    assert visitor(house, one) is None


def test_what_is_taken_away_is_gone_everywhere_within_a_second(house: House) -> None:
    house.users.add(CLI, "ann", "admin", PASSWORD)
    one, other = house.doorkeeper(), house.doorkeeper()
    cookie = cookie_in(log_in(house, one))
    for door in (one, other):
        assert visitor(house, door, cookie) is not None
    house.users.set_role(CLI, "ann", "viewer")
    house.watch.s += KNOWN_S
    for door in (one, other):
        found = visitor(house, door, cookie)
        assert found is not None
        assert found.role == "viewer"
    house.users.disable(CLI, "ann")
    house.watch.s += KNOWN_S
    assert visitor(house, one, cookie) is None
    assert visitor(house, other, cookie) is None
    assert KNOWN_S <= 1


def test_logging_out_ends_the_session_not_only_the_cookie(house: House) -> None:
    house.users.add(CLI, "ann", "admin", PASSWORD)
    door = house.doorkeeper()
    cookie = cookie_in(log_in(house, door))
    assert visitor(house, door, cookie) is not None
    gone = house.run(door.log_out(headers(cookie)))
    assert gone.startswith(cookie[1].partition(b"=")[0] + b"=;")
    assert b"Max-Age=0" in gone
    assert visitor(house, door, cookie) is None
    house.run(door.log_out(headers(cookie)))  # twice is no error
    house.run(door.log_out(headers()))


# --- Cookies ---


def test_the_cookie_cannot_be_read_by_scripts_or_sent_by_other_sites(house: House) -> None:
    house.users.add(CLI, "ann", "viewer", PASSWORD)
    got = log_in(house, house.doorkeeper(), ORIGIN).decode().split("; ")
    assert got[0].startswith("trimtab-8787=")
    assert got[1:] == ["Path=/console", "HttpOnly", "SameSite=Strict"]


def test_behind_tls_the_cookie_is_for_tls_and_this_host_only(house: House) -> None:
    house.users.add(CLI, "ann", "viewer", PASSWORD)
    door = house.doorkeeper(may_be_open=False)
    host = b"trimtab.example"
    got = log_in(house, door, (b"origin", b"https://trimtab.example"), host=host)
    assert got.startswith(b"__Host-trimtab=")
    assert got.split(b"; ")[1:] == [b"Path=/", b"Secure", b"HttpOnly", b"SameSite=Strict"]
    assert house.run(door.visitor(headers(cookie_in(got), host=host))) is not None
    # A cookie that somebody on the way set over plain HTTP does not count beside it, even a valid one.
    mine = log_in(house, door, host=host)
    assert mine.startswith(b"trimtab=")
    bad = (b"cookie", b"__Host-trimtab=" + b"x" * 43 + b"; " + cookie_in(mine)[1])
    assert house.run(door.visitor(headers(bad, host=host))) is None


def test_a_token_that_was_there_before_the_login_is_never_the_one_after_it(house: House) -> None:
    """Session fixation: the attacker plants a cookie, of his own making or of a session that he has."""
    house.users.add(CLI, "ann", "viewer", PASSWORD)
    house.users.add(CLI, "eve", "viewer", PASSWORD)
    door = house.doorkeeper()
    made_up = (b"cookie", b"trimtab-8787=" + b"A" * 43)
    eves = house.run(door.log_in("eve", PASSWORD, headers(), "6.6.6.6"))
    for planted in (made_up, cookie_in(eves)):
        got = cookie_in(log_in(house, door, planted))
        assert got[1] != planted[1]
        assert visitor(house, door, planted) is None  # worth nothing afterwards, to nobody
        found = visitor(house, door, got)
        assert found is not None
        assert found.user == "ann"


def test_two_cookies_of_one_name_are_nobody(house: House) -> None:
    house.users.add(CLI, "ann", "viewer", PASSWORD)
    house.users.add(CLI, "eve", "viewer", PASSWORD)
    door = house.doorkeeper()
    anns = cookie_in(log_in(house, door))
    eves = cookie_in(house.run(door.log_in("eve", PASSWORD, headers(), "6.6.6.6")))
    assert visitor(house, door, (b"cookie", anns[1] + b"; " + eves[1])) is None
    assert visitor(house, door, eves, anns) is None
    assert visitor(house, door, anns, anns) is not None


@pytest.mark.parametrize(
    "cookie",
    [
        b"", b";;;", b"trimtab-8787", b"trimtab-8787=", b"trimtab-8787=x", b"=", b"trimtab-8787==",
        b"trimtab-8787=" + b"\xff" * 43, b"trimtab-8787=" + b"a" * 5000, b"trimtab-8788=" + b"a" * 43,
        b'trimtab-8787="' + b"a" * 41 + b'"',
    ],
)  # fmt: skip
def test_a_forged_cookie_is_nobody(house: House, cookie: bytes) -> None:
    house.users.add(CLI, "ann", "viewer", PASSWORD)
    assert visitor(house, house.doorkeeper(), (b"cookie", cookie)) is None


@pytest.mark.parametrize("host", [b"", b"127.0.0.1", b"x:99999999", b"[::1]:8787", b"a:b", b"\xff"])
def test_any_host_header_gets_a_cookie_that_works_and_is_one_header_line(house: House, host: bytes) -> None:
    house.users.add(CLI, "ann", "viewer", PASSWORD)
    door = house.doorkeeper()
    got = log_in(house, door, host=host)
    assert got.isascii()
    assert house.run(door.visitor(headers(cookie_in(got), host=host))) is not None


# --- Forms ---


def test_a_form_needs_the_token_of_its_own_session_in_every_process(house: House) -> None:
    house.users.add(CLI, "ann", "admin", PASSWORD)
    one, other = house.doorkeeper(), house.doorkeeper()
    mine, another = (visitor(house, one, cookie_in(log_in(house, one))) for _ in range(2))
    assert mine is not None
    assert another is not None
    other.check_post(headers(ORIGIN), mine, mine.csrf, "admin")
    for token in ("", "x", another.csrf, mine.csrf[:-1], mine.csrf + "0", "é" * 64, "\ud800"):
        with pytest.raises(PermissionDenied, match="out of date"):
            other.check_post(headers(ORIGIN), mine, token)


def test_the_open_console_has_a_token_too_the_same_in_every_process_of_one_store(house: House) -> None:
    mine = visitor(house, house.doorkeeper())
    strange = visitor(house, house.doorkeeper(instance="another"))
    assert mine is not None
    assert strange is not None
    house.doorkeeper().check_post(headers(ORIGIN), mine, mine.csrf)
    for token in ("", strange.csrf):
        with pytest.raises(PermissionDenied):
            house.doorkeeper().check_post(headers(ORIGIN), mine, token)


@pytest.mark.parametrize(
    "sent",
    [
        [(b"origin", b"https://evil.example")],
        [(b"origin", b"null")],
        [
            (b"origin", b"http://localhost:8787")
        ],  # the same machine by another name is another site's business
        [(b"origin", b"http://127.0.0.1:3000")],  # another server on this machine
        [(b"origin", b"http://127.0.0.1:8787.evil.example")],
        [(b"sec-fetch-site", b"cross-site")],
        [(b"sec-fetch-site", b"same-site")],
        [(b"sec-fetch-site", b"none")],
        [ORIGIN, (b"sec-fetch-site", b"cross-site")],
    ],
)
def test_a_form_from_another_page_is_refused_with_the_right_token_too(house: House, sent: Headers) -> None:
    house.users.add(CLI, "ann", "admin", PASSWORD)
    door = house.doorkeeper()
    mine = visitor(house, door, cookie_in(log_in(house, door)))
    assert mine is not None
    with pytest.raises(PermissionDenied, match="another site"):
        door.check_post(headers(*sent), mine, mine.csrf)
    with pytest.raises(PermissionDenied, match="another site"):
        door.check_post(headers(*sent), None, "")  # logging somebody in from elsewhere is an attack too


def test_our_own_page_may_send_its_form_with_and_without_the_newer_headers(house: House) -> None:
    door = house.doorkeeper()
    behind_a_proxy = (b"origin", b"https://console.example")
    site = (b"sec-fetch-site", b"same-origin")
    for sent in ([], [ORIGIN], [ORIGIN, site], [behind_a_proxy, site]):
        door.check_post(headers(*sent), None, "")


@pytest.mark.parametrize(
    ("role", "may"),
    [("viewer", ["viewer"]), ("operator", ["viewer", "operator"]), ("admin", ["viewer", "operator", "admin"])],
)  # fmt: skip
def test_nobody_does_what_needs_a_higher_role(house: House, role: str, may: list[str]) -> None:
    house.users.add(CLI, "ann", role, PASSWORD)
    door = house.doorkeeper()
    mine = visitor(house, door, cookie_in(log_in(house, door)))
    assert mine is not None
    for wanted in ("viewer", "operator", "admin"):
        if wanted in may:
            door.check_post(headers(), mine, mine.csrf, wanted)  # type: ignore[arg-type]
        else:
            with pytest.raises(PermissionDenied, match=f"needs the role '{wanted}' and 'ann' is '{role}'"):
                door.check_post(headers(), mine, mine.csrf, wanted)  # type: ignore[arg-type]


# --- Programs ---


def test_a_program_with_an_admin_key_sees_its_organisation_and_changes_nothing(house: House) -> None:
    _, secret = make(admin_of(house.database), organisation="acme", admin=True)
    house.keys.load()
    door = house.doorkeeper(may_be_open=False)
    for shown in ((b"x-api-key", secret.encode()), (b"authorization", b"Bearer " + secret.encode())):
        found = house.run(door.program(headers(shown)))
        assert found is not None
        assert (found.role, found.organisation) == ("viewer", "acme")
        assert found.user.startswith("key:")
        for token in ("", found.csrf):
            with pytest.raises(PermissionDenied):
                door.check_post(headers(), found, token)


def test_other_keys_and_no_keys_are_told_so(house: House) -> None:
    _, plain = make(admin_of(house.database))
    house.keys.load()
    door = house.doorkeeper(may_be_open=False)
    assert house.run(door.program(headers())) is None
    with pytest.raises(PermissionDenied, match="was not made with --admin"):
        house.run(door.program(headers((b"x-api-key", plain.encode()))))
    with pytest.raises(AuthenticationFailed):
        house.run(door.program(headers((b"x-api-key", b"sk-ant-x"))))
    with pytest.raises(AuthenticationFailed, match="two different keys"):
        house.run(door.program(headers((b"x-api-key", plain.encode()), (b"authorization", b"Bearer tt-x"))))


# --- What strangers can take ---


def test_after_a_few_wrong_passwords_even_the_right_one_waits_its_turn(house: House) -> None:
    house.users.add(CLI, "ann", "viewer", PASSWORD)
    door = house.doorkeeper()
    for _ in range(5):
        assert house.run(door.log_in("ann", "wrong", headers(), "6.6.6.6")) is None
    with pytest.raises(RateLimited, match="too many tries") as limited:
        house.run(door.log_in("ann", PASSWORD, headers(), "6.6.6.6"))
    assert 0 < limited.value.retry_after_s <= 31
    house.watch.s += limited.value.retry_after_s
    log_in(house, door)


class Slow:
    """Checks passwords for as long as it is told."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.at_once = self.most = 0

    def any_user(self) -> bool:
        return True

    def log_in(self, name: str, password: str) -> Login:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        self.go.wait(60)
        self.at_once -= 1
        return Login(None, False)

    def find(self, token: str) -> Session | None:
        return None

    def end(self, token: str) -> None:
        pass


def test_passwords_are_checked_one_at_a_time_and_only_so_many_wait_whoever_goes_away(house: House) -> None:
    slow = Slow()
    door = LoginDoorkeeper(slow, house.keys, may_be_open=False, instance="", monotonic=house.watch)

    async def work() -> None:
        def attempt(n: int) -> "asyncio.Task[bytes | None]":
            return asyncio.create_task(door.log_in(f"u{n}", "p", headers(), f"10.0.0.{n}"))

        waiting = [attempt(n) for n in range(MOST_WAITING)]
        await asyncio.sleep(0)
        for _ in range(3):
            with pytest.raises(RateLimited, match="too many people"):
                await attempt(99)
        waiting[0].cancel()  # it is being checked already, and goes on being checked
        await asyncio.gather(waiting[0], return_exceptions=True)
        with pytest.raises(RateLimited, match="too many people"):
            await attempt(99)
        waiting[-1].cancel()  # its turn has not come
        await asyncio.gather(waiting[-1], return_exceptions=True)
        last = attempt(50)
        await asyncio.sleep(0)
        slow.go.set()
        assert await asyncio.gather(*waiting[1:-1], last) == [None] * (MOST_WAITING - 1)
        assert await attempt(51) is None

    house.run(work())
    assert slow.most == 1


def test_the_log_names_a_user_that_is_tried_out_and_nothing_that_may_be_a_password(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.users.add(CLI, "ann", "viewer", PASSWORD)
    door = house.doorkeeper()
    house.run(door.log_in("ann", "not this horse", headers(), "6.6.6.6"))
    house.run(door.log_in(PASSWORD, "ann", headers(), "6.6.6.6"))
    assert "'ann', from 6.6.6.6" in caplog.text
    assert "a name that no user has" in caplog.text
    assert "horse" not in caplog.text


class Away:
    """A store that cannot be asked."""

    def _refuse(self) -> StoreError:
        return StoreError("store postgresql://secret-host/db: the server cannot be reached")

    def any_user(self) -> bool:
        raise self._refuse()

    def log_in(self, name: str, password: str) -> Login:
        raise self._refuse()

    def find(self, token: str) -> Session | None:
        raise self._refuse()

    def end(self, token: str) -> None:
        raise self._refuse()


def test_while_the_store_is_away_nobody_comes_in_and_hears_no_more_than_that(house: House) -> None:
    door = LoginDoorkeeper(Away(), house.keys, may_be_open=True, instance="", monotonic=house.watch)
    cookie = (b"cookie", b"trimtab-8787=" + b"A" * 43)
    tries: list[Callable[[], Awaitable[object]]] = [
        lambda: door.visitor(headers()),
        lambda: door.visitor(headers(cookie)),
        lambda: door.log_in("ann", PASSWORD, headers(), "10.0.0.1"),
        lambda: door.log_out(headers(cookie)),
    ]
    for attempt in tries:
        with pytest.raises(Unavailable, match="try again") as said:
            house.run(attempt())
        assert "secret-host" not in str(said.value)


def test_what_the_doorkeeper_knows_is_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimtab.console.doorkeeper.MOST_KNOWN", 2)
    house.users.add(CLI, "ann", "viewer", PASSWORD)
    door = house.doorkeeper()
    cookies = [cookie_in(log_in(house, door)) for _ in range(4)]
    for cookie in cookies:
        assert visitor(house, door, cookie) is not None
    assert len(door._known) == 2


def _is_a_doorkeeper(door: LoginDoorkeeper, database: Database) -> Doorkeeper:
    return door  # the type checker's word for it
