"""`trimtab doctor` as an operator runs it: the checks, backups, and the way from one engine to the other."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from sandboxes import missing
from scripted_upstream import Upstream, whole

from trimtab.store import StoreSettings, open_database
from trimtab.store.schema import migrate

TRIMTAB = [sys.executable, "-m", "trimtab"]


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TRIMTAB, *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "COLUMNS": "100", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def database_of(folder: Path) -> StoreSettings:
    return StoreSettings(url=f"sqlite:///{folder / 'trimtab.db'}")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """A running server on a free port with one record; gives its address."""
    process = subprocess.Popen(
        [*TRIMTAB, "serve", "--listen", "127.0.0.1:0"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
    assert found
    body = {"model": "trimtab/auto", "max_tokens": 8, "messages": [{"role": "user", "content": "hi"}]}
    request = urllib.request.Request(
        f"{found.group()}/v1/messages",
        json.dumps(body).encode(),
        {"content-type": "application/json", "anthropic-version": "2023-06-01"},
    )
    urllib.request.urlopen(request, timeout=60).read()
    deadline = time.monotonic() + 60
    database = open_database(database_of(tmp_path), clock_ms=lambda: 0)
    while database.read(lambda view: view.row("SELECT count(*) FROM requests")) != (1,):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    database.close()
    yield found.group()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)


def test_doctor_alone_still_checks(tmp_path: Path) -> None:
    open_database(database_of(tmp_path), clock_ms=lambda: 0).close()
    done = run(tmp_path, "doctor", "--offline")
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"ok +store: sqlite:///trimtab\.db can be written; SQLite 3\.\d+\.\d+, schema \d+", done.stdout
    )
    assert "records: no record yet, kept for ever (store.keep_days = 0); the store takes" in done.stdout
    works = "ok       sandbox: code can be run in it"
    assert (
        f"note     sandbox: {missing()}; checks that run code are unsure" if missing() else works
    ) in done.stdout


def test_doctor_says_what_to_install_where_code_cannot_be_run(tmp_path: Path) -> None:
    done = run(tmp_path, "doctor", "--offline", PATH=str(tmp_path))
    assert (
        "note     sandbox: the sandbox needs bubblewrap: apt-get install bubblewrap (0.8 or later)"
        in done.stdout
    )


def test_doctor_says_how_long_records_are_kept_and_what_dead_processes_hold(tmp_path: Path) -> None:
    (tmp_path / "trimtab.toml").write_text("version = 1\n[store]\nkeep_days = 30\n")
    database = open_database(database_of(tmp_path), clock_ms=lambda: 0)
    lease = "INSERT INTO key_leases (key_id, simulated, worker, outstanding_nanousd, granted_nanousd) VALUES "
    database.write(
        lambda t: t.change(
            lease + "('k', 0, 'gone', 1250000000, 0), ('l', 0, 'gone', 1, 0), "
            "('team=a/b/tokens/total', 0, 'gone', 5000000000, 0)"
        )
    )
    database.close()
    done = run(tmp_path, "doctor", "--offline")
    assert "kept for 30 days" in done.stdout
    assert (
        "note     limits: 1 process ended without closing and held $1.25 of limited keys, and some of what 1 budget may still use;"
        in done.stdout
    )


def test_a_running_server_is_backed_up_and_nothing_is_restored_under_it(tmp_path: Path, served: str) -> None:
    done = run(tmp_path, "doctor", "backup", "b")
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(
        r"backed up \d+ rows from SQLite \(schema \d+\) to b: \d+\.\d MB in \d+\.\d s\n", done.stdout
    )
    assert done.stderr == ""
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o600
    again = run(tmp_path, "doctor", "backup", "b")
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == ("trimtab: backup b: exists; choose another name, or write over it with --force\n")
    refused = run(tmp_path, "doctor", "restore", "b", "--force")
    assert refused.returncode == 1
    assert re.search(r"another `trimtab serve` \(pid \d+\) runs on this file; stop that one", refused.stderr)
    assert refused.stderr.count("\n") == 1
    with urllib.request.urlopen(f"{served}/healthz", timeout=60) as answer:
        assert answer.status == 200


def test_a_backup_needs_no_platform_key_and_takes_the_configuration_named_on_either_side(
    tmp_path: Path,
) -> None:
    (tmp_path / "my.toml").write_text(
        'version = 1\n[store]\nurl = "sqlite:///mine.db"\n'
        '[platforms.claude]\nkind = "anthropic"\napi_key = "env:NOT_SET_HERE"\n'
    )
    open_database(StoreSettings(url=f"sqlite:///{tmp_path / 'mine.db'}"), clock_ms=lambda: 0).close()
    assert run(tmp_path, "doctor", "--config", "my.toml", "backup", "a").returncode == 0
    assert run(tmp_path, "doctor", "backup", "b", "--config", "my.toml").returncode == 0
    assert not (tmp_path / "trimtab.db").exists()


def test_a_store_moves_to_postgresql_and_back(tmp_path: Path, postgres_url: str) -> None:
    database = open_database(database_of(tmp_path), clock_ms=lambda: 0)
    database.write(lambda t: t.change("INSERT INTO organisations VALUES ('acme', 1)"))
    database.close()
    (tmp_path / "pg.toml").write_text('version = 1\n[store]\nurl = "env:DATABASE_URL"\n')
    assert run(tmp_path, "doctor", "backup", "moving").returncode == 0
    moved = run(tmp_path, "doctor", "restore", "moving", "-c", "pg.toml", DATABASE_URL=postgres_url)
    assert moved.returncode == 0, moved.stderr
    assert re.fullmatch(
        r"restored \d+ rows from moving, made \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC from SQLite \(schema \d+\) "
        r"by Trimtab \S+, in \d+\.\d s\n",
        moved.stdout,
    )
    checked = run(tmp_path, "doctor", "--offline", "-c", "pg.toml", DATABASE_URL=postgres_url)
    assert re.search(r"ok +store: env:DATABASE_URL can be written; PostgreSQL \d+", checked.stdout)
    assert (
        run(tmp_path, "doctor", "backup", "back", "-c", "pg.toml", DATABASE_URL=postgres_url).returncode == 0
    )
    there = run(tmp_path, "doctor", "restore", "back")
    assert (there.returncode, there.stderr.count("\n")) == (1, 1)
    assert (
        "holds something; restore into an empty store, or replace what is there with --force" in there.stderr
    )
    forced = run(tmp_path, "doctor", "restore", "back", "--force")
    assert forced.returncode == 0
    kept = re.search(r"the store as it was: (.*)\n", forced.stdout)
    assert kept
    assert Path(kept.group(1)).exists()
    database = open_database(database_of(tmp_path), clock_ms=lambda: 0)
    assert database.read(lambda view: view.rows("SELECT * FROM organisations")) == [("acme", 1)]
    database.close()


def test_a_file_that_is_no_backup_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("hello")
    for arguments, line in (
        (("restore", "b"), "trimtab: backup b: is not a backup of Trimtab's\n"),
        (("restore", "none"), "trimtab: backup none: does not exist\n"),
        (
            ("backup", "c"),
            f"trimtab: store {tmp_path}/trimtab.db: does not exist; there is nothing to back up\n",
        ),
    ):
        done = run(tmp_path, "doctor", *arguments)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", line)


def test_help_names_the_sub_commands(tmp_path: Path) -> None:
    done = run(tmp_path, "doctor", "--help")
    assert "backup" in done.stdout
    assert "restore" in done.stdout
    assert run(tmp_path, "doctor", "nonsense").returncode == 2


def test_long_work_says_how_far_it_is(tmp_path: Path) -> None:
    connection = apsw.Connection(str(tmp_path / "trimtab.db"))
    migrate(connection, lambda: 0)
    with connection:
        connection.executemany("INSERT INTO organisations VALUES (?, 1)", ((f"o{n}",) for n in range(20_000)))
    connection.close()
    quick = "import trimtab.cli.doctor as d; d.TELL_EVERY_S = 0; from trimtab.cli import main; import sys; "
    done = subprocess.run(
        [sys.executable, "-c", quick + "sys.argv = ['trimtab', 'doctor', 'backup', 'b']; main()"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert re.search(r"^trimtab: adding up organisations: 20,000 rows \([\d,]+ rows/s\)$", done.stderr, re.M)


def test_the_commands_on_the_page_about_upgrading_work(tmp_path: Path, postgres_url: str) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "upgrading.md").read_text()
    commands = re.findall(r"```sh\n(.*?)```", page, re.S)
    configuration = re.search(r"```toml\n# postgres\.toml\n(.*?)```", page, re.S)
    assert len(commands) == 4
    assert configuration
    (tmp_path / "postgres.toml").write_text(configuration.group(1))
    database = open_database(database_of(tmp_path), clock_ms=lambda: 0)
    database.write(lambda t: t.change("INSERT INTO organisations VALUES ('acme', 1)"))
    database.close()
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "trimtab").write_text(f'#!/bin/sh\nexec {sys.executable} -m trimtab "$@"\n')
    (bin_folder / "trimtab").chmod(0o755)
    for block in commands:
        done = subprocess.run(
            ["sh", "-e", "-c", block],
            cwd=tmp_path,
            env={"PATH": f"{bin_folder}:{os.environ['PATH']}", "DATABASE_URL": postgres_url},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert re.search(r"ok +store: env:DATABASE_URL can be written; PostgreSQL", done.stdout)
    assert len(list((tmp_path / "backups").iterdir())) == 1
    assert len(list(tmp_path.glob("trimtab.db.before-restore-*"))) == 1


def test_a_platform_that_has_no_list_of_models_counts_tokens(tmp_path: Path) -> None:
    upstream = Upstream(lambda _: whole(b'{"inputTokens":8}'))
    (tmp_path / "trimtab.toml").write_text(
        '[platforms.aws]\nkind = "bedrock"\nregion = "eu-west-1"\naccess_key_id = "env:A"\nsecret_access_key = "env:B"\n'
        f'base_url = "{upstream.url}"\n'
    )
    done = run(tmp_path, "doctor", A="AKID", B="secret")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "platform aws: takes the credentials, and counted tokens for claude-" in done.stdout
    upstream.answer = lambda _: whole(
        b'{"message":"The security token is invalid"}',
        b"x-amzn-errortype: UnrecognizedClientException",
        status=b"403 Forbidden",
    )
    done = run(tmp_path, "doctor", A="AKID", B="secret")
    assert done.returncode == 1
    assert "UnrecognizedClientException: The security token is invalid" in done.stdout
    upstream.close()
    listed = run(tmp_path, "models", "--check", A="AKID", B="secret")
    assert listed.returncode == 1
    assert "GET /v1/models: Amazon Bedrock (InvokeModel) has no such operation" in listed.stderr.replace(
        "\n", " "
    )
