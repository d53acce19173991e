"""Holds a request against the rules and, by mode, refuses it, mends it, or takes note.

Pure: nothing is called, stored or spent. Invariants: `observe` and `off` give the body and headers back as they are,
but for what the platform does not take; every change is named; what `adapt` makes passes `strict`, but for what the
notes say could not be mended.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from trimtab.catalogue import Effort, Model, Platform
from trimtab.catalogue.platforms import PlatformProfile
from trimtab.errors import NotFound, RequestTooLarge, RuleRefused, shortened
from trimtab.messages import MessagesBody
from trimtab.normaliser.checks import CHECKS as MODEL_CHECKS
from trimtab.normaliser.checks import Seen as Saw
from trimtab.normaliser.draft import Draft, Headers
from trimtab.normaliser.efforts import cap_budget, express, put_effort, put_thinking
from trimtab.normaliser.fixes import FIXES as MODEL_FIXES
from trimtab.normaliser.platforms import PLATFORM_CHECKS, PLATFORM_FIXES
from trimtab.normaliser.rules import Rule, applies_on, applies_to, load_rules
from trimtab.normaliser.settings import LEFT_OUT, EffortPolicy, Mode, NormaliserSettings, PlatformMode

MAX_NOTES = 24
"""Observations, and adaptations, of one request: they go into its record and a header."""

MAX_NOTE_CHARS = 300

MAX_ROUNDS = 16
"""How often one rule mends one request, as where several tools are of an old version."""

SMALL = 4096
"""Bytes of a field that is searched for marks before it is decoded; searching a larger one takes longer than
decoding it."""

WINDOW = 1024
"""Bytes at either end of `tools` and `messages` that `observe` looks at. Searching 53 KB for one mark takes 20 to 75 us
(CPython 3.11), over the 10 us that a request of that size may cost; 1 KB takes 0.3 us."""

CHECKS = MODEL_CHECKS | PLATFORM_CHECKS
FIXES = MODEL_FIXES | PLATFORM_FIXES

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
    replaces_effort: bool = False
    """`set_effort` takes the place of the client's."""
    said_effort: Effort | None = None
    """To be said otherwise, for the model has no levels."""
    most_effort: Effort | None = None
    """No effort that is put in, and no thinking budget, is higher."""
    set_thinking: str | None = None
    """`summarized`, `disabled`, `between_tools` or `budget`, where the client says nothing of thinking."""
    foreign: int = 0
    """How many messages, from the first on, stem from a time when the gateway sent this conversation to another
    model."""
    platform: str = ""
    """The catalogue's name for the kind of platform that it goes to."""
    endpoint: Literal["messages", "count_tokens"] = "messages"


class Normalised(msgspec.Struct, frozen=True):
    """What became of it. `body` is `None` where the rules changed nothing."""

    body: bytes | None = None
    headers: Headers | None = None
    adaptations: tuple[str, ...] = ()
    observations: tuple[str, ...] = ()
    changed: MessagesBody | None = None
    """The changed body, read again."""
    expressed: Effort | None = None
    """An effort that was said otherwise than by `output_config`."""


class Seen(msgspec.Struct, frozen=True):
    """What one rule sees in a request as it came."""

    rule: Rule
    place: str
    """Key path in the body, or the name of a header."""
    says: str
    """In the vendor's words for what the platform refuses."""


class _Watch(msgspec.Struct, frozen=True):
    """Rules by one field that they look at: places in the table, and what must be seen first."""

    places: tuple[int, ...]
    """All of them."""
    marks: tuple[tuple[bytes, ...], ...]
    """For each of them, the marks of which one must be there."""
    plain: tuple[int, ...]
    """Of those that `observe` looks at: with nothing to be seen first."""
    marked: tuple[tuple[bytes, tuple[int, ...]], ...]
    glanced: tuple[tuple["_Glance", tuple[int, ...]], ...]


class _Table(msgspec.Struct, frozen=True):
    """The rules that are about one model."""

    rules: tuple[Rule, ...]
    always: tuple[int, ...]
    """Places in `rules` of those that look at no field in particular."""
    watches: dict[str, _Watch]
    max_output: int


NOTHING = Normalised()
TOO_DEEP = Normalised(observations=("body: nested too deeply to be held against the rules",))


class _Held(msgspec.Struct, frozen=True):
    """The rules that are about one platform, for one model."""

    profile: PlatformProfile
    first: tuple[Rule, ...]
    """Looked at before those about the model."""
    last: tuple[Rule, ...]
    """Looked at after them: they may ask for a beta."""


@functools.cache
def shipped_rules() -> tuple[Rule, ...]:
    """The rules that come with Trimtab, in order. Raises `ConfigError`. Cost: 20 ms, once in a process."""
    return load_rules(CHECKS, FIXES)


def rules_of(model: Model) -> tuple[Rule, ...]:
    """The shipped rules that hold for this model, in order."""
    return tuple(rule for rule in shipped_rules() if not rule.about_platforms and applies_to(rule, model))


def platform_rules_of(platform: str, profile: PlatformProfile) -> tuple[Rule, ...]:
    """The shipped rules that hold on this platform, in order."""
    return tuple(rule for rule in shipped_rules() if applies_on(rule, platform, profile))


class Normaliser:
    """The rules, compiled for each model on first use. One per configuration version."""

    def __init__(
        self,
        settings: NormaliserSettings,
        rules: tuple[Rule, ...],
        platforms: Mapping[Platform, PlatformProfile] | None = None,
        effort: EffortPolicy = LEFT_OUT,
    ) -> None:
        """`platforms` says what each takes, by the catalogue's names; `effort`, what becomes of one that a model
        lacks."""
        self._settings = settings
        self.effort = effort
        self.rules = rules
        self._model_rules = tuple(rule for rule in rules if not rule.about_platforms)
        self._tables: dict[str, _Table] = {}
        self._profiles: dict[str, PlatformProfile] = {
            name: profile for name, profile in (platforms or {}).items() if profile.applied
        }
        self._held: dict[tuple[str, str], _Held] = {}

    def mode(self, *, tier: bool) -> Mode:
        """What is done with a request that names a tier, or else a model."""
        return self._settings.tiers if tier else self._settings.pinned

    def platform_mode(self, mode: Mode, platform: str) -> PlatformMode:
        """What is done with what this platform does not take, of a request in this mode. `off` where nothing is known
        of the platform: most requests end here, at a cost of 0.1 us."""
        if platform not in self._profiles:
            return "off"
        chosen = self._settings.platform
        return chosen if chosen is not None else "strict" if mode == "strict" else "adapt"

    def places(self, body: MessagesBody, model: Model) -> list[int]:
        """The rules that `observe` has to look into, for `normalise`; mostly none, at a cost of 1.5 to 3 us."""
        return _observed(body, self._tables.get(model.id) or self._compile(model))

    def normalise(
        self,
        asked: Asked,
        mode: Mode,
        *,
        tier: str | None,
        places: list[int] | None = None,
        rewrites: bool = False,
    ) -> Normalised:
        """`tier` is the tier that the request names, `None` where it names a model; `places`, in `observe`, what
        `places` found, where it was asked before. `rewrites`: what was decided of effort and thinking needs more than
        `set_effort` and `set_adaptive`; it is done in every mode.

        Raises `RuleRefused` in `strict`: the vendor's words, and which rule in which mode says them.

        Cost where no rule has anything to do, in processor time: `observe` 2.3 us at 0.6 KB, 2.1 to 5.5 us at 53 KB;
        `adapt` and `strict` 8 us, and 24 to 68 us, for they decode the messages (`benchmarks/normaliser.py`).
        """
        theirs = self.platform_mode(mode, asked.platform)
        if mode == "off" and theirs == "off" and not rewrites:
            return NOTHING
        table = self._tables.get(asked.model.id) or self._compile(asked.model)
        if mode == "off":
            places = []
        elif mode == "observe":
            if places is None:
                places = _observed(asked.body, table)
        else:
            places = _looked_at(asked.body, table)
            if tier is not None:
                places += table.always
        held = self._about(asked) if theirs != "off" else None
        if held is None and not places and not rewrites:
            return NOTHING
        rules = [table.rules[place] for place in sorted(set(places))]
        try:
            return _normalised(asked, rules, mode, tier, held, theirs, self.effort)
        except RecursionError:
            return TOO_DEEP

    def examine(self, asked: Asked) -> tuple[Seen, ...]:
        """Everything that rules see in a request as it came, each looked at by itself, whatever the mode.

        Nothing is changed or refused. Of each rule the first place is told. Cost: decodes the body.
        """
        table = self._tables.get(asked.model.id) or self._compile(asked.model)
        held = self._about(asked) if asked.platform in self._profiles else None
        draft = _draft(asked, held, self.effort)
        found = []
        for rule in (*(held.first if held else ()), *table.rules, *(held.last if held else ())):
            if rule.fields and not any(name in asked.body.fields for name in rule.fields):
                continue
            try:
                seen = _seen(draft, rule)
            except RecursionError:
                continue
            if seen is not None:
                found.append(Seen(rule, _place(rule, seen, draft), _message(rule, seen, draft)))
        return tuple(found)

    def _about(self, asked: Asked) -> _Held:
        key = (asked.platform, asked.model.id)
        held = self._held.get(key)
        if held is None:
            profile = self._profiles[asked.platform]
            rules = [
                rule
                for rule in self.rules
                if applies_on(rule, asked.platform, profile) and applies_to(rule, asked.model)
            ]
            held = self._held[key] = _Held(
                profile,
                tuple(rule for rule in rules if rule.profile != "betas"),
                tuple(rule for rule in rules if rule.profile == "betas"),
            )
        return held

    def _compile(self, model: Model) -> _Table:
        rules = tuple(rule for rule in self._model_rules if applies_to(rule, model))
        names = {name for rule in rules for name in rule.fields}
        table = self._tables[model.id] = _Table(
            rules,
            tuple(place for place, rule in enumerate(rules) if not rule.fields),
            {name: _watch(name, rules) for name in names},
            model.limits.max_output,
        )
        return table


def _normalised(
    asked: Asked,
    rules: list[Rule],
    mode: Mode,
    tier: str | None,
    held: _Held | None,
    theirs: PlatformMode,
    effort: EffortPolicy,
) -> Normalised:
    draft = _draft(asked, held, effort)
    unsaid = _decided(draft, asked)
    if held is not None:
        _hold_for_platform(draft, held.first, theirs, asked)
    observations: list[str] = []
    for rule in rules:
        seen = _seen(draft, rule)
        if seen is None:
            continue
        if mode == "strict" and rule.kind == "refused":
            raise RuleRefused(_message(rule, seen, draft), _why(rule, asked.model, tier))
        if mode != "adapt" or not _mend(draft, rule, seen):
            observations.append(shortened(f"{rule.id}: {_message(rule, seen, draft)}", MAX_NOTE_CHARS))
    if draft.asked is not None and (why := express(draft, draft.asked)) is not None:
        unsaid.append(f"effort {draft.asked} is not said: {why}")
    observations = [*unsaid, *observations]
    if held is not None:
        _hold_for_platform(draft, held.last, theirs, asked)
    told = tuple(observations[:MAX_NOTES])
    if not draft.notes:
        return Normalised(observations=told) if told else NOTHING
    body = asked.body.changed({**draft.changes(), "model": asked.send_model})
    return Normalised(
        body=body,
        headers=draft.headers,
        adaptations=_told(tuple(draft.notes.values())),
        observations=told,
        changed=MessagesBody(body, max_tokens_required=False),
        expressed=draft.expressed,
    )


def _decided(draft: Draft, asked: Asked) -> list[str]:
    """Put in what was decided of effort and thinking; what of it could not be."""
    if asked.set_effort is not None:
        put_effort(draft, asked.set_effort, replaces=asked.replaces_effort)
    if asked.set_adaptive:
        draft.put("thinking", {"type": "adaptive"})
    draft.asked, draft.most = asked.said_effort, asked.most_effort
    if draft.most is not None:
        cap_budget(draft, draft.most)
    if asked.set_thinking is not None and (why := put_thinking(draft, asked.set_thinking)) is not None:
        return [f"thinking is not added: {why}"]
    return []


def _draft(asked: Asked, held: _Held | None, effort: EffortPolicy) -> Draft:
    return Draft(
        asked.body,
        asked.headers,
        asked.model,
        asked.version,
        asked.versions,
        asked.foreign,
        held.profile if held is not None else None,
        asked.endpoint,
        effort,
    )


_PATHS = {
    "effort_given": "output_config.effort",
    "effort_not_taken": "output_config.effort",
    "effort_above_high": "output_config.effort",
    "little_room_for_effort": "max_tokens",
    "task_budget_given": "output_config.task_budget",
    "task_budget_small": "output_config.task_budget.total",
    "task_budget_without_beta": "output_config.task_budget",
    "remaining_beside_compaction": "output_config.task_budget.remaining",
    "format_given": "output_config.format",
    "citations_on": "output_config.format",
    "thinking_not_said": "thinking",
    "display_given": "thinking.display",
    "display_not_given": "thinking.display",
    "budget_too_large": "thinking.budget_tokens",
    "budget_too_small": "thinking.budget_tokens",
    "foreign_thinking": "messages",
    "beta_of_old": "anthropic-beta",
}
"""Where checks look that have no path of their own."""


def _place(rule: Rule, seen: Saw, draft: Draft) -> str:
    """Where a rule saw it: as exact as what it says of the place."""
    named = next((str(seen[key]) for key in ("field", "path") if key in seen), None)
    if named is not None:
        return named
    path = _PATHS.get(rule.check or "") or next(iter(rule.request), None)
    fields = [name for name in rule.fields if name in draft.body.fields]
    if path is not None:
        return path
    if not fields:
        return "anthropic-beta" if rule.profile == "betas" else "request"
    return f"{fields[0]}.{seen['index']}" if "index" in seen else fields[0]


def _told(changes: tuple[str, ...]) -> tuple[str, ...]:
    """The changes, of which no more are named than a header has room for; how many more there are is said."""
    if len(changes) <= MAX_NOTES:
        return changes
    return (*changes[: MAX_NOTES - 1], f"and {len(changes) - MAX_NOTES + 1} more changes")


def _hold_for_platform(draft: Draft, rules: tuple[Rule, ...], mode: PlatformMode, asked: Asked) -> None:
    """Take out what the platform does not take. Raises `RuleRefused`, `RequestTooLarge`, `NotFound`."""
    fields = asked.body.fields
    for rule in rules:
        if rule.fields and not any(name in fields for name in rule.fields) and not draft.changes():
            continue
        seen = _seen(draft, rule)
        if seen is None or (mode == "adapt" and _mend(draft, rule, seen)):
            continue
        says, note = _message(rule, seen, draft), _why_of_platform(rule, asked.platform)
        if rule.profile == "max_request_bytes":
            raise RequestTooLarge(f"{says} ({note})")
        raise NotFound(f"{says} ({note})") if rule.profile == "endpoints" else RuleRefused(says, note)


def _mend(draft: Draft, rule: Rule, seen: Saw) -> bool:
    """Whether the fix, done as often as it takes, leaves nothing that the rule sees."""
    if rule.adapt is None:
        return False
    fix = FIXES[rule.adapt]
    again: Saw | None = seen
    for _ in range(MAX_ROUNDS):
        if again is None:
            return True
        if not fix(draft, rule, again):
            return False
        again = _seen(draft, rule)
    return again is None


def _seen(draft: Draft, rule: Rule) -> Saw | None:
    """What the rule sees in the request as it is now; the model was looked at when the table was made."""
    if rule.versions and draft.version not in rule.versions:
        return None
    for path, values in rule.request.items():
        if draft.at(path) not in values:
            return None
    return {} if rule.check is None else CHECKS[rule.check](draft, rule)


def _message(rule: Rule, seen: Saw, draft: Draft) -> str:
    return rule.says.format(**{"model": draft.model.id, **seen}) if "{" in rule.says else rule.says


def _why(rule: Rule, model: Model, tier: str | None) -> str:
    """Which rule refuses a request, by which setting, and what to do."""
    named = tier if tier is None or tier.startswith("route ") else f"tier {tier}"
    setting, meant = ("pinned", f"model {model.id}") if named is None else ("tiers", f"{named} is {model.id}")
    fix = "no mode mends it" if rule.adapt is None else f'"adapt" mends it: {rule.does}'
    return f'Trimtab: rule {rule.id}, normaliser.{setting} = "strict", {meant}; change the request; {fix}'


def _why_of_platform(rule: Rule, platform: str) -> str:
    fix = (
        "no mode takes it out"
        if rule.adapt is None
        else f'normaliser.platform = "adapt" mends it: {rule.does}'
    )
    return f"Trimtab: rule {rule.id}, platform {platform}; change the request, or use another platform; {fix}"


def _watch(name: str, rules: tuple[Rule, ...]) -> _Watch:
    places = [place for place, rule in enumerate(rules) if name in rule.fields]
    observed = [place for place in places if not rules[place].deep]
    unseen = [place for place in observed if rules[place].glance is None]
    marks = sorted({mark for place in unseen for mark in rules[place].marks})
    glances = sorted({glance for place in observed if (glance := rules[place].glance) is not None})
    return _Watch(
        tuple(places),
        tuple(tuple(mark.encode() for mark in rules[place].marks) for place in places),
        tuple(place for place in unseen if not rules[place].marks),
        tuple(
            (mark.encode(), tuple(place for place in unseen if mark in rules[place].marks)) for mark in marks
        ),
        tuple(
            (_GLANCES[glance], tuple(place for place in observed if rules[place].glance == glance))
            for glance in glances
        ),
    )


def _observed(body: MessagesBody, table: _Table) -> list[int]:
    """The rules that may apply, by what top-level fields and the ends of the lists show."""
    places: list[int] = []
    watches = table.watches
    for name, raw in body.fields.items():
        if name not in watches:
            continue
        watch = watches[name]
        places += watch.plain
        for glance, found in watch.glanced:
            if glance(body, table):
                places += found
        if watch.marked:
            view = memoryview(raw)
            ends = bytes(view) if len(view) <= 2 * WINDOW else bytes(view[:WINDOW]) + bytes(view[-WINDOW:])
            for mark, found in watch.marked:
                if mark in ends:
                    places += found
    return places


def _looked_at(body: MessagesBody, table: _Table) -> list[int]:
    """The rules that may apply. A small field is searched for their marks; a large one is decoded sooner."""
    places: list[int] = []
    watches = table.watches
    for name, raw in body.fields.items():
        if name not in watches:
            continue
        watch = watches[name]
        view = memoryview(raw)
        if len(view) > SMALL:
            places += watch.places
            continue
        text = bytes(view)
        for place, marks in zip(watch.places, watch.marks, strict=True):
            if not marks:
                places.append(place)
            else:
                for mark in marks:
                    if mark in text:
                        places.append(place)
                        break
    return places


def _ends_with_assistant(body: MessagesBody, table: _Table) -> bool:
    """Whether the last role that is written near the end is the assistant's."""
    end = bytes(memoryview(body.fields["messages"])[-WINDOW:])
    role = end.rfind(_ROLE)
    return role >= 0 and end[role + len(_ROLE) : role + 40].lstrip(b" \t\r\n:").startswith(b'"assistant"')


def _starts_with_system(body: MessagesBody, table: _Table) -> bool:
    return b'"system"' in bytes(memoryview(body.fields["messages"])[:64])


def _large_max_tokens(body: MessagesBody, table: _Table) -> bool:
    return body.max_tokens is not None and body.max_tokens > table.max_output


_Glance = Callable[[MessagesBody, _Table], bool]

_GLANCES: dict[str, _Glance] = {
    "ends_with_assistant": _ends_with_assistant,
    "starts_with_system": _starts_with_system,
    "large_max_tokens": _large_max_tokens,
}
