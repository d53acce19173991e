"""A configuration file as sections that its readers claim one by one."""

import contextlib
import difflib
import hashlib
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_type_hints

import msgspec

from trimtab.config.files import read_file
from trimtab.config.secrets import Secret
from trimtab.config.words import masked, plainly, shown
from trimtab.errors import ConfigError

SUPPORTED_VERSION = 1

T = TypeVar("T")


def fail(where: str, value: object, problem: str) -> NoReturn:
    """Raise a `ConfigError` that names place, value and remedy. What may be a secret is not shown."""
    raise ConfigError(masked(where), f"{shown(value, where)}: {problem}")


class Document:
    """One configuration file. Readers take sections; `finish` refuses what nobody took.

    `version` is a hash of the content, kept in every record.
    """

    def __init__(self, name: str, raw: dict[str, Any], content: bytes) -> None:
        self.name = name
        self.content = content
        """The bytes that were read; secrets are references in them."""
        self.version = hashlib.sha256(content).hexdigest()[:16]
        self._raw = raw
        self._taken: set[str] = {"version"}
        self._known: set[str] = {"version"}
        """Sections that this version has, taken or not; for hints."""
        version = raw.get("version", SUPPORTED_VERSION)
        if version != SUPPORTED_VERSION or isinstance(version, bool):
            fail(f"{name}: version", version, f"this Trimtab reads version {SUPPORTED_VERSION}")

    def where(self, key: str) -> str:
        """How an error names a key of this file."""
        return masked(f"{self.name}: {key}")

    @contextlib.contextmanager
    def placing(self) -> Iterator[None]:
        """A `ConfigError` that names only its key is raised again with this file before it."""
        try:
            yield
        except ConfigError as problem:
            raise ConfigError(self.where(problem.where), problem.problem) from None

    def has(self, section: str) -> bool:
        """Whether the operator wrote this section. Asking makes the name a known one."""
        self._known.add(section)
        return section in self._raw

    def section(self, name: str, kind: type[T]) -> T:
        """The section as `kind`, defaults where it is absent. Raises `ConfigError`."""
        self._taken.add(name)
        return self._decode(self._raw.get(name, {}), kind, name)

    def table(self, name: str, kinds: dict[str, type[T]]) -> dict[str, T]:
        """A section of named entries, each with a `kind` key that picks its type. Order is the file's."""
        self._taken.add(name)
        entries = self._raw.get(name, {})
        if not isinstance(entries, dict):
            # The value is not shown: it may be a secret in the wrong place.
            raise ConfigError(self.where(name), f"must be a table of entries, as [{name}.some-name]")
        return {key: self._entry(f"{name}.{key}", entry, kinds) for key, entry in entries.items()}

    def named(self, name: str, kind: type[T], short: Any = None) -> dict[str, T]:
        """A section of named entries that are all of one type, or of `short` where one is no table. Order is the
        file's."""
        self._taken.add(name)
        entries = self._raw.get(name, {})
        if not isinstance(entries, dict):
            raise ConfigError(self.where(name), f"must be a table of entries, as [{name}.some-name]")
        found = {}
        for key, entry in entries.items():
            if not isinstance(entry, dict) and short is None:
                raise ConfigError(self.where(f"{name}.{key}"), f"must be a table, as [{name}.{key}]")
            found[key] = self._decode(entry, kind if isinstance(entry, dict) else short, f"{name}.{key}")
        return found

    def _entry(self, path: str, entry: object, kinds: dict[str, type[T]]) -> T:
        if not isinstance(entry, dict):
            raise ConfigError(self.where(path), f"must be a table, as [{path}]")
        kind = entry.get("kind")
        if kind is None:
            raise ConfigError(
                self.where(f"{path}.kind"),
                f"missing; must be one of {', '.join(kinds)}{_instead(entry, 'kind')}",
            )
        if not isinstance(kind, str) or kind not in kinds:
            fail(self.where(f"{path}.kind"), kind, f"must be one of {', '.join(kinds)}")
        return self._decode({k: v for k, v in entry.items() if k != "kind"}, kinds[kind], path)

    def finish(self) -> None:
        """Refuse every section that no reader took."""
        for name in self._raw:
            if name not in self._taken:
                hint = _did_you_mean(name, self._taken | self._known)
                raise ConfigError(
                    self.where(name), f"nothing in this version reads this section; remove it{hint}"
                )

    def _decode(self, raw: object, kind: type[T], path: str) -> T:
        return decoded(raw, kind, lambda key: self.where(f"{path}.{key}" if key else path))


def decoded(raw: object, kind: type[T], where: Callable[[str], str]) -> T:
    """A table of the configuration as `kind`; `where` names a key of it, and the table itself for an empty one.

    Raises `ConfigError` in an operator's words.
    """
    try:
        return msgspec.convert(raw, kind, dec_hook=_decode_special)
    except msgspec.ValidationError as problem:
        raise _explained(str(problem), raw, kind, where) from None


def _explained(message: str, raw: object, kind: type, where: Callable[[str], str]) -> ConfigError:
    text, _, at = message.partition(" - at `$")
    keys = [key for key in at.rstrip("`").split(".") if key]
    place = ".".join(keys)
    if text.startswith("Object contains unknown field"):
        name = text.split("`")[1]
        known = sorted(get_type_hints(kind)) if not keys else []
        hint = _did_you_mean(name, known) or (f"; known here: {', '.join(known)}" if known else "")
        return ConfigError(
            where(".".join([*keys, name])), f"nothing in this version reads this setting; remove it{hint}"
        )
    if text.startswith("Object missing required field"):
        return ConfigError(where(".".join([*keys, text.split("`")[1]])), "missing; it is required here")
    value = raw
    for key in at.rstrip("`").replace("[", ".").replace("]", "").split("."):
        if isinstance(value, dict) and key:
            value = value.get(key)
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
    if kind_is_secret(text):
        return ConfigError(where(place), masked(text))
    value_shown = shown(value, where(place))
    return ConfigError(where(place), f"{value_shown}: {masked(plainly(text, kind, keys))}")


def kind_is_secret(text: str) -> bool:
    """Whether a problem comes from `Secret.resolve`, whose message already says all that may be said."""
    return text.startswith(("a secret is given", "'env:", "'file:"))


def _decode_special(kind: type, value: object) -> object:
    if kind is Secret:
        if not isinstance(value, str):
            raise ValueError("a secret is given by reference, as 'env:NAME' or 'file:/path'")
        return Secret.resolve(value)
    raise NotImplementedError(kind)


def _did_you_mean(name: str, known: "set[str] | list[str]") -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _instead(entry: dict[str, Any], wanted: str) -> str:
    """A hint for a key that people write for another."""
    return f"; 'type' is not read, did you mean {wanted}?" if "type" in entry else ""


def load_document(path: Path | None, content: bytes | None = None) -> Document:
    """Read a TOML file; `None` gives the empty document of the defaults. Raises `ConfigError`.

    With `content` nothing is read: these are the bytes that the file held, which another process works by too.
    """
    if path is None:
        return Document("defaults", {}, b"")
    if content is None:
        content = read_file(path)
    try:
        raw = tomllib.loads(content.decode())
    except UnicodeDecodeError as problem:
        raise ConfigError(path.name, f"invalid UTF-8 at byte {problem.start}") from None
    except tomllib.TOMLDecodeError as problem:
        raise ConfigError(path.name, f"is not valid TOML: {masked(str(problem))}") from None
    except RecursionError:
        raise ConfigError(path.name, "is nested too deeply; is it the right file?") from None
    except (ValueError, ArithmeticError):
        raise ConfigError(path.name, "holds a number that is too large; write a smaller one") from None
    return Document(path.name, raw, content)
