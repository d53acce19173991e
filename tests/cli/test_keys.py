"""`trimtab keys` as people use it: what it prints, what it stores, what it says of mistakes."""

import os
import pwd
import shlex
import time
from pathlib import Path

import pytest
from cli_shell import CLAUDE, CliShell

from trimtab.cli.keys import _moment, _nanousd, command
from trimtab.errors import ConfigError
from trimtab.identity.secret import check_form
from trimtab.store import StoreSettings, open_database

HAIKU = "claude-haiku-4-5-20251001"


class Shell(CliShell):
    command = command

    def __init__(self, store: str, url: str = "") -> None:
        self.store = url or store
        Path("trimtab.toml").write_text(f'version = 1\n[store]\nurl = "{store}"\n{CLAUDE}')

    def make_store(self) -> None:
        """An empty one."""
        open_database(StoreSettings(url=self.store), clock_ms=lambda: 0).close()


@pytest.fixture(params=["sqlite", "postgresql"])
def shell(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    url = "sqlite:///t.db"
    if request.param == "postgresql":
        monkeypatch.setenv("STORE_URL", request.getfixturevalue("postgres_store"))
        url = "env:STORE_URL"
        return Shell(url, os.environ["STORE_URL"])
    return Shell(url)


def test_a_key_is_made_shown_limited_rotated_and_revoked_without_any_server_or_platform_key(
    shell: Shell,
) -> None:
    said = shell.run(
        "add", "ci", "--org", "acme", "--team", "red", "--user", "ann", "--expires", "30d",
        "--models", "claude-haiku-4-5, claude-opus-4-7", "--tiers", "fast", "--platforms", "claude",
        "--default-tier", "fast", "--label", "cost-centre=42", "--label", "note=a=b",
        "--rpm", "60", "--concurrency", "10", "--usd", "25.50",
    )  # fmt: skip
    (secret,) = (line.strip() for line in said.splitlines() if line.startswith("  tt-"))
    check_form(secret)
    assert f"ANTHROPIC_BASE_URL=http://127.0.0.1:8787 ANTHROPIC_API_KEY={secret}" in said
    key = shell.json("show", "ci")
    assert (key["organisation"], key["team"], key["user"], key["state"]) == ("acme", "red", "ann", "active")
    assert (key["models"], key["tiers"], key["default_tier"]) == (
        [HAIKU, "claude-opus-4-7"],
        ["fast"],
        "fast",
    )
    assert (key["platforms"], key["labels"]) == (["claude"], {"cost-centre": "42", "note": "a=b"})
    assert key["limits"] == {"concurrency": 10, "requests_per_minute": 60, "total_nanousd": 25_500_000_000}
    days = (key["expires_ms"] - time.time() * 1000) / 86_400_000
    assert 29.9 < days <= 30

    for shown in (shell.run("list"), shell.run("show", key["id"])):
        assert secret[9:] not in shown
        for words in (
            key["id"],
            "acme / red / ann",
            secret[:9] + "...",
            "10 at a time, 60 a minute, $25.50 in all",
        ):
            assert words in shown

    was, now = "10 at a time, 60 a minute, $25.50 in all", "10 at a time, 5 a minute, $25.50 in all"
    assert shell.run("limits", "ci", "--rpm", "5") == f"{key['id']} (ci): was {was}; now {now}\n"
    assert shell.run("limits", "ci", "--none") == f"{key['id']} (ci): was {now}; now no limits\n"
    new = shell.run("rotate", "ci", "--grace", "2h", "-q").strip()
    check_form(new)
    ends = [one["ends_ms"] for one in shell.json("show", "ci")["secrets"]]
    assert ends[1] is None
    assert abs(ends[0] - time.time() * 1000 - 7_200_000) < 60_000
    assert "was revoked at 20" in shell.run("revoke", "ci")
    assert shell.run("list").startswith("No keys in ")
    assert [one["state"] for one in shell.json("list", "--all")] == ["revoked"]

    trail = shell.run("audit")
    actor = f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
    assert [line.split()[5 if "acme" in line else 4] for line in trail.splitlines() if actor in line] == [
        "keys.revoke", "keys.rotate", "keys.limits", "keys.limits", "keys.add",
        "users.add", "teams.add", "organisations.add",
    ]  # fmt: skip
    assert [entry["n"] for entry in shell.json("audit", "--key", key["id"], "-n", "2")] == [8, 7]
    assert shell.run("audit", "--verify").startswith("the audit trail is whole: 8 rows, the last hash is ")


def test_quiet_prints_the_secret_and_nothing_else_and_json_has_it_once(shell: Shell) -> None:
    secret = shell.run("add", "a", "--quiet")
    check_form(secret.removesuffix("\n"))
    made = shell.json("add", "b")
    check_form(made["secret"])
    assert made["secret"] not in shell.run("list", "--json")


def test_a_restriction_that_does_not_restrict_is_pointed_out(shell: Shell) -> None:
    shell.run("add", "a", "--tiers", "fast")
    assert "may also name any model directly" in shell.told
    shell.run("add", "b", "--tiers", "fast", "--models", "claude-haiku-4-5")
    assert shell.told == ""


def test_an_empty_list_permits_nothing(shell: Shell) -> None:
    shell.run("add", "metrics", "--models", "", "--platforms", "")
    key = shell.json("show", "metrics")
    assert (key["models"], key["platforms"]) == ([], [])
    assert "models none; platforms none" in shell.run("show", "metrics")


def test_keys_of_one_organisation_are_listed(shell: Shell) -> None:
    for organisation in ("acme", "other"):
        shell.run("add", "ci", "--org", organisation)
    assert [key["organisation"] for key in shell.json("list", "--org", "acme")] == ["acme"]
    assert "several keys have this name; say which by its id" in shell.refused("revoke", "ci")


def test_a_broken_trail_is_an_error_that_scripts_see(shell: Shell) -> None:
    shell.run("add", "ci")
    if "sqlite" not in Path("trimtab.toml").read_text():
        pytest.skip("the trail itself is tested on both engines elsewhere")
    import apsw

    connection = apsw.Connection("t.db")
    connection.execute("UPDATE audit SET actor = actor || ' too' WHERE n = 1")
    connection.close()
    shell.run("audit", "--verify", status=1)
    assert "THE AUDIT TRAIL IS BROKEN: row 1 is not what was written" in shell.told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--usd", "x"], "--usd: 'x': must be an amount of dollars above 0"),
        (["--usd", "0"], "--usd: '0': must be"),
        (["--usd", "1e1000000"], "above 0 and at most 1000000000"),
        (["--usd", "1e-1000000"], "above 0 and at most 1000000000"),
        (["--usd", "99999999999999"], "above 0 and at most 1000000000"),
        (["--usd", "9" * 5000], "..."),
        (["--usd", "inf"], "--usd: 'inf': must be"),
        (["--usd", "nan"], "--usd: 'nan': must be"),
        (["--usd", "1e-10"], "--usd: '1e-10': must be"),
        (["--expires", "soon"], "--expires: 'soon': must be a number and a unit: 90m, 12h, 30d or 4w"),
        (["--expires", "2027-13-01"], "--expires: '2027-13-01': must be a date such as 2027-01-31"),
        (["--expires", "2020-01-01"], "--expires: '2020-01-01': is past (today is 20"),
        (["--expires", "0d"], "--expires: '0d': is past"),
        (["--expires", "9999-12-31"], "--expires: '9999-12-31': is too far away"),
        (["--expires", "999999w"], "--expires: '999999w': is too far away"),
        (["--label", "x"], "--label: 'x': must be key=value"),
        (["--models", "claude-opus-4-77"], "did you mean 'claude-opus-4-7'?"),
        (["--models", "trimtab/fast"], "is a tier, not a model"),
        (["--tiers", "fsat"], "did you mean 'fast'?"),
        (["--platforms", "cluade"], "did you mean 'claude'?"),
        (["--models", "trimtab/auto"], "neither a model nor a tier: it means the default_tier of the key"),
        (["--tiers", "auto"], "neither a model nor a tier: it means the default_tier of the key"),
        (["--rpm", "0"], "--rpm: '0': must be a whole number from 1 to 10000000"),
        (["--concurrency", "-3"], "--concurrency: '-3': must be a whole number from 1 to 1000000"),
    ],
)
def test_each_mistake_is_one_line_with_a_remedy(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shell = Shell("sqlite:///t.db")
    shell.make_store()
    assert message in shell.refused("add", "x", *words)
    assert shell.json("list", "--all") == []


def test_limits_need_to_be_named(shell: Shell) -> None:
    shell.run("add", "x")
    assert "or give --none for all" in shell.refused("limits", "x")
    assert "--none: takes all limits away, so no other goes with it" in shell.refused(
        "limits", "x", "--none", "--rpm", "5"
    )


def test_limits_that_are_not_named_stay(shell: Shell) -> None:
    shell.run("add", "x", "--usd", "25", "--concurrency", "3")
    assert shell.run("limits", "x", "--rpm", "60").endswith(
        "(x): was 3 at a time, $25 in all; now 3 at a time, 60 a minute, $25 in all\n"
    )
    assert shell.json("limits", "x", "--usd", "none")["limits"] == {
        "concurrency": 3,
        "requests_per_minute": 60,
    }
    assert shell.run("limits", "x", "--rpm", "none", "--concurrency", "none").endswith("; now no limits\n")


def test_what_a_key_spent_and_has_left_is_shown(shell: Shell) -> None:
    spent = shell.json("add", "x", "--usd", "25")
    assert spent["money"] == {"spent_nanousd": 0, "held_nanousd": 0, "left_nanousd": 25_000_000_000}
    shell.run("add", "unlimited")
    settings = StoreSettings(url=shell.store)
    database = open_database(settings, clock_ms=lambda: 0)
    database.write(
        lambda tx: tx.change(
            "INSERT INTO key_spend (key_id, simulated, spent_nanousd) VALUES (?, 0, ?), (?, 1, ?)",
            (spent["id"], 1_250_000_000, spent["id"], 70),
        )
    )
    database.write(
        lambda tx: tx.change(
            "INSERT INTO key_leases (key_id, simulated, worker, outstanding_nanousd, granted_nanousd) "
            "VALUES (?, 0, 'a', ?, 0), (?, 0, 'b', ?, 0)",
            (spent["id"], 100_000_000, spent["id"], 200_000_000),
        )
    )
    database.close()
    card = shell.run("show", "x")
    assert "$1.25, $23.75 left; $0.30 held by processes" in card
    assert "$0.00000007" in card
    assert "$1.25 spent, $23.75 left, $0.00000007 simulated" in shell.run("list")
    shown = shell.json("show", "x")
    assert shown["money"] == {
        "spent_nanousd": 1_250_000_000,
        "held_nanousd": 300_000_000,
        "left_nanousd": 23_750_000_000,
    }
    assert shown["simulated_money"]["spent_nanousd"] == 70
    other = next(key for key in shell.json("list") if key["name"] == "unlimited")
    assert other["money"] == {"spent_nanousd": 0, "held_nanousd": 0, "left_nanousd": None}
    assert "simulated_money" not in other


def test_an_organisation_that_there_is_not_is_named(shell: Shell) -> None:
    shell.make_store()
    assert "there is no organisation 'nope'" in shell.refused("list", "--org", "nope")


def test_an_empty_trail_is_one_line(shell: Shell) -> None:
    shell.make_store()
    assert shell.run("audit") == "no changes yet\n"


def test_a_narrow_terminal_shows_whole_ids(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shell.run("add", "a-name-of-a-key", "--usd", "25", "--models", "claude-haiku-4-5,claude-opus-4-7")
    key = shell.json("show", "a-name-of-a-key")["id"]
    listed = shell.run("list").splitlines()
    assert [line.split()[-1] for line in listed[:2]] == [key, "a-name-of-a-key"]
    assert all(len(line) <= 80 for line in listed)
    trail = shell.run("audit").splitlines()
    assert key in [line.split()[-1] for line in trail]
    assert all(len(line) <= 80 for line in trail)


def test_a_pipe_is_as_wide_as_a_page_and_has_one_line_for_each_thing_where_columns_say_so(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.run("add", "n" * 64, "--org", "o" * 64, "--team", "t" * 64, "--models", "claude-haiku-4-5")
    monkeypatch.setenv("COLUMNS", "1000")
    (line,) = (line for line in shell.run("list").splitlines() if "key_" in line)
    assert HAIKU in line
    assert len([line for line in shell.run("audit").splitlines() if "cli:" in line]) == 3
    monkeypatch.delenv("COLUMNS")
    listed = shell.run("list")
    assert HAIKU in listed
    assert max(map(len, listed.splitlines())) <= 120


def test_every_command_of_the_documentation_works_in_its_order(shell: Shell) -> None:
    page = (Path(__file__).resolve().parent.parent.parent / "docs" / "keys.md").read_text()
    commands = [shlex.split(line)[3:] for line in page.splitlines() if line.startswith("$ trimtab keys ")]
    assert [words[0] for words in commands] == [
        "add",
        "list",
        "show",
        "limits",
        "rotate",
        "revoke",
        "audit",
        "audit",
    ]
    for words in commands:
        assert shell.run(*words)


def test_a_date_is_the_last_day_on_which_a_key_works() -> None:
    assert _moment("2027-01-31", "--expires") == 1_801_440_000_000  # 2027-02-01T00:00Z


def test_dollars_are_exact() -> None:
    assert _nanousd("0.1") == 100_000_000
    assert _nanousd("$25") == 25_000_000_000
    assert _nanousd("0.000000001") == 1
    with pytest.raises(ConfigError):
        _nanousd("0.0000000001")
