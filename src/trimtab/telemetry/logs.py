"""How this process logs: one line a message, as text or as JSON, never a secret.

What it is not: a place to log from; every module has its own `logging.getLogger("trimtab....")`.
Invariants: each line went through the redaction, also lines of libraries, of exceptions and of broken log calls;
no failure in here reaches whoever logged; nothing that a message holds can begin a line or steer a terminal.
"""

import contextlib
import datetime
import json
import logging
import os
import sys
import threading
import traceback
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Any, TextIO

import trimtab.telemetry.names as names
from trimtab.config import Secret
from trimtab.errors import visible
from trimtab.telemetry.redaction import Redactor
from trimtab.telemetry.settings import TelemetrySettings

REQUEST: ContextVar[str] = ContextVar("trimtab_request", default="")
"""Id of the request that the running task works on; a line logged there carries it."""

MAX_CHARS = 32_768
"""Of a message or an exception. Longer ones are cut: a log is no place for a body."""

_LIBRARIES = ("opentelemetry", "urllib3", "asyncio")
"""Their debugging lines would drown ours, and those of an exporter would be sent by that exporter."""

_UNCAUGHT = logging.getLogger("trimtab")


class LogOutput:
    """The logging of one process, set up by `configure_logging`."""

    def __init__(self, handler: "_Handler", redactor: Redactor) -> None:
        self._handler = handler
        self._redactor = redactor
        self._hooks = (sys.excepthook, threading.excepthook)
        self._hooked = False

    def hide(self, secrets: Iterable[Secret]) -> None:
        """Redact these too; for secrets that come with a new configuration."""
        self._redactor.learn(secrets)

    def clean(self, text: str) -> str:
        """The text without secrets, for lines that do not go through logging."""
        return self._redactor.clean(text)

    def take_uncaught(self) -> None:
        """Log what would otherwise end a thread or the process with a bare traceback."""

        def thread(what: threading.ExceptHookArgs) -> None:
            if what.exc_type is not SystemExit:
                name = what.thread.name if what.thread else "?"
                info = (what.exc_type, what.exc_value, what.exc_traceback)
                _UNCAUGHT.critical("thread %s ended", name, exc_info=info)  # type: ignore[arg-type]

        def process(kind: type[BaseException], problem: BaseException, where: TracebackType | None) -> None:
            if issubclass(kind, KeyboardInterrupt):
                return
            _UNCAUGHT.critical("the process ends on an error", exc_info=(kind, problem, where))

        threading.excepthook, sys.excepthook = thread, process
        logging.captureWarnings(True)
        self._hooked = True

    def close(self) -> None:
        """Undo it all; for tests, and for a process that logs elsewhere from now on."""
        root = logging.getLogger()
        root.removeHandler(self._handler)
        if self._hooked:
            sys.excepthook, threading.excepthook = self._hooks
            logging.captureWarnings(False)


def configure_logging(
    settings: TelemetrySettings, stream: TextIO, *, secrets: Iterable[Secret] = (), worker: str = ""
) -> LogOutput:
    """Send every log line of this process to `stream`, and to nowhere else.

    `worker` names the process among its siblings. Call it again, in a new process or with new settings: the last call
    counts.
    """
    redactor = Redactor(secrets)
    formatter = (_Json if settings.log_format == "json" else _Text)(redactor, worker)
    handler = _Handler(stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    for old in list(root.handlers):
        if type(old) in (_Handler, logging.StreamHandler):  # a test tool's own kinds stay
            root.removeHandler(old)
    root.addHandler(handler)
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    root.setLevel(level)
    for library in _LIBRARIES:
        logging.getLogger(library).setLevel(max(level, logging.WARNING))
    # Whoever asks for access lines gets them, whatever the level of the rest.
    logging.getLogger(names.ACCESS_LOGGER).setLevel(logging.INFO if settings.access_log else logging.CRITICAL)
    return LogOutput(handler, redactor)


class _Handler(logging.StreamHandler[TextIO]):
    """Writes lines whole. What goes wrong costs the line, and is said without its content."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record) + "\n"
            try:
                self.stream.write(line)
            except UnicodeEncodeError:
                self.stream.write(line.encode("ascii", "backslashreplace").decode())
            self.flush()
        except Exception:
            self.handleError(record)

    def handleError(
        self, record: logging.LogRecord
    ) -> None:  # the library's prints message and arguments raw
        with contextlib.suppress(Exception):  # the stream is gone; there is nobody to tell
            self.stream.write(f"trimtab: a log line of {record.name!r} could not be written\n")


class _Lines(logging.Formatter):
    """What both forms share."""

    def __init__(self, redactor: Redactor, worker: str) -> None:
        super().__init__()
        self._clean = redactor.clean
        self._worker = worker

    def _message(self, record: logging.LogRecord) -> str:
        try:
            message = record.getMessage()
        except Exception:  # wrong arguments for the text, or an argument that cannot say what it is
            message = f"{record.msg!s:.500} (its arguments do not fit)"
        return _cut(self._clean(message))

    def _exception(self, record: logging.LogRecord) -> str:
        """Traceback, causes and messages; empty where there is none."""
        parts = []
        if record.exc_info and record.exc_info[1] is not None:
            try:
                parts += traceback.format_exception(*record.exc_info)
            except Exception:
                parts.append(f"{record.exc_info[0]!r} (it cannot be shown)")
        elif record.exc_text:
            parts.append(record.exc_text)
        if record.stack_info:
            parts.append(record.stack_info)
        return _cut(self._clean("".join(parts).rstrip("\n")))

    def _fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """What the caller gave as `extra={"fields": {...}}`, redacted."""
        given = getattr(record, "fields", None)
        if not isinstance(given, Mapping):
            return {}
        return {
            str(name): value
            if value is None or isinstance(value, bool | int | float)
            else _cut(self._clean(str(value)))
            for name, value in given.items()
        }


class _Text(_Lines):
    def format(self, record: logging.LogRecord) -> str:
        try:
            who = f"trimtab: worker {self._worker}" if self._worker else "trimtab"
            line = f"{who}: {record.levelname} {_one_line(self._message(record))}"
            fields = self._fields(record)
            if request := getattr(record, names.LOG_REQUEST, None):
                fields = {names.LOG_REQUEST: self._clean(str(request)), **fields}
            for name, value in fields.items():
                if value is not None:
                    line += f" {name}={_one_line(_word(value))}"
            if problem := self._exception(record):
                line += "\n" + "\n".join(_one_line(part) for part in problem.split("\n"))
            return line
        except Exception:
            return f"trimtab: {record.levelname} (a line that could not be formatted)"


class _Json(_Lines):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            names.LOG_TIME: _time(record.created),
            names.LOG_LEVEL: record.levelname.lower(),
            names.LOG_LOGGER: record.name,
        }
        try:
            line[names.LOG_MESSAGE] = self._message(record)
            if request := getattr(record, names.LOG_REQUEST, None) or REQUEST.get():
                line[names.LOG_REQUEST] = self._clean(str(request))
            line[names.LOG_PROCESS] = os.getpid()
            if self._worker:
                line[names.LOG_WORKER] = self._worker
            if problem := self._exception(record):
                line[names.LOG_EXCEPTION] = problem
            for name, value in self._fields(record).items():
                line.setdefault(name, value)
            return json.dumps(line, allow_nan=False)  # ASCII: whatever the stream's encoding, it is one line
        except Exception:
            line = {name: line[name] for name in (names.LOG_TIME, names.LOG_LEVEL, names.LOG_LOGGER)}
            return json.dumps({**line, names.LOG_MESSAGE: "(a line that could not be formatted)"})


def _time(created: float) -> str:
    moment = datetime.datetime.fromtimestamp(created, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _cut(text: str) -> str:
    if len(text) <= MAX_CHARS:
        return text
    return f"{text[:MAX_CHARS]} ... ({len(text) - MAX_CHARS:,} characters more)"


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return json.dumps(text) if " " in text or '"' in text or not text else text


def _one_line(text: str) -> str:
    """Control characters as escapes."""
    return visible(text, keep="\t")
