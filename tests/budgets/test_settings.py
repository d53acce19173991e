"""`[budgets.NAME]`: what can be meant is taken, what cannot is named with its place."""

from decimal import Decimal
from pathlib import Path

import pytest

from trimtab.app import load_settings
from trimtab.budgets.settings import webhook_of, webhook_shown
from trimtab.errors import ConfigError
from trimtab.records import Scope


def budgets(text: str, folder: Path):  # type: ignore[no-untyped-def]
    file = folder / "trimtab.toml"
    file.write_text("version = 1\n" + text)
    return load_settings(file).budgets


def test_a_table_without_anybody_is_the_budget_of_the_team_of_its_name(tmp_path: Path) -> None:
    ((name, budget),) = budgets("[budgets.team-a]\nusd_per_month = 500\n", tmp_path).items()
    assert budget.whose(name) == ("team", "team-a")
    (one,) = budget.budgets(name, Scope("team", "team-a", "default"))
    assert (one.name, one.meter, one.period, one.limit) == (
        "team-a.usd_per_month", "usd", "month", 500_000_000_000,
    )  # fmt: skip
    assert (one.hard, one.warn_percent) == (True, 80)


def test_each_limit_is_one_of_its_own_and_money_is_exact(tmp_path: Path) -> None:
    found = budgets(
        "[budgets.b]\norganisation = 'acme'\nuser = 'ann'\nusd_per_day = 0.1\nusd_total = 0.000000001\n"
        "tokens_per_day = 2_000_000\ninput_tokens_per_minute = 7\noutput_tokens_per_month = 8\n"
        "requests_per_minute = 60\nconcurrency = 3\nwarn_percent = 50\n",
        tmp_path,
    )["b"]
    assert found.whose("b") == ("user", "ann")
    assert [(line.field, line.limit) for line in found.lines] == [
        ("usd_per_day", 100_000_000), ("usd_total", 1), ("tokens_per_day", 2_000_000), ("input_tokens_per_minute", 7),
        ("output_tokens_per_month", 8), ("requests_per_minute", 60), ("concurrency", 3),
    ]  # fmt: skip
    assert found.usd_per_day == Decimal("0.1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[budgets.a]\nusd_per_month = -1", "trimtab.toml: budgets.a.usd_per_month: -1: must be an amount of US dollars above 0"),
        ("[budgets.a]\nusd_per_month = 0", "trimtab.toml: budgets.a.usd_per_month: 0: must be an amount of US dollars above 0"),
        ("[budgets.a]\nusd_per_month = nan", "trimtab.toml: budgets.a.usd_per_month: NaN: must be an amount of US dollars"),
        ("[budgets.a]\nusd_per_month = inf", "budgets.a.usd_per_month: Infinity: must be an amount of US dollars"),
        ("[budgets.a]\nusd_total = 0.0000000001", "budgets.a.usd_total: 1E-10: must be an amount of US dollars"),
        ("[budgets.a]\nusd_total = 1e10", "budgets.a.usd_total: 10000000000.0: must be an amount"),
        ("[budgets.a]\nusd_per_month = 'lots'", "trimtab.toml: budgets.a.usd_per_month: 'lots': must be a number"),
        ("[budgets.a]\nusd_per_month = true", "trimtab.toml: budgets.a.usd_per_month: true: must be a number, not true or false"),
        ("[budgets.a]\ntokens_per_day = 0", "trimtab.toml: budgets.a.tokens_per_day: 0: must be a whole number from 1"),
        ("[budgets.a]\ntokens_per_day = -5", "trimtab.toml: budgets.a.tokens_per_day: -5: must be a whole number from 1"),
        ("[budgets.a]\ntokens_per_day = 1.5", "trimtab.toml: budgets.a.tokens_per_day: 1.5: must be a whole number, not a fraction"),
        ("[budgets.a]\ntokens_per_day = 'many'", "trimtab.toml: budgets.a.tokens_per_day: 'many': must be a whole number, not text"),
        ("[budgets.a]\nconcurrency = 1000001", "trimtab.toml: budgets.a.concurrency: 1000001: must be a whole number from 1 to 1,000,000"),
        ("[budgets.a]\nusd_per_mounth = 5", "budgets.a.usd_per_mounth: nothing in this version reads this setting; remove it; did you mean 'usd_per_month'?"),
        ("[budgets.a]\nteam = 'red'\nkey = 'ci'\nusd_total = 5", "trimtab.toml: budgets.a.key: a budget is for one of organisation, team, key, user, tag, and this has team and key"),
        ("[budgets.a]\ndepartment = 'red'\nusd_total = 5", "trimtab.toml: budgets.a.department: nothing in this version reads this setting"),
        ("[budgets.a]\nteam = ''\nusd_total = 5", "trimtab.toml: budgets.a.team: '': must be 1 to 64 printable characters"),
        ("[budgets.a]\nteam = 5\nusd_total = 5", "trimtab.toml: budgets.a.team: 5: must be text, not a whole number"),
        ("[budgets.a]\nteam = 'red'", "trimtab.toml: budgets.a: limits nothing; name a limit, as usd_per_month = 500"),
        ("[budgets.a]\nusd_total = 5\nwarn_percent = 0", "trimtab.toml: budgets.a.warn_percent: 0: must be 1 to 100 percent"),
        ("[budgets.a]\nusd_total = 5\nwarn_percent = 101", "trimtab.toml: budgets.a.warn_percent: 101: must be 1 to 100 percent"),
        ("[budgets.a]\nconcurrency = 5\nsoft = true", "trimtab.toml: budgets.a.concurrency: what is in flight is not counted"),
        ("[budgets.'a b']\nusd_total = 5", "'a b': must be 1 to 64 letters, digits, '-', '_' and '.'"),
        ("[budgets]\na = 5", "trimtab.toml: budgets.a: must be a table, as [budgets.a]"),
        ("budgets = 5", "trimtab.toml: budgets: must be a table of entries"),
        ("[budgets.a]\nteam = 'x'\nusd_total = 5\n[budgets.b]\nteam = 'x'\nusd_total = 6", "trimtab.toml: budgets.b.usd_total: limits what budget 'a' limits already (team 'x'); keep one of them, or make one soft"),
        ("[budgets.a]\nusd_total = 5\n[budgets.a]\nusd_total = 6", "trimtab.toml: is not valid TOML: Cannot declare ('budgets', 'a') twice (at line 4"),
        ("[budgets.a]\nusd_total = 5\nwebhook = 'ftp://example.com/x'", "trimtab.toml: budgets.a.webhook: must be an address such as https://example.com/hook"),
        ("[budgets.a]\nusd_total = 5\nwebhook = 'sk-ant-1'", "trimtab.toml: budgets.a.webhook: must be an address"),
        ("[budgets.a]\nusd_total = 5\nwebhook = 'env:NO_SUCH_HOOK'", "trimtab.toml: budgets.a.webhook: 'env:NO_SUCH_HOOK': the environment variable NO_SUCH_HOOK is not set"),
        ("[budgets.a]\nusd_total = 5\nwebhook_secret = 'env:X'", "trimtab.toml: budgets.a.webhook_secret: signs what is sent to a webhook, and there is none"),
        ("[budgets.a]\nusd_total = 5\nwebhook = 'https://e.example/'\nwebhook_secret = 'sk-ant-1'", "trimtab.toml: budgets.a.webhook_secret: a secret is given by reference"),
        ("[budgets.a]\nusd_total = 5\nreserve = 'most'", "trimtab.toml: budgets.a.reserve: 'most': must be one of worst, expected"),
        ("[budgets.a]\nusd_total = 5\nreserve = 'expected'\nsoft = true", "trimtab.toml: budgets.a.reserve: a soft budget refuses nothing and holds nothing"),
        ("[budgets.a]\nusd_total = 5\nreserve = 'expected'\nconcurrency = 5", "trimtab.toml: budgets.a.concurrency: what a request comes to here is known before: it is one; with reserve = 'expected' a budget limits dollars and tokens only, so make a budget of its own for concurrency"),
        ("[budgets.a]\nreserve = 'expected'\nrequests_per_day = 5", "trimtab.toml: budgets.a.requests_per_day: what a request comes to here is known before"),
        ("[budgets.a]\nusd_total = 5\nwebhook = 5", "trimtab.toml: budgets.a.webhook: 5: must be text"),
    ],
)  # fmt: skip
def test_each_mistake_is_named_with_its_place(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as problem:
        budgets(text, tmp_path)
    assert message in str(problem.value)
    assert "sk-ant-1" not in str(problem.value)
    assert len(str(problem.value)) < 650
    assert "\n" not in str(problem.value)


def test_a_budget_holds_the_worst_case_unless_it_says_that_it_holds_what_is_expected(tmp_path: Path) -> None:
    found = budgets(
        "[budgets.a]\nusd_total = 5\n[budgets.b]\ntokens_per_minute = 5\nreserve = 'expected'\n", tmp_path
    )
    held = {name: one.budgets(name, Scope("team", name))[0].reserve for name, one in found.items()}
    assert held == {"a": "worst", "b": "expected"}


def test_a_soft_budget_and_a_hard_one_may_be_for_the_same(tmp_path: Path) -> None:
    text = "[budgets.a]\nteam = 'x'\nusd_total = 5\nsoft = true\n[budgets.b]\nteam = 'x'\nusd_total = 6"
    assert len(budgets(text, tmp_path)) == 2


def test_the_address_of_a_webhook_is_shown_without_what_may_be_its_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", "https://hooks.example:444/T0/B1/s3cret?x=1")
    monkeypatch.setenv("SIGN", "quiet")
    found = budgets(
        "[budgets.a]\nusd_total = 5\nwebhook = 'env:HOOK'\nwebhook_secret = 'env:SIGN'", tmp_path
    )["a"]
    hook = webhook_of(found)
    assert hook is not None
    assert hook.address.reveal() == "https://hooks.example:444/T0/B1/s3cret?x=1"
    assert hook.signed_with is not None
    assert hook.signed_with.reveal() == "quiet"
    assert "s3cret" not in repr(hook)
    assert webhook_shown("https://hooks.example:444/T0/B1/s3cret") == "https://hooks.example:444/…"
    assert webhook_shown("env:HOOK") == "env:HOOK"
