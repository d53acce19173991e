"""What a key may say: names that exist in the configuration, and values within bounds.

What it is not: authorisation. Invariant: what passes here can be stored, shown in a terminal and put into a header.
"""

import difflib
from collections.abc import Callable, Iterable

import msgspec

from trimtab.admin.words import NewKey
from trimtab.catalogue import Catalogue
from trimtab.catalogue.tiers import TIER_NAMES
from trimtab.errors import RequestError, quoted, shortened
from trimtab.records import Limits

MAX_NAME_CHARS = 64
MAX_LIST = 200
MAX_LABELS = 20
MAX_LABEL_CHARS = 256
LATEST_MS = 253_402_300_799_000
"""The end of the year 9999."""

MOST = {"concurrency": 1_000_000, "requests_per_minute": 10_000_000, "total_nanousd": 10**18}
"""More is a slip of the pen: a thousand million dollars."""


class KeyRules(msgspec.Struct, frozen=True):
    """What one version of the configuration knows."""

    catalogue: Catalogue
    platforms: tuple[str, ...]
    """Names of the platform entries."""

    def check(self, wanted: NewKey, now_ms: int) -> NewKey:
        """The key with its lists in catalogue order and aliases resolved. Raises `RequestError`."""
        check_name("name", wanted.name)
        for field in ("organisation", "team", "user"):
            value = getattr(wanted, field)
            if value is not None:
                check_name(field, value)
        _check_expiry(wanted.expires_ms, now_ms)
        check_limits(wanted.limits)
        _check_labels(wanted)
        tiers = _listed("tiers", wanted.tiers, self._tier)
        default_tier = wanted.default_tier
        if default_tier is not None:
            self._tier("default_tier", default_tier)
            if tiers is not None and default_tier not in tiers:
                raise RequestError(
                    f"default_tier: {default_tier!r} is not among the tiers of this key ({', '.join(tiers) or 'none'})"
                )
        return msgspec.structs.replace(
            wanted,
            models=_listed("models", wanted.models, self._model),
            tiers=tiers,
            platforms=_listed("platforms", wanted.platforms, self._platform),
        )

    def _model(self, field: str, name: str) -> str:
        model = self.catalogue.find(name)
        if model is not None:
            return model.id
        tier = name.removeprefix("trimtab/")
        if tier == "auto":
            raise _auto(field, name)
        if tier in TIER_NAMES:
            raise RequestError(f"{field}: {name!r} is a tier, not a model; name it under tiers, as {tier!r}")
        close = self.catalogue.suggest(name[:80])
        hint = f"did you mean {close!r}?" if close else "`trimtab models` lists those there are"
        raise RequestError(f"{field}: {shortened(name, 80)!r}: no such model in the catalogue; {hint}")

    def _tier(self, field: str, name: str) -> str:
        if name.removeprefix("trimtab/") == "auto":
            raise _auto(field, name)
        return _one_of(field, name, TIER_NAMES, "tier")

    def _platform(self, field: str, name: str) -> str:
        return _one_of(field, name, self.platforms, "platform entry in the configuration")


def _auto(field: str, name: str) -> RequestError:
    return RequestError(
        f"{field}: {name!r} is neither a model nor a tier: it means the default_tier of the key, or else the tier "
        "'default'; name that tier under tiers, and its model under models"
    )


def check_name(field: str, name: str) -> None:
    """Names go into records, headers and terminals. Raises `RequestError`."""
    if not 0 < len(name) <= MAX_NAME_CHARS or not name.isprintable() or name != name.strip():
        raise RequestError(
            f"{field}: {shortened(name, 80)!r}: must be 1 to {MAX_NAME_CHARS} printable characters, no space at "
            "either end"
        )
    if name.startswith(("tt-", "sk-")):
        raise RequestError(f"{field}: begins like a secret; names are shown everywhere, choose another")


def check_limits(limits: Limits) -> None:
    """Raises `RequestError` for a limit that is none."""
    for field, most in MOST.items():
        value = getattr(limits, field)
        if value is not None and not 0 < value <= most:
            raise RequestError(
                f"limits.{field}: {quoted(value)}: must be 1 to {most}; leave it out for no limit, or revoke the key"
            )


def _check_expiry(expires_ms: int | None, now_ms: int) -> None:
    if expires_ms is not None and not now_ms < expires_ms <= LATEST_MS:
        raise RequestError(
            f"expires_ms: {quoted(expires_ms)}: must be Unix milliseconds in the future (it is {now_ms} now)"
        )


def _check_labels(wanted: NewKey) -> None:
    if len(wanted.labels) > MAX_LABELS:
        raise RequestError(f"labels: {len(wanted.labels)} labels; at most {MAX_LABELS}")
    for name, value in wanted.labels.items():
        check_name("labels", name)
        if len(value) > MAX_LABEL_CHARS or not value.isprintable():
            raise RequestError(
                f"labels.{name}: must have at most {MAX_LABEL_CHARS} characters, all of them printable"
            )


def _listed(
    field: str, names: tuple[str, ...] | None, check: Callable[[str, str], str]
) -> tuple[str, ...] | None:
    if names is None:
        return None
    if len(names) > MAX_LIST:
        raise RequestError(f"{field}: {len(names)} entries; at most {MAX_LIST}")
    return tuple(dict.fromkeys(check(field, name) for name in names))


def _one_of(field: str, name: str, known: Iterable[str], what: str) -> str:
    known = tuple(known)
    if name in known:
        return name
    close = difflib.get_close_matches(name[:80], known, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
    raise RequestError(f"{field}: {shortened(name, 80)!r}: no such {what}; {hint}")
