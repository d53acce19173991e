"""Reading the files that an operator names.

Invariant: only regular files of a bounded size are read, so a device, a pipe or a wrong name never holds a start up.
"""

import os
import stat
from pathlib import Path

from trimtab.errors import ConfigError

MAX_FILE_BYTES = 4 * 1024 * 1024
"""A configuration file over this size is a mistake; the largest that ships has about 40 kB."""

_NO_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
"""Opening a pipe would otherwise wait for a writer."""


def read_file(path: Path, remedy: str = "correct the path") -> bytes:
    """The whole file. Raises `ConfigError` that starts with the path and ends with `remedy`."""
    name = str(path) if str(path).isprintable() else ascii(str(path))
    try:
        descriptor = os.open(path, os.O_RDONLY | _NO_WAIT)
    except OSError as problem:
        raise ConfigError(name, f"cannot read the file: {problem.strerror}; {remedy}") from None
    except ValueError:
        raise ConfigError(name, f"no file can have this name; {remedy}") from None
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            kind = "Is a directory" if stat.S_ISDIR(mode) else "not a regular file"
            raise ConfigError(name, f"cannot read the file: {kind}; {remedy}")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as problem:
        raise ConfigError(name, f"cannot read the file: {problem.strerror}; {remedy}") from None
    finally:
        os.close(descriptor)
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(name, f"more than {MAX_FILE_BYTES} bytes; is it the right file?")
    return content
