"""What an operator meets: the store away, memory, the cost of a request, errors of the platform, what is installed."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from drive import Key, Platform, Site, books, eventually, rss_mib
from killing import CALL_NANOUSD
from load import Caller, Load
from postgres_server import PostgresServer, available, running
from raw_client import Client
from scripted_upstream import Received, Upstream, streamed, whole
from taking_away import locked, stopped

ROOT = Path(__file__).resolve().parent.parent.parent
FLOOD = ROOT / "tests" / "chaos" / "flood.py"
MODEL = "claude-sonnet-4-6"
MESSAGE = b'{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-4-6","content":[{"type":"text","text":"."}],"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":1}}'

# --- 24 and 25: the store goes away ---


@pytest.fixture(scope="session")
def stoppable() -> Iterator[PostgresServer]:
    """A database server that these tests may stop."""
    if not available():
        pytest.skip("PostgreSQL is not installed here (apt-get install postgresql)")
    with running(durable=True) as server:
        yield server


class Ground:
    """A store that can be taken away, a platform that counts, and a server between them."""

    def __init__(
        self, folder: Path, combination: Any, postgres: PostgresServer | None, options: str = ""
    ) -> None:
        self.platform = Platform(folder)
        file = folder / "t.db"
        url = f"sqlite:///{file}" if postgres is None else postgres.new_database()
        self.site = Site(folder, self.platform, url, combination.workers, options)
        self.names: dict[str, str] = {}
        """Of the keys, by id."""
        self.away: Callable[[], AbstractContextManager[None]] = (
            (lambda: locked(file)) if postgres is None else (lambda: stopped(postgres, "fast"))
        )

    def figure(self, name: str, key: str) -> float:
        """One of /metrics, over all workers; 0 where it is not there."""
        client = Client(self.site.port, key)
        try:
            text = client.get("/metrics").body.decode()
        finally:
            client.close()
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.split()[0] == name)

    def key(self, name: str, **limits: Any) -> Key:
        key = self.site.key(name, **limits)
        self.names[key.id] = name
        return key

    def whole_books(self) -> bool:
        """Whether every call that the platform saw is on record, once, and in its key's spend; nothing else ever is."""
        calls = [event for event in self.platform.events() if event.came]
        found = books(self.site)
        recorded = [record.name for record in found.records if record.attempts]
        if len(recorded) < len(calls):
            return False
        assert Counter(recorded) == Counter(event.name for event in calls)
        assert max(Counter(recorded).values()) == 1
        assert found.dropped == 0
        billed = {name: n * CALL_NANOUSD for name, n in Counter(event.key for event in calls).items()}
        assert {self.names[key]: nano for key, nano in found.spent.items()} == billed
        return True


@pytest.fixture
def ground(
    tmp_path: Path, combination: Any, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Ground]]:
    """`ground(options of the store)`; what it starts is ended."""
    made: list[Ground] = []

    def make(options: str = "") -> Ground:
        postgres = request.getfixturevalue("stoppable") if combination.store == "postgresql" else None
        made.append(Ground(tmp_path, combination, postgres, options))
        return made[-1]

    yield make
    for each in made:
        each.site.destroy()
        each.platform.close()


def test_a_store_that_goes_away_under_load_costs_nobody_a_request_and_no_spend_is_lost(
    ground: Callable[..., Ground],
) -> None:
    """Complaint 24, valid keys get 401 when the database has trouble (litellm#34479, litellm#18708, litellm#15536): the
    store is stopped (or its file held) under load, and comes back. In full: benchmarks/store_away.py."""
    here = ground()
    keys = {name: here.key(name) for name in ("plain", "streams", "fresh")}
    keys["money"] = here.key("money", usd=5.0)
    here.site.start()

    def rest() -> float:
        return 0.02

    callers = [
        Caller("plain", keys["plain"], 3, lambda: 5, rest),
        Caller("streams", keys["streams"], 3, lambda: 5, rest, stream=True),
        Caller("money", keys["money"], 2, lambda: 5, rest),
    ]
    with Load(here.site.port, callers) as load:
        eventually(lambda: all(len(load.of(caller.kind)) > 20 for caller in callers))
        gone = time.monotonic()
        with here.away():
            taken = time.monotonic()
            # A key that nobody has used before, on connections that no worker has seen.
            with Load(here.site.port, [Caller("fresh", keys["fresh"], 4, lambda: 5, rest)]) as newcomers:
                eventually(lambda: len(newcomers.of("fresh")) > 40)
                for kind in ("plain", "streams"):
                    eventually(lambda kind=kind: sum(a.began > taken for a in load.of(kind)) > 60)
        back = time.monotonic()
        eventually(lambda: any(a.status == 200 and a.began > back for a in load.of("money")))
    answers = [*load.answers, *newcomers.answers]
    assert gone < taken < back
    assert not [a for a in answers if a.status == 401]
    assert not [a for a in answers if a.caller != "money" and a.status != 200]
    limited = [a for a in answers if a.caller == "money"]
    assert {a.status for a in limited} <= {200, 503}, "a slice may be used up: then try again, not 401"
    assert all(a.retry_after is not None for a in limited if a.status == 503)
    eventually(here.whole_books)
    assert here.site.stop() == 0
    assert not here.site.tracebacks()


def test_outages_of_the_store_fill_the_disk_not_the_memory_and_give_all_back(
    ground: Callable[..., Ground], combination: Any
) -> None:
    """Complaint 25, memory that an outage takes and never returns (litellm#38193: +101 MiB per cycle): the queue of
    records is bounded, what has no room waits in the journal's file, and after two outages all of it is in the store."""
    most = 10
    here = ground(f"queue_max = {most}\nbatch_ms = 5\n")
    key = here.key("app")
    here.site.start()
    memory = []
    for _ in range(2):
        with here.away(), Load(here.site.port, [Caller("app", key, 6, lambda: 1)]) as load:
            eventually(lambda load=load: len(load.answers) > 60 * combination.workers)
            eventually(lambda: here.figure("trimtab_records_spilled", key.secret) > 20)
            assert here.figure("trimtab_records_queued", key.secret) <= most * combination.workers
        assert {answer.status for answer in load.answers} == {200}
        eventually(here.whole_books)
        eventually(lambda: here.figure("trimtab_records_spilled", key.secret) == 0)
        memory.append(rss_mib(here.site.serving()))
    assert memory[1] - memory[0] < 24, "MiB; a hundred for each outage was what people saw"
    assert here.site.stop() == 0


BODY_BYTES = 16_000
WARM_UP, MEASURED, STEP = 1_000, 3_000, 500
KEPT_MIB = 16.0
"""What all processes together may grow by; a third of what it takes to keep each request (46 MiB)."""


def test_memory_does_not_grow_with_the_number_of_requests(
    combination: Any, new_store: Callable[[Path], str], tmp_path: Path
) -> None:
    """Complaint 25, memory that grows until the process is killed (litellm#12685, litellm#15128, litellm#27954). Here in
    short, with bodies large enough that keeping them would be seen; a million requests: benchmarks/soak.py."""
    platform = Platform(tmp_path)
    site = Site(tmp_path, platform, new_store(tmp_path), combination.workers)
    try:
        key = site.key("limited", concurrency=64, usd=1000.0)
        site.start()
        arguments = (site.port, WARM_UP + MEASURED, STEP, key.secret, BODY_BYTES)
        command = [sys.executable, str(FLOOD), *map(str, arguments)]
        seen = {}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as flood:
            assert flood.stdout is not None
            for line in flood.stdout:
                if line.startswith("{"):
                    statuses = json.loads(line)
                else:
                    seen[int(line.split()[0])] = rss_mib(site.serving())
        # 503: a key with limits, where a busy machine did not lease its slice in time.
        assert set(statuses) <= {"200", "404", "503"}
        assert statuses["200"] > MEASURED
        grown = seen[WARM_UP + MEASURED] - seen[WARM_UP]
        assert grown < KEPT_MIB, seen
        assert site.stop() == 0
    finally:
        site.destroy()
        platform.close()


# --- 26: what a request costs besides the request ---


def serving_state(site: Site) -> dict[str, int]:
    """Threads and open files of all serving processes, and bytes of the log."""
    pids = site.serving()
    return {
        "threads": sum(len(os.listdir(f"/proc/{pid}/task")) for pid in pids),
        "files": sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids),
        "log": site.log.stat().st_size,
    }


def test_a_request_costs_no_thread_no_file_and_no_line_of_log(gateway: Any, upstream: Upstream) -> None:
    """Complaint 26, half of the CPU in logging and 20 replicas for 15 requests a second (litellm#13890, litellm#13546),
    and a thread for each chunk (litellm#6404). What can be said without a clock; the ratios: docs/benchmarks.md."""
    ping = b'event: ping\ndata: {"type":"ping"}\n\n'

    def answer(request: Received) -> Iterable[bytes]:
        asked = json.loads(request.body)
        if not asked.get("stream"):
            return whole(MESSAGE)
        return streamed([ping] * 300 + [b'event: message_stop\ndata: {"type":"message_stop"}\n\n'])

    def call(number: int) -> None:
        client = gateway.client()
        for _ in range(number):
            for stream in (False, False, False, True):
                asked = {
                    "model": MODEL,
                    "max_tokens": 8,
                    "stream": stream,
                    "messages": [{"role": "user", "content": "?"}],
                }
                assert client.post(json.dumps(asked).encode()).status == 200
        client.close()

    def together(number: int) -> None:
        callers = [threading.Thread(target=call, args=(number,)) for _ in range(8)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()

    upstream.answer = answer
    upstream.pause_s, pause_s = 0.0, upstream.pause_s
    try:
        together(2)
        before = serving_state(gateway.site)
        together(10)
    finally:
        upstream.pause_s = pause_s
    after = serving_state(gateway.site)
    # Connections to the platform are kept, a few for each worker; a request of its own would show as hundreds.
    few = 16 * len(gateway.site.serving())
    assert after["threads"] <= before["threads"] + 2 * len(gateway.site.serving())
    assert after["files"] <= before["files"] + few
    assert after["log"] == before["log"]


# --- 27: errors of the platform ---

OVERLOADED = b'{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded \xe2\x8f\xb3"},\n "request_id":"req_1"}  '
LIMITED = b'{"type":"error","error":{"type":"rate_limit_error","message":"slow","details":{"error_code":"x"}},"request_id":"req_1"}'
TOLD = [
    ("request-id", "req_011CSHoEeqs5C35K2UUqR7Fy"),
    ("anthropic-organization-id", "org-1"),
    ("anthropic-ratelimit-requests-limit", "50"),
    ("anthropic-ratelimit-requests-remaining", "0"),
    ("anthropic-ratelimit-requests-reset", "2026-11-21T12:00:07Z"),
    ("anthropic-ratelimit-input-tokens-remaining", "12000"),
    ("anthropic-ratelimit-output-tokens-reset", "2026-11-21T12:00:00.5Z"),
    ("x-should-retry", "true"),
]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (b"529 Overloaded", OVERLOADED),
        (b"429 Too Many Requests", LIMITED),
        (b"503 Service Unavailable", b"<html>"),
    ],
    ids=["529", "429", "503"],
)
def test_an_error_of_the_platform_arrives_as_it_was_said(
    status: bytes, body: bytes, stream: bool, client: Client, upstream: Upstream
) -> None:
    """Complaint 27, a 529 turned into a 429, and no word of when to try again (litellm#5764, litellm#27823): status, body
    and every header that a program goes by are the platform's."""
    headers = [*TOLD, ("retry-after", "7")]
    upstream.answer = lambda _: whole(body, *(f"{k}: {v}".encode() for k, v in headers), status=status)
    asked = {
        "model": MODEL,
        "max_tokens": 8,
        "stream": stream,
        "messages": [{"role": "user", "content": "?"}],
    }
    answer = client.post(json.dumps(asked).encode())
    assert (answer.status, answer.body) == (int(status[:3]), body)
    for name, value in headers:
        assert [told for key, told in answer.headers if key == name] == [value]
    record = client.record(answer.id)
    assert (record["result"], record["status"]) == ("error", int(status[:3]))
    assert record.get("cost_nanousd", 0) == 0


def test_one_refusal_of_the_platform_does_not_refuse_the_next_request(
    client: Client, upstream: Upstream
) -> None:
    """Complaint 27, cooldowns of the gateway's own: after one 429 or 529 later requests were refused, with a deadline of an
    earlier one (litellm#40130, better-ccflare#271). Every request reaches the platform, every answer is its own."""
    waits = ["7", "3", "120", "0", "Sat, 21 Nov 2026 12:00:00 GMT"]
    numbers = count()

    def answer(_: Received) -> Iterable[bytes]:
        number = next(numbers)
        if number % 2:
            return whole(MESSAGE)
        status = (b"429 Too Many Requests", b"529 Overloaded")[number // 2 % 2]
        return whole(LIMITED, f"retry-after: {waits[number // 2]}".encode(), status=status)

    upstream.answer = answer
    before = len(upstream.received)
    asked = json.dumps(
        {"model": MODEL, "max_tokens": 8, "messages": [{"role": "user", "content": "?"}]}
    ).encode()
    for number, wait in enumerate(waits):
        refused = client.post(asked)
        assert (refused.status, refused.named["retry-after"]) == ((429, 529)[number % 2], wait)
        assert client.post(asked).status == 200
    assert len(upstream.received) == before + 2 * len(waits)


def test_a_program_on_the_sdk_sees_the_platforms_own_error(
    run_sdk: Callable[..., dict[str, Any]], upstream: Upstream
) -> None:
    """Complaint 27, errors of another class: a program that waits out an overload must see a 529, with the platform's
    request id and its retry-after (litellm#5764)."""

    def answer(request: Received) -> Iterable[bytes]:
        status, wait = json.loads(request.body)["messages"][0]["content"].split()
        head = [f"{k}: {v}".encode() for k, v in [*TOLD, ("retry-after", wait)] if k != "x-should-retry"]
        return whole(OVERLOADED if status == "529" else LIMITED, *head, status=f"{status} No".encode())

    upstream.answer = answer
    errors = run_sdk("errors_seen")["errors"]
    assert [(each["status"], each["retry_after"]) for each in errors] == [(529, "7"), (529, "3"), (429, "9")]
    assert [each["type"] for each in errors] == ["overloaded_error", "overloaded_error", "rate_limit_error"]
    assert errors[2]["class"] == "RateLimitError"
    assert "RateLimitError" not in {each["class"] for each in errors[:2]}
    told = dict(TOLD)
    for each, body in zip(errors, (OVERLOADED, OVERLOADED, LIMITED), strict=True):
        assert each["request_id"] == told["request-id"]
        assert each["limits"] == {k: v for k, v in told.items() if k.startswith("anthropic-ratelimit-")}
        assert each["text"] == body.decode()


# --- 30: what is installed ---

LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def pinned(lock: Path) -> dict[str, list[str]]:
    """Name and version of each requirement, with its hashes."""
    found: dict[str, list[str]] = {}
    for line in lock.read_text().replace("\\\n", " ").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            requirement, *options = line.split()
            found[requirement] = options
    return found


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_every_package_that_is_installed_is_pinned_by_hash_and_names_no_other_source(lock: Path) -> None:
    """Complaint 30, a package that somebody slipped in (litellm#24512): every lock pins versions and hashes, and none says
    where to download from."""
    found = pinned(lock)
    assert found
    for requirement, options in found.items():
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", requirement), requirement
        assert options, requirement
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", option) for option in options), requirement
    text = lock.read_text()
    for word in ("://", "--index", "--extra-index", "--find-links", "--trusted-host", "git+", "-e ", " @ "):
        assert word not in text


def test_every_set_up_checks_hashes() -> None:
    """Complaint 30, a lock that nobody enforces (litellm#24512): each `pip install` of a lock in the Makefile and the
    container recipe asks for hashes."""
    files = [
        ROOT / "Makefile",
        *(ROOT / "deploy").rglob("*Containerfile*"),
        *(ROOT / "deploy").rglob("*Dockerfile*"),
    ]
    lines = [
        line
        for file in files
        for line in file.read_text().splitlines()
        if " install " in line and "-r " in line
    ]
    assert len(lines) >= 3
    assert all("--require-hashes" in line for line in lines), lines


def test_what_runs_is_a_small_tree_that_the_documentation_names() -> None:
    """Complaint 30, hundreds of packages behind one (litellm#24512): what an installation brings is listed with its
    reason, nothing more is there, and nothing is listed that is not."""
    page = (ROOT / "docs" / "dependencies.md").read_text()
    section = page.split("## At run time")[1].split("\n## ")[0]
    table = section.partition("| package |")[2].partition("\n\n")[0]
    named = set(re.findall(r"^\| ([A-Za-z][\w.-]*) \|", table, re.MULTILINE))
    brought = section.partition("Brought in by these:")[2].partition("\n\n")[0]
    named |= set(re.findall(r"[A-Za-z][\w-]+", re.sub(r"\([^)]*\)|\band\b", " ", brought)))
    lock = {requirement.partition("==")[0] for requirement in pinned(ROOT / "requirements" / "runtime.txt")}
    assert {name.lower().replace("_", "-") for name in named} == lock
    assert len(lock) <= 30


def copy_sources(place: Path, changed: int) -> None:
    """What a wheel is built from, without its history, as if all of it had been written at that time."""
    unwanted = shutil.ignore_patterns("__pycache__", "_version.py")
    shutil.copytree(ROOT / "src", place / "src", ignore=unwanted, copy_function=shutil.copyfile)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, place / name)
    for path in place.rglob("*"):
        os.utime(path, (changed, changed))


def test_a_wheel_is_the_same_whoever_builds_it(tmp_path: Path) -> None:
    """Complaint 30, a release that nobody can check (litellm#24512): two builds of the same sources, in two places and at
    two times, are equal to the byte. The whole release: tests/packaging/test_release.py."""
    sums = set()
    for number, mask in enumerate((0o022, 0o077)):
        place = tmp_path / f"build {number}"
        before = os.umask(mask)
        try:
            copy_sources(place, 1_600_000_000 + 86_400 * number)
            done = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "build",
                    "--wheel",
                    "--no-isolation",
                    "--outdir",
                    str(place / "out"),
                    str(place),
                ],
                env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000", "PYTHONHASHSEED": str(number)},
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            os.umask(before)
        assert done.returncode == 0, done.stdout + done.stderr
        (wheel,) = (place / "out").glob("*.whl")
        sums.add(hashlib.sha256(wheel.read_bytes()).hexdigest())
    assert len(sums) == 1
