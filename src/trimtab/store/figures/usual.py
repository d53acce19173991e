"""What calls usually come to, by model, effort and class of work: what nine of ten of them wrote at the most, what a
byte of their requests came to as input, and what they cost on average.

What it is not: a table that says what effort buys (`efforts`), or the use of these figures (`budgets.expected`).
Invariants: whole answers of one attempt only, or of the first step of a cascade; real and simulated calls are never in
one figure; a figure is there only where `CONVERSATIONS_MIN` conversations stand behind it.
"""

from collections.abc import Iterator, Sequence

import msgspec

from trimtab.store.database import Transaction
from trimtab.store.records.rows import BILLED

EVERY_CLASS = "*"
"""As a class: of all classes together. No scenario has this name."""

QUANTILE_PERCENT = 90
"""Calls come to no more than the figure, of a hundred."""

CONVERSATIONS_MIN = 20
"""As of figures of effort tables: of fewer, the ninth of ten is chance."""

RECORDS_MOST = 20_000
"""The newest so many are looked at: 0.3 s of CPU for SQLite, and one view of it that is held for so long."""

OLD_MS = 28 * 86_400_000
"""Older calls say nothing."""


class UsualCall(msgspec.Struct, frozen=True, kw_only=True):
    """One model, effort and class. Integers throughout."""

    model: str
    effort: str
    """Empty where none was set: the model's default."""
    task_class: str
    """Empty: calls of no class; `EVERY_CLASS`: of all."""
    calls: int
    conversations: int
    output_tokens: int
    """Nine of ten calls wrote so many at the most, thinking included."""
    most_output_tokens: int
    """What any of them wrote."""
    input_permille: int
    """Nine of ten came to so many input tokens, cached or not, for 1,000 bytes of request, at the most."""
    cost_nanousd: int
    """The mean."""
    at_ms: int
    """When it was worked out."""


_ASKED = "simulated, purpose, endpoint, task_class, task, session, request_bytes"
_TAKEN = "input_tokens + {0}cache_write_5m_tokens + {0}cache_write_1h_tokens + {0}cache_read_tokens AS taken"
_CALLED = f"SELECT {_ASKED}, model, coalesce(effort, '') AS effort, output_tokens, cost_nanousd, {_TAKEN.format('')}"
_FIRST_STEP = (
    f"SELECT {', '.join(f'r.{name}' for name in _ASKED.split(', '))}, j.model, j.effort, a.output_tokens, "  # noqa: S608
    f"a.cost_nanousd, a.{_TAKEN.format('a.')} FROM newest r "
    "JOIN judged_attempts j ON j.request_id = r.id AND j.n = 0 AND j.result = 'ok' "
    "JOIN judged_attempts k ON k.request_id = r.id AND k.n = 1 AND k.step > 0 "
    "JOIN attempts a ON a.request_id = r.id AND a.n = 0 WHERE r.attempt_count > 1"
)
"""A cascade's first call, where it was one: of calls whose answers are checked it would else be only those that passed.
Later steps are left out, for they see the harder requests."""


def usual_calls(view: Transaction) -> dict[bool, list[UsualCall]]:
    """Of the newest records, real and simulated calls, by model, effort and class, and of all classes together."""
    found: dict[bool, list[UsualCall]] = {False: [], True: []}
    for task_class in ("task_class", f"'{EVERY_CLASS}'"):
        for simulated, usual in _usual(view, task_class):
            found[simulated].append(usual)
    return found


def _usual(view: Transaction, task_class: str) -> Iterator[tuple[bool, UsualCall]]:
    now_ms = view.now_ms()
    purposes = ", ".join(f"'{purpose}'" for purpose in BILLED)
    group = "simulated, model, effort, class"
    # Bounded by records, whatever they are of: a store without any simulated call is not searched through for one.
    # Ids begin with the moment of their request (`records.ids`).
    rows = view.rows(
        f"WITH newest AS (SELECT * FROM requests WHERE id >= ? ORDER BY id DESC LIMIT {RECORDS_MOST}), "  # noqa: S608 (our own names)
        f"calls AS ({_CALLED} FROM newest WHERE attempt_count = 1 AND result = 'ok' AND model IS NOT NULL "
        f"UNION ALL {_FIRST_STEP}), "
        f"usual AS (SELECT simulated, model, effort, {task_class} AS class, output_tokens, "
        "1000 * taken / request_bytes AS permille, cost_nanousd, "
        "CASE WHEN task <> '' THEN task ELSE session END AS conversation "
        f"FROM calls WHERE purpose IN ({purposes}) AND endpoint <> 'count_tokens' "
        "AND output_tokens > 0 AND request_bytes > 0), "
        f"ranked AS (SELECT *, row_number() OVER (PARTITION BY {group} ORDER BY output_tokens) AS by_output, "
        f"row_number() OVER (PARTITION BY {group} ORDER BY permille) AS by_input, "
        f"count(*) OVER (PARTITION BY {group}) AS among FROM usual) "
        f"SELECT {group}, count(*), count(DISTINCT conversation), "
        f"max(CASE WHEN 100 * (by_output - 1) < {QUANTILE_PERCENT} * among THEN output_tokens END), "
        f"max(output_tokens), "
        f"max(CASE WHEN 100 * (by_input - 1) < {QUANTILE_PERCENT} * among THEN permille END), "
        "CAST(sum(cost_nanousd) AS BIGINT) / count(*) "
        f"FROM ranked GROUP BY {group} HAVING count(DISTINCT conversation) >= {CONVERSATIONS_MIN}",
        (f"{max(now_ms - OLD_MS, 0):012x}",),
    )
    for simulated, model, effort, name, calls, conversations, output, most, permille, cost in rows:
        yield (
            bool(simulated),
            UsualCall(
                model=model,
                effort=effort,
                task_class=name,
                calls=calls,
                conversations=conversations,
                output_tokens=output,
                most_output_tokens=most,
                input_permille=permille,
                cost_nanousd=cost,
                at_ms=now_ms,
            ),
        )


def with_earlier(newest: Sequence[UsualCall], earlier: Sequence[UsualCall], now_ms: int) -> list[UsualCall]:
    """The newest figures, and earlier ones of which the newest calls say nothing, until they are old: what is seldom
    called is not forgotten because something else is called often."""
    kept = {_place(one): one for one in earlier if one.at_ms >= now_ms - OLD_MS}
    kept |= {_place(one): one for one in newest}
    return [kept[place] for place in sorted(kept)]


def _place(one: UsualCall) -> tuple[str, str, str]:
    return one.model, one.effort, one.task_class
