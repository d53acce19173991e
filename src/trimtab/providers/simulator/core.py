"""The simulated API: from method, path, headers and body to a planned response. No sockets, no sleeping.

It checks like the vendor, counts and caches like the vendor, answers by the behaviour model or a script, and marks
every response with `x-trimtab-simulated: true`.
Invariant: `handle` never raises; whatever comes in, a vendor-shaped response goes out.
"""

import datetime
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec

from trimtab.catalogue import Catalogue
from trimtab.catalogue.model import Model
from trimtab.catalogue.tokens import estimate_tokens
from trimtab.errors import NotFound, RequestError, RequestTooLarge
from trimtab.providers.seam import Headers
from trimtab.providers.simulator.answer import Answer
from trimtab.providers.simulator.behaviour import Behaviour
from trimtab.providers.simulator.checks.params import check_fields
from trimtab.providers.simulator.checks.shapes import Raw, as_text, needed
from trimtab.providers.simulator.checks.size import check_size
from trimtab.providers.simulator.compose import Composer
from trimtab.providers.simulator.errors import Failure, scripted_error, scripted_error_event
from trimtab.providers.simulator.frames import Timing, message_events, message_json
from trimtab.providers.simulator.ids import Ids
from trimtab.providers.simulator.listing import list_models, one_model
from trimtab.providers.simulator.matching import Facts, Rules
from trimtab.providers.simulator.prompt import Prompt, read_prompt, speed_of
from trimtab.providers.simulator.prompt_cache import CacheUse, PromptCache
from trimtab.providers.simulator.rates import RateLimited, RateLimits
from trimtab.providers.simulator.response import (
    CUT,
    SimResponse,
    Step,
    Wait,
    after_events,
)
from trimtab.providers.simulator.script import Endpoint, RawReply, Reply, Script, load_script
from trimtab.providers.simulator.settings import SimulatorSettings
from trimtab.providers.simulator.signatures import Signer
from trimtab.providers.simulator.tokens import TokenCount

API_VERSIONS = ("2023-06-01", "2026-10-21")
MAX_BODY_BYTES = 32 * 1024 * 1024
"""Source: vendor error page (2026-11): 32 MB, 413 beyond."""
_WINDOW_CHECKED_BEFORE = datetime.date(2025, 9, 1)
"""Models released earlier refuse input + max_tokens over the window. Source: vendor context window page (2026-11):
from the 4.5 generation on it is accepted and may end with model_context_window_exceeded."""

_SIMULATED = (b"x-trimtab-simulated", b"true")
_ORGANIZATION = (b"anthropic-organization-id", b"00000000-0000-4000-8000-000000000000")
_JSON = (b"content-type", b"application/json")
_SSE = (b"content-type", b"text/event-stream; charset=utf-8")


class _Exchange(msgspec.Struct, frozen=True):
    """What belongs to one request throughout."""

    request_id: str
    headers: Headers
    version: str = ""
    betas: frozenset[str] = frozenset()


class Simulator:
    """One simulated organisation: its rules, cache, limits and counters. Build one per platform entry."""

    def __init__(
        self,
        settings: SimulatorSettings,
        catalogue: Catalogue,
        *,
        clock: Callable[[], float] = time.time,
        script: Script | None = None,
    ) -> None:
        """Reads the script file that the settings name; raises `ConfigError`. `clock` gives Unix seconds."""
        if script is None:
            script = load_script(Path(settings.script)) if settings.script is not None else Script(version=1)
        self.settings = settings
        self._catalogue = catalogue
        self._clock = clock
        self._behaviour = Behaviour.load()
        self._ids = Ids(settings.seed)
        self._signer = Signer(settings.seed)
        self._composer = Composer(self._behaviour, settings.seed, self._signer, self._ids, script.cases)
        self._rules = Rules(script.rules, settings.seed)
        self._tokens = TokenCount(self._behaviour.tokens)
        self._cache = PromptCache(settings.prompt_cache_entries, clock)
        self._limits = RateLimits(settings, self._behaviour.rate_limits.shown, clock)

    def handle(
        self, method: str, path: str, query: bytes = b"", headers: Headers | None = None, body: bytes = b""
    ) -> SimResponse:
        """Answer one request. Header names are lower case. Cost: about 100 us for a small request."""
        exchange = _Exchange(self._ids.next("req_011"), headers or [])
        try:
            return self._route(exchange, method, path, query, body)
        except (RequestError, RateLimited, Failure, RecursionError) as problem:
            return self._failed(exchange, problem)

    def refused(self, problem: RequestError | Failure | RecursionError) -> SimResponse:
        """The answer to a request that is refused before `handle` sees it, with an id of its own."""
        return self._failed(_Exchange(self._ids.next("req_011"), []), problem)

    def gives(self, about: str, headers: Headers, body: bytes) -> SimResponse:
        """Credentials that a token server gives out, or what the script's rules for them put in their place."""
        exchange = _Exchange(self._ids.next("req_011"), headers)
        facts = Facts("credentials", headers, about.lower())
        return self._whole(exchange, body, self._rules.find(facts) if self._rules else None)

    def _route(self, exchange: _Exchange, method: str, path: str, query: bytes, body: bytes) -> SimResponse:
        endpoint = _endpoint(path)
        if endpoint is None:
            if path.startswith("/v1/messages/batches"):
                raise NotFound("Message batches are not simulated.")
            raise NotFound("Not found")
        if method != ("GET" if endpoint == "models" else "POST"):
            raise Failure(405, "invalid_request_error", "Method Not Allowed")
        if len(body) > MAX_BODY_BYTES:
            raise RequestTooLarge("Request exceeds the maximum size")
        if self.settings.require_key:
            _check_key(exchange.headers)
        exchange = _versioned(exchange)
        if endpoint == "models":
            return self._models(exchange, path, query)
        check_size(body)
        raw = _decoded(body)
        check_fields(raw, exchange.betas, counting=endpoint == "count_tokens")
        name = as_text(needed(raw, "model", ""), "model")
        model = self._model(name)
        counting = endpoint == "count_tokens"
        prompt = read_prompt(raw, model, exchange.version, exchange.betas, self._signer, counting=counting)
        reply = self._reply(exchange, endpoint, prompt, name)
        if counting:
            return self._count(exchange, prompt, reply)
        return self._message(exchange, prompt, reply)

    def _models(self, exchange: _Exchange, path: str, query: bytes) -> SimResponse:
        reply = self._rules.find(Facts("models", exchange.headers)) if self._rules else None
        now = self._now()
        name = unquote(path.removeprefix("/v1/models").strip("/"))
        body = one_model(self._catalogue, name, now) if name else list_models(self._catalogue, query, now)
        return self._whole(exchange, body, reply)

    def _model(self, name: str) -> Model:
        model = self._catalogue.find(name)
        if model is None or (not self.settings.serve_retired and model.retired_on(self._now().date())):
            raise NotFound(f"model: {name:.256}")
        return model

    def _now(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(self._clock(), datetime.UTC)

    def _reply(self, exchange: _Exchange, endpoint: Endpoint, prompt: Prompt, name: str) -> Reply | None:
        if not self._rules:
            return None
        return self._rules.find(
            Facts(
                endpoint,
                exchange.headers,
                prompt.question.lower(),
                (prompt.model.id, name, *prompt.model.aliases),
                prompt.effort,
                prompt.stream,
            )
        )

    def _count(self, exchange: _Exchange, prompt: Prompt, reply: Reply | None) -> SimResponse:
        return self._whole(exchange, b'{"input_tokens":%d}' % self._tokens.total(prompt), reply)

    def _message(self, exchange: _Exchange, prompt: Prompt, reply: Reply | None) -> SimResponse:
        segments = list(self._tokens.segments(prompt))
        use = self._cache.plan(prompt, segments)
        limits = self._limits.admit(prompt.model.rate_bucket, use.limited)
        if reply is not None and (reply.error is not None or reply.raw is not None):
            return self._whole(exchange, b"", reply, limits)
        input_tokens = use.uncached + use.read + use.write_5m + use.write_1h
        _check_window(prompt, input_tokens)
        self._cache.commit(use)
        tokenizer = prompt.model.tokenizer
        answer = self._composer.answer(
            prompt, reply, input_tokens, lambda text: estimate_tokens(text, tokenizer)
        )
        usage = _usage(prompt, use, answer, speed_of(prompt.raw, prompt.model, exchange.betas))
        if reply is not None:
            usage |= reply.usage
        timing = Timing.of(
            self._behaviour.pace_of(prompt.model),
            self.settings.latency_scale,
            answer.output_tokens,
            self._behaviour.latency.longest_ms,
        )
        message_id, model = self._ids.next("msg_01"), prompt.model.id
        if prompt.stream:
            steps: Iterable[Step] = message_events(message_id, model, answer, usage, timing)
            return _disturbed(exchange, 200, [_SSE, *limits], steps, reply, timing.head_s)
        body = message_json(message_id, model, answer, usage)
        waited = timing.head_s + timing.first_s + timing.token_s * answer.output_tokens
        return self._whole(exchange, body, reply, limits, waited)

    def _whole(
        self,
        exchange: _Exchange,
        body: bytes,
        reply: Reply | None,
        limits: Headers | None = None,
        waited_s: float = 0.0,
    ) -> SimResponse:
        """A JSON answer, or the error or raw answer that the script puts in its place."""
        status, headers = 200, [_JSON, *(limits or [])]
        if reply is not None and reply.error is not None:
            status = reply.error.status
            body, more = scripted_error(reply.error, exchange.request_id)
            headers += more
        elif reply is not None and reply.raw is not None:
            return _raw(exchange, reply.raw, reply)
        headers.append((b"content-length", b"%d" % len(body)))
        return _disturbed(exchange, status, headers, (body,), reply, waited_s)

    def _failed(
        self, exchange: _Exchange, problem: RequestError | RateLimited | Failure | RecursionError
    ) -> SimResponse:
        if isinstance(problem, Failure):
            failure = problem
        elif isinstance(problem, RateLimited):
            retry = (b"retry-after", b"%d" % problem.retry_after_s)
            failure = Failure(429, "rate_limit_error", str(problem), [*problem.headers, retry])
        elif isinstance(problem, RequestError):
            failure = Failure(problem.status, problem.anthropic_type, str(problem))
        else:
            failure = Failure(400, "invalid_request_error", "The request body is nested too deeply")
        body = failure.body(exchange.request_id)
        headers = [_JSON, *failure.headers, (b"content-length", b"%d" % len(body))]
        return _disturbed(exchange, failure.status, headers, (body,), None)


def _endpoint(path: str) -> Endpoint | None:
    if path == "/v1/messages":
        return "messages"
    if path == "/v1/messages/count_tokens":
        return "count_tokens"
    return "models" if path == "/v1/models" or path.startswith("/v1/models/") else None


def _header(headers: Headers, name: bytes) -> str | None:
    """All values of a header, joined as HTTP says; `None` when it is absent."""
    values = [value for key, value in headers if key == name]
    return b", ".join(values).decode("latin-1") if values else None


def _check_key(headers: Headers) -> None:
    key = _header(headers, b"x-api-key")
    bearer = _header(headers, b"authorization")
    if key is None and bearer is None:
        raise Failure(401, "authentication_error", "x-api-key header is required")
    if not (key if key is not None else (bearer or "").removeprefix("Bearer").strip()):
        raise Failure(401, "authentication_error", "invalid x-api-key")


def _versioned(exchange: _Exchange) -> _Exchange:
    version = _header(exchange.headers, b"anthropic-version")
    if version is None:
        raise RequestError("anthropic-version: header is required")
    if version not in API_VERSIONS:
        raise RequestError(f'anthropic-version: "{version:.64}" is not a valid version')
    betas = _header(exchange.headers, b"anthropic-beta")
    names = frozenset(name.strip() for name in betas.split(",")) if betas else frozenset()
    return msgspec.structs.replace(exchange, version=version, betas=names)


def _decoded(body: bytes) -> Raw:
    try:
        raw = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise RequestError(f"The request body is not valid JSON: {problem}") from None
    if not isinstance(raw, dict):
        raise RequestError("The request body should be a JSON object")
    return raw


def _check_window(prompt: Prompt, input_tokens: int) -> None:
    window = prompt.model.limits.context
    if input_tokens > window:
        raise RequestError(f"prompt is too long: {input_tokens} tokens > {window} maximum")
    released = prompt.model.lifecycle.released
    if (
        released is not None
        and released < _WINDOW_CHECKED_BEFORE
        and input_tokens + prompt.max_tokens > window
    ):
        raise RequestError(
            f"input length and `max_tokens` exceed context limit: {input_tokens} + {prompt.max_tokens} > {window}, "
            "decrease input length or `max_tokens` and try again"
        )


def _usage(prompt: Prompt, use: CacheUse, answer: Answer, speed: str | None) -> dict[str, Any]:
    usage: dict[str, Any] = {
        "input_tokens": use.uncached,
        "cache_creation_input_tokens": use.write_5m + use.write_1h,
        "cache_read_input_tokens": use.read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": use.write_5m,
            "ephemeral_1h_input_tokens": use.write_1h,
        },
        "output_tokens": answer.output_tokens,
        "output_tokens_details": {"thinking_tokens": answer.thinking_tokens},
        "service_tier": "standard",
    }
    if prompt.raw.get("inference_geo") is not None:
        usage["inference_geo"] = prompt.raw["inference_geo"]
    if speed is not None:
        usage["speed"] = speed
    return usage


def _raw(exchange: _Exchange, raw: RawReply, reply: Reply) -> SimResponse:
    body = raw.body.encode()
    headers: Headers = [(b"content-type", raw.content_type.encode()), (b"content-length", b"%d" % len(body))]
    headers += [(name.lower().encode(), value.encode()) for name, value in raw.headers.items()]
    made = _disturbed(exchange, raw.status, headers, (body,), reply)
    return msgspec.structs.replace(made, foreign=True)


def _disturbed(
    exchange: _Exchange,
    status: int,
    headers: Headers,
    steps: Iterable[Step],
    reply: Reply | None,
    before_head_s: float = 0.0,
) -> SimResponse:
    """The response with the marks that all carry, and with the script's faults applied."""
    headers = [*headers, (b"request-id", exchange.request_id.encode()), _ORGANIZATION, _SIMULATED]
    if reply is None:
        return SimResponse(status, headers, steps, before_head_s)
    before_head_s += reply.delay_s
    if reply.stream_error is not None:
        event = scripted_error_event(reply.stream_error, exchange.request_id)
        steps = after_events(steps, reply.stream_error.after_events, (event,), stop=True)
    if reply.cut is not None and reply.cut.after_events is not None:
        steps = after_events(steps, reply.cut.after_events, (CUT,), stop=True)
    if reply.stall is not None:
        if reply.stall.where == "before_head":
            before_head_s += reply.stall.seconds
        else:
            pause = (Wait(reply.stall.seconds),)
            steps = after_events(steps, reply.stall.events or 0, pause, stop=False)
    cut = reply.cut.after_bytes if reply.cut is not None else None
    return SimResponse(status, headers, steps, before_head_s, cut, reply.chunk_bytes)
