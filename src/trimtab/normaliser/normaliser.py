"""Holds a request against the rules and, by mode, refuses it, mends it, or takes note.

Pure: nothing is called, stored or spent. Invariants: `observe` and `off` give the body and headers back as they are;
in `adapt` every change is named; what `adapt` makes passes `strict`, but for what the notes say could not be mended.
"""

import msgspec

from trimtab.catalogue import Effort, Model
from trimtab.errors import RequestError, shortened
from trimtab.messages import MessagesBody
from trimtab.normaliser.checks import CHECKS, Seen
from trimtab.normaliser.draft import Draft, Headers
from trimtab.normaliser.fixes import FIXES
from trimtab.normaliser.rules import Rule, applies_to, load_rules
from trimtab.normaliser.settings import Mode, NormaliserSettings

MAX_NOTES = 24
"""Observations, and adaptations, of one request: they go into its record and a header."""

MAX_NOTE_CHARS = 300

MAX_ROUNDS = 16
"""How often one rule mends one request, as where several tools are of an old version."""

WINDOW = 2048
"""Bytes at either end of `tools` and `messages` that `observe` looks at. Searching 53 KB for one mark takes 20-70 us
(CPython 3.11), over the 10 us that a request of that size may cost; 2 KB take 1 us."""

_ROLE = b'"role"'


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One request, and what was decided about it."""

    body: MessagesBody
    headers: Headers
    model: Model
    send_model: str
    version: str
    """`anthropic-version`, one that the platform takes."""
    versions: tuple[str, ...]
    """All that it takes."""
    set_effort: Effort | None = None
    set_adaptive: bool = False
    foreign: int = 0
    """How many messages, from the first on, stem from a time when the gateway sent this conversation to another
    model."""


class Normalised(msgspec.Struct, frozen=True):
    """What became of it. `body` is `None` where the rules changed nothing."""

    body: bytes | None = None
    headers: Headers | None = None
    adaptations: tuple[str, ...] = ()
    observations: tuple[str, ...] = ()
    changed: MessagesBody | None = None
    """The changed body, read again."""


class _Table(msgspec.Struct, frozen=True):
    """The rules that are about one model."""

    rules: tuple[Rule, ...]
    always: tuple[int, ...]
    """Places in `rules` of those that look at no field in particular."""
    by_field: dict[str, tuple[int, ...]]
    """Places in `rules`, by each field that one looks at."""
    shallow: dict[str, tuple[int, ...]]
    """The same without those that `observe` leaves out."""
    max_output: int


NOTHING = Normalised()


class Normaliser:
    """The rules, compiled for each model on first use. One per configuration version."""

    def __init__(self, settings: NormaliserSettings, rules: tuple[Rule, ...] | None = None) -> None:
        self._settings = settings
        self.rules = load_rules(CHECKS, FIXES) if rules is None else rules
        self._tables: dict[str, _Table] = {}

    def mode(self, *, tier: bool) -> Mode:
        """What is done with a request that names a tier, or else a model."""
        return self._settings.tiers if tier else self._settings.pinned

    def normalise(self, asked: Asked, mode: Mode, *, tier: bool) -> Normalised:
        """Raises `RequestError` in `strict`, in the vendor's words.

        Cost: `observe` 1.3 us at 0.6 KB and 3.6 us at 53 KB where no rule applies; `adapt` and `strict` decode the
        messages too (docs/bars.md).
        """
        if mode == "off":
            return NOTHING
        table = self._tables.get(asked.model.id) or self._compile(asked.model)
        if mode == "observe":
            places = _places(table.shallow, asked.body)
            rules = [rule for place in places if _glanced(rule := table.rules[place], asked.body, table)]
        else:
            places = _places(table.by_field, asked.body)
            rules = [table.rules[place] for place in (sorted((*places, *table.always)) if tier else places)]
        return self._held(asked, rules, mode) if rules else NOTHING

    def _compile(self, model: Model) -> _Table:
        rules = tuple(rule for rule in self.rules if applies_to(rule, model))
        by_field: dict[str, list[int]] = {}
        shallow: dict[str, list[int]] = {}
        for place, rule in enumerate(rules):
            for name in rule.fields:
                by_field.setdefault(name, []).append(place)
                if not rule.deep:
                    shallow.setdefault(name, []).append(place)
        table = self._tables[model.id] = _Table(
            rules,
            tuple(place for place, rule in enumerate(rules) if not rule.fields),
            {name: tuple(places) for name, places in by_field.items()},
            {name: tuple(places) for name, places in shallow.items()},
            model.limits.max_output,
        )
        return table

    def _held(self, asked: Asked, rules: list[Rule], mode: Mode) -> Normalised:
        draft = Draft(asked.body, asked.headers, asked.model, asked.version, asked.versions, asked.foreign)
        if asked.set_effort is not None:
            draft.set_effort(asked.set_effort)
        if asked.set_adaptive:
            draft.put("thinking", {"type": "adaptive"})
        observations: list[str] = []
        for rule in rules:
            seen = _seen(draft, rule)
            if seen is None:
                continue
            if mode == "strict" and rule.kind == "refused":
                raise RequestError(_message(rule, seen, draft))
            if mode != "adapt" or not _mend(draft, rule, seen):
                observations.append(shortened(f"{rule.id}: {_message(rule, seen, draft)}", MAX_NOTE_CHARS))
        told = tuple(observations[:MAX_NOTES])
        if not draft.notes:
            return Normalised(observations=told) if told else NOTHING
        body = asked.body.changed({**draft.changes(), "model": asked.send_model})
        return Normalised(
            body=body,
            headers=draft.headers,
            adaptations=tuple(draft.notes.values())[:MAX_NOTES],
            observations=told,
            changed=MessagesBody(body, max_tokens_required=False),
        )


def _mend(draft: Draft, rule: Rule, seen: Seen) -> bool:
    """Whether the fix, done as often as it takes, leaves nothing that the rule sees."""
    if rule.adapt is None:
        return False
    fix = FIXES[rule.adapt]
    again: Seen | None = seen
    for _ in range(MAX_ROUNDS):
        if again is None:
            return True
        if not fix(draft, rule, again):
            return False
        again = _seen(draft, rule)
    return again is None


def _seen(draft: Draft, rule: Rule) -> Seen | None:
    """What the rule sees in the request as it is now; the model was looked at when the table was made."""
    if rule.versions and draft.version not in rule.versions:
        return None
    for path, values in rule.request.items():
        if draft.at(path) not in values:
            return None
    return {} if rule.check is None else CHECKS[rule.check](draft, rule)


def _message(rule: Rule, seen: Seen, draft: Draft) -> str:
    return rule.says.format(**{"model": draft.model.id, **seen}) if "{" in rule.says else rule.says


def _places(by_field: dict[str, tuple[int, ...]], body: MessagesBody) -> list[int]:
    """The places of the rules that look at a field which is there, in order."""
    places: set[int] = set()
    for name in body.fields:
        if name in by_field:
            places.update(by_field[name])
    return sorted(places)


def _glanced(rule: Rule, body: MessagesBody, table: _Table) -> bool:
    """Whether the rule may apply, by what the ends of the lists show."""
    if rule.glance is not None:
        return _GLANCES[rule.glance](body, table)
    return not rule.marks or _marked(body, rule)


def _marked(body: MessagesBody, rule: Rule) -> bool:
    view = memoryview(body.fields[rule.fields[0]])
    ends = bytes(view) if len(view) <= 2 * WINDOW else bytes(view[:WINDOW]) + bytes(view[-WINDOW:])
    return any(mark.encode() in ends for mark in rule.marks)


def _ends_with_assistant(body: MessagesBody, table: _Table) -> bool:
    """Whether the last role that is written near the end is the assistant's."""
    end = bytes(memoryview(body.fields["messages"])[-WINDOW:])
    role = end.rfind(_ROLE)
    return role >= 0 and end[role + len(_ROLE) : role + 40].lstrip(b" \t\r\n:").startswith(b'"assistant"')


def _starts_with_system(body: MessagesBody, table: _Table) -> bool:
    return b'"system"' in bytes(memoryview(body.fields["messages"])[:64])


def _large_max_tokens(body: MessagesBody, table: _Table) -> bool:
    return body.max_tokens is not None and body.max_tokens > table.max_output


_GLANCES = {
    "ends_with_assistant": _ends_with_assistant,
    "starts_with_system": _starts_with_system,
    "large_max_tokens": _large_max_tokens,
}
