"""A command as a person runs it in a folder: what it prints, and the one line that a mistake gets."""

import json
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from trimtab.errors import TrimtabError

CLAUDE = '[platforms.claude]\nkind = "anthropic"\napi_key = "env:NOT_SET_IN_THIS_SHELL"\n'
"""A platform whose key nobody has here: commands must not need it."""


class CliShell:
    """Runs one command, in the folder that is current."""

    command: typer.Typer
    told = ""
    """What the last one said beside its output."""

    def run(self, *words: str, status: int = 0, typed: str = "", command: typer.Typer | None = None) -> str:
        """What it prints on standard output."""
        result = CliRunner().invoke(command or self.command, words, input=typed)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == status, result.output
        self.told = result.stderr
        return result.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json"))

    def refused(self, *words: str, typed: str = "") -> str:
        """The one line that a mistake gets."""
        with pytest.raises(TrimtabError) as raised:
            self.run(*words, typed=typed)
        assert "\n" not in str(raised.value)
        return str(raised.value)
