"""The application: which path does what, and how a failure becomes an answer."""

import asyncio
import datetime
import logging
import string
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Literal
from urllib.parse import unquote

import msgspec

from trimtab.engine import Answering, Inbound
from trimtab.engine.pictures import StreamChange
from trimtab.errors import (
    AuthenticationFailed,
    NotFound,
    PermissionDenied,
    RequestError,
    Stopping,
    StoreError,
    TrimtabError,
    Unavailable,
    UpstreamError,
    shortened,
)
from trimtab.gateway.access import PAGES, is_page
from trimtab.gateway.budgets_api import budgets_handler
from trimtab.gateway.callers import admit, may_read
from trimtab.gateway.content_api import content_handler
from trimtab.gateway.feedback_api import feedback_handler
from trimtab.gateway.figures_api import figures_handler
from trimtab.gateway.http import CHAT_PATH, Exchange, client_headers, sorted_headers
from trimtab.gateway.keys_api import keys_handler
from trimtab.gateway.once import HEADER as IDEMPOTENCY_KEY
from trimtab.gateway.once import Once
from trimtab.gateway.request import ClientGone, ClientRequest
from trimtab.gateway.state import ServingState
from trimtab.gateway.surroundings import InForce, Surroundings
from trimtab.gateway.tasks_api import tasks_handler
from trimtab.messages import error_event
from trimtab.messages.chat import UsageHider, chat_error_event
from trimtab.providers import Call, Headers, Sink
from trimtab.records import NOBODY, Endpoint
from trimtab.store.content.quotes import without_quotes
from trimtab.telemetry import EXPOSITION, REQUEST

DRAIN_RETRY_S = 5
NO_PAGE = (b"content-security-policy", b"sandbox; default-src 'none'")
"""With what a platform sends as it likes, such as a file that somebody put there: opened in a browser, it must not
become a page of this server, which could use the console of whoever is logged in."""
MAX_FORM_BYTES = 64 * 1024
"""What a page of the console sends, at most."""
STOPPING = "the server is stopping; try again"
SEGMENT = frozenset(string.ascii_letters + string.digits + "._-~")
PASSED_THROUGH = ("files", "skills")
"""First path segments below /v1/ that bill nothing and go to the platform as they are."""

OUR_PATHS = (keys_handler, budgets_handler, tasks_handler, figures_handler, feedback_handler)
"""Who answers what lies below /trimtab/v1/."""

NO_SUCH_PATH = "no such path here; GET /openapi.json lists what there is"
PATH_HINTS = (
    ("/v1/v1/", "the base URL ends in /v1; leave that out, the SDK adds it"),
    ("/v1/messages/batches", "this version does not serve message batches"),
    ("/v1/responses", "of the OpenAI API this version serves /v1/chat/completions only"),
)
"""What people who meet a 404 most likely meant."""

_log = logging.getLogger("trimtab.gateway")


class Gateway:
    """Answers HTTP requests. One instance serves all connections of an event loop."""

    def __init__(self, state: ServingState, surroundings: Surroundings, once: Once) -> None:
        self._state = state
        self._once = once
        self._in_force = InForce(surroundings)
        self._exact: dict[str, Callable[[Exchange], Awaitable[None]]] = {
            "/v1/messages": self._messages,
            "/v1/messages/count_tokens": self._count_tokens,
            CHAT_PATH: self._chat,
            "/v1/models": self._models,
            "/healthz": self._alive,
            "/readyz": self._ready,
            "/metrics": self._metrics,
            "/openapi.json": self._openapi,
            "/": self._front,
        }

    def put_in_force(self, surroundings: Surroundings) -> InForce:
        """Take these for every request from now on; returns the old ones, which requests in flight still use."""
        old, self._in_force = self._in_force, InForce(surroundings)
        old.replace()
        return old

    async def __call__(self, request: ClientRequest) -> None:
        """Answer a request: find out who asks, then do what is asked."""
        version, state = self._in_force, self._state
        http = Exchange(request, version.enter())
        path = http.path
        REQUEST.set(http.id)  # in the context of this task, which ends with the request
        if state.leaving:
            request.keep_alive = False
        try:
            try:
                http.caller = await admit(http.headers, http.named, path, http.around.access)
            except AuthenticationFailed:
                if not _is_browser_at_front(http):
                    raise
            handler = self._exact.get(path) or self._by_prefix(http)
            if path.startswith("/v1/"):
                if state.draining:
                    raise Stopping(STOPPING, DRAIN_RETRY_S)
                state.answering.add(http.id)
            await handler(http)
        except ClientGone:
            pass
        except asyncio.CancelledError:
            if not request.gone and not request.started:
                http.fail(Stopping(STOPPING, DRAIN_RETRY_S))
            raise
        except Exception as problem:
            _fail(http, problem)
        finally:
            request.close()
            state.answering.discard(http.id)
            version.leave()

    def _by_prefix(self, http: Exchange) -> Callable[[Exchange], Awaitable[None]]:
        path = http.path
        if path.startswith("/v1/models/"):
            return self._model
        if is_page(path) and http.around.pages is not None:
            return self._page
        if (handler := content_handler(path)) is not None:
            return handler
        if path.startswith("/trimtab/v1/requests/"):
            return self._request
        for find in OUR_PATHS:
            if (handler := find(path)) is not None:
                return handler
        if path.startswith("/v1/") and path.split("/")[2] in PASSED_THROUGH:
            return self._pass_through
        hint = next((text for prefix, text in PATH_HINTS if path.startswith(prefix)), NO_SUCH_PATH)
        raise NotFound(f"{http.method} {shortened(path)}: {hint}")

    # Vendor paths

    async def _messages(self, http: Exchange) -> None:
        await self._answered(http, "messages")

    async def _chat(self, http: Exchange) -> None:
        await self._answered(http, "chat")

    async def _answered(self, http: Exchange, endpoint: Literal["messages", "chat"]) -> None:
        body = await self._body(http)
        if http.header(IDEMPOTENCY_KEY) is None:
            await self._message(http, endpoint, body)
            return

        async def make(inner: Exchange) -> None:
            try:
                await self._message(inner, endpoint, body)
            except Exception as problem:
                _fail(inner, problem)

        await self._once.answer(http, body, make)

    async def _message(self, http: Exchange, endpoint: Literal["messages", "chat"], body: bytes) -> None:
        reply = await self._call(http, endpoint, body)
        try:
            if reply.is_event_stream:
                await self._stream(http, reply)
            else:
                await self._whole(http, reply)
        finally:
            reply.close()

    async def _count_tokens(self, http: Exchange) -> None:
        reply = await self._call(http, "count_tokens", await self._body(http))
        try:
            await self._whole(http, reply)
        finally:
            reply.close()

    async def _body(self, http: Exchange) -> bytes:
        http.require("POST")
        encoding = http.header(b"content-encoding")
        if encoding not in (None, b"identity"):
            raise RequestError(
                f"content-encoding: {encoding.decode('latin-1')!r}: send the body uncompressed"
            )
        return await http.body(http.around.max_body_bytes)

    def _call(self, http: Exchange, endpoint: Endpoint, body: bytes) -> Coroutine[Any, Any, Answering]:
        headers, own = sorted_headers(http.headers)
        return http.around.pipeline.answer(
            Inbound(
                id=http.id,
                endpoint=endpoint,
                path=http.path,
                query=http.query,
                body=body,
                headers=headers,
                own=own,
                caller=http.caller,
                arrived_ms=http.arrived_ms,
                arrived=http.arrived,
            )
        )

    async def _whole(self, http: Exchange, reply: Answering) -> None:
        """A JSON answer: collected, so that its cost can go ahead of it, and settled before it is sent."""
        body = await reply.body()
        reply.close()
        if reply.job.change is not None:
            body = reply.job.change.whole(body)
        headers = _answer_headers(reply)
        headers.append((b"x-trimtab-cost-usd", _usd(reply.cost())))
        http.to.answer(reply.status, headers, body)

    async def _stream(self, http: Exchange, reply: Answering) -> None:
        """Events go on as they come. A broken stream ends in an error event, or in a cut inside an event."""
        to = http.to
        to.start(reply.status, _answer_headers(reply))
        change: StreamChange | None = None
        push: Sink = to.push
        if reply.job.hides_usage:
            change = UsageHider()
        elif reply.job.change is not None:
            change = reply.job.change.stream()
        if change is not None:
            push = _changed(change, to.push)
        try:
            while not await reply.pump(push):
                await to.drain()
        except (UpstreamError, RequestError) as problem:
            reply.close()
            if not reply.at_boundary:
                raise
            http.failed = True
            to.finish(_error_event(http, problem))
            return
        except asyncio.CancelledError:
            reply.close()
            http.failed = True
            if self._state.draining and reply.at_boundary:  # the server stops; the client is still there
                to.finish(_error_event(http, Stopping(STOPPING, DRAIN_RETRY_S)))
            raise
        reply.close()
        http.failed = reply.failed
        to.finish(change.rest() if change is not None else b"")

    async def _models(self, http: Exchange) -> None:
        http.require("GET")
        around = http.around
        http.reply(200, around.models.page(http.query, around.clock_ms(), http.caller))

    async def _model(self, http: Exchange) -> None:
        http.require("GET")
        name = unquote(http.path.removeprefix("/v1/models/"))
        http.reply(200, http.around.models.one(name, http.around.clock_ms(), http.caller))

    async def _pass_through(self, http: Exchange) -> None:
        """Vendor paths that bill nothing: both bodies are streamed, nothing is read or recorded."""
        http.require("GET", "POST", "DELETE")
        path = _plain_path(http.request.target.raw_path)
        headers, own = sorted_headers(http.headers)
        for name in own:
            raise RequestError(f"{name}: nothing acts on this header on this path; remove it")
        length = http.declared_length()
        if http.header(b"transfer-encoding") is not None:
            raise RequestError("transfer-encoding: send this request with a content-length")
        provider = http.around.passthrough
        if provider is None:
            raise NotFound(
                f"{shortened(path)}: the operator's rules of regions and first days leave no platform for it"
            )
        permitted = http.caller.platforms
        if permitted is not None and provider.name not in permitted:
            raise PermissionDenied(
                f"{shortened(path)}: goes to platform {provider.name!r}, which this key may not use"
            )
        reply = await provider.send(
            Call(
                method=http.method,
                path=path,
                query=http.query,
                headers=headers,
                body=http.body_pieces() if length else b"",
                content_length=length,
            )
        )
        try:
            to, headers = http.to, client_headers(reply.headers)
            headers += (
                (b"x-trimtab-request", http.id.encode()),
                (b"x-trimtab-platform", provider.name.encode()),
                NO_PAGE,
            )
            if provider.simulated or (b"x-trimtab-simulated", b"true") in reply.headers:
                headers.append((b"x-trimtab-simulated", b"true"))
            to.start(reply.status, headers)
            while chunk := await reply.read():
                if not to.push(chunk):
                    await to.drain()
            to.finish()
        finally:
            reply.close()

    # Our own paths

    async def _request(self, http: Exchange) -> None:
        http.require("GET")
        name = http.path.removeprefix("/trimtab/v1/requests/")
        try:
            found = await asyncio.to_thread(http.around.find_record, name)
        except StoreError as problem:
            _log.warning("request %s: reading a record: %s", http.id, problem)
            raise Unavailable("the store cannot be read now; try again", DRAIN_RETRY_S) from None
        if found is None and (name in self._state.answering or name in self._state.calls):
            raise NotFound(f"request {name!r} is still being answered; its record comes when it ends")
        unknown = NotFound(
            f"no request {shortened(name)!r} is recorded here; use the id of an x-trimtab-request header"
        )
        if found is None:
            raise unknown
        record: dict[str, Any] = msgspec.json.decode(found)
        if not may_read(record, http.caller):
            raise unknown
        if http.caller is NOBODY and b'"evidence"' in found and not await http.around.is_open():
            # What verifiers quote of an answer is for those who may read content.
            record = msgspec.json.decode(without_quotes(found.decode()))
        record["cost_usd"] = _usd(record.setdefault("cost_nanousd", 0)).decode()
        arrived = datetime.datetime.fromtimestamp(record["at_ms"] / 1000, datetime.UTC)
        record["at"] = arrived.isoformat(timespec="milliseconds")
        http.reply(200, msgspec.json.format(msgspec.json.encode(record), indent=2))

    async def _page(self, http: Exchange) -> None:
        pages = http.around.pages
        assert pages is not None
        body = await http.body(MAX_FORM_BYTES)
        address = http.request.connection.address
        status, headers, page = await pages.answer(
            http.method, http.path, http.query, http.headers, body, address
        )
        http.to.answer(status, headers, page)

    async def _alive(self, http: Exchange) -> None:
        http.require("GET", "HEAD")
        http.reply(200, b'{"status":"alive"}')

    async def _ready(self, http: Exchange) -> None:
        http.require("GET", "HEAD")
        # Ready is who can answer requests. A store that is behind does not prevent that; were it a reason, one
        # trouble of the database would take every instance out of service at once.
        draining = self._state.draining or self._state.leaving
        conditions = http.around.conditions()
        body: dict[str, str | list[str]] = {"status": "unready" if draining else "ready"}
        if draining:
            body["reason"] = "draining"
        body["degraded"] = [part for part, problem in conditions.items() if problem]
        # Asked without a key, and a problem may name hosts and files: who is not on this machine hears less.
        told = http.around.access.local
        body.update(
            {
                part: (problem if told else "in trouble") if problem else "ok"
                for part, problem in conditions.items()
            }
        )
        body["config"] = http.around.config_version
        http.reply(503 if draining else 200, msgspec.json.encode(body))

    async def _metrics(self, http: Exchange) -> None:
        http.require("GET")
        http.reply(200, await http.around.exposition(), EXPOSITION)

    async def _openapi(self, http: Exchange) -> None:
        http.require("GET")
        http.reply(200, http.around.openapi)

    async def _front(self, http: Exchange) -> None:
        http.require("GET", "HEAD")
        if _is_browser_at_front(http):
            http.to.answer(303, [(b"location", PAGES.encode()), (b"vary", b"accept")], b"")
            return
        http.reply(
            200,
            msgspec.json.encode(
                {
                    "name": "trimtab",
                    "try": "POST /v1/messages with any Anthropic client",
                    "console": PAGES,
                    "models": "/v1/models",
                    "description": "/openapi.json",
                    "health": "/readyz",
                    "metrics": "/metrics",
                    "config": http.around.config_version,
                }
            ),
        )


def _fail(http: Exchange, problem: Exception) -> None:
    """Make an answer of what went wrong."""
    if isinstance(problem, TrimtabError):
        if http.to.started:  # an unfinished answer, which is cut
            _log.warning("request %s: %s", http.id, problem)
        else:
            http.fail(problem)
        return
    _log.error("request %s: %s %s", http.id, http.method, http.path, exc_info=problem)
    if not http.to.started:
        http.fail(TrimtabError(f"internal error; the log has it under request {http.id}"))


def _is_browser_at_front(http: Exchange) -> bool:
    """Whether a person opens the server's address: the pages are meant, and they ask for no key."""
    return (
        http.path == "/" and http.around.pages is not None and b"text/html" in (http.header(b"accept") or b"")
    )


def _plain_path(raw_path: bytes) -> str:
    """A path that means one thing only. Raises `RequestError`.

    A platform, or a proxy before it, may resolve `..` and encoded slashes: `/v1/files/../messages` must not become
    a call that is neither metered nor recorded.
    """
    path = raw_path.decode("ascii")
    segments = path.split("/")[1:]
    if any(part in ("", ".", "..") or not SEGMENT.issuperset(part) for part in segments):
        raise RequestError(
            f"{shortened(path)}: a path has plain segments of letters, digits, '.', '_', '-' and '~'"
        )
    return path


def _answer_headers(reply: Answering) -> Headers:
    job = reply.job
    headers = client_headers(reply.headers)
    headers += (
        (b"x-trimtab-request", job.id.encode()),
        (b"x-trimtab-arm", b"pending" if reply.pending else str(job.plan.arm).encode()),
        (b"x-trimtab-platform", reply.platform.encode()),
    )
    if reply.told:
        headers.append((b"x-trimtab-cache", reply.told.encode()))
        if reply.free and reply.is_event_stream:
            headers.append((b"x-trimtab-cost-usd", _usd(0)))
    if job.adaptations:
        headers.append((b"x-trimtab-adaptations", ", ".join(job.adaptations).encode()))
    if job.image_tokens is not None:
        headers.append((b"x-trimtab-image-tokens", b"%d" % job.image_tokens))
    if reply.simulated:
        headers.append((b"x-trimtab-simulated", b"true"))
    if warned := reply.warned:
        headers.append((b"x-trimtab-budget-warning", ", ".join(warned).encode()))
    judged = reply.judgement
    if reply.before or (judged is not None and judged.after):
        after = 0 if judged is None else len(judged.after)
        headers.append((b"x-trimtab-attempts", b"%d" % (len(reply.before) + 1 + after)))
    if judged is not None and judged.says is not None:
        headers.append((b"x-trimtab-verdict", judged.says.encode()))
        headers.append((b"x-trimtab-steps", b"%d" % judged.steps))
    if job.task is not None:
        headers.append((b"x-trimtab-task-budget", job.task.told))
    return headers


def _error_event(http: Exchange, problem: TrimtabError) -> bytes:
    """What ends a stream that has begun, in the shape of its API."""
    if http.path == CHAT_PATH:
        return chat_error_event(problem.status, str(problem))
    return error_event(problem.anthropic_type, str(problem), http.id)


def _changed(change: StreamChange, push: Sink) -> Sink:
    """A sink for what goes on of a stream that is not the client's as it comes."""

    def taken(piece: bytes) -> bool:
        goes = change.feed(piece)
        return push(goes) if goes else True

    return taken


def _usd(nanousd: int) -> bytes:
    """Nano-dollars as exact decimal dollars."""
    return b"%d.%09d" % divmod(nanousd, 1_000_000_000)
