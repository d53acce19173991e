"""What an operator, and a log collector, sees."""

import io
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trimtab.config import Secret
from trimtab.telemetry import LogOutput, TelemetrySettings, configure_logging, names
from trimtab.telemetry.logs import MAX_CHARS, REQUEST

SECRET = "hunter2-is-not-a-good-password"
Configure = Callable[..., io.StringIO]
log = logging.getLogger("trimtab.test")


@pytest.fixture
def configure() -> Iterator[Configure]:
    outputs: list[LogOutput] = []
    root = logging.getLogger()
    level = root.level

    def start(worker: str = "", stream: io.StringIO | None = None, **values: Any) -> io.StringIO:
        for theirs in root.handlers[:]:
            root.removeHandler(
                theirs
            )  # the test tool's, for this test only: it raises where a log call is wrong
        stream = stream or io.StringIO()
        outputs.append(
            configure_logging(
                TelemetrySettings(**values), stream, secrets=[Secret(SECRET, "env:S")], worker=worker
            )
        )
        return stream

    yield start
    for output in outputs:
        output.close()
    root.setLevel(level)


def one(stream: io.StringIO) -> dict[str, Any]:
    lines = stream.getvalue().splitlines()
    assert len(lines) == 1, lines
    line: dict[str, Any] = json.loads(lines[0])
    return line


def test_text_lines_read_as_before(configure: Configure) -> None:
    stream = configure()
    log.warning("platform %s fails: %s", "claude", "refused")
    log.info("not shown at this level")
    assert stream.getvalue() == "trimtab: WARNING platform claude fails: refused\n"


def test_text_lines_name_the_worker(configure: Configure) -> None:
    stream = configure(worker="2")
    log.error("x")
    assert stream.getvalue() == "trimtab: worker 2: ERROR x\n"


def test_a_json_line_has_the_documented_fields(configure: Configure) -> None:
    stream = configure(log_format="json", worker="w1", log_level="info")
    token = REQUEST.set("0123abcd")
    try:
        log.info("hello %s", "wörld")
    finally:
        REQUEST.reset(token)
    line = one(stream)
    assert set(line) == set(names.LOG_FIELDS) - {names.LOG_EXCEPTION}
    assert line[names.LOG_MESSAGE] == "hello wörld"
    assert line[names.LOG_LEVEL] == "info"
    assert line[names.LOG_LOGGER] == "trimtab.test"
    assert line[names.LOG_REQUEST] == "0123abcd"
    assert line[names.LOG_WORKER] == "w1"
    assert line[names.LOG_TIME].endswith("Z")
    assert len(line[names.LOG_TIME]) == len("2026-11-20T12:34:56.789Z")


def test_the_last_configuration_counts(configure: Configure) -> None:
    first, second = configure(), configure(log_format="json")
    log.warning("x")
    assert not first.getvalue()
    assert one(second)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_an_exception_chain_is_shown_without_secrets(configure: Configure, log_format: str) -> None:
    stream = configure(log_format=log_format)
    try:
        try:
            raise KeyError(SECRET)
        except KeyError as inner:
            inner.add_note(f"tried with {SECRET}")
            raise ValueError(f"x-api-key: {SECRET} and tt-{'k' * 43}") from inner
    except ValueError:
        log.exception("request %s failed with %s", "r", SECRET)
    said = stream.getvalue()
    assert SECRET not in said
    assert "kkkk" not in said
    assert "KeyError" in said
    assert "direct cause" in said
    if log_format == "json":
        assert "ValueError" in one(stream)[names.LOG_EXCEPTION]


class Telling:
    def __str__(self) -> str:
        return f"<{SECRET}>"

    __repr__ = __str__


class Broken:
    def __str__(self) -> str:
        raise RuntimeError(SECRET)

    __repr__ = __str__


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize(
    "call",
    [
        lambda: log.warning("%s", Telling()),
        lambda: log.warning("%s", {"deep": [Telling()]}),
        lambda: log.warning("%s%s", SECRET[:9], SECRET[9:]),
        lambda: log.warning(SECRET + " %d", "not a number"),
        lambda: log.warning("%s", Broken()),
        lambda: log.warning(Broken()),
        lambda: log.warning("%s %s", SECRET),  # noqa: PLE1206
        lambda: log.warning("%s", b"authorization: Bearer " + SECRET.encode()),
        lambda: log.warning("x", extra={"fields": {"a": SECRET, "b": Telling(), "c": float("nan")}}),
        lambda: log.warning("x", extra={"fields": {"a": Broken()}}),
        lambda: log.warning("x", extra={"request": SECRET}),
        lambda: log.warning("x", stack_info=True),
        lambda: log.warning("\udc80 lone %s", SECRET),
    ],
    ids=range(13),
)
def test_no_way_of_logging_shows_a_secret_or_fails(
    configure: Configure, log_format: str, call: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    stream = configure(log_format=log_format)
    call()
    captured = capsys.readouterr()
    said = stream.getvalue() + captured.out + captured.err
    assert SECRET not in said
    assert SECRET[9:] not in said
    assert stream.getvalue().endswith("\n")
    if log_format == "json":
        assert one(stream)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    before=st.text(max_size=40),
    after=st.text(max_size=40),
    place=st.sampled_from(["message", "argument", "exception", "cause", "field", "group"]),
    log_format=st.sampled_from(["text", "json"]),
)
def test_planted_secrets_never_come_out(
    configure: Configure, before: str, after: str, place: str, log_format: str
) -> None:
    stream = configure(log_format=log_format)
    planted = f"{before}{SECRET}{after}"
    try:
        if place == "message":
            log.error(planted.replace("%", "%%"))
        elif place == "argument":
            log.error("%s", planted)
        elif place == "field":
            log.error("x", extra={"fields": {"planted": planted}})
        elif place == "exception":
            raise RuntimeError(planted)
        elif place == "group":
            raise ExceptionGroup("several", [ValueError(planted), OSError(5, planted)])
        else:
            try:
                raise KeyError(planted)
            except KeyError as cause:
                raise RuntimeError("outer") from cause
    except Exception:
        log.exception("it broke")
    said = stream.getvalue()
    assert said
    assert SECRET not in said
    if log_format == "json":
        json.loads(said)
        assert said.count("\n") == 1


def test_a_message_cannot_forge_a_line_or_steer_a_terminal(configure: Configure) -> None:
    stream = configure()
    log.warning("model %s", "x\ntrimtab: ERROR all is lost\x1b[2J\u2028y")
    assert stream.getvalue() == "trimtab: WARNING model x\\ntrimtab: ERROR all is lost\\x1b[2J\\u2028y\n"


def test_a_huge_message_is_cut(configure: Configure) -> None:
    stream = configure(log_format="json")
    log.warning("y" * (MAX_CHARS + 1000))
    assert one(stream)[names.LOG_MESSAGE].endswith("(1,000 characters more)")


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


class Ascii(io.StringIO):
    def write(self, text: str) -> int:
        text.encode("ascii")
        return super().write(text)


def test_a_log_that_cannot_be_written_hurts_nobody(
    configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(stream=Full())
    log.error("%s", SECRET)
    assert capsys.readouterr().err == ""


def test_a_stream_without_unicode_gets_escapes(configure: Configure) -> None:
    stream = configure(stream=Ascii())
    log.error("日本")
    assert stream.getvalue() == "trimtab: ERROR \\u65e5\\u672c\n"


def test_access_lines_come_whatever_the_level(configure: Configure) -> None:
    access = logging.getLogger(names.ACCESS_LOGGER)
    stream = configure(log_level="error", access_log=True)
    access.info(
        "POST /v1/messages",
        extra={"request": "r1", "fields": {"status": 200, "arm": "a b", "ok": True, "n": None}},
    )
    assert stream.getvalue() == 'trimtab: INFO POST /v1/messages request=r1 status=200 arm="a b" ok=true\n'
    stream = configure(log_level="debug")
    access.info("not asked for")
    assert not stream.getvalue()


def test_libraries_do_not_debug_into_our_log(configure: Configure) -> None:
    stream = configure(log_level="debug")
    logging.getLogger("urllib3.connectionpool").debug("x")
    log.debug("y")
    assert stream.getvalue() == "trimtab: DEBUG y\n"


UNCAUGHT = f"""
import sys, threading
from trimtab.config import Secret
from trimtab.telemetry import TelemetrySettings, configure_logging
output = configure_logging(TelemetrySettings(log_format="json"), sys.stderr, secrets=[Secret("{SECRET}", "env:S")])
output.take_uncaught()
def work():
    raise RuntimeError("in a thread: {SECRET[:10]}" + "{SECRET[10:]}")
thread = threading.Thread(target=work, name="writer")
thread.start()
thread.join()
import warnings
warnings.warn("old: {SECRET[:10]}" + "{SECRET[10:]}")
raise RuntimeError("at the end: {SECRET[:10]}" + "{SECRET[10:]}")
"""


def test_what_nobody_catches_is_logged_too() -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNCAUGHT], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert SECRET not in done.stderr
    thread, warning, process = [json.loads(line) for line in done.stderr.splitlines()]
    assert "writer" in thread[names.LOG_MESSAGE]
    assert "in a thread: ***" in thread[names.LOG_EXCEPTION]
    assert "old: ***" in warning[names.LOG_MESSAGE]
    assert "at the end: ***" in process[names.LOG_EXCEPTION]


def test_lines_of_many_threads_do_not_mix(configure: Configure) -> None:
    stream = configure(log_format="json", log_level="info")

    def work(number: int) -> None:
        for _ in range(50):
            log.info("from %d", number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(lines) == 200


def test_closing_gives_the_hooks_back() -> None:
    before = (sys.excepthook, threading.excepthook)
    output = configure_logging(TelemetrySettings(), io.StringIO())
    output.take_uncaught()
    assert sys.excepthook is not before[0]
    output.close()
    assert (sys.excepthook, threading.excepthook) == before
