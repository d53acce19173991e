"""`trimtab jobs`: look at durable jobs, and stop, answer, retry and fork them.

What it is not: the rules, which the store keeps. Works beside running workers and without one.
"""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import typer

from trimtab.app import config_path, load_settings
from trimtab.app.working import KINDS, opened_board
from trimtab.cli.options import Config, Json, command_group
from trimtab.cli.tables import Rows, console
from trimtab.cli.term import print_json, say, say_lines, warn
from trimtab.errors import NotFound, RequestError, printable, shortened
from trimtab.jobs import Job, JobBoard, JobState, NewJob, Step

STATES = ("ready", "waiting", "running", "paused", "done", "failed", "cancelled")

MAX_TEXT = 500
"""Characters of an input, a result or an error that are shown; `--json` has all of it."""

command = command_group(
    "Look at durable jobs; stop, answer, retry and fork them. Works beside running workers and without one."
)

Id = Annotated[str, typer.Argument(metavar="JOB", help="Its id.")]
Ids = Annotated[list[str], typer.Argument(metavar="JOB...", help="Their ids.")]


@command.command("list")
def list_jobs(
    state: Annotated[
        str | None,
        typer.Option("--state", help="ready, waiting, running, paused, done, failed or cancelled."),
    ] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="Only this kind.")] = None,
    queue: Annotated[str | None, typer.Option("--queue", help="Only this queue.")] = None,
    owner: Annotated[str | None, typer.Option("--owner", help="Only this owner's.")] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=100_000, help="How many, the newest first.")
    ] = 20,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """The newest jobs."""
    wanted = _state(state)
    with _board(config) as board:
        jobs = board.newest(limit, state=wanted, kind=kind, queue=queue, owner=owner)
        counts = board.counts()
    if as_json:
        print_json([_job_json(job) for job in jobs])
        return
    if jobs:
        _print_jobs(jobs)
    elif counts:
        say("no job is like that")
    say_lines(_counts_text(counts))


@command.command()
def show(job: Id, as_json: Json = False, config: Config = None) -> None:
    """One job with its journal."""
    with _board(config) as board:
        found = board.find(job)
        steps = board.steps(job)
    if found is None:
        raise NotFound(f"there is no job {job!r}; 'trimtab jobs list' shows the newest")
    if as_json:
        print_json({**_job_json(found), "steps": [_step_json(step) for step in steps]})
        return
    say(f"{found.id}  {printable(found.kind)}  {_state_text(found)}")
    for name, value in (
        ("owner", found.owner or "-"),
        ("queue", f"{found.queue}, priority {found.priority}"),
        ("created", _time(found.created_ms)),
        ("changed", _time(found.updated_ms)),
        ("attempts", f"{found.attempts} of {found.max_attempts} failed"),
        ("worker", f"{found.worker}, epoch {found.epoch}" if found.worker else None),
        ("waits for", found.waiting_for),
        ("fork of", f"{found.forked_from}, before {found.forked_at}" if found.forked_from else None),
        ("unique key", found.unique_key),
        ("input", _text(found.input)),
        ("result", _text(found.result)),
        ("error", None if found.error is None else " ".join(found.error.split())),
    ):
        if value is not None:
            say(f"  {name:<10} {printable(value, MAX_TEXT)}")
    if steps:
        _print_steps(steps)


@command.command()
def add(
    kind: Annotated[str, typer.Argument(help="Names the handler.")],
    content: Annotated[str, typer.Argument(metavar="[INPUT]", help="JSON.")] = "null",
    owner: Annotated[str, typer.Option("--owner", help="Who shares the workers fairly with others.")] = "",
    queue: Annotated[str, typer.Option("--queue", help="Queue.")] = "default",
    priority: Annotated[int, typer.Option("--priority", help="The smaller runs first.")] = 0,
    key: Annotated[
        str | None, typer.Option("--key", help="Not stored if there is a job of this kind and key.")
    ] = None,
    config: Config = None,
) -> None:
    """Store a job and print its id."""
    new = NewJob(
        kind=kind,
        input=msgspec.json.encode(_json("INPUT", content)),
        owner=owner,
        queue=queue,
        priority=priority,
        unique_key=key,
    )
    with _board(config, create=True) as board:
        say(board.enqueue(new))
    if kind not in KINDS:
        warn(
            f"'trimtab worker' does not know the kind {printable(kind, 80)!r} (it knows {', '.join(KINDS)}); the job "
            "waits for a worker of your own that does, see docs/jobs.md"
        )


@command.command()
def cancel(jobs: Ids, config: Config = None) -> None:
    """Cancel at once; what runs stops at its next step or heartbeat."""
    with _board(config) as board:
        for job in jobs:
            state = board.cancel(job)
            say(f"{job} {'is told to stop' if state == 'running' else state}")


@command.command()
def pause(jobs: Ids, config: Config = None) -> None:
    """Keep from running until resumed; what runs stops after its step."""
    with _board(config) as board:
        for job in jobs:
            state = board.pause(job)
            say(f"{job} {'is told to pause' if state == 'running' else state}")


@command.command()
def resume(jobs: Ids, config: Config = None) -> None:
    """Undo pause."""
    with _board(config) as board:
        for job in jobs:
            say(f"{job} {board.resume(job)}")


@command.command()
def retry(
    job: Id,
    repeat: Annotated[
        list[str] | None,
        typer.Option("--repeat", help="A step of unknown outcome that did not happen; may be repeated."),
    ] = None,
    outcome: Annotated[
        list[str] | None,
        typer.Option(
            "--outcome", metavar="STEP=JSON", help="The result of one that did happen; may be repeated."
        ),
    ] = None,
    config: Config = None,
) -> None:
    """Run a failed or cancelled job again; its finished steps are not run again."""
    outcomes = {}
    for pair in outcome or ():
        step, equals, text = pair.partition("=")
        if not equals:
            raise RequestError(f"--outcome {pair!r}: write STEP=JSON")
        outcomes[step] = _json(f"--outcome {step}", text)
    with _board(config) as board:
        board.retry(job, repeat=repeat or (), outcomes=outcomes)
    say(f"{job} ready")


@command.command()
def fork(
    job: Id,
    before: Annotated[
        str | None, typer.Option("--before", help="The first step to run again. Default: no finished one.")
    ] = None,
    config: Config = None,
) -> None:
    """Make a new job with this one's input and journal up to a step, and print its id."""
    with _board(config) as board:
        say(board.fork(job, before))


@command.command()
def signal(
    job: Id,
    event: Annotated[str, typer.Argument(help="The name that the job waits for.")],
    payload: Annotated[str, typer.Argument(help="JSON.")] = "null",
    config: Config = None,
) -> None:
    """Give a job an event, such as a person's answer. One that comes before the job waits for it is kept."""
    with _board(config) as board:
        board.signal(job, event, _json("PAYLOAD", payload))
        found = board.find(job)
    say(f"{job} {found.state if found is not None else 'gone'}")


@command.command()
def limits(as_json: Json = False, config: Config = None) -> None:
    """How many jobs may run at a time."""
    with _board(config) as board:
        found = board.limits()
    if as_json:
        print_json(msgspec.to_builtins(found))
        return
    for limit in found:
        say(f"{limit.scope} {printable(limit.name)}: {limit.max_running:,}")
    if not found:
        say("no limits; set one with 'trimtab jobs limit queue default 10'")


@command.command()
def limit(
    scope: Annotated[str, typer.Argument(help="queue, kind or owner.")],
    name: Annotated[str, typer.Argument(help="Which; '*' for each that has no limit of its own.")],
    most: Annotated[str, typer.Argument(metavar="MOST", help="A number, 0 to start none, or 'none'.")],
    config: Config = None,
) -> None:
    """Set how many jobs of a queue, kind or owner may run at a time, over all workers."""
    found: Literal["queue", "kind", "owner"]
    match scope:
        case "queue" | "kind" | "owner":
            found = scope
        case _:
            raise RequestError(f"{scope!r}: write queue, kind or owner")
    if most != "none" and not (most.isascii() and most.isdigit()):
        raise RequestError(f"{most!r}: write a number, or 'none' to remove the limit")
    with _board(config, create=most != "none") as board:
        if most != "none":
            board.set_limit(found, name, int(most))
        elif not board.remove_limit(found, name):
            raise NotFound(f"{scope} {name!r} has no limit; 'trimtab jobs limits' shows all")
    say(f"{scope} {name}: {most}")


@command.command()
def schedules(
    pause_it: Annotated[str | None, typer.Option("--pause", metavar="NAME", help="Stop this one.")] = None,
    resume_it: Annotated[str | None, typer.Option("--resume", metavar="NAME", help="Let it go on.")] = None,
    remove_it: Annotated[str | None, typer.Option("--remove", metavar="NAME", help="Delete it.")] = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Jobs that are stored again and again, and when next."""
    with _board(config) as board:
        if pause_it is not None:
            board.change_schedule(pause_it, "pause")
        if resume_it is not None:
            board.change_schedule(resume_it, "resume")
        if remove_it is not None:
            board.change_schedule(remove_it, "remove")
        found = board.schedules()
    if as_json:
        print_json([{**msgspec.to_builtins(one), "job": _new_json(one.job)} for one in found])
        return
    for one in found:
        when = "paused" if one.paused else f"next {_time(one.next_ms)}"
        say(f"{printable(one.name)}: {one.rule}, {printable(one.job.kind)}, {when}, missed: {one.missed}")
    if not found:
        say("no schedules")


@contextmanager
def _board(config: Path | None, *, create: bool = False) -> Iterator[JobBoard]:
    with opened_board(load_settings(config_path(config)), create=create) as board:
        yield board


_STEP_WORDS = {
    "done": "done",
    "intent": "begun, result unknown",
    "waiting": "waiting",
    "timeout": "timed out",
}


def _state(text: str | None) -> Any:
    if text is not None and text not in STATES:
        raise RequestError(f"--state {text!r}: write one of {', '.join(STATES)}")
    return text


def _json(what: str, text: str) -> Any:
    try:
        return msgspec.json.decode(text.encode("utf-8", "surrogateescape"))
    except RecursionError:
        raise RequestError(f"{what}: is nested too deeply; write it flatter") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise RequestError(
            f"{what}: {shortened(text, 60)!r} is not JSON; a text needs quotes: '\"yes\"'"
        ) from None


def _state_text(job: Job) -> str:
    if job.wanted is not None:
        return f"{job.state}, to {job.wanted}"
    return job.state


def _note(job: Job) -> str:
    if job.waiting_for is not None:
        return f"waits for {printable(job.waiting_for)}"
    return printable(" ".join((job.error or "").split()), 100)


def _time(unix_ms: int) -> str:
    return datetime.datetime.fromtimestamp(unix_ms / 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")


def _text(content: bytes | None) -> str | None:
    return None if content is None else printable(content.decode("utf-8", "backslashreplace"), MAX_TEXT)


def _raw(content: bytes | None) -> object:
    """As JSON where it is; bytes of another kind as text."""
    if content is None:
        return None
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return content.decode("utf-8", "backslashreplace")


def _job_json(job: Job) -> dict[str, object]:
    return {**msgspec.structs.asdict(job), "input": _raw(job.input), "result": _raw(job.result)}


def _new_json(job: NewJob) -> dict[str, object]:
    return {**msgspec.structs.asdict(job), "input": _raw(job.input)}


def _step_json(step: Step) -> dict[str, object]:
    return {**msgspec.structs.asdict(step), "result": _raw(step.result)}


def _print_jobs(jobs: Sequence[Job]) -> None:
    table = Rows(("job", "kind"), ("owner", "queue"), ("state", "created"), "note", wraps={"note": 24})
    for job in jobs:
        table.add(job.id, job.kind, job.owner, job.queue, _state_text(job), _time(job.created_ms), _note(job))
    console().print(table)


def _print_steps(steps: Sequence[Step]) -> None:
    table = Rows("step", ("state", "at"), "result", wraps={"result": 24})
    for step in steps:
        table.add(step.name, _STEP_WORDS[step.state], _time(step.at_ms), _text(step.result) or "")
    console().print(table)


def _counts_text(counts: Mapping[tuple[str, JobState], int]) -> str:
    """`default: 2 ready, 1 done`, a line for each queue."""
    queues: dict[str, list[str]] = {}
    for (queue, state), count in sorted(
        counts.items(), key=lambda item: (item[0][0], STATES.index(item[0][1]))
    ):
        queues.setdefault(queue, []).append(f"{count:,} {state}")
    lines = [f"queue {printable(queue)}: {', '.join(words)}" for queue, words in queues.items()]
    return "\n".join(lines) or "no jobs"
