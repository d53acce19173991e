"""The page lists the cases that there are."""

import parity_table


def test_the_table_of_cases_is_that_of_the_data() -> None:
    assert parity_table.PAGE.read_text(encoding="utf-8") == parity_table.page_with(parity_table.table()), (
        "run python tests/support/parity_table.py"
    )
