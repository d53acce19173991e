"""Finds verifiers by name: those of the configuration, and the kinds that packages bring.

What it is not: what they do. Invariants: the built-in kinds come in as everybody's do, by an entry point; a kind is
imported when it is first named; a name that is not known is refused before any request meets it.
"""

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from trimtab.config import fail
from trimtab.errors import ConfigError, RequestError, printable, shortened
from trimtab.records.verdict import UNJUDGED
from trimtab.verification.panel import ORDER, Check
from trimtab.verification.seam import Factory, Verifier
from trimtab.verification.settings import VerificationSettings

GROUP = "trimtab.verifiers"

OWN = ("kind", "timeout_s")
"""Keys of a `[verifiers.NAME]` that are not the verifier's."""


class Verifiers:
    """All that one version of the configuration can name. Build it once; safe to ask from any thread."""

    def __init__(
        self,
        settings: VerificationSettings,
        named: Mapping[str, Mapping[str, Any]],
        where: Callable[[str], str],
        found: Iterable[EntryPoint] | None = None,
    ) -> None:
        """`named` are the `[verifiers.NAME]` tables; each is built now. Raises `ConfigError`."""
        self._found = found
        self._timeout_s = settings.timeout_s
        self._per_request = settings.per_request
        self._checks: dict[str, Check] = {}
        self._failed: dict[str, ConfigError] = {}
        """Kinds that cannot be used with their own defaults: what is wrong is not found out for each request."""
        self._where = where
        for name, options in named.items():
            self._checks[name] = self._built(name, options)
        for name in settings.per_request or ():
            self.check(name, where("verification.per_request"))

    @functools.cached_property
    def _kinds(self) -> dict[str, dict[str, EntryPoint]]:
        """By name and by what they name. Looked for when the first one is named: it takes 15 ms."""
        kinds: dict[str, dict[str, EntryPoint]] = {}
        for one in entry_points(group=GROUP) if self._found is None else self._found:
            kinds.setdefault(one.name, {})[one.value] = one
        return kinds

    @property
    def kinds(self) -> tuple[str, ...]:
        """Those that are installed."""
        return tuple(sorted(self._kinds))

    def named(self, name: str, place: str) -> None:
        """Refuse a name that is not known. Raises `ConfigError` naming `place`."""
        if name not in self._checks and name not in self._kinds:
            fail(place, name, self._unknown(name))

    def check(self, name: str, place: str) -> Check:
        """The check of this name: one that is configured, else the kind of this name with its own defaults.

        Raises `ConfigError` naming `place`.
        """
        self.named(name, place)
        try:
            return self._ready(name)
        except ConfigError as problem:
            options, kind = self._where(f"verifiers.{name}."), self._where(f"verifiers.{name}.kind")
            if not problem.where.startswith(options) or problem.where == kind:
                raise
            fail(
                place,
                name,
                f"cannot be used as it is: {problem.where.removeprefix(options)}: {problem.problem}; write a "
                f"[verifiers.NAME] with kind = {name!r} and its options, and name that",
            )

    def _ready(self, name: str) -> Check:
        """The check of a name that is known. Raises `ConfigError` naming the kind's own place."""
        if name not in self._checks:
            if name in self._failed:
                raise self._failed[name]
            try:
                self._checks[name] = self._built(name, {"kind": name})
            except ConfigError as problem:
                self._failed[name] = problem
                raise
        return self._checks[name]

    def wanted(self, header: str) -> tuple[Check, ...]:
        """The checks that an `x-trimtab-verify` header names. Raises `RequestError`."""
        names = tuple(dict.fromkeys(name for part in header.split(",") if (name := part.strip())))
        if not names:
            raise RequestError("x-trimtab-verify: names no verifier; name one, or several with commas")
        permitted = self._per_request
        for name in names:
            if permitted is not None and name not in permitted:
                raise RequestError(
                    f"x-trimtab-verify: {shortened(name, 80)!r} may not be asked for here; "
                    f"there are {', '.join(permitted) or 'none'}"
                )
            if name not in self._checks and name not in self._kinds:
                raise RequestError(f"x-trimtab-verify: {shortened(name, 80)!r}: {self._unknown(name)}")
        return tuple(self._wanted(name) for name in names)

    def _wanted(self, name: str) -> Check:
        try:
            return self._ready(name)
        except ConfigError as problem:
            ready = ", ".join(sorted(self._checks)) or "none"
            raise RequestError(
                f"x-trimtab-verify: {name!r} cannot be used as it is ({problem.problem}); its options are the "
                f"operator's to name, in a [verifiers.NAME] of this kind; there are {ready}"
            ) from None

    def _built(self, name: str, options: Mapping[str, Any]) -> Check:
        def where(key: str) -> str:
            return self._where(f"verifiers.{name}.{key}" if key else f"verifiers.{name}")

        if name in UNJUDGED:
            fail(where(""), name, "is what records say where nothing judged an answer; take another name")
        kind = options.get("kind", name)
        if not isinstance(kind, str) or kind not in self._kinds:
            fail(where("kind"), kind, self._unknown(str(kind)))
        timeout_s = options.get("timeout_s", self._timeout_s)
        if not isinstance(timeout_s, int | float) or isinstance(timeout_s, bool):
            fail(where("timeout_s"), timeout_s, "must be a number of seconds")
        if not 0.001 <= timeout_s <= 3600:
            fail(where("timeout_s"), timeout_s, "must be from 0.001 to 3600 seconds")
        factory = self._loaded(kind, where("kind"))
        rest = {key: value for key, value in options.items() if key not in OWN}
        return Check(name, self._made(factory, rest, where, kind), float(timeout_s))

    def _loaded(self, kind: str, place: str) -> Factory:
        offered = self._kinds[kind]
        if len(offered) > 1:
            who = ", ".join(sorted(_offer(one) for one in offered.values()))
            fail(place, kind, f"is the name of several verifiers: {who}; remove all but one")
        (one,) = offered.values()
        try:
            factory: Any = one.load()
        except (Exception, SystemExit) as problem:  # somebody else's code: whatever its import does
            fail(place, kind, f"{_offer(one)} cannot be loaded: {_said(problem)}")
        if not callable(factory):
            fail(
                place,
                kind,
                f"{_offer(one)} is no function that makes a verifier; name one as MODULE:FUNCTION",
            )
        made: Factory = factory
        return made

    def _made(
        self, factory: Factory, options: Mapping[str, Any], where: Callable[[str], str], kind: str
    ) -> Verifier:
        try:
            verifier: Any = factory(options, where)
            spends, check = getattr(verifier, "spends", None), getattr(verifier, "check", None)
        except ConfigError:
            raise
        except (Exception, SystemExit) as problem:  # the same of what it makes
            fail(where(""), kind, f"cannot be made: {_said(problem)}")
        if spends not in ORDER or not inspect.iscoroutinefunction(check):
            fail(
                where(""),
                kind,
                f"makes no verifier: needs `spends` ({', '.join(ORDER)}) and a method `async def check(self, case)`",
            )
        made: Verifier = verifier
        return made

    def _unknown(self, name: str) -> str:
        there = sorted({*self._checks, *self._kinds})
        close = difflib.get_close_matches(name[:80], there, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return f"no such verifier; {hint}there are {', '.join(there) or 'none'}"


def _offer(one: EntryPoint) -> str:
    """What an entry point names, and whose it is."""
    package = one.dist.name if one.dist is not None else ""
    return f"{one.value} of {package}" if package else one.value


def _said(problem: BaseException) -> str:
    return printable(f"{type(problem).__name__}: {problem}", 200)
