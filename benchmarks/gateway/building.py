"""Compiles the two C programs, into a folder that git ignores, when their source is newer than they are."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = HERE / "build"
_FLAGS = ["-O2", "-Wall", "-Wextra"]


class Unavailable(Exception):
    """Something that the benchmark cannot do without, or a target that cannot be had; says what to do."""


@dataclass(frozen=True)
class Programs:
    upstream: Path
    load: Path
    has_tls: bool


def build() -> Programs:
    """Compile what is not up to date. Raises `Unavailable`."""
    if shutil.which("gcc") is None:
        raise Unavailable("gcc is missing (Debian packages: gcc libc6-dev libssl-dev)")
    BUILD.mkdir(exist_ok=True)
    has_tls = Path("/usr/include/openssl/ssl.h").exists()
    upstream = BUILD / ("upstream" if has_tls else "upstream-without-tls")
    tls = ["-DWITH_TLS", "-lssl", "-lcrypto"] if has_tls else []
    _compile(HERE / "upstream.c", upstream, tls)
    _compile(HERE / "load.c", BUILD / "load", ["-lm"])
    return Programs(upstream, BUILD / "load", has_tls)


def _compile(source: Path, program: Path, options: list[str]) -> None:
    newest = max(source.stat().st_mtime, (HERE / "messages.h").stat().st_mtime)
    if program.exists() and program.stat().st_mtime > newest:
        return
    done = subprocess.run(
        ["gcc", *_FLAGS, "-o", str(program), str(source), *options],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise Unavailable(f"{source.name} does not compile (Debian packages: libc6-dev):\n{done.stderr}")
