"""The other commands, as an operator runs them: models, doctor, simulate, completion."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from simulate_program import simulating

TRIMTAB = [sys.executable, "-m", "trimtab"]


def run(arguments: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TRIMTAB, *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "COLUMNS": "100", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[str]:
    """`trimtab simulate` on a free port; gives its address."""
    with simulating(tmp_path) as address:
        yield address


def configured(folder: Path, address: str) -> None:
    (folder / "trimtab.toml").write_text(
        f'version = 1\n[platforms.api]\nkind = "anthropic"\napi_key = "env:KEY"\nbase_url = "{address}"\n'
    )


def test_models_is_a_table_and_json(tmp_path: Path) -> None:
    table = run(["models"], tmp_path)
    assert table.returncode == 0
    assert "claude-opus-4-7" in table.stdout
    assert "escalation" in table.stdout
    assert "retired since 2025-10-28" in table.stdout
    rows = json.loads(run(["models", "--json"], tmp_path).stdout)
    assert len(rows) == 21
    assert next(row for row in rows if row["id"] == "claude-sonnet-4-6")["tiers"] == ["default"]


def test_models_check_agrees_with_a_live_list_and_says_where_it_does_not(
    tmp_path: Path, simulator: str
) -> None:
    configured(tmp_path, simulator)
    same = run(["models", "--check"], tmp_path, KEY="k")
    assert (same.returncode, same.stdout.strip()) == (0, "The catalogue agrees with api (SIMULATED).")

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(
                {
                    "data": [{"id": "claude-new-9"}, {"id": "claude-opus-4-7", "max_tokens": 64000}],
                    "has_more": False,
                }
            ).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Other)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    configured(tmp_path, f"http://127.0.0.1:{server.server_port}")
    differs = run(["models", "--check"], tmp_path, KEY="k")
    listed = run(["models", "--check", "--json"], tmp_path, KEY="k")
    server.shutdown()
    server.server_close()
    assert differs.returncode == 1
    assert "claude-new-9" in differs.stdout
    assert "128000" in differs.stdout
    kinds = {(row["model"], row["kind"]) for row in json.loads(listed.stdout)}
    assert {("claude-new-9", "not_in_catalogue"), ("claude-opus-4-7", "differs")} <= kinds


def test_models_check_without_an_answer_is_one_line(tmp_path: Path) -> None:
    configured(tmp_path, "http://127.0.0.1:9")
    failed = run(["models", "--check"], tmp_path, KEY="k")
    assert failed.returncode == 1
    assert failed.stderr.startswith("trimtab: cannot connect to 127.0.0.1:9")
    assert failed.stderr.count("\n") == 1
    unknown = run(["models", "--check", "--platform", "none"], tmp_path, KEY="k")
    assert "--platform: 'none': must be one of api" in unknown.stderr


def test_doctor_says_what_works_and_what_does_not(tmp_path: Path, simulator: str) -> None:
    well = run(["doctor"], tmp_path)
    assert well.returncode == 0, well.stdout
    assert "SQLite" in well.stdout
    assert "is simulated" in well.stdout
    configured(tmp_path, simulator)
    assert "note     platform api: is simulated" in run(["doctor"], tmp_path, KEY="k").stdout
    configured(tmp_path, "http://127.0.0.1:9")
    ill = run(["doctor"], tmp_path, KEY="k")
    assert ill.returncode == 1
    assert "PROBLEM  platform api: cannot connect to 127.0.0.1:9" in ill.stdout
    (tmp_path / "trimtab.toml").write_text("version = 1\n[tires]\n")
    broken = run(["doctor"], tmp_path)
    assert broken.returncode == 1
    assert "PROBLEM  configuration: trimtab.toml: tires" in broken.stdout


def test_completion_completes(tmp_path: Path) -> None:
    command = Path(sys.executable).parent / "trimtab"
    asked = {"_TRIMTAB_COMPLETE": "complete_bash", "COMP_WORDS": "trimtab ser", "COMP_CWORD": "1"}
    done = subprocess.run(
        [command],
        env={"PATH": os.environ["PATH"], **asked},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == ["serve"], done


def test_a_closed_pipe_is_no_traceback(tmp_path: Path) -> None:
    shell = f"'{sys.executable}' -m trimtab models | head -1"
    done = subprocess.run(
        ["bash", "-c", shell], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in done.stderr
    assert done.stdout


def test_simulate_says_what_is_wrong_with_a_file_of_a_key(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("no key")
    for name, problem in (
        ("key.pem", "openssl rsa -in KEY.pem -pubout"),
        ("none.pem", "cannot read the file"),
    ):
        done = run(["simulate", "--port", "0", "--google-key", name], tmp_path)
        assert done.returncode == 1
        assert "--google-key" in done.stderr
        assert problem in " ".join(done.stderr.split())
