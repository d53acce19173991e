"""How a process that runs tests says what becomes of them.

What it is not: who believes it (`judge`). Invariant: what it says of tests has the token that came with them.
"""

import json
import os
from typing import Any, NoReturn

MAX_MESSAGE = 600

Message = dict[str, Any]


class Reporter:
    """One process's line to the judge."""

    def __init__(self, orders: int, results: int) -> None:
        self._orders = os.fdopen(orders, "rb", buffering=0)
        self._results = results
        self._token = ""
        # Kept here, for the code may change them where they are.
        self._dumps, self._write, self._exit = json.dumps, os.write, os._exit

    def order(self) -> Message:
        """What is to be done next."""
        read: Message = json.loads(self._orders.readline() or b'{"at": "end"}')
        self._token = read.pop("token", self._token)
        return read

    def send(self, at: str, **more: object) -> None:
        """Say something."""
        line = self._dumps({"at": at, "token": self._token, **more}).encode() + b"\n"
        while line:
            line = line[self._write(self._results, line) :]

    def end(self, at: str, **more: object) -> NoReturn:
        """Say the last thing, and end the process."""
        self.send(at, **more)
        self._exit(0)

    def broken(self, problem: BaseException, own: str, what: str) -> NoReturn:
        """Neither code nor tests can go on."""
        name = getattr(problem, "name", None) or ""
        if isinstance(problem, ModuleNotFoundError) and name.partition(".")[0] != own:
            self.end("missing", name=name)
        self.end("broken", message=f"{what}: {told(problem)}")

    def passed(self, name: str) -> None:
        """One test has run to its end."""
        self.send("test", name=name, ok=True)

    def failed(self, name: str, message: str) -> NoReturn:
        """The first failure ends it."""
        self.end("test", name=name, ok=False, message=message[:MAX_MESSAGE])


def told(problem: BaseException) -> str:
    """What a test broke with, in one line, whatever its text does."""
    try:
        text = str(problem)
    except BaseException:
        text = "(its text cannot be had)"
    if isinstance(problem, SystemExit):
        return f"it ends the program ({type(problem).__name__} {text[:80]})"
    return f"{type(problem).__name__}: {text}"[:MAX_MESSAGE] if text else type(problem).__name__
