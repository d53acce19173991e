"""What is left of a rate limit, as platforms tell it in the heads of their answers, and until when one is reached.

What it is not: the limits of callers' keys (`budgets`). The bytes are a stranger's: what cannot be read is as if it had
not been said. Invariants: nothing here raises; of two deadlines the later one holds; no deadline is more than an hour
away, whatever a head says.

Source: vendor page on rate limits (2026-11): `anthropic-ratelimit-KIND-{limit,remaining,reset}`, where reset (RFC 3339)
is when the limit is whole again and fills up steadily until then; `retry-after` in seconds. RFC 9110 10.2.3: seconds or
a date. `retry-after-ms`: the vendor's SDK reads it first. OpenAI's guide on rate limits (2026-10):
`x-ratelimit-{limit,remaining,reset}-KIND`, where reset is a time to wait as `6m0s` or `20ms`; Azure writes seconds.
"""

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from email.utils import parsedate_to_datetime

import msgspec

LONGEST_S = 3600.0
"""A deadline further away is taken for this: a slip of a platform must not take it away for a day."""
FIRST_S = 1.0
MOST_S = 30.0
"""Without `retry-after`: a second, then twice as long each time, to 30 s."""
JITTER_S = 1.0
"""A wait is up to a tenth longer, at most so much, so that processes do not come back together."""
MAX_DIGITS = 15
"""Of a figure that is believed."""
UNTOLD_FULL_S = 60.0
"""When a limit is taken to be whole again where the head does not say: they are limits per minute."""

Head = Mapping[bytes, bytes] | Sequence[tuple[bytes, bytes]]
"""Headers of an answer, names in lower case."""

_UNITS = {b"h": 3600.0, b"m": 60.0, b"s": 1.0, b"ms": 0.001}


class Remaining(msgspec.Struct, frozen=True):
    """One limit as a head told it."""

    kind: str
    """`requests`, `tokens`, `input-tokens`, `output-tokens`, or another word of the platform's."""
    limit: int
    remaining: int
    full_in_s: float
    """From the answer on, until the whole limit is there again."""


def read_limits(headers: Head, unix_s: float) -> tuple[Remaining, ...]:
    """The limits that the head of an answer tells of; `unix_s` is the wall clock's time of the answer.

    Cost: 2 us where there are none, 30 us for four kinds.
    """
    found: dict[bytes, dict[bytes, bytes]] = {}
    date: bytes | None = None
    for name, value in _pairs(headers):
        if name.startswith(b"anthropic-ratelimit-"):
            kind, _, what = name[20:].rpartition(b"-")
        elif name.startswith(b"x-ratelimit-"):
            what, _, kind = name[12:].partition(b"-")
        else:
            if name == b"date":
                date = value
            continue
        if what in (b"limit", b"remaining", b"reset") and 0 < len(kind) <= 40:
            found.setdefault(kind, {}).setdefault(what, value)
    limits: list[Remaining] = []
    for kind, told in found.items():
        limit, remaining = _count(told.get(b"limit")), _count(told.get(b"remaining"))
        if limit is None or remaining is None or limit == 0:
            continue
        # By the clock of the platform, which wrote both, where it says its own time.
        full_in_s = _wait(told.get(b"reset"), date, unix_s)
        limits.append(
            Remaining(
                kind.decode("latin-1"),
                limit,
                min(remaining, limit),
                UNTOLD_FULL_S if full_in_s is None else full_in_s,
            )
        )
    return tuple(limits)


def retry_after(headers: Head, unix_s: float) -> float | None:
    """Seconds that the platform asks to wait, 0 to an hour; `None` where it does not say."""
    seconds: bytes | None = None
    date: bytes | None = None
    for name, value in _pairs(headers):
        if name == b"retry-after-ms":
            wait_ms = _decimal(value.strip())
            if wait_ms is not None:
                return min(wait_ms / 1000, LONGEST_S)
        elif name == b"retry-after" and seconds is None:
            seconds = value
        elif name == b"date":
            date = value
    return _wait(seconds, date, unix_s)


class Bucket:
    """The rate limit of one account that one model has, or several share. Used on the event loop only."""

    __slots__ = ("_delay", "_jitter", "_told", "_told_at", "_unix_s", "_unread", "_unread_at", "until")

    def __init__(self, jitter: Callable[[], float], unix_s: Callable[[], float]) -> None:
        self.until = -1e18
        """No call should go out before this time of the monotonic clock."""
        self._jitter = jitter
        self._unix_s = unix_s
        self._delay = 0.0
        self._told: tuple[Remaining, ...] = ()
        self._told_at = -1e18
        self._unread: Head | None = None
        self._unread_at = -1e18

    def away(self, now: float) -> str | None:
        """Why no call should go out now; `None` where one may."""
        if now >= self.until:
            return None
        return f"its rate limit is reached; tried again in {self.until - now:.0f} s"

    def limited(self, now: float, retry_after_s: float | None) -> None:
        """A call was refused for the limit. The later of two deadlines holds: this never shortens one."""
        if retry_after_s is None or not retry_after_s >= 0:  # so written that nan is none
            if now >= self.until:  # those that were refused together count once
                self._delay = min(max(2 * self._delay, FIRST_S), MOST_S)
            retry_after_s = self._delay or FIRST_S
        wait = min(retry_after_s, LONGEST_S)
        self.until = max(self.until, now + wait + self._jitter() * min(wait / 10, JITTER_S))

    def answered(self) -> None:
        """A call was not refused: the next wait without `retry-after` is a short one again."""
        self._delay = 0.0

    def told(self, headers: Head, at: float) -> None:
        """The head of an answer that came at `at`. It is read when somebody asks: nothing is done here."""
        if at >= self._unread_at:
            self._unread_at = at
            self._unread = headers

    def left(self, now: float) -> tuple[Remaining, ...]:
        """What is left by now: as told last, filled up steadily since."""
        told = self._read(now)
        return tuple(
            msgspec.structs.replace(
                one, remaining=_filled(one, now - self._told_at), full_in_s=_rest(one, now - self._told_at)
            )
            for one in told
        )

    def room(self, now: float) -> float | None:
        """The part of the limit that is left, 0 to 1, of the kind of which least is; `None` where nothing was told."""
        told = self._read(now)
        if not told:
            return None
        age = now - self._told_at
        return min(_filled(one, age) / one.limit for one in told)

    def _read(self, now: float) -> tuple[Remaining, ...]:
        if self._unread is not None:
            limits = read_limits(self._unread, self._unix_s() - (now - self._unread_at))
            self._unread = None
            if limits:  # an answer without them, as one of a proxy, tells nothing
                self._told, self._told_at = limits, self._unread_at
        return self._told


def _pairs(headers: Head) -> Iterable[tuple[bytes, bytes]]:
    return headers.items() if isinstance(headers, Mapping) else headers


def _filled(one: Remaining, age: float) -> int:
    if age >= one.full_in_s:
        return one.limit
    return one.remaining + int((one.limit - one.remaining) * max(age, 0.0) / one.full_in_s)


def _rest(one: Remaining, age: float) -> float:
    return max(one.full_in_s - max(age, 0.0), 0.0)


def _wait(text: bytes | None, date: bytes | None, unix_s: float) -> float | None:
    """Seconds, `6m0s`, RFC 3339 or the date of HTTP as seconds to wait."""
    if text is None or len(text) > 64:
        return None
    text = text.strip()
    wait = _duration(text)
    if wait is None:
        at = _moment(text)
        if at is None:
            return None
        told = _moment(date.strip()) if date is not None and len(date) <= 64 else None
        wait = at - (unix_s if told is None else told)
    return min(max(wait, 0.0), LONGEST_S)


def _duration(text: bytes) -> float | None:
    """`20`, `1.5`, `20ms`, `1h2m3.5s`."""
    plain = _decimal(text)
    if plain is not None:
        return plain
    total, number, unit = 0.0, b"", b""
    for at in range(len(text) + 1):
        char = text[at : at + 1]
        if char and char in b"0123456789." and not unit:
            number += char
            continue
        if char and char.isalpha():
            unit += char
            continue
        # The end, or the next number.
        value, seconds = _decimal(number), _UNITS.get(unit)
        if value is None or seconds is None:
            return None
        total += value * seconds
        number, unit = char, b""
    return total


def _moment(text: bytes) -> float | None:
    """Seconds since 1970."""
    try:
        shown = text.decode("ascii")
        moment = datetime.datetime.fromisoformat(shown) if text[4:5] == b"-" else parsedate_to_datetime(shown)
        if moment.tzinfo is None:  # "-0000", or none at all: RFC 9110 dates are UTC
            moment = moment.replace(tzinfo=datetime.UTC)
        return moment.timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _decimal(text: bytes) -> float | None:
    whole, _, part = text.partition(b".")
    if not whole.isdigit() or not (part.isdigit() or text == whole) or len(text) > MAX_DIGITS:
        return None
    return float(text)


def _count(text: bytes | None) -> int | None:
    if text is None:
        return None
    text = text.strip()
    return int(text) if text.isdigit() and len(text) <= MAX_DIGITS else None
