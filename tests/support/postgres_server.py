"""A PostgreSQL server of our own for a test run, from Debian's packages: a socket in a private directory, no network."""

import contextlib
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
_numbers = itertools.count(1)


def available() -> bool:
    """Whether this machine has PostgreSQL's programs."""
    return bool(BINARIES)


class PostgresServer:
    """One cluster. As root it runs under the account `postgres`, which the packages make."""

    def __init__(self, *, durable: bool = False) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="trimtab-pg-"))
        self.socket_dir = self.home / "s"
        self.data = self.home / "data"
        self.socket_dir.mkdir()
        self._durable = durable
        self._template: str | None = None
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user is not None:
            for path in (self.home, self.socket_dir):
                shutil.chown(path, self._user)
        self._call(
            "initdb", "-D", str(self.data), "-U", "trimtab", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"
        )
        self.start()

    def url(self, database: str) -> str:
        return f"postgresql://trimtab@/{database}?host={self.socket_dir}"

    def start(self) -> None:
        settings = (
            f"-c listen_addresses='' -c unix_socket_directories={self.socket_dir} -c max_connections=400"
        )
        if not self._durable:
            settings += " -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
        self._call(
            "pg_ctl", "-D", str(self.data), "-w", "-l", str(self.home / "log"), "-o", settings, "start"
        )

    def stop(self, mode: str = "fast") -> None:
        """`immediate` is like a crash."""
        self._call("pg_ctl", "-D", str(self.data), "-w", "-m", mode, "stop")

    def new_database(self) -> str:
        """The URL of an empty database."""
        return self._new("template1")

    def new_store(self, make: Callable[[str], None]) -> str:
        """The URL of a database with what `make` puts into one, given its URL: all are copies of the first of a server.

        A quarter of the processor time of an empty one in which every step of the schema is made anew.
        """
        if self._template is None:
            empty = self._new("template1")
            make(empty)
            self._template = _name(empty)
        return self._new(self._template)

    def _new(self, template: str) -> str:
        name = f"t{os.getpid()}_{next(_numbers)}"
        self._say(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def drop(self, url: str) -> None:
        """A database that nobody needs any more, whoever is still connected. What was never written to the disk, 8 MB
        each, need not be written then."""
        self._say(f"DROP DATABASE IF EXISTS {_name(url)} WITH (FORCE)")

    def _say(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as server:
            server.execute(statement.encode())

    def remove(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self.stop("immediate")
        shutil.rmtree(self.home, ignore_errors=True)

    def _call(self, program: str, *arguments: str) -> None:
        # Not through a pipe: a started server would keep it open.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                [BINARIES[-1] / program, *arguments],
                user=self._user,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "LC_ALL": "C"},
                check=False,
            )
            output.seek(0)
            if done.returncode:
                raise subprocess.CalledProcessError(
                    done.returncode, program, output.read().decode(errors="replace")
                )


def _name(url: str) -> str:
    return url.partition("@/")[2].partition("?")[0]


@contextlib.contextmanager
def running(*, durable: bool = False) -> Iterator[PostgresServer]:
    server = PostgresServer(durable=durable)
    try:
        yield server
    finally:
        server.remove()
