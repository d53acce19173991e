"""The tables of docs/effort.md are what happens."""

import pytest
from effort_table import TABLES, written


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_the_page_is_made_from_what_is_done(name: str) -> None:
    assert written(name) == TABLES[name](), (
        "PYTHONPATH=src:tests/support python tests/support/effort_table.py writes it"
    )
