"""Pools of keys: each key becomes an entry of its own, and what is wrong with a pool is said without showing a key."""

from pathlib import Path

import pytest

from trimtab.app import load_settings
from trimtab.errors import ConfigError
from trimtab.providers.key_pool import MAX_KEYS, Keyed, accounts

KINDS = {
    "anthropic": "",
    "anthropic_on_aws": "region = 'eu-west-1'",
    "bedrock": "region = 'eu-west-1'",
    "foundry": "resource = 'r'",
    "openai": "base_url = 'http://127.0.0.1:1/v1'\nmodels = {}",
}
KEYS = {"KEY_A": "sk-first", "KEY_B": "sk-second", "KEY_C": "sk-first"}


def read(text: str, folder: Path, kind: str = "anthropic") -> Keyed:
    file = folder / "trimtab.toml"
    file.write_text(f"version = 1\n[platforms.x]\nkind = '{kind}'\n{KINDS.get(kind, '')}\n{text}")
    entry = load_settings(file).platforms["x"]
    assert isinstance(entry, Keyed)
    return entry


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, key in KEYS.items():
        monkeypatch.setenv(name, key)


@pytest.mark.parametrize("kind", KINDS)
def test_each_key_of_a_pool_is_an_entry_of_its_own_with_the_same_settings(kind: str, tmp_path: Path) -> None:
    entry = read("api_keys = ['env:KEY_A', 'env:KEY_B']\ndiscount_percent = 5\nidle_s = 7", tmp_path, kind)
    first, second = accounts(entry)
    assert (first[0], second[0]) == ("1", "2")
    assert first[1].api_key is not None
    assert second[1].api_key is not None
    assert (first[1].api_key.reveal(), second[1].api_key.reveal()) == ("sk-first", "sk-second")
    for _, one in (first, second):
        assert one.api_keys is None
        assert (one.idle_s, one.discount) == (7.0, entry.discount)


def test_one_key_that_is_no_pool_has_no_number(tmp_path: Path) -> None:
    entry = read("api_key = 'env:KEY_A'", tmp_path)
    assert accounts(entry) == (("", entry),)


def test_a_pool_of_one_has_a_number_so_that_a_second_key_changes_nothing_for_the_first(
    tmp_path: Path,
) -> None:
    ((account, _),) = accounts(read("api_keys = ['env:KEY_A']", tmp_path))
    assert account == "1"


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("anthropic", "", "platforms.x.api_key: missing; set it, or api_keys for a pool of keys"),
        ("anthropic", "api_keys = []", "platforms.x.api_keys: 0: holds so many keys; a pool has 1 to 64"),
        (
            "anthropic",
            "api_key = 'env:KEY_A'\napi_keys = ['env:KEY_B']",
            "platforms.x.api_key: api_keys is set too; keep one of them",
        ),
        (
            "anthropic",
            "api_keys = ['env:KEY_A', 'env:KEY_B', 'env:KEY_C']",
            "platforms.x.api_keys[2]: 'env:KEY_C' holds the same key as 'env:KEY_A'; remove one of them",
        ),
        ("anthropic", "api_keys = ['sk-first']", "a secret is given by reference"),
        ("anthropic", "api_keys = ['env:NOT_SET']", "the environment variable NOT_SET is not set"),
        ("anthropic", "api_keys = 'sk-first'", "platforms.x.api_keys: ***: must be a list"),
        ("anthropic", "api_keys = [1]", "a secret is given by reference"),
        ("bedrock", "api_keys = ['env:KEY_A']\nprofile = 'p'", "platforms.x.profile: api_keys is set too"),
        (
            "anthropic_on_aws",
            "api_keys = ['env:KEY_A']\naccess_key_id = 'env:KEY_B'",
            "platforms.x.access_key_id: api_keys is set too",
        ),
        ("foundry", "api_keys = ['env:KEY_A']\nclient_id = 'c'", "platforms.x.client_id: api_keys is set too"),
        ("foundry", "api_keys = ['env:KEY_A']\naccess_token = 'env:KEY_B'", "access_token: api_keys is set too"),
        ("vertex", "region = 'global'\napi_keys = ['env:KEY_A']", "platforms.x.api_keys: nothing in this version reads"),
        ("simulator", "api_keys = ['env:KEY_A']", "platforms.x.api_keys: nothing in this version reads"),
    ],
)  # fmt: skip
def test_a_pool_that_is_none_is_refused_in_one_line_without_a_key(
    kind: str, text: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as problem:
        read(text, tmp_path, kind)
    told = str(problem.value)
    assert message in told
    assert "sk-" not in told
    assert len(told) < 500
    assert "\n" not in told


def test_a_pool_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"POOL_{number}" for number in range(MAX_KEYS + 1)]
    for name in names:
        monkeypatch.setenv(name, f"sk-{name}")
    listed = ", ".join(f"'env:{name}'" for name in names)
    with pytest.raises(ConfigError, match="holds so many keys"):
        read(f"api_keys = [{listed}]", tmp_path)


def test_the_number_sign_of_a_pools_key_is_in_no_entrys_name(tmp_path: Path) -> None:
    file = tmp_path / "trimtab.toml"
    file.write_text("version = 1\n[platforms.'x#2']\nkind = 'simulator'")
    with pytest.raises(ConfigError, match="'x#2': a name has 1 to 64 plain ASCII characters"):
        load_settings(file)
