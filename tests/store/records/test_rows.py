"""Columns, rows and tables agree, and writing a thing twice changes nothing."""

from collections.abc import Callable, Iterator

import apsw
import pytest

from trimtab.messages import IterationUsage, Usage
from trimtab.records import Outcome, billed_tokens
from trimtab.store.records import rows
from trimtab.store.records.sqlite_records import insert
from trimtab.store.schema import migrate


@pytest.fixture
def connection() -> Iterator[apsw.Connection]:
    opened = apsw.Connection(":memory:")
    migrate(opened, lambda: 1)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("requests", rows.REQUESTS),
        ("attempts", rows.ATTEMPTS),
        ("judged_attempts", rows.JUDGED),
        ("record_gaps", rows.GAPS),
        ("config_versions", rows.CONFIGS),
    ],
)
def test_every_column_of_a_table_is_filled(
    connection: apsw.Connection, table: str, columns: tuple[str, ...]
) -> None:
    found = connection.execute("SELECT name FROM pragma_table_info(?)", (table,)).fetchall()
    assert {name for (name,) in found} == set(columns)


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 200])
def test_any_number_of_rows_is_inserted_once_however_often_it_is_tried(
    connection: apsw.Connection, make_outcome: Callable[..., Outcome], count: int
) -> None:
    made = [rows.recorded(make_outcome(seed), "{}").request for seed in range(count)]
    gaps: list[rows.Row] = [
        ("w", n, "live", 0, "", "", "", 1, 2, *rows.counts(make_outcome())) for n in range(count)
    ]
    for _ in range(2):
        insert(connection, "requests", rows.REQUESTS, made)
        insert(connection, "record_gaps", rows.GAPS, gaps)
    assert connection.execute("SELECT count(*) FROM requests").get == count
    assert connection.execute("SELECT coalesce(sum(requests), 0) FROM record_gaps").get == count


def test_a_row_says_what_the_record_says(
    connection: apsw.Connection, make_outcome: Callable[..., Outcome]
) -> None:
    record = make_outcome(parent="p", error="overloaded_error")
    insert(connection, "requests", rows.REQUESTS, [rows.recorded(record, "{}").request])
    insert(connection, "attempts", rows.ATTEMPTS, rows.recorded(record, "{}").attempts)
    assert connection.execute(
        "SELECT model, effort, platform, session, parent, error, simulated, cost_nanousd, input_tokens FROM requests"
    ).fetchall() == [
        ("claude-sonnet-4-6", "medium", "claude", "session-1", "p", "overloaded_error", 0, 450_000, 100)
    ]
    assert connection.execute(
        "SELECT request_id, n, platform, status, cost_source, output_tokens FROM attempts"
    ).fetchall() == [(record.id, 0, "claude", 200, "reported", 10)]


def test_iterations_that_name_fewer_tokens_than_the_top_level_hide_nothing() -> None:
    odd = Usage(input_tokens=1000, output_tokens=500, iterations=[IterationUsage(input_tokens=0)])
    assert billed_tokens(odd) == (1000, 0, 0, 0, 500, 0)
    compacted = Usage(
        input_tokens=100,
        output_tokens=50,
        iterations=[IterationUsage(input_tokens=900), IterationUsage(output_tokens=60)],
    )
    assert billed_tokens(compacted) == (900, 0, 0, 0, 60, 0)
