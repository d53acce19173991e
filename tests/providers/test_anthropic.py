"""What an operator may write in `[platforms.NAME]` for Claude, and what an error about it may show."""

import math
from pathlib import Path
from typing import Any

import pytest

from trimtab.config import Secret
from trimtab.errors import ConfigError
from trimtab.providers.anthropic import AnthropicSettings, open_anthropic


def opening(**written: Any) -> None:
    settings = AnthropicSettings(api_key=Secret("k", "env:K"), **written)
    open_anthropic("claude", settings, lambda key: f"trimtab.toml: platforms.claude.{key}")


def refusal(**written: Any) -> str:
    with pytest.raises(ConfigError) as problem:
        opening(**written)
    return str(problem.value)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "ALL_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("key", ["connect_s", "header_s", "first_event_s", "idle_s"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.0, -1.0, 86_400.5])
def test_a_deadline_that_no_timer_can_keep_is_refused(key: str, value: float) -> None:
    assert refusal(**{key: value}) == (
        f"trimtab.toml: platforms.claude.{key}: {value!r}: must be greater than 0 and at most 86400"
    )


@pytest.mark.parametrize("value", [0, -1, 1_000_001])
def test_a_number_of_connections_that_cannot_be_meant_is_refused(value: int) -> None:
    assert refusal(max_connections=value).endswith(f"max_connections: {value}: must be from 1 to 1000000")


def test_the_limits_themselves_are_allowed() -> None:
    opening(connect_s=86_400.0, header_s=0.001, max_connections=1)
    opening(max_connections=1_000_000)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:SECRET@host.example", "'https://host.example': must not hold a user name"),
        ("https://SECRET@host.example", "'https://host.example': must not hold a user name"),
        ("https://host.example?key=SECRET", "'https://host.example': must not have a query"),
        ("https://host.example/v1#SECRET", "'https://host.example': must not have a query"),
        ("https://user:SECRET/x@host.example", "base_url: must have a number"),
        ("https://host.example:SECRET", "'https://host.example': must have a number"),
        ("https://[SECRET", "base_url: must be a URL such as"),
        ("SECRET", "base_url: must be a URL such as"),
        ("secret://x", "base_url: must be a URL such as"),
        ("http://sk-ant-SECRET", "base_url: must be https"),
        ("https://a..b", "'https://a..b': must name a host"),
        ("https://" + "a" * 64 + ".example", "must name a host"),
    ],
)
def test_an_error_about_an_address_shows_no_secret_in_it(url: str, shown: str) -> None:
    said = refusal(base_url=url)
    assert shown in said
    assert "SECRET" not in said
    assert "sk-ant" not in said


def test_a_proxy_with_a_slash_in_its_password_is_refused_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:SEC/RET@proxy:3128")
    said = refusal()
    assert "the proxy from the environment is not a URL" in said
    assert "SEC" not in said


@pytest.mark.parametrize(
    ("ca_file", "shown"),
    [
        ("/no/such/file.pem", "'/no/such/file.pem': cannot be read as PEM certificates: No such file"),
        ("/a\0b.pem", "cannot be read as PEM certificates: embedded null"),
        ("sk-ant-SECRET", "ca_file: cannot be read as PEM certificates: No such file"),
        ("/etc/trimtab/sk-ant-SECRET", "ca_file: cannot be read as PEM certificates: No such file"),
    ],
)
def test_a_ca_file_that_cannot_be_read_is_one_clear_line_without_a_key(ca_file: str, shown: str) -> None:
    said = refusal(ca_file=ca_file)
    assert shown in said
    assert "SECRET" not in said
    assert said.isprintable()


def test_a_ca_file_that_holds_no_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not PEM")
    assert "ca.pem': cannot be read as PEM certificates" in refusal(ca_file=str(tmp_path / "ca.pem"))
