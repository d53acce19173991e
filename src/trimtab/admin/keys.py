"""Making, listing, revoking and rotating keys, and reading the audit trail.

Every method blocks on the store and raises `StoreError`; `RequestError` (400), `PermissionDenied`, `NotFound` and
`Conflict` are the caller's. Invariant: a secret leaves `add` and `rotate` once and is stored as its SHA-256 only.
"""

from collections.abc import Callable, Mapping

import msgspec

from trimtab.admin.rules import KeyRules, check_limits
from trimtab.admin.words import (
    DEFAULT_ORGANISATION,
    Actor,
    AuditEntry,
    KeyView,
    LimitsChanged,
    NewKey,
    SecretMade,
    Verified,
    view,
    with_money,
)
from trimtab.config import Secret
from trimtab.errors import Conflict, NotFound, PermissionDenied, RequestError, quoted, shortened
from trimtab.identity import digest_of, make_secret, prefix_of
from trimtab.records import Limits
from trimtab.store import Database, Transaction
from trimtab.store.keys import Key, KeySecret, tables
from trimtab.store.keys import audit as chain
from trimtab.store.keys.spend import spent_by

DEFAULT_GRACE_MS = 86_400_000
"""After a rotation the old secret still works for a day, time enough to bring the new one to where it is used."""

MAX_GRACE_MS = 90 * 86_400_000
MAX_SECRETS = 10
"""Secrets that open a key at a time; more means that something rotates in a loop."""

PAGE = 1000
"""Rows of the audit trail that are verified at a time."""


class KeyAdmin:
    """The door for keys. One per version of the configuration; keeps nothing, safe to use from any thread."""

    def __init__(self, database: Database, rules: KeyRules, random_bytes: Callable[[int], bytes]) -> None:
        """`random_bytes` must be fit for keys (`secrets.token_bytes`)."""
        self._database = database
        self._rules = rules
        self._random_bytes = random_bytes

    def add(self, actor: Actor, wanted: NewKey) -> SecretMade:
        """Make a key, and its organisation, team and user where they are new.

        Raises `Conflict` where the organisation has a key of this name that is not revoked.
        """
        organisation = wanted.organisation or actor.organisation or DEFAULT_ORGANISATION
        if actor.organisation not in (None, organisation):
            raise PermissionDenied(
                f"organisation: {organisation!r}: this key makes keys of its own organisation only, "
                f"{actor.organisation!r}"
            )
        key_id = f"key_{self._random_bytes(8).hex()}"
        made = make_secret(self._random_bytes)

        def work(tx: Transaction) -> KeyView:
            check_still_admin(tx, actor)
            now_ms = tx.now_ms()
            checked = self._rules.check(wanted, now_ms)
            if tables.keys_named(tx, checked.name, organisation):
                raise Conflict(
                    f"name: organisation {organisation!r} has a key {checked.name!r} already; choose another name, or "
                    "rotate that one for a new secret"
                )
            key = Key(
                id=key_id,
                name=checked.name,
                organisation=organisation,
                team=checked.team or "",
                user=checked.user or "",
                created_ms=now_ms,
                expires_ms=checked.expires_ms,
                models=checked.models,
                tiers=checked.tiers,
                platforms=checked.platforms,
                default_tier=checked.default_tier,
                admin=checked.admin,
                limits=checked.limits,
                labels=checked.labels,
            )
            self._place(tx, actor, key)
            secret = self._secret(made, key_id, now_ms)
            shown = view(key, [secret], now_ms)
            version = _note(tx, actor, "keys.add", shown, before=None)
            tables.insert_key(tx, key, version)
            tables.insert_secret(tx, secret, version)
            return _with_money(tx, shown)

        return SecretMade(self._database.write(work), Secret(made, f"the secret of {key_id}"))

    def _place(self, tx: Transaction, actor: Actor, key: Key) -> None:
        """Make the organisation, team and user of a key where they are new."""
        now_ms = key.created_ms

        def note(action: str, subject: str) -> None:
            after = msgspec.json.encode({"name": subject, "created_ms": now_ms}, order="sorted").decode()
            chain.add_row(
                tx,
                actor=actor.name,
                action=action,
                organisation=key.organisation,
                subject=subject,
                before=None,
                after=after,
            )

        if tables.insert_organisation(tx, key.organisation, now_ms):
            note("organisations.add", key.organisation)
        if key.team and tables.insert_team(tx, key.organisation, key.team, now_ms):
            note("teams.add", key.team)
        if key.user and tables.insert_user(tx, key.organisation, key.user, now_ms):
            note("users.add", key.user)

    def _secret(self, made: str, key_id: str, now_ms: int) -> KeySecret:
        return KeySecret(digest=digest_of(made), key_id=key_id, prefix=prefix_of(made), created_ms=now_ms)

    def keys(self, actor: Actor, *, after: str = "", most: int = 1000) -> list[KeyView]:
        """Keys in the order of their ids, from behind `after`, those that have ended included.

        Raises `NotFound` for an organisation that there is not.
        """
        _check_asked("after", after)
        if actor.organisation is not None and not actor.organisation.isprintable():
            raise _no_organisation(actor.organisation)

        def work(tx: Transaction) -> list[KeyView]:
            if actor.organisation is not None and not tables.has_organisation(tx, actor.organisation):
                raise _no_organisation(actor.organisation)
            found = tables.list_keys(tx, actor.organisation, after=after, most=most)
            secrets = tables.secrets_of(tx, [key.id for key in found])
            now_ms = tx.now_ms()
            spent = spent_by(tx, [key.id for key in found])
            return [with_money(view(key, secrets.get(key.id, []), now_ms), spent) for key in found]

        return self._database.read(work)

    def show(self, actor: Actor, name: str) -> KeyView:
        """One key by id, or by name where only one key has it that is not revoked. Raises `NotFound`, `Conflict`."""

        def work(tx: Transaction) -> KeyView:
            return _with_money(tx, self._seen(tx, find_key(tx, actor, name)))

        return self._database.read(work)

    def _seen(self, tx: Transaction, key: Key) -> KeyView:
        return view(key, tables.secrets_of(tx, [key.id]).get(key.id, []), tx.now_ms())

    def revoke(self, actor: Actor, name: str) -> KeyView:
        """End a key for ever. Requests with it are refused within 2 s; those in flight finish. Idempotent."""

        def work(tx: Transaction) -> KeyView:
            check_still_admin(tx, actor)
            key = find_key(tx, actor, name)
            before = self._seen(tx, key)
            if key.revoked_ms is not None:
                return _with_money(tx, before)
            ended = msgspec.structs.replace(key, revoked_ms=tx.now_ms())
            after = self._seen(tx, ended)
            tables.update_key(tx, ended, _note(tx, actor, "keys.revoke", after, before))
            return _with_money(tx, after)

        return self._database.write(work)

    def set_limits(self, actor: Actor, name: str, limits: Limits) -> KeyView:
        """Put these limits in place of those that the key has, all of them. Idempotent."""
        check_limits(limits)
        return self._limit(actor, name, lambda was: limits).key

    def change_limits(self, actor: Actor, name: str, changes: Mapping[str, int | None]) -> LimitsChanged:
        """Change the limits that are named, by the fields of `Limits`; `None` removes one, others stay. Idempotent."""
        check_limits(msgspec.convert(changes, Limits))
        return self._limit(actor, name, lambda was: msgspec.structs.replace(was, **changes))

    def _limit(self, actor: Actor, name: str, change: Callable[[Limits], Limits]) -> LimitsChanged:
        def work(tx: Transaction) -> LimitsChanged:
            check_still_admin(tx, actor)
            key = _live(find_key(tx, actor, name))
            before = self._seen(tx, key)
            limits = change(key.limits)
            if key.limits == limits:
                return LimitsChanged(_with_money(tx, before), key.limits)
            changed = msgspec.structs.replace(key, limits=limits)
            after = self._seen(tx, changed)
            tables.update_key(tx, changed, _note(tx, actor, "keys.limits", after, before))
            return LimitsChanged(_with_money(tx, after), key.limits)

        return self._database.write(work)

    def rotate(self, actor: Actor, name: str, grace_ms: int = DEFAULT_GRACE_MS) -> SecretMade:
        """Give a key a new secret; the ones it has work for `grace_ms` more (0: they end now).

        Not idempotent: each call makes a secret.
        """
        if not 0 <= grace_ms <= MAX_GRACE_MS:
            raise RequestError(
                f"grace: {quoted(grace_ms)} ms: must be 0 to {MAX_GRACE_MS // 86_400_000} days"
            )
        made = make_secret(self._random_bytes)

        def work(tx: Transaction) -> KeyView:
            check_still_admin(tx, actor)
            key = _live(find_key(tx, actor, name))
            before = self._seen(tx, key)
            now_ms = tx.now_ms()
            opening = [
                secret for secret in before.secrets if secret.ends_ms is None or secret.ends_ms > now_ms
            ]
            if len(opening) >= MAX_SECRETS and grace_ms:
                raise Conflict(
                    f"{key.id}: {len(opening)} secrets open it already; wait until one has ended, or rotate with no "
                    "time of grace"
                )
            # The audit row is written last, for what it tells of; its number is known before.
            version = chain.hold(tx).n + 1
            tables.end_secrets(tx, key.id, now_ms + grace_ms, version)
            tables.insert_secret(tx, self._secret(made, key.id, now_ms), version)
            after = self._seen(tx, key)
            _note(tx, actor, "keys.rotate", after, before)
            return _with_money(tx, after)

        shown = self._database.write(work)
        return SecretMade(shown, Secret(made, f"the secret of {shown.id}"))

    def audit(
        self, actor: Actor, *, key: str | None = None, before: int | None = None, most: int = 50
    ) -> list[AuditEntry]:
        """The latest changes, newest first, below row `before`, of one key (by id) or of all that the actor may see."""
        _check_asked("key", key or "")

        def work(tx: Transaction) -> list[AuditEntry]:
            rows = chain.latest_rows(
                tx, organisation=actor.organisation, subject=key, before=before, most=most
            )
            return [
                AuditEntry(
                    n=row.n,
                    at_ms=row.at_ms,
                    actor=row.actor,
                    action=row.action,
                    organisation=row.organisation,
                    subject=row.subject,
                    before=None if row.before is None else msgspec.Raw(row.before.encode()),
                    after=None if row.after is None else msgspec.Raw(row.after.encode()),
                    hash=row.hash,
                )
                for row in rows
            ]

        return self._database.read(work)

    def verify(self) -> Verified:
        """Read the whole audit trail and compute every hash anew. Cost: 100,000 rows take about a second."""

        def work(tx: Transaction) -> Verified:
            end = chain.head(tx)
            n, previous = 0, ""
            while rows := chain.rows_after(tx, n, PAGE):
                for row in rows:
                    if row.n != n + 1:
                        return Verified(rows=n, hash=previous, problem=f"row {n + 1} is missing")
                    if row.hash != chain.hash_after(previous, row):
                        return Verified(
                            rows=n,
                            hash=previous,
                            problem=f"row {row.n} is not what was written, or one before it",
                        )
                    n, previous = row.n, row.hash
            if (n, previous) != (end.n, end.hash):
                return Verified(
                    rows=n, hash=previous, problem=f"the trail ends at row {n}, but row {end.n} was written"
                )
            return Verified(rows=n, hash=previous, problem=None)

        return self._database.read(work)


def check_still_admin(tx: Transaction, actor: Actor) -> None:
    """Let changes come one after another, by those only who still may make them. Raises `PermissionDenied`."""
    chain.hold(tx)
    if not actor.key:
        return
    key = tables.key_by_id(tx, actor.key)
    if key is None or not key.admin or view(key, [], tx.now_ms()).state != "active":
        raise PermissionDenied(f"the key shown ({actor.key}) may no longer change keys")


def _with_money(tx: Transaction, shown: KeyView) -> KeyView:
    return with_money(shown, spent_by(tx, [shown.id]))


def _no_organisation(name: str) -> NotFound:
    return NotFound(
        f"there is no organisation {shortened(name, 80)!r}; `trimtab keys list --all` shows those there are"
    )


def _check_asked(field: str, text: str) -> None:
    """No id has such characters, and not every database takes them. Raises `RequestError`."""
    if not text.isprintable():
        raise RequestError(f"{field}: {shortened(text, 80)!r}: must be the id of a key")


def find_key(tx: Transaction, actor: Actor, name: str) -> Key:
    """A key of the actor's by id, or by name where only one key that is not revoked has it.

    Raises `NotFound`, `Conflict`.
    """
    if not name.isprintable():
        raise NotFound(f"no key {shortened(name, 80)!r} is known; names are printable")
    key = tables.key_by_id(tx, name)
    if key is not None and actor.organisation in (None, key.organisation):
        return key
    named = tables.keys_named(tx, name, actor.organisation)
    if len(named) > 1:
        listed = ", ".join(f"{one.id} of {one.organisation!r}" for one in named)
        raise Conflict(f"{shortened(name, 80)!r}: several keys have this name; say which by its id: {listed}")
    if not named:
        raise NotFound(
            f"no key {shortened(name, 80)!r} is known; name it by its id, or by a name that is in use"
        )
    return named[0]


def _live(key: Key) -> Key:
    if key.revoked_ms is not None:
        raise Conflict(f"{key.id}: was revoked, and that is for ever; make another key")
    return key


def _note(tx: Transaction, actor: Actor, action: str, after: KeyView, before: KeyView | None) -> int:
    return chain.add_row(
        tx,
        actor=actor.name,
        action=action,
        organisation=after.organisation,
        subject=after.id,
        before=None if before is None else _json(before),
        after=_json(after),
    )


def _json(shown: KeyView) -> str:
    return msgspec.json.encode(shown, order="sorted").decode()
