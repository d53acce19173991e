"""The one form in which people read dollars."""

import ast
import re
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import trimtab
from trimtab.catalogue.money import NANO, about_dollars, dollars, price

FORM = re.compile(r"-?\$(0|[1-9][0-9]{0,2}(,[0-9]{3})*)(\.[0-9]{2}|\.[0-9]{2,8}[1-9])?")

AMOUNTS = st.one_of(st.integers(-(10**20), 10**20), st.integers(-(10**10), 10**10))


def read(text: str) -> int:
    """Nano-dollars, as a person would type them in again."""
    exact = Decimal(text.replace("$", "").replace(",", "")) * NANO
    assert exact == int(exact)
    return int(exact)


@pytest.mark.parametrize(
    ("nanousd", "exact", "about"),
    [
        (0, "$0", "$0"),
        (1, "$0.000000001", "$0.000000001"),
        (-5, "-$0.000000005", "-$0.000000005"),
        (14_295_000, "$0.014295", "$0.0143"),
        (20_000_000, "$0.02", "$0.02"),
        (999_999_999, "$0.999999999", "$1.00"),
        (20 * NANO, "$20", "$20"),
        (25_500_000_000, "$25.50", "$25.50"),
        (99_999_900_000, "$99.9999", "$100.00"),
        (1_230_400_000, "$1.2304", "$1.23"),
        (1_234_567_890_123, "$1,234.567890123", "$1,234.57"),
        (-2_000_000_400_000_000, "-$2,000,000.40", "-$2,000,000.40"),
        (10**18 + 1, "$1,000,000,000.000000001", "$1,000,000,000.00"),
    ],
)
def test_an_amount_reads_the_same_wherever_it_stands(nanousd: int, exact: str, about: str) -> None:
    assert (dollars(nanousd), about_dollars(nanousd)) == (exact, about)


@given(AMOUNTS)
def test_an_exact_amount_can_be_typed_in_again_to_the_nano_dollar(nanousd: int) -> None:
    assert FORM.fullmatch(dollars(nanousd))
    assert read(dollars(nanousd)) == nanousd


@given(AMOUNTS, st.integers(2, 6))
def test_a_rounded_amount_is_off_by_half_of_its_last_digit_or_half_a_cent_and_looks_exact_only_where_it_is(
    nanousd: int, digits: int
) -> None:
    said = about_dollars(nanousd, digits)
    off = abs(read(said) - nanousd)
    assert FORM.fullmatch(said)
    assert 2 * off <= NANO // 100
    assert 2 * off * 10 ** (digits - 1) <= abs(nanousd)
    assert "." in said or off == 0
    assert (read(said) == 0) == (nanousd == 0)


@given(AMOUNTS, AMOUNTS)
def test_of_two_rounded_amounts_the_larger_one_never_reads_as_the_smaller(one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert read(about_dollars(low)) <= read(about_dollars(high))


@given(st.floats(-1e12, 1e12))
def test_an_estimate_has_no_more_digits_than_a_nano_dollar_and_no_minus_before_nothing(
    nanousd: float,
) -> None:
    assert about_dollars(nanousd) == about_dollars(round(nanousd))
    assert about_dollars(-0.4) == "$0"


def test_a_price_of_the_catalogue_is_exact() -> None:
    assert [price(Decimal(text)) for text in ("3", "0.30", "18.75", "0.000001", "1E+2")] == [
        "$3",
        "$0.30",
        "$18.75",
        "$0.000001",
        "$100",
    ]


def test_no_other_place_writes_an_amount_of_dollars_in_a_form_of_its_own() -> None:
    house = Path(trimtab.__file__).parent
    found = []
    for path in sorted(house.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if not any(sign in text for sign in ("${", "} USD", "} dollars")):
            continue  # no need to parse it
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.JoinedStr) and any(
                (
                    isinstance(one, ast.Constant)
                    and isinstance(other, ast.FormattedValue)
                    and str(one.value).endswith("$")
                )
                or (
                    isinstance(one, ast.FormattedValue)
                    and isinstance(other, ast.Constant)
                    and str(other.value).startswith((" USD", " dollars"))
                )
                for one, other in pairwise(node.values)
            ):
                found.append(f"{path.relative_to(house)}:{node.lineno}")
    found += [str(path) for path in house.rglob("*.html") if "${{" in path.read_text(encoding="utf-8")]
    assert [place for place in found if not place.startswith("catalogue/money.py")] == []
    assert found, "the search finds what it is made for"
