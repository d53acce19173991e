"""What the figures answer: data for the pages, and as JSON the same.

What it is not: text for people; money is nano-dollars, times are milliseconds, names are as recorded.
Invariant: every struct here goes into JSON as it is, so a page has nothing that its JSON lacks.
"""

import msgspec

from trimtab.console.questions import Dimension, Filter, Window
from trimtab.records import Outcome, Says
from trimtab.store import TokenCounts


class Sums(msgspec.Struct, frozen=True):
    """Figures of some requests together."""

    requests: int = 0
    errors: int = 0
    """Results error, truncated and unknown. Not `cancelled`, and not records of which only totals were kept."""
    cost_nanousd: int = 0
    tokens: TokenCounts = TokenCounts()
    p50_ms: float | None = None
    """From arrival to the end of the answer; whole and truncated answers only, within 4.5 %. `None`: there is none."""
    p95_ms: float | None = None
    first_p50_ms: float | None = None
    """From sending to the first content; streams only."""
    first_p95_ms: float | None = None


class TokenSeries(msgspec.Struct, frozen=True):
    """Tokens by kind, bucket by bucket. Fields as in `TokenCounts`."""

    input: tuple[int, ...]
    cache_write_5m: tuple[int, ...]
    cache_write_1h: tuple[int, ...]
    cache_read: tuple[int, ...]
    output: tuple[int, ...]
    thinking: tuple[int, ...]


class Series(msgspec.Struct, frozen=True):
    """Figures over time: one entry for each of the overview's `starts_ms`. Fields as in `Sums`."""

    requests: tuple[int, ...]
    errors: tuple[int, ...]
    cost_nanousd: tuple[int, ...]
    tokens: TokenSeries
    p50_ms: tuple[float | None, ...]
    p95_ms: tuple[float | None, ...]
    first_p50_ms: tuple[float | None, ...]
    first_p95_ms: tuple[float | None, ...]


class Group(msgspec.Struct, frozen=True):
    """One line of a chart and of the table below it."""

    name: str
    """As recorded: what a filter of the list takes. Empty: the requests that have none."""
    label: str
    """For people: the name of a key for its id; `(none)` for nothing. Text from outside: escape it."""
    organisation: str | None
    """Whose team or key it is; `None` for other dimensions."""
    other: bool
    """All that are not among the first, together; `name` is empty then."""
    sums: Sums
    series: Series


class Freshness(msgspec.Struct, frozen=True):
    """How far the figures go."""

    now_ms: int
    """When they were read, by this server's clock. A request counts when it has ended and is written: within about
    0.2 s, later while the store is behind."""
    waiting: int
    """Requests that ended and are not written yet, so not in the figures; of this server process only."""
    missing_from_ms: int | None = None
    """Where some of the window is not worked out yet (after an upgrade): it begins here ..."""
    missing_to_ms: int | None = None
    """... and ends here. Nothing in between is in the figures."""


class Overview(msgspec.Struct, frozen=True):
    """Requests, money, tokens, times and errors over time."""

    window: Window
    """Moved to whole buckets, so that no bar is shorter than it looks, except the last one."""
    bucket_ms: int
    starts_ms: tuple[int, ...]
    """The beginning of each bucket, UTC."""
    whole: Group
    by: Dimension | None
    groups: tuple[Group, ...]
    """The largest first, by requests; at the end the others together, if there are any."""
    before: Sums | None
    """The same length of time before the window; `None`: not known whole."""
    other_side: int
    """Requests in the window on the other side: simulated where real ones are shown, real where simulated ones are."""
    freshness: Freshness
    filter: Filter
    """Which requests are counted."""
    hint: str | None = None
    """What to ask for instead, where nothing fits but would on the other side of real and simulated."""


class GivenAgain(msgspec.Struct, frozen=True):
    """How often an earlier answer was asked for, and given, in a window; see docs/cache.md."""

    from_ms: int
    """Counted by whole hours, UTC: since this one's beginning, up to the end of the window's last one."""
    hits: int
    misses: int
    saved_nanousd: int
    """What the answers that were given again cost the first time."""


class RequestRow(msgspec.Struct, frozen=True):
    """One request in a list."""

    id: str
    at_ms: int
    purpose: str
    endpoint: str
    requested_model: str
    arm: str
    """Empty: it was refused before there was a decision."""
    tier: str
    platform: str
    session: str
    result: str
    status: int
    error: str | None
    stream: bool
    simulated: bool
    attempts: int
    cost_nanousd: int
    input_tokens: int
    """With those written to and read from the cache."""
    output_tokens: int
    total_ms: float
    first_content_ms: float | None
    key: str
    key_name: str
    """Empty: no key, or one that is not known."""
    team: str
    organisation: str
    parent: str | None
    began_with: str
    """The arm that was called first, where another one answered, which is `arm`; else empty."""
    steps: int
    """Rungs that were called; more than one: it was escalated."""
    says: Says | None
    """What the verifiers said of the answer that was given; `None`: nobody judged it."""
    checks_nanousd: int
    """What the calls of verifiers cost, besides `cost_nanousd`."""


class RequestPage(msgspec.Struct, frozen=True):
    """Some requests, the newest first."""

    filter: Filter
    """As it was understood: ids of models and keys, sessions as recorded."""
    rows: tuple[RequestRow, ...]
    next: str | None
    """Where the following page begins; `None`: there is nothing more."""
    searched_to_ms: int | None
    """How far back was looked, where the page is short because that took long; `next` searches on from there."""
    freshness: Freshness
    hint: str | None = None
    """As in `Overview`."""


class Bar(msgspec.Struct, frozen=True):
    """One stretch of a timing bar, in milliseconds from arrival."""

    attempt: int | None
    """Counts from 0; `None` is our own work."""
    kind: str
    """`gateway`: read, decide, reserve, and between attempts. `head`: until the platform's head. `content`: until the
    first content. `rest`: until the end. `check`: a verifier's, of the attempt's answer."""
    from_ms: float
    to_ms: float
    verifier: str = ""
    """Whose check it is."""


class Relative(msgspec.Struct, frozen=True):
    """A request beside this one."""

    id: str
    at_ms: int
    purpose: str
    arm: str
    result: str
    cost_nanousd: int


class Story(msgspec.Struct, frozen=True):
    """Everything that is known of one request."""

    record: Outcome
    """The record itself: plan and reasons, attempts, adaptations, tokens and their source, versions."""
    tokens: TokenCounts
    """All attempts together."""
    attempt_tokens: tuple[TokenCounts, ...]
    bars: tuple[Bar, ...]
    key_name: str
    config_at_ms: int | None
    """When its configuration was put in force first; `None`: what it said was not kept."""
    parent: Relative | None
    children: tuple[Relative, ...]
    """At most 100."""
    previous: Relative | None
    """Of the same session."""
    following: Relative | None
    freshness: Freshness


class LiveMinute(msgspec.Struct, frozen=True):
    """The last minute, in stretches of `bucket_ms`."""

    bucket_ms: int
    starts_ms: tuple[int, ...]
    sums: Sums
    series: Series


class Live(msgspec.Struct, frozen=True):
    """What happens now."""

    state: str
    """Changes when anything else here but times does."""
    minute: LiveMinute
    rows: tuple[RequestRow, ...]
    """The newest by arrival."""
    freshness: Freshness
