"""The door of the pages: which path is which page, who may see it, and how a failure looks.

What it is not: the pages themselves, or the login's cookies and passwords. Invariants: nothing but the login and the
static files is answered to somebody whom the doorkeeper does not know; a page is made in a thread of its own, so that
neither the store nor a template holds up a request to a model.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import quote

import msgspec

from trimtab.console.asking import Asking
from trimtab.console.files import PREFIX, Files
from trimtab.console.headers import file_headers, page_headers
from trimtab.console.rendering import Templates
from trimtab.console.situation import Situation
from trimtab.console.visit import Answer, Visit, data, fields, page, see
from trimtab.console.visitors import Doorkeeper, Visitor
from trimtab.errors import (
    MethodNotAllowed,
    NotFound,
    RateLimited,
    RequestError,
    StoreError,
    TrimtabError,
    Unavailable,
    shortened,
)
from trimtab.providers import Headers

HOME = "/console"
FIRST = "overview"
"""The page that is shown at `HOME`."""
LOGIN = "/console/login"
LOGOUT = "/console/logout"
RETRY_S = 5

MAX_NAME = 200
MAX_PASSWORD = 1000
"""Characters of a name and a password that are looked at; nobody's are longer."""

_log = logging.getLogger("trimtab.console")


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What a page came to: its data, which is its JSON, and the template that shows it."""

    template: str
    title: str
    data: object
    values: Mapping[str, object] = {}
    """What the template needs besides `data`."""
    simulated: bool | None = None
    """Whether what is shown is simulated; `None` where it is neither."""
    state: str | None = None
    """Changes when what is shown changes; `None` where a page that is open does not ask again."""


class Page(Protocol):
    """One page: reads what it shows. Blocks; runs in a thread."""

    def __call__(self, visit: Visit, visitor: Visitor, rest: str) -> Shown | None:
        """`rest` is what follows the page's path; `None`: the open page that asks shows all this already.

        Raises `RequestError`, `StoreError`.
        """
        ...


class Console:
    """Answers everything at /console and below. Implements the gateway's `Pages`; one for each configuration."""

    def __init__(
        self,
        pages: Mapping[str, Page],
        doorkeeper: Doorkeeper,
        situation: Situation,
        files: Files,
        templates: Templates,
        asking: Asking,
    ) -> None:
        """`pages` by path below /console; one whose path ends in `/` takes what follows as `rest`.

        `asking` makes few of them at a time, and refuses more than can wait.
        """
        self._pages = pages
        self._doorkeeper = doorkeeper
        self._situation = situation
        self._files = files
        self._templates = templates
        self._asking = asking

    async def answer(
        self, method: str, path: str, query: bytes, headers: Headers, body: bytes, client: str
    ) -> tuple[int, Headers, bytes]:
        """See `Pages.answer`."""
        if path.startswith(PREFIX):
            answer = await self._static(method, path, headers)
        else:
            visit = Visit(
                method=method, path=path, query=query, asked={}, form={}, headers=headers, client=client
            )
            answer = await self._guarded(visit, body)
        return answer.status, answer.headers, answer.body

    async def _static(self, method: str, path: str, headers: Headers) -> Answer:
        found = self._files.find(path)
        if found is None:
            return Answer(status=404, headers=page_headers("text/plain"), body=b"there is no such file\n")
        if method not in ("GET", "HEAD"):
            return Answer(status=405, headers=page_headers("text/plain", (b"allow", b"GET, HEAD")))
        heads = file_headers(found.content_type, found.etag)
        if (b"if-none-match", b'"%b"' % found.etag.encode()) in headers:
            return Answer(status=304, headers=heads)
        # Files of ours hold nothing secret. Pages are never packed: their length would tell of what is in them to
        # whoever watches the line and can put text into them (Source: the BREACH attack, 2013).
        heads.append((b"vary", b"accept-encoding"))
        if not any(name == b"accept-encoding" and b"gzip" in value for name, value in headers):
            return Answer(headers=heads, body=found.body)
        packed = await asyncio.to_thread(self._files.packed, path)
        return Answer(headers=[*heads, (b"content-encoding", b"gzip")], body=packed)

    async def _guarded(self, visit: Visit, body: bytes) -> Answer:
        """Answer, and turn what goes wrong into a page."""
        visitor: Visitor | None = None
        try:
            visit = _read(visit, body)
            if visit.path == LOGIN:
                return await self._login(visit)
            visitor = await self._doorkeeper.visitor(visit.headers)
            if visitor is None and visit.as_json:
                visitor = await self._doorkeeper.program(visit.headers)
            if visitor is None:
                return _to_login(visit)
            if visit.path == LOGOUT:
                return await self._log_out(visit, visitor)
            return await self._page(visit, visitor)
        except StoreError as problem:
            _log.warning("%s %s: %s", visit.method, visit.path, problem)
            trouble: TrimtabError = Unavailable("the store cannot be read now; try again", RETRY_S)
            return await self._failed(visit, visitor, trouble)
        except TrimtabError as problem:
            return await self._failed(visit, visitor, problem)

    async def _page(self, visit: Visit, visitor: Visitor) -> Answer:
        name = visit.path.removeprefix(HOME).removeprefix("/").removesuffix(".json") or FIRST
        find, rest = self._find(name, visit.path)
        if visit.method not in ("GET", "HEAD"):
            raise MethodNotAllowed(visit.method, visit.path, "GET, HEAD")

        def work() -> Answer:
            shown = find(visit, visitor, rest)
            if shown is None:
                return page(b"", 204)
            if visit.as_json:
                return data(shown.data)
            return self._render(visit, visitor, shown)

        return await self._asking.ask(work)

    def _find(self, name: str, path: str) -> tuple[Page, str]:
        if (found := self._pages.get(name)) is not None and not name.endswith("/"):
            return found, ""
        first, slash, rest = name.partition("/")
        if rest and "/" not in rest and (found := self._pages.get(first + slash)) is not None:
            return found, rest
        raise NotFound(f"there is no page at {shortened(path)}")

    def _render(
        self,
        visit: Visit,
        visitor: Visitor | None,
        shown: Shown,
        status: int = 200,
        *more: tuple[bytes, bytes],
    ) -> Answer:
        values = {
            **shown.values,
            "data": shown.data,
            "title": shown.title,
            "simulated": shown.simulated,
            "state": shown.state,
            "visitor": visitor,
            "visit": visit,
            "situation": self._situation,
        }
        return page(self._templates.render(shown.template, values), status, *more)

    async def _login(self, visit: Visit) -> Answer:
        wanted = _own_path(visit.form.get("next") or visit.asked.get("next") or HOME)
        if visit.method in ("GET", "HEAD"):
            if await self._doorkeeper.visitor(visit.headers) is not None:
                return see(wanted)
            return await self._login_page(visit, wanted, "")
        if visit.method != "POST":
            raise MethodNotAllowed(visit.method, visit.path, "GET, HEAD, POST")
        self._doorkeeper.check_post(visit.headers, None, "")
        name, password = visit.form.get("name", ""), visit.form.get("password", "")
        problem, status = "This name and password do not fit together.", 403
        if len(name) <= MAX_NAME and len(password) <= MAX_PASSWORD:
            try:
                cookie = await self._doorkeeper.log_in(name, password, visit.headers, visit.client)
            except RateLimited as limited:
                problem, status = str(limited), limited.status
            else:
                if cookie is not None:
                    return see(wanted, (b"set-cookie", cookie))
        return await self._login_page(visit, wanted, problem, status)

    async def _login_page(self, visit: Visit, wanted: str, problem: str, status: int = 200) -> Answer:
        values = {
            "next": wanted,
            "problem": problem,
            "name": visit.form.get("name", "")[:MAX_NAME],
            "needs_user": await self._doorkeeper.needs_user(),
        }
        shown = Shown(template="login.html", title="Log in", data=None, values=values)
        return await asyncio.to_thread(self._render, visit, None, shown, status)

    async def _log_out(self, visit: Visit, visitor: Visitor) -> Answer:
        if visit.method != "POST":
            raise MethodNotAllowed(visit.method, visit.path, "POST")
        self._doorkeeper.check_post(visit.headers, visitor, visit.form.get("csrf", ""))
        return see(LOGIN, (b"set-cookie", await self._doorkeeper.log_out(visit.headers)))

    async def _failed(self, visit: Visit, visitor: Visitor | None, problem: TrimtabError) -> Answer:
        more: Headers = []
        if isinstance(problem, MethodNotAllowed):
            more.append((b"allow", problem.allowed.encode()))
        elif isinstance(problem, Unavailable | RateLimited):
            more.append((b"retry-after", b"%d" % problem.retry_after_s))
        if visit.as_json:
            said = {"error": {"type": problem.anthropic_type, "message": str(problem)}}
            return data(said, problem.status, *more)
        title = _TITLES.get(problem.status, "Error")
        shown = Shown(template="problem.html", title=title, data=None, values={"problem": str(problem)})
        return await asyncio.to_thread(self._render, visit, visitor, shown, problem.status, *more)


_TITLES = {
    400: "Not understood",
    403: "Not permitted",
    404: "Not found",
    405: "Not possible here",
    429: "Too many tries",
    503: "Not available now",
}


def _read(visit: Visit, body: bytes) -> Visit:
    try:
        return msgspec.structs.replace(visit, asked=fields(visit.query), form=fields(body))
    except ValueError as problem:
        raise RequestError(f"the address or the form cannot be read: {problem}") from None


def _own_path(text: str) -> str:
    """A page of ours to go to after the login; never another server's."""
    plain = text.isascii() and text.isprintable() and not any(mark in text for mark in '\\ "<>')
    if not plain or "//" in text or not (text == HOME or text.startswith((HOME + "/", HOME + "?"))):
        return HOME
    return text


def _to_login(visit: Visit) -> Answer:
    if visit.as_json:
        said = {"type": "authentication_error", "message": "log in at /console/login, or show an admin key"}
        return data({"error": said}, 401)
    if visit.in_part:
        return page(b"", 401, (b"hx-redirect", LOGIN.encode()))
    query = visit.query.decode("latin-1")
    wanted = _own_path(visit.path + (f"?{query}" if query else ""))
    return see(LOGIN if wanted == HOME else f"{LOGIN}?next={quote(wanted, safe='')}")
