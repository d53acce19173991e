"""What can be asked of the figures: a window of time, a way to tell traffic apart, filters of the list, and a scope.

What it is not: who may ask; that is the scope, which whoever lets the visitor in fills in.
Invariants: real or simulated traffic, never both; times are Unix milliseconds in UTC; every text that comes from
outside is read here, and what cannot be read is a `RequestError` that says what can.
"""

from collections.abc import Mapping
from typing import Literal, get_args
from urllib.parse import parse_qs

import msgspec

from trimtab.errors import RequestError, shortened
from trimtab.records import Purpose, Says
from trimtab.store.figures.listing import NOT_JUDGED

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

Dimension = Literal["arm", "tier", "platform", "key", "team", "organisation", "purpose", "result"]
"""What a window can be split by, one at a time. An arm is `model@effort`, or the model alone."""

DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)

WindowName = Literal["hour", "day", "week", "month"]

SPANS_MS: Mapping[str, int] = {"hour": HOUR_MS, "day": DAY_MS, "week": 7 * DAY_MS, "month": 30 * DAY_MS}

PURPOSES: tuple[Purpose, ...] = get_args(Purpose)

BILLED: tuple[Purpose, ...] = ("live", "task")
"""What is meant where nothing is said."""

VERDICTS = (*get_args(Says), NOT_JUDGED)

RESULTS = ("ok", "error", "truncated", "cancelled", "unknown")

TOP = 8
"""Groups that are shown by name; the others are one group."""

TOP_MOST = 20

LIMIT = 50
LIMIT_MOST = 500

TEXT_MOST = 300
"""Characters of a filter. No name that Trimtab takes is longer, and an error that is kept has no more."""

TIME_MOST_MS = 253_402_300_800_000
"""The year 10,000."""


class Scope(msgspec.Struct, frozen=True):
    """What of the instance the asker may see. `None` everywhere is the whole of it."""

    organisation: str | None = None
    team: str | None = None
    """With its organisation."""
    key: str | None = None
    """With its organisation: one key's own requests."""


EVERYTHING = Scope()


class Window(msgspec.Struct, frozen=True):
    """A stretch of time, and what of its traffic is meant."""

    from_ms: int
    to_ms: int
    """Not included."""
    name: WindowName | None = None
    """`None` where it was given as two times."""
    simulated: bool = False
    purposes: tuple[Purpose, ...] = BILLED


class Filter(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which requests are listed; `None` is no filter. Texts are compared whole, but for `error`.

    `meaning` turns what people write here (aliases, names of keys, sessions as sent) into what records have.
    """

    simulated: bool = msgspec.field(default_factory=bool)
    """False where nothing is said. A factory, because then it is told in JSON, also where it is the default."""
    from_ms: int | None = None
    to_ms: int | None = None
    purposes: tuple[Purpose, ...] | None = None
    model: str | None = None
    """Its id; or `trimtab/` and a tier or `auto`: requests that asked by this name, refused ones too."""
    arm: str | None = None
    """`model` takes every effort, `model@effort` one; with `+adaptive` only where that thinking was decided."""
    tier: str | None = None
    platform: str | None = None
    key: str | None = None
    """A key's id."""
    team: str | None = None
    organisation: str | None = None
    session: str | None = None
    """As recorded, which is not quite what the client sent; rows have it."""
    tags: tuple[str, ...] | None = None
    """All of them, of `x-trimtab-tags`."""
    result: str | None = None
    """One of `RESULTS`, or `failed` for all but ok and cancelled."""
    status: int | None = None
    error: str | None = None
    """A part of the error's text, upper and lower case alike for ASCII."""
    slower_ms: float | None = None
    """Took at least so long."""
    cost_nanousd: int | None = None
    """Cost at least so much."""
    verdict: str | None = None
    """One of `VERDICTS`: what verifiers came to on the answer that was given; `none`: it was not judged."""
    escalated: str | None = None
    """`true` or `false`: whether it went through several steps of a cascade."""


def window(
    name: WindowName, now_ms: int, *, simulated: bool = False, purposes: tuple[Purpose, ...] = BILLED
) -> Window:
    """The last hour, day, week or month up to now."""
    return Window(now_ms - SPANS_MS[name], now_ms, name, simulated, purposes)


class Question:
    """A query string, read bit by bit; `done` refuses what nobody read."""

    def __init__(self, query: bytes, *, blanks: bool = True) -> None:
        """`blanks`: an empty value is none, as forms send what nobody filled in. Raises `RequestError`."""
        text = query.decode("latin-1")
        try:
            asked = parse_qs(text, keep_blank_values=True, max_num_fields=64, errors="strict")
        except ValueError as problem:
            raise RequestError(f"the query cannot be read: {shortened(str(problem), 80)}") from None
        for name, values in asked.items():
            if len(values) > 1:
                raise RequestError(f"{shortened(name, 80)}: is there {len(values)} times; send it once")
        self._asked = {name: values[0] for name, values in asked.items()}
        self._known: list[str] = []
        self._blanks = blanks

    def text(self, name: str) -> str | None:
        """A text."""
        self._known.append(name)
        value = self._asked.get(name)
        if not value and self._blanks:
            return None
        if value is not None and (not 1 <= len(value) <= TEXT_MOST or "\0" in value):
            raise RequestError(f"{name}: must be text of 1 to {TEXT_MOST} characters, none of them NUL")
        return value

    def texts(self, name: str) -> tuple[str, ...] | None:
        """Texts with commas between them."""
        value = self.text(name)
        return None if value is None else tuple(text for part in value.split(",") if (text := part.strip()))

    def one_of(self, name: str, choices: tuple[str, ...]) -> str | None:
        """One of a few words."""
        value = self.text(name)
        if value is not None and value not in choices:
            raise RequestError(f"{name}: {shortened(value, 80)!r}: must be one of {', '.join(choices)}")
        return value

    def number(self, name: str, least: int, most: int) -> int | None:
        """A whole number within bounds."""
        value = self.text(name)
        if value is None:
            return None
        if (
            not (value.isascii() and value.isdigit())
            or len(value) > len(str(most))
            or not least <= int(value) <= most
        ):
            raise RequestError(
                f"{name}: {shortened(value, 80)!r}: must be a whole number from {least} to {most}"
            )
        return int(value)

    def flag(self, name: str) -> bool:
        """`true` or `false`; nothing is false."""
        return self.one_of(name, ("true", "false")) == "true"

    def purposes(self) -> tuple[Purpose, ...] | None:
        """A list with commas, or `all`."""
        value = self.text("purposes")
        if value is None:
            return None
        if value == "all":
            return PURPOSES
        named = value.split(",")
        chosen = tuple(purpose for purpose in PURPOSES if purpose in named)
        if len(chosen) != len(named):
            raise RequestError(
                f"purposes: {shortened(value, 80)!r}: must be 'all', or some of {', '.join(PURPOSES)} with commas"
            )
        return chosen

    def window(self, now_ms: int) -> Window:
        """`window`, or `from` and `to`; the last day where nothing is said."""
        name = self.one_of("window", tuple(SPANS_MS))
        from_ms, to_ms = self.number("from", 0, TIME_MOST_MS), self.number("to", 1, TIME_MOST_MS)
        simulated, purposes = self.flag("simulated"), self.purposes() or BILLED
        if from_ms is None and to_ms is None:
            chosen: WindowName = name or "day"  # type: ignore[assignment]
            return window(chosen, now_ms, simulated=simulated, purposes=purposes)
        if name is not None:
            raise RequestError("window: send either window, or from and to")
        if from_ms is None:
            raise RequestError("to: needs from, too; both are Unix milliseconds")
        end_ms = now_ms if to_ms is None else to_ms
        if not 0 < end_ms - from_ms <= 400 * DAY_MS:
            raise RequestError("from, to: to must be later than from, by at most 400 days")
        return Window(from_ms, end_ms, None, simulated, purposes)

    def filter(self) -> Filter:
        """All filters of the list."""
        return Filter(
            simulated=self.flag("simulated"),
            from_ms=self.number("from", 0, TIME_MOST_MS),
            to_ms=self.number("to", 1, TIME_MOST_MS),
            purposes=self.purposes(),
            model=self.text("model"),
            arm=self.text("arm"),
            tier=self.text("tier"),
            platform=self.text("platform"),
            key=self.text("key"),
            team=self.text("team"),
            organisation=self.text("organisation"),
            session=self.text("session"),
            tags=self.texts("tags"),
            result=self.one_of("result", (*RESULTS, "failed")),
            status=self.number("status", 100, 599),
            error=self.text("error"),
            slower_ms=self.number("slower_ms", 0, 10**9),
            cost_nanousd=self.number("cost_nanousd", 0, 2**53),
            verdict=self.one_of("verdict", VERDICTS),
            escalated=self.one_of("escalated", ("true", "false")),
        )

    def done(self) -> None:
        """Raises `RequestError` for a parameter that nobody asked for."""
        for name in self._asked:
            if name not in self._known:
                raise RequestError(f"{shortened(name, 80)}: must be one of {', '.join(self._known)}")
