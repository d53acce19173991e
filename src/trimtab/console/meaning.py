"""What the words of a list's filters mean: aliases of models, names of keys, sessions as clients send them.

What it is not: the search (`figures`), or the reading of a query (`questions`). Invariants: a filter that nothing can
fit, because there is no such model, tier or key, is refused, so that an empty list always means that nothing was
found; nothing outside of the scope is told apart from what does not exist.
"""

import msgspec

from trimtab.catalogue import Arm, Catalogue
from trimtab.catalogue.tiers import TIER_NAMES
from trimtab.console.questions import Filter, Scope
from trimtab.engine.session import sessions_sent
from trimtab.errors import RequestError, shortened
from trimtab.routing import VIRTUAL_PREFIX
from trimtab.store import Database
from trimtab.store.figures import Within
from trimtab.store.figures.meant import (
    key_ids,
    key_recorded,
    keys_called,
    model_recorded,
    sessions_recorded,
)

VIRTUAL_NAMES = ("auto", *TIER_NAMES)

KEYS_MOST = 500
"""Keys of which each may have sent a session: 10 ms to look for them all."""

TOLD_MOST = 5


class Meaning:
    """Under one configuration; safe to use from any thread."""

    def __init__(self, database: Database, catalogue: Catalogue) -> None:
        self._database = database
        self._catalogue = catalogue

    def of(self, wanted: Filter, scope: Scope) -> Filter:
        """The same filter in the words of records. Blocks. Raises `RequestError`, `StoreError`."""
        key = None if wanted.key is None else self._key(wanted.key, scope)
        return msgspec.structs.replace(
            wanted,
            model=None if wanted.model is None else self._model("model", wanted.model),
            arm=None if wanted.arm is None else self._arm(wanted.arm),
            tier=None if wanted.tier is None else _tier(wanted.tier),
            key=key,
            session=None if wanted.session is None else self._session(wanted.session, key, scope),
        )

    def _model(self, field: str, text: str) -> str:
        if text.startswith(VIRTUAL_PREFIX):
            if text.removeprefix(VIRTUAL_PREFIX) not in VIRTUAL_NAMES:
                names = ", ".join(VIRTUAL_PREFIX + name for name in VIRTUAL_NAMES)
                raise RequestError(f"{field}: {shortened(text, 80)!r}: must be one of {names}, or a model")
            return text
        model = self._catalogue.find(text)
        if model is not None:
            return model.id
        if model_recorded(self._database, text):
            return text
        close = self._catalogue.suggest(text[:80])
        hint = f"did you mean {close!r}?" if close else "`trimtab models` lists those there are"
        raise RequestError(f"{field}: {shortened(text, 80)!r}: no such model or alias is known here; {hint}")

    def _arm(self, text: str) -> str:
        try:
            arm = Arm.parse(text)
        except ValueError as problem:
            raise RequestError(f"arm: {shortened(text, 80)!r}: {problem}") from None
        return str(msgspec.structs.replace(arm, model=self._model("arm", arm.model)))

    def _key(self, text: str, scope: Scope) -> str:
        within = _within(scope)
        found = keys_called(self._database, text, within)
        if any(one.id == text for one in found):
            return text
        if not found and within == Within() and key_recorded(self._database, text):
            return text  # records may be older than the list of keys, or come from elsewhere
        # A name that was taken again after a revocation means the key that has it now.
        meant = [one for one in found if not one.revoked] or found
        if not meant:
            raise RequestError(
                f"key: {shortened(text, 80)!r}: no key here has this id or name; `trimtab keys list --all` lists them"
            )
        if len(meant) > 1:
            listed = ", ".join(
                f"{one.id} of {one.organisation!r}{' (revoked)' if one.revoked else ''}" for one in meant
            )
            raise RequestError(
                f"key: {shortened(text, 80)!r}: several keys have this name; say which by its id: {listed}"
            )
        return meant[0].id

    def _session(self, text: str, key: str | None, scope: Scope) -> str:
        if sessions_recorded(self._database, [text]):
            return text
        owner = key or scope.key
        if owner is not None:
            keys = [owner]
        else:
            keys = key_ids(self._database, _within(scope), KEYS_MOST + 1)
            if len(keys) > KEYS_MOST:
                raise RequestError(
                    f"session: {shortened(text, 80)!r}: there are more than {KEYS_MOST} keys, each with sessions of "
                    "its own; give key, too, or the session as rows have it"
                )
            if scope.organisation is None:
                keys.append("")
        found = sessions_recorded(self._database, [name for one in keys for name in sessions_sent(text, one)])
        if len(found) > 1:
            listed = ", ".join(shortened(name, 80) for name in sorted(found)[:TOLD_MOST])
            raise RequestError(
                f"session: {shortened(text, 80)!r}: {len(found)} sessions were sent by this name, each key's its own; "
                f"give key, too, or one of: {listed}{', ...' if len(found) > TOLD_MOST else ''}"
            )
        return found[0] if found else text


def _tier(text: str) -> str:
    name = text.removeprefix(VIRTUAL_PREFIX)
    if name not in TIER_NAMES:
        raise RequestError(f"tier: {shortened(text, 80)!r}: must be one of {', '.join(TIER_NAMES)}")
    return name


def _within(scope: Scope) -> Within:
    return Within(scope.organisation, scope.team, scope.key)
