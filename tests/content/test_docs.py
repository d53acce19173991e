"""What docs/content.md shows works."""

import re
import shlex
from pathlib import Path

import pytest
from kept_content import content, keep, kept_ids
from typer.testing import CliRunner

from trimtab.admin import Actor, KeyAdmin, KeyRules, NewKey
from trimtab.app import load_settings
from trimtab.catalogue import Catalogue
from trimtab.cli.content import command
from trimtab.content import ContentSettings
from trimtab.content.capture import ROOM_BYTES, WHOLE_BYTES
from trimtab.content.keeper import WAIT_S
from trimtab.content.patterns import redacted_text
from trimtab.store import StoreSettings, open_database
from trimtab.store.content.covering import KEEP_MS
from trimtab.store.content.deletion import CLOCKS_MS

PAGE = (Path(__file__).resolve().parent.parent.parent / "docs" / "content.md").read_text()


def test_the_settings_shown_load_and_are_the_defaults_but_for_what_is_kept(tmp_path: Path) -> None:
    found = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert found
    file = tmp_path / "trimtab.toml"
    file.write_text(f'version = 1\n{found.group(1)}[platforms.sim]\nkind = "simulator"\n')
    assert load_settings(file).content == ContentSettings(keep="redacted")


def test_the_commands_shown_delete_what_they_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("trimtab.toml").write_text('version = 1\n[store]\nurl = "sqlite:///t.db"\n')
    at_ms = 1_700_000_000_000
    database = open_database(StoreSettings(url="sqlite:///t.db"), clock_ms=lambda: at_ms)
    admin = KeyAdmin(database, KeyRules(Catalogue.load(), ("sim",)), lambda n: b"x" * n)
    key = admin.add(Actor("cli:t"), NewKey(name="ci")).key
    admin = KeyAdmin(database, KeyRules(Catalogue.load(), ("sim",)), lambda n: b"y" * n)
    ann = admin.add(Actor("cli:t"), NewKey(name="anns", user="ann")).key
    keep(
        database,
        content("01a1ff46362279a9851e965453679e74", at_ms, key="k0", organisation="default"),
        content("of-key", at_ms, key=key.id, user="", organisation="default"),
        content("of-user", at_ms, key=ann.id, user="ann", organisation="default"),
        content("old", at_ms, key="k0", user="", organisation="default"),
    )
    found = re.search(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    assert found
    left = ["01a1ff46362279a9851e965453679e74", "of-key", "of-user", "old"]
    for line in found.group(1).splitlines():
        words = shlex.split(line, comments=True)
        assert words[:2] == ["trimtab", "content"]
        result = CliRunner().invoke(command, words[2:], catch_exceptions=False)
        assert result.exit_code == 0
        left.pop(0)
        assert kept_ids(database) == left
    database.close()


def test_the_figures_and_the_limits_of_redaction_are_those_of_the_program() -> None:
    assert f"({ROOM_BYTES // 1024**2} MiB for a process" in PAGE
    assert f"up to\n{WHOLE_BYTES // 1024**2} MiB" in PAGE
    assert f"within {WAIT_S / 60:.0f} minutes" in PAGE
    assert KEEP_MS == 7 * 86_400_000
    assert "remembered for a week" in PAGE
    assert CLOCKS_MS == 5_000
    assert "it covers five seconds more" in PAGE
    for honest in ("ann at example dot com", "Ann lives at 12 High Street", "born 1980-02-29", r"\u0040"):
        assert redacted_text(honest) == honest
    assert redacted_text("version 1.2.3.4") == "version [redacted: ip]"
