"""Learns corrections of token estimates from requests whose usage is known, and publishes them as an artefact.

What it is not: the arithmetic (`catalogue.estimating.learning`), or anything that a request waits for. Invariants: what
was learnt is never changed, only followed by a newer version; simulated requests teach nothing.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from trimtab.app.clock import unix_ms
from trimtab.app.housekeeping import Chore, Turn
from trimtab.app.opening import open_named
from trimtab.app.settings import Settings
from trimtab.catalogue import Model
from trimtab.catalogue.estimating import Learnt, Measured, Used, learn, measure
from trimtab.catalogue.estimating.estimate import items
from trimtab.catalogue.estimating.learning import LEAST_USAGES, tables_version
from trimtab.errors import ConfigError, NotFound, RequestError
from trimtab.messages import MessagesBody
from trimtab.migration import Spoken, read_requests
from trimtab.migration.costs import tokens_of
from trimtab.store import Database
from trimtab.store.artefacts import Artefact, ArtefactStore
from trimtab.store.content import ContentStore
from trimtab.store.figures.traffic import billed_prompts, kept_requests
from trimtab.store.housekeeping import LEASE_MS, TurnLost, renew

KIND = "token-corrections"

DAY_MS = 86_400_000

CHORE = "token estimates"
CHORE_DAYS = 30
CHORE_MOST = 4_000
"""Kept prompts that the chore looks at, and of each model it reads `CHORE_EACH`: after 200 usages estimates are within
5 %. Each takes about 3 ms."""
CHORE_EACH = 300
REST_S = 0.03
"""After each prompt: a tenth of a core for some seconds."""

SHOWN_WHOLE = ("bash_", "text_editor_", "computer_", "memory_")
"""Vendor tools that add nothing to a prompt but what a request shows. Others, as web search, bring in text."""

HIDING = ("container", "mcp_servers", "context_management", "compaction")
"""Fields with which the platform changes or adds to what it was sent."""


class LearntTokens(msgspec.Struct, frozen=True, kw_only=True):
    """One published version, or what would be one."""

    learnt: Learnt
    version: str
    made_ms: int
    usages: dict[str, int]
    """By model id."""


def learn_tokens(settings: Settings, *, days: int, most: int, usages: tuple[Path, ...] = ()) -> LearntTokens:
    """Learn from kept prompts of the last days, at most so many of each model, or from files; and publish. Blocks.

    Raises `ConfigError`, `NotFound` where there is nothing to learn from, `StoreError`.
    """
    with _opened(settings) as database:
        used = _of_files(settings, usages) if usages else _of_store(settings, database, days, most)
        learnt = _publish(database, used, settings.catalogue.models)
    if learnt is None:
        raise NotFound(
            f"nothing to learn from: {sum(map(len, used.values()))} usable requests with usage; keep prompts "
            "(content.keep, docs/content.md) for a while, or name files with --usages"
        )
    return learnt


def learnt_tokens(database: Database) -> LearntTokens | None:
    """The newest version; `None` where there is none that this program can read. Blocks. Raises `StoreError`."""
    store = ArtefactStore(database)
    newest: Artefact | None = next(iter(store.versions(KIND, 1)), None)
    content = None if newest is None else store.content(KIND, newest.version)
    if newest is None or content is None:
        return None
    try:
        read = _PUBLISHED.decode(content)
    except msgspec.DecodeError:  # a newer program wrote it
        return None
    return LearntTokens(
        learnt=read.learnt, version=newest.version, made_ms=newest.made_ms, usages=read.usages
    )


class _Published(msgspec.Struct, frozen=True):
    format: int
    learnt: Learnt
    usages: dict[str, int]


_PUBLISHED = msgspec.json.Decoder(_Published)


class TokenLearning:
    """The chore that learns from prompts that are kept, once a day, in one process of all. See `learn_tokens`, which
    does it now. It rests after each prompt, so that requests in the same process do not wait for it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._models: Sequence[Model] = ()

    def keep_to(self, settings: Settings) -> None:
        """Learn for these models from now on, if at all."""
        self._models = settings.catalogue.models if settings.learns_tokens else ()

    def chore(self) -> Chore:
        """Due daily. A day without new prompts costs one question to the store."""
        return Chore(CHORE, self._work, every_s=DAY_MS / 1000)

    def _work(self, turn: Turn) -> bool:
        models = {model.id: model for model in self._models}
        if not models:
            return True
        kept = billed_prompts(self._database, from_ms=unix_ms() - CHORE_DAYS * DAY_MS, most=CHORE_MOST)
        newest = learnt_tokens(self._database)
        since_ms = 0 if newest is None or newest.learnt.tables != tables_version() else newest.made_ms
        if sum([one.at_ms > since_ms for one in kept]) < LEAST_USAGES:
            return True
        store, used, renewed_ms = ContentStore(self._database), dict[str, list[Used]](), unix_ms()
        for prompt in kept:
            model = models.get(prompt.model)
            if model is None or len(used.setdefault(prompt.model, [])) >= CHORE_EACH:
                continue
            if turn.rest(REST_S):
                return False
            if unix_ms() - renewed_ms > LEASE_MS / 4:
                if not self._database.write(lambda t: renew(t, CHORE, turn.holder, lease_ms=LEASE_MS)):
                    raise TurnLost
                renewed_ms = unix_ms()
            content = store.find(prompt.request_id)
            if content is None or content.request is None or content.request_cut:
                continue
            with contextlib.suppress(RequestError):
                body = MessagesBody(content.request)
                one = _used(body, model, prompt.tokens, redacted=content.mode != "full")
                if one is not None:
                    used[prompt.model].append(one)
        _publish(self._database, used, self._models)
        return True


def _publish(database: Database, used: dict[str, list[Used]], models: Sequence[Model]) -> LearntTokens | None:
    """Learn and publish; `None` where there is too little to learn from."""
    learnt = learn(used, models)
    counts = {model: len(those) for model, those in used.items() if those}
    if not learnt.generations:
        return None
    content = msgspec.json.encode({"format": 1, "learnt": learnt, "usages": counts})
    published = ArtefactStore(database).publish(KIND, content)
    return LearntTokens(learnt=learnt, version=published.version, made_ms=published.made_ms, usages=counts)


@contextlib.contextmanager
def _opened(settings: Settings) -> Iterator[Database]:
    with contextlib.closing(open_named(settings.store, settings.document, create=False)) as database:
        yield database


def _of_store(settings: Settings, database: Database, days: int, most: int) -> dict[str, list[Used]]:
    found: dict[str, list[Used]] = {}
    from_ms = unix_ms() - days * DAY_MS
    for model in settings.catalogue.models:
        for kept in kept_requests(database, model.id, from_ms=from_ms, simulated=False, most=most):
            tokens = (
                kept.input_tokens
                + kept.cache_read_tokens
                + kept.cache_write_5m_tokens
                + kept.cache_write_1h_tokens
            )
            if kept.attempts != 1:
                continue
            with contextlib.suppress(RequestError):
                one = _used(MessagesBody(kept.body), model, tokens, redacted=kept.redacted)
                if one is not None:
                    found.setdefault(model.id, []).append(one)
    return found


def _of_files(settings: Settings, paths: tuple[Path, ...]) -> dict[str, list[Used]]:
    requests, bad = read_requests(list(paths), Spoken(""))
    if bad:
        raise ConfigError(bad[0].name, bad[0].problem)
    found: dict[str, list[Used]] = {}
    for request in requests:
        model = settings.catalogue.find(request.body.model)
        if model is None or request.usage is None:
            continue
        one = _used(request.body, model, tokens_of(request.usage).prompt, redacted=False)
        if one is not None:
            found.setdefault(model.id, []).append(one)
    return found


def _used(body: MessagesBody, model: Model, tokens: int, *, redacted: bool) -> Used | None:
    """What a request teaches; `None` where it hides what was billed."""
    if any(name in body.fields for name in HIDING):
        return None
    measured = measure(body)
    return Used(items(measured, model), tokens) if _shows_all(measured, redacted) else None


def _shows_all(measured: Measured, redacted: bool) -> bool:
    if measured.pdf_chars or (0, 0) in measured.images or (redacted and measured.images):
        return False
    return all(kind.startswith(SHOWN_WHOLE) for kind in measured.tool_types)
