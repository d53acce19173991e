"""Deleting what is kept of prompts and answers, by request, key, user, or moment; each deletion is audited.

What it is not: the upkeep that deletes what is old (`app.housekeeping`), or reading (`store.content.ContentStore`).
Invariants: there is no deletion without its audit row, written in the transaction from which on nobody finds what was
deleted; the row says who, what and how many, and nothing of the content.
"""

from collections.abc import Callable

import msgspec

from trimtab.admin.keys import check_still_admin, find_key
from trimtab.admin.words import Actor
from trimtab.errors import Conflict, NotFound, RequestError, quoted, shortened
from trimtab.store import Database, Transaction
from trimtab.store.content import Deleted, Selection
from trimtab.store.content.deletion import begin, finish
from trimtab.store.content.owners import organisation_of_request, organisations_with_user
from trimtab.store.keys import audit as chain


class ContentDeleted(msgspec.Struct, frozen=True, kw_only=True):
    """What a deletion did."""

    requests: int
    """Requests whose prompt and answer were deleted. What still waited in memory is not counted, and not written."""
    answers: int
    """Whole answers deleted that were kept for idempotency keys."""
    cached: int
    """Answers deleted that were kept to be given again."""
    edited: int
    """Answers deleted as people had corrected them."""
    overwritten: bool
    """Whether the engine's files hold nothing of it any more, as far as the engine knows; see docs/content.md."""


class ContentAdmin:
    """The door for deletions. Keeps nothing; safe to use from any thread. Blocks; raises `StoreError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def delete_request(self, actor: Actor, request_id: str) -> ContentDeleted:
        """Delete what is kept of one request. Idempotent. Raises `NotFound` for one that is not the actor's."""
        unknown = NotFound(
            f"no request {shortened(request_id, 80)!r} is recorded here; one that is still being answered has no record"
        )
        if not request_id.isascii() or not request_id.isprintable():
            raise unknown

        def selected(tx: Transaction) -> tuple[Selection, str]:
            organisation = organisation_of_request(tx, request_id)
            if organisation is None or actor.organisation not in (None, organisation):
                raise unknown
            return Selection("request", request_id), organisation

        return self._delete(actor, selected, None)

    def delete_key(self, actor: Actor, name: str, *, before_ms: int | None = None) -> ContentDeleted:
        """Delete what is kept of the requests of a key, by its id, also of one that was revoked, or its name.

        Of requests that arrived up to now, or before `before_ms`. Raises `NotFound`, `Conflict` for an unclear name.
        """

        def selected(tx: Transaction) -> tuple[Selection, str]:
            key = find_key(tx, actor, name)
            return Selection("key", key.id), key.organisation

        return self._delete(actor, selected, before_ms)

    def delete_user(
        self, actor: Actor, name: str, *, organisation: str | None = None, before_ms: int | None = None
    ) -> ContentDeleted:
        """Delete what is kept of the requests of all keys of a user.

        `organisation` says whose, where several have a user of this name. Raises `NotFound`, `Conflict`.
        """

        def selected(tx: Transaction) -> tuple[Selection, str]:
            found = [] if not name.isprintable() or not name else organisations_with_user(tx, name)
            wanted = [
                one for one in found if actor.organisation in (None, one) and organisation in (None, one)
            ]
            if len(wanted) > 1:
                raise Conflict(
                    f"user {shortened(name, 80)!r}: organisations {', '.join(map(repr, wanted))} have one; say which"
                )
            if not wanted:
                raise NotFound(
                    f"no user {shortened(name, 80)!r} is known; users come with the keys made for them"
                )
            return Selection("user", name, wanted[0]), wanted[0]

        return self._delete(actor, selected, before_ms)

    def delete_before(self, actor: Actor, before_ms: int) -> ContentDeleted:
        """Delete what is kept of all requests of the actor's organisation, or of all there are, before a moment."""

        def selected(tx: Transaction) -> tuple[Selection, str]:
            if actor.organisation is None:
                return Selection("everything"), ""
            return Selection("organisation", "", actor.organisation), actor.organisation

        return self._delete(actor, selected, before_ms)

    def _delete(
        self, actor: Actor, selected: Callable[[Transaction], tuple[Selection, str]], before_ms: int | None
    ) -> ContentDeleted:
        if before_ms is not None and not 0 <= before_ms < 2**53:
            raise RequestError(f"before: {quoted(before_ms)}: must be a moment in Unix milliseconds")

        def work(tx: Transaction) -> tuple[Selection, Deleted]:
            check_still_admin(tx, actor)
            selection, organisation = selected(tx)
            deleted = begin(tx, selection, before_ms)
            chain.add_row(
                tx,
                actor=actor.name,
                action="content.delete",
                organisation=organisation,
                subject=selection.subject or selection.kind,
                before=None,
                after=msgspec.json.encode(
                    {
                        "by": selection.kind,
                        "before_ms": before_ms,
                        "requests": deleted.requests,
                        "answers": deleted.answers,
                        "cached": deleted.cached,
                        "edited": deleted.edited,
                    },
                    order="sorted",
                ).decode(),
            )
            return selection, deleted

        selection, deleted = self._database.write(work)
        overwritten = finish(self._database, selection)
        return ContentDeleted(
            requests=deleted.requests,
            answers=deleted.answers,
            cached=deleted.cached,
            edited=deleted.edited,
            overwritten=overwritten,
        )
