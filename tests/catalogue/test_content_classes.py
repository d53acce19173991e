"""What kind of content a text is taken for, and how many tokens it is estimated to have, class by class."""

import pytest
from class_samples import samples
from content_class_table import table, written
from hypothesis import given
from hypothesis import strategies as st

from trimtab.catalogue.character_kinds import count_kinds, sample
from trimtab.catalogue.content_classes import classify
from trimtab.catalogue.token_tables import ABOUT, DENSITY, FITS
from trimtab.catalogue.tokens import weigh

SAMPLES = samples()
SAME = {"python_types_docstrings": "python_code"}
"""Classes of the reference that are not told apart."""


@pytest.mark.parametrize("name", SAMPLES)
def test_a_text_is_known_by_its_look_and_estimated_within_15_percent_on_both_tokenizers(name: str) -> None:
    text, v3, v47 = SAMPLES[name]  # type: ignore[index]
    weighed = weigh(text.encode())
    assert weighed.content_class == SAME.get(name, name)
    assert weighed.v3 == pytest.approx(v3, rel=0.15)
    assert weighed.v47 == pytest.approx(v47, rel=0.15)


def test_over_all_classes_the_error_is_half_of_that() -> None:
    errors = [
        abs(estimated / counted - 1)
        for text, v3, v47 in SAMPLES.values()
        for estimated, counted in ((weigh(text.encode()).v3, v3), (weigh(text.encode()).v47, v47))
    ]
    assert sum(errors) / len(errors) < 0.075


def test_every_class_has_a_density_a_fit_a_sample_and_a_row_of_the_documentation() -> None:
    assert set(DENSITY) == set(FITS) == set(ABOUT) == set(SAMPLES)
    assert written() == table(), "python tests/support/content_class_table.py writes it"


def test_a_class_stays_where_a_long_text_is_only_sampled() -> None:
    for name in ("english_docs", "python_code", "json_minified", "chinese_simplified", "digits_csv"):
        text = SAMPLES[name].text.encode() * 60
        assert weigh(text).content_class == name
        assert weigh(text, 2048).content_class == name, "as the later texts of a huge request are looked at"


@given(st.binary(max_size=400))
def test_any_bytes_have_a_class(data: bytes) -> None:
    part = sample(data)
    assert classify(part, count_kinds(part)) in FITS
    weighed = weigh(data)
    assert 0 <= weighed.v3 <= len(data)
    assert 0 <= weighed.v47 <= len(data)
