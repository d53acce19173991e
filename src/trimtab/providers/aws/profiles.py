"""The files that AWS's tools share: `~/.aws/credentials` and `~/.aws/config`, read once.

What it is not: a choice between places (`credentials`). Invariant: no value of a file is in an error, it may be a key.

Source: AWS SDKs and Tools Reference Guide, "Shared config and credentials files" (2026-11).
"""

import configparser
from collections.abc import Mapping
from pathlib import Path

from trimtab.config import read_file
from trimtab.errors import ConfigError

DEFAULT_PROFILE = "default"


class SharedFiles:
    """Both files; one that is not there is empty."""

    def __init__(self, environment: Mapping[str, str], home: Path) -> None:
        """Raises `ConfigError` for a file that is there and cannot be read."""
        self.credentials_path = _path(
            environment.get("AWS_SHARED_CREDENTIALS_FILE"), home / ".aws" / "credentials", home
        )
        self.config_path = _path(environment.get("AWS_CONFIG_FILE"), home / ".aws" / "config", home)
        self._credentials = _read(self.credentials_path)
        self._config = {
            name.removeprefix("profile ").strip(): section
            for name, section in _read(self.config_path).items()
            if name == DEFAULT_PROFILE or name.startswith("profile ")
        }

    def has(self, profile: str) -> bool:
        """Whether one of the files names this profile."""
        return profile in self._credentials or profile in self._config

    def stored(self, profile: str) -> Mapping[str, str]:
        """What the credentials file says of it."""
        return self._credentials.get(profile, {})

    def configured(self, profile: str) -> Mapping[str, str]:
        """What the config file says of it."""
        return self._config.get(profile, {})


def _path(named: str | None, usual: Path, home: Path) -> Path:
    if not named:
        return usual
    return home / named[2:] if named.startswith("~/") else Path(named)


def _read(path: Path) -> dict[str, dict[str, str]]:
    if not path.exists():
        return {}
    parser = configparser.RawConfigParser(strict=False, default_section="\0")
    try:
        parser.read_string(read_file(path).decode())
    except configparser.Error as problem:
        line = getattr(problem, "lineno", None) or next(
            (at for at, _ in getattr(problem, "errors", ())), None
        )
        raise ConfigError(
            str(path), f"cannot be read as AWS's shared file, line {line}; correct it"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(str(path), "is not text in UTF-8; correct it") from None
    return {name: dict(parser[name]) for name in parser.sections()}
