"""What an operator says of any platform entry: read exactly, for every kind, and refused in words where it cannot be meant."""

import datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.app import load_settings
from trimtab.errors import ConfigError
from trimtab.providers.terms import Commitment, Terms, check_terms

KINDS = {
    "anthropic": "api_key = 'env:SOME_KEY'",
    "anthropic_on_aws": "region = 'eu-west-1'",
    "bedrock": "region = 'eu-west-1'",
    "foundry": "resource = 'r'",
    "openai": "base_url = 'http://127.0.0.1:1/v1'\nmodels = {}",
    "simulator": "",
    "vertex": "region = 'global'",
}


def read(text: str, folder: Path, kind: str = "simulator") -> Terms:
    file = folder / "trimtab.toml"
    file.write_text(f"version = 1\n[platforms.x]\nkind = '{kind}'\n{KINDS[kind]}\n{text}")
    return load_settings(file).platforms["x"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_platform_has_the_same_terms(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_KEY", "k")
    terms = read(
        "weight = 3\ndata_region = 'eu'\nhardware = 'trainium'\nonline_from = 2026-12-24\ndiscount_percent = 12.5\n"
        "commitment = {usd = 100000, from = 2026-01-01, until = 2026-12-31}",
        tmp_path,
        kind,
    )
    assert (terms.weight, terms.data_region, terms.hardware) == (3.0, "eu", "trainium")
    assert terms.online_from == datetime.date(2026, 12, 24)
    assert terms.discount == Decimal("0.125")
    assert terms.commitment == Commitment(
        usd=Decimal(100000), starts=datetime.date(2026, 1, 1), until=datetime.date(2026, 12, 31)
    )
    assert terms.commitment.nanousd == 10**14


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_that_says_nothing_has_no_terms(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_KEY", "k")
    terms = read("", tmp_path, kind)
    assert (terms.weight, terms.data_region, terms.hardware, terms.online_from) == (1.0, None, None, None)
    assert terms.commitment is None
    assert terms.discount == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("weight = 0", "weight: 0.0: must be greater than 0 and at most 1000"),
        ("weight = nan", "weight: nan: must be greater than 0"),
        ("weight = 1e9", "weight: 1000000000.0: must be greater than 0 and at most 1000"),
        ("weight = 'two'", "weight: 'two': must be a number, not text"),
        ("data_region = 'the moon'", "data_region: 'the moon': must be 1 to 40 letters, digits"),
        ("data_region = ''", "data_region: '': must be 1 to 40"),
        ("hardware = \"a\\u0007b\"", "must be 1 to 40 printable characters, as 'trainium', 'tpu' or 'nvidia'"),
        ("hardware = ' tpu'", "hardware: ' tpu': must be 1 to 40"),
        ("online_from = 'soon'", "online_from: 'soon': must be a date"),
        ("online_from = 2026-12-24T10:00:00Z", "must be a date, not a date and time"),
        ("discount_percent = 100", "discount_percent: '100': must be from 0 to less than 100 percent"),
        ("discount_percent = -1", "discount_percent: '-1': must be from 0"),
        ("discount_percent = nan", "must be from 0 to less than 100 percent"),
        ("discount_percent = 'sNaN'", "must be from 0 to less than 100 percent"),
        ("discount_percent = 1.00001", "with at most 4 decimals"),
        ("discount_percent = true", "discount_percent: true: must be a number, not true or false"),
        ("commitment = 5", "commitment: 5: must be a table"),
        ("commitment = {from = 2026-01-01, until = 2026-12-31}", "platforms.x.commitment.usd: missing"),
        ("commitment = {usd = 0, from = 2026-01-01, until = 2026-12-31}", "commitment.usd: '0': must be a sum"),
        ("commitment = {usd = inf, from = 2026-01-01, until = 2026-12-31}", "commitment.usd: 'Infinity': must be"),
        ("commitment = {usd = 1.234, from = 2026-01-01, until = 2026-12-31}", "in whole cents"),
        ("commitment = {usd = 1, until = 2026-12-31}", "platforms.x.commitment.from: missing"),
        (
            "commitment = {usd = 1, from = 2026-01-02, until = 2026-01-01}",
            "commitment.until: '2026-01-01': is before its first day, 2026-01-02",
        ),
        ("commitment = {usd = 1, from = 2026-01-02, until = 2026-01-03, eur = 1}", "platforms.x.commitment.eur: nothing"),
        ("wieght = 1", "platforms.x.wieght: nothing in this version reads this setting; remove it; did you mean 'weight'?"),
    ],
)  # fmt: skip
def test_terms_that_cannot_be_meant_are_refused_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as problem:
        read(text, tmp_path)
    assert message in str(problem.value)
    assert str(problem.value).startswith("trimtab.toml: platforms.x.")
    assert len(str(problem.value)) < 400
    assert "\n" not in str(problem.value)


def test_a_commitment_of_one_day_is_one(tmp_path: Path) -> None:
    terms = read("commitment = {usd = 0.01, from = 2026-01-01, until = 2026-01-01}", tmp_path)
    assert terms.commitment is not None
    assert terms.commitment.nanousd == 10**7


@given(st.integers(0, 999_999))
def test_the_discount_is_the_figure_that_was_written_and_no_binary_fraction(ten_thousandths: int) -> None:
    written = Decimal(ten_thousandths).scaleb(-4)
    terms = Terms(discount_percent=Decimal(repr(float(written))))
    check_terms(terms, str)
    assert Fraction(terms.discount) == Fraction(ten_thousandths, 1_000_000)
    assert 0 <= terms.discount < 1
