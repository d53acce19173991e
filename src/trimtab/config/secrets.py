"""Secrets are references in configuration and opaque objects in memory."""

import hmac
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from trimtab.config.files import read_file
from trimtab.errors import ConfigError


class Secret:
    """A secret value whose `repr` and `str` never show it. Built from `env:NAME` or `file:/path`."""

    __slots__ = ("_value", "source")

    def __init__(self, value: str, source: str) -> None:
        self._value = value
        self.source = source
        """The reference it came from, safe to print."""

    def reveal(self) -> str:
        """The value itself; call only where it leaves the process."""
        return self._value

    def __eq__(self, other: object) -> bool:
        """Whether it is the same value from the same reference, so that settings can be compared."""
        if not isinstance(other, Secret):
            return NotImplemented
        return self.source == other.source and hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        return hash(self.source)

    def __repr__(self) -> str:
        return f"Secret({self.source!r}, ***)"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not pickled")

    @classmethod
    def resolve(cls, reference: str) -> "Secret":
        """Follow a reference. Raises `ValueError` that never contains what might be the secret itself."""
        scheme, _, name = reference.partition(":")
        if "sk-" in name and scheme == "env":
            raise ValueError(
                "a secret is given by reference: what follows 'env:' is the name of a variable, not the key"
            )
        if scheme == "env" and name:
            value = os.environ.get(name, "")
            if not value:
                raise ValueError(f"{reference!r}: the environment variable {name} is not set; set it")
            return cls._checked(value, reference)
        if scheme == "file" and name:
            try:
                value = read_file(Path(name)).decode().strip()
            except ConfigError as problem:
                raise ValueError(f"{reference!r}: {str(problem).partition(': ')[2]}") from None
            except UnicodeDecodeError:
                raise ValueError(f"{reference!r}: cannot read the file: it is not text") from None
            if not value:
                raise ValueError(f"{reference!r}: the file is empty")
            return cls._checked(value, reference)
        raise ValueError(
            "a secret is given by reference, as 'env:NAME' or 'file:/path', never as the value itself"
        )

    @classmethod
    def _checked(cls, value: str, reference: str) -> "Secret":
        if not value.isascii() or not value.isprintable():
            raise ValueError(f"{reference!r}: holds characters that no HTTP header can carry")
        return cls(value, reference)


def secrets_in(settings: object) -> Iterator[Secret]:
    """Every secret that settings hold, however deep: what must not appear in logs."""
    if isinstance(settings, Secret):
        yield settings
    elif isinstance(settings, msgspec.Struct):
        for name in settings.__struct_fields__:
            yield from secrets_in(getattr(settings, name))
    elif isinstance(settings, Mapping):
        for value in settings.values():
            yield from secrets_in(value)
    elif isinstance(settings, list | tuple | set | frozenset):
        for value in settings:
            yield from secrets_in(value)
