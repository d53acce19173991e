"""What docs/normaliser.md shows is what happens."""

import json
import re

from normaliser_drive import headers_of, normalised
from normaliser_table import PAGE, table, written


def test_the_table_of_rules_is_that_of_the_rules() -> None:
    assert written() == table(), "python tests/support/normaliser_table.py writes it"


def test_the_example_is_adapted_as_the_page_says() -> None:
    text = PAGE.read_text()
    [example] = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    request = {**json.loads(example), "model": "claude-opus-4-7"}
    result = normalised(json.dumps(request).encode(), headers_of())
    [said] = re.findall(r"`x-trimtab-adaptations: (.*?)`", text, re.DOTALL)
    assert list(result.adaptations) == re.split(r",\s+", said)
