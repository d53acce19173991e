"""The rules as data: what some model refuses or silently takes for something else, and what is done about it.

What it is not: the checks and fixes that rules name (`checks`, `fixes`). Invariant: a file is read whole and strictly,
or a `ConfigError` names rule, key and remedy.
"""

from collections.abc import Iterable
from importlib import resources
from typing import Annotated, Any, Literal, TypeAlias, get_args, get_origin, get_type_hints

import msgspec

from trimtab.catalogue.model import Model, Platform
from trimtab.catalogue.platforms import PlatformProfile
from trimtab.catalogue.reading import read_yaml, to_struct
from trimtab.errors import ConfigError

Scalar: TypeAlias = str | bool | int | None
Glance = Literal["ends_with_assistant", "starts_with_system", "large_max_tokens"]


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One rule. It applies when everything that it names applies."""

    id: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{1,40}$")]
    about: str
    """What a person should know, one sentence."""
    kind: Literal["refused", "silent"]
    """`refused`: the platform answers 400. `silent`: it answers, but not as the request means."""
    fields: tuple[str, ...] = ()
    """Top-level fields of which one must be there. Empty: looked at in every request that names a tier."""
    model: dict[str, tuple[Scalar, ...]] = {}
    """Key path in the model's catalogue row -> values of which it has one, or holds one where it is a list."""
    profile: str | None = None
    """Key of the platform's profile that must say something. A rule with this, or `platforms`, is about platforms."""
    platforms: tuple[Platform, ...] = ()
    """Platforms on which it applies; empty is all."""
    versions: tuple[str, ...] = ()
    """API versions on which it applies; empty is all."""
    request: dict[str, tuple[Scalar, ...]] = {}
    """Key path in the body -> values of which it has one."""
    marks: tuple[str, ...] = ()
    """Text of which one must stand in `fields`, looked for before anything is decoded."""
    glance: Glance | None = None
    """What `observe` looks at before it reads more."""
    deep: bool = False
    """Reads all messages, which costs too much to do for a note: `observe` leaves it out."""
    check: str | None = None
    """Name of a function of `checks`, for what the keys above cannot say."""
    says: str
    """The refusal in the vendor's words, with `{placeholders}` that the check fills in; for a silent rule, ours."""
    adapt: str | None = None
    """Name of a function of `fixes`; `None`: nothing honest can be done. The platform judges then, but a rule about
    platforms refuses."""
    does: str
    """What `adapt` does, for people."""
    options: dict[str, Any] = {}
    """What check and fix need beside: thresholds, names, texts."""
    source: str
    unverified: bool = False
    """One source only."""

    @property
    def about_platforms(self) -> bool:
        """Whether it says what a platform does not take, whatever the model."""
        return self.profile is not None or bool(self.platforms)


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rules: tuple[Rule, ...]


_UNSAID = PlatformProfile(name="", source="")


def load_rules(checks: Iterable[str], fixes: Iterable[str], content: bytes | None = None) -> tuple[Rule, ...]:
    """The shipped rules, in the order in which they are applied. Raises `ConfigError`.

    `checks` and `fixes` are the names that rules may use; `content` is another file's, in its place.
    """
    name = "rules.yaml"
    if content is None:
        content = (resources.files("trimtab.normaliser") / name).read_bytes()
    rules = to_struct(read_yaml(content, name), _Document, name).rules
    known = {"check": set(checks), "adapt": set(fixes)}
    seen: set[str] = set()
    for rule in rules:
        place = f"{name}: {rule.id}"
        if rule.id in seen:
            raise ConfigError(place, "stands twice; give each rule an id of its own")
        seen.add(rule.id)
        for key, names in known.items():
            value = getattr(rule, key)
            if value is not None and value not in names:
                raise ConfigError(f"{place}.{key}", f"{value!r}: must be one of {', '.join(sorted(names))}")
        for path, values in rule.model.items():
            _check_model_path(f"{place}.model", path, values)
        if rule.profile is not None and rule.profile not in PlatformProfile.__struct_fields__:
            raise ConfigError(f"{place}.profile", f"{rule.profile!r}: a profile has no such key")
        if rule.marks and len(rule.fields) != 1:
            raise ConfigError(f"{place}.marks", "are looked for in one field; name exactly one in fields")
        if rule.fields == ("messages",) and not rule.deep and rule.glance is None:
            raise ConfigError(f"{place}.deep", "false: a rule about messages is deep, or has a glance")
    return rules


def _check_model_path(place: str, path: str, values: tuple[Scalar, ...]) -> None:
    kind: Any = Model
    for step in path.split("."):
        hints = get_type_hints(kind) if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else {}
        if step not in hints:
            raise ConfigError(place, f"{path!r}: a catalogue row has no such key; see catalogue/model.py")
        kind = hints[step]
    allowed = _literals(kind)
    for value in values:
        if allowed and value is not None and value not in allowed:
            shown = ", ".join(str(option) for option in allowed)
            raise ConfigError(place, f"{path}: {value!r} is not one of {shown}")


def _literals(kind: Any) -> tuple[Any, ...]:
    if get_origin(kind) is Literal:
        return get_args(kind)
    return tuple(value for inner in get_args(kind) for value in _literals(inner))


def applies_to(rule: Rule, model: Model) -> bool:
    """Whether the model is one that the rule is about."""
    return all(_holds(value_at(model, path), values) for path, values in rule.model.items())


def applies_on(rule: Rule, platform: str, profile: PlatformProfile) -> bool:
    """Whether a rule about platforms is about this one."""
    if rule.platforms and platform not in rule.platforms:
        return False
    key = rule.profile
    return rule.about_platforms and (key is None or getattr(profile, key) != getattr(_UNSAID, key))


def _holds(value: Any, values: tuple[Scalar, ...]) -> bool:
    if isinstance(value, tuple):
        return any(item in values for item in value)
    return any(value is option or (value == option and type(value) is type(option)) for option in values)


def value_at(model: Model, path: str) -> Any:
    """A value of a catalogue row by its key path."""
    value: Any = model
    for step in path.split("."):
        value = getattr(value, step)
    return value
