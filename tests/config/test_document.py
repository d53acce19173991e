"""Configuration errors name the file, the key path, the value and what to do."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.config import Document, Secret, load_document
from trimtab.errors import ConfigError


class Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    size: int = 1


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    count: int = 3
    inner: Inner = Inner()
    key: Secret | None = None


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
        ("version = 1\n[s]\ncount = 'x'", "trimtab.toml: s.count: 'x': expected int, got str"),
        ("version = 1\n[s.inner]\nsize = 1.5", "trimtab.toml: s.inner.size: 1.5: expected int, got float"),
        ("version = 1\n[s]\ncuont = 1", "trimtab.toml: s.cuont: nothing in this version reads this setting; remove it; did you mean 'count'?"),
        ("version = 1\n[s]\nzzz = 1", "known here: count, inner, key"),
        ("version = 1\n[s.inner]\nzzz = 1", "trimtab.toml: s.inner.zzz: nothing in this version reads"),
        ("version = 1\ns = 7", "trimtab.toml: s: 7: expected object, got int"),
        ("version = 1\n[t]\n", "trimtab.toml: t: nothing in this version reads this section; remove it"),
        ("[s]\ncount = 1", "trimtab.toml: version: missing; write 'version = 1' first"),
        ("version = 2", "trimtab.toml: version: 2: this Trimtab reads version 1"),
        ("version = true", "trimtab.toml: version: True: this Trimtab reads version 1"),
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
    assert "sk-ant-secret" not in str(problem.value)


def test_defaults_need_no_file_and_versions_follow_the_content(tmp_path: Path) -> None:
    assert load_document(None).section("s", Settings) == Settings()
    first = document("version = 1\n[s]\ncount = 4", tmp_path)
    assert first.section("s", Settings).count == 4
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
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        file.write(content)
        file.flush()
        try:
            found = load_document(Path(file.name))
            found.section("s", Settings)
            found.finish()
        except ConfigError:
            pass
