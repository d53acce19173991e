"""Configuration errors name the file, the key path, the value and what to do."""

import os
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.config import Document, Secret, load_document
from trimtab.errors import ConfigError


class Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    size: int = 1
    auth_token: int = 0


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    count: int = 3
    inner: Inner = Inner()
    key: Secret | None = None
    flag: bool = False
    lineup: Literal["classic", "current"] = "classic"
    names: tuple[str, ...] = ()
    ratio: Annotated[float, msgspec.Meta(le=1.0)] = 1.0
    maybe: str | None = None


class Other(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    need: str


def document(text: str, tmp_path: Path) -> Document:
    file = tmp_path / "trimtab.toml"
    file.write_text(text)
    return load_document(file)


def read(text: str, tmp_path: Path) -> Settings:
    found = document(text, tmp_path)
    settings = found.section("s", Settings)
    found.finish()
    return settings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version = 1\n[s]\ncount = 'x'", "trimtab.toml: s.count: 'x': must be a whole number, not text"),
        ("version = 1\n[s.inner]\nsize = 1.5", "trimtab.toml: s.inner.size: 1.5: must be a whole number, not a fraction"),
        ("version = 1\n[s]\ncuont = 1", "trimtab.toml: s.cuont: nothing in this version reads this setting; remove it; did you mean 'count'?"),
        ("version = 1\n[s]\nzzz = 1", "known here: count, flag, inner, key, lineup, maybe, names, ratio"),
        ("version = 1\n[s.inner]\nzzz = 1", "trimtab.toml: s.inner.zzz: nothing in this version reads"),
        ("version = 1\ns = 7", "trimtab.toml: s: 7: must be a table, not a whole number"),
        ("version = 1\n[t]\n", "trimtab.toml: t: nothing in this version reads this section; remove it"),
        ("[s]\nlineup = 'modern'", "trimtab.toml: s.lineup: 'modern': must be one of classic, current"),
        ("[s]\ncount = true", "s.count: true: must be a whole number, not true or false"),
        ("[s]\nflag = 1", "s.flag: 1: must be true or false, not a whole number"),
        ("[s]\nlineup = ['x']", "s.lineup: ['x']: must be text, not a list"),
        ("[s]\nnames = 'x'", "s.names: 'x': must be a list, not text"),
        ("[s]\nnames = ['a', 7]", "s.names[1]: 7: must be text, not a whole number"),
        ("[s]\nratio = 'x'", "s.ratio: 'x': must be a number, not text"),
        ("[s]\nratio = 2", "s.ratio: 2: must be a number, at most 1.0"),
        ("[s]\nmaybe = 2", "s.maybe: 2: must be text, not a whole number"),
        ("[s]\nratio = 0x" + "f" * 6000, "trimtab.toml: s.ratio: (a number of thousands of digits): number out of range"),
        ("version = 0x" + "f" * 6000, "version: (a number of thousands of digits): this Trimtab reads version 1"),
        ("[s]\ncount = " + "9" * 5000, "trimtab.toml: holds a number that is too large; write a smaller one"),
        ("a = " + "[" * 3000, "trimtab.toml: is nested too deeply; is it the right file?"),
        ("[s]\nkey = 'env:sk-ant-secret'", "s.key: a secret is given by reference: what follows 'env:' is the name"),
        ('[s]\nkey = "file:/a\\u0000"', "no file can have this name; correct the path"),
        ("[s]\ncount = 'sk-ant-secret'", "s.count: ***: must be a whole number, not text"),
        ("[s]\nlineup = 'sk-ant-secret'", "s.lineup: ***: must be one of classic, current"),
        ("[s.inner]\nauth_token = 'ant-secret'", "s.inner.auth_token: ***: must be a whole number, not text"),
        ("[s.inner]\nauth_token = ['ant-secret']", "s.inner.auth_token: ***: must be a whole number, not a list"),
        ("[s]\ncount = ['sk-ant-secret']", "s.count: ***: must be a whole number, not a list"),
        ("[s]\nsk-ant-secret = 1", "s.***: nothing in this version reads this setting"),
        ("[sk-ant-secret]", "trimtab.toml: ***: nothing in this version reads this section"),
        ("version = 2", "trimtab.toml: version: 2: this Trimtab reads version 1"),
        ("version = true", "trimtab.toml: version: true: this Trimtab reads version 1"),
        ("version = ", "trimtab.toml: is not valid TOML"),
        ("version = 1\n[s]\nkey = 'sk-ant-secret'", "trimtab.toml: s.key: a secret is given by reference"),
        ("version = 1\n[s]\nkey = 12", "trimtab.toml: s.key: a secret is given by reference"),
        ("version = 1\n[s]\nkey = 'env:TRIMTAB_NOT_SET'", "trimtab.toml: s.key: 'env:TRIMTAB_NOT_SET': the environment variable TRIMTAB_NOT_SET is not set"),
        ("version = 1\n[s]\nkey = 'file:/no/such/file'", "trimtab.toml: s.key: 'file:/no/such/file': cannot read the file: No such file"),
    ],
)  # fmt: skip
def test_each_mistake_is_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as problem:
        read(text, tmp_path)
    assert message in str(problem.value)
    assert "ant-secret" not in str(problem.value)
    assert "\n" not in str(problem.value)


def test_defaults_need_no_file_and_versions_follow_the_content(tmp_path: Path) -> None:
    assert load_document(None).section("s", Settings) == Settings()
    first = document("version = 1\n[s]\ncount = 4", tmp_path)
    assert first.section("s", Settings).count == 4
    assert document("[s]\ncount = 4", tmp_path).section("s", Settings).count == 4
    assert first.version != document("version = 1\n[s]\ncount = 5", tmp_path).version
    assert first.version == document("version = 1\n[s]\ncount = 4", tmp_path).version


def test_unreadable_files_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the file: No such file"):
        load_document(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="cannot read the file: Is a directory"):
        load_document(tmp_path)
    (tmp_path / "bad.toml").write_bytes(b"version = 1 # \xff")
    with pytest.raises(ConfigError, match="invalid UTF-8 at byte 14"):
        load_document(tmp_path / "bad.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version = 1\n[p.a]\n", "trimtab.toml: p.a.kind: missing; must be one of other"),
        (
            "[p.a]\ntype = 'other'",
            "p.a.kind: missing; must be one of other; 'type' is not read, did you mean kind?",
        ),
        ("version = 1\n[p.a]\nkind = 'zoo'", "trimtab.toml: p.a.kind: 'zoo': must be one of other"),
        ("version = 1\n[p.a]\nkind = 'other'", "trimtab.toml: p.a.need: missing; it is required here"),
        ("version = 1\n[p]\na = 'sk-ant-secret'", "trimtab.toml: p.a: must be a table, as [p.a]"),
        ("version = 1\np = 'sk-ant-secret'", "trimtab.toml: p: must be a table of entries"),
    ],
)
def test_tables_of_entries_name_the_entry(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as problem:
        document(text, tmp_path).table("p", {"other": Other})
    assert message in str(problem.value)
    assert "sk-ant-secret" not in str(problem.value)


def test_a_section_that_exists_but_was_not_taken_is_still_suggested(tmp_path: Path) -> None:
    found = document("[platform.claude]\nkind = 'x'", tmp_path)
    assert not found.has("platforms")
    with pytest.raises(ConfigError, match=r"platform: nothing .* did you mean 'platforms'"):
        found.finish()
    untaken = document("[platforms.claude]\nkind = 'x'", tmp_path)
    assert untaken.has("platforms")
    with pytest.raises(ConfigError, match="platforms: nothing in this version reads"):
        untaken.finish()


@pytest.mark.parametrize("key", ["kind", "auth"])
def test_what_stands_in_a_platforms_kind_or_auth_is_not_shown(key: str, tmp_path: Path) -> None:
    class Platform(msgspec.Struct, frozen=True):
        auth: Literal["bearer"] = "bearer"

    text = "[platforms.a]\nkind = 'other'\n".replace("'other'", "'ant-x'" if key == "kind" else "'other'")
    found = document(text + ("auth = 'ant-x'" if key == "auth" else ""), tmp_path)
    with pytest.raises(ConfigError) as problem:
        found.table("platforms", {"other": Platform})
    assert f"platforms.a.{key}: ***: must be one of" in str(problem.value)


def test_pipes_devices_and_impossible_names_are_one_line(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ConfigError, match="cannot read the file: not a regular file"):
            load_document(path)
    with pytest.raises(ConfigError, match="no file can have this name"):
        load_document(Path("a\0b"))
    (tmp_path / "large.toml").write_bytes(b"#" * (4 * 1024 * 1024 + 1))
    with pytest.raises(ConfigError, match="more than 4194304 bytes; is it the right file"):
        load_document(tmp_path / "large.toml")


def test_secrets_are_followed_and_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "planted-value")
    (tmp_path / "key").write_text("planted-value\n")
    for reference in ("env:A_KEY", f"file:{tmp_path}/key"):
        key = read(f"version = 1\n[s]\nkey = '{reference}'", tmp_path).key
        assert key is not None
        assert key.reveal() == "planted-value"
        assert "planted" not in f"{key} {key!r} {[key]} {read.__name__}"
        assert key.source == reference
    (tmp_path / "key").write_text("two\nlines")
    with pytest.raises(ConfigError, match="no HTTP header can carry"):
        read(f"version = 1\n[s]\nkey = 'file:{tmp_path}/key'", tmp_path)
    (tmp_path / "key").write_text("")
    with pytest.raises(ConfigError, match="the file is empty"):
        read(f"version = 1\n[s]\nkey = 'file:{tmp_path}/key'", tmp_path)


@given(st.binary(max_size=200) | st.text(alphabet="[]=\"'.#s1\nversion ", max_size=80).map(str.encode))
def test_no_file_makes_the_reader_fail_otherwise_than_by_a_config_error(content: bytes) -> None:
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        file.write(content)
        file.flush()
        try:
            found = load_document(Path(file.name))
            found.section("s", Settings)
            found.finish()
        except ConfigError:
            pass
