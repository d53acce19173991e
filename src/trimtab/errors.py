"""The whole error tree. Nothing here decides; it only says what went wrong and who can act.

    TrimtabError
    ├── ConfigError              operator: the configuration file or the environment
    ├── StoreError               operator: the record store (StoreLocked: another process holds it)
    ├── SandboxUnavailable       operator: nothing can be run here: a program is missing, or the kernel forbids it
    ├── RequestError             caller, 4xx and 505: the request as sent
    │   ├── RuleRefused          caller, 400: the normaliser's mode `strict` (`note`: which rule, why here, what to do)
    │   ├── AuthenticationFailed caller, 401: no key, or one that opens nothing
    │   ├── NotFound             caller, 404: a model or path we do not have
    │   ├── MethodNotAllowed     caller, 405: the path exists, the method does not
    │   ├── Conflict             caller, 409: it contradicts what there is already
    │   │   ├── InFlight         an earlier request is still being answered (`retry_after_s`)
    │   │   └── TaskEnded        the task was cancelled or closed (`reason`, `details`)
    │   ├── RequestTooLarge      caller, 413 (a body), HeadersTooLarge 431
    │   ├── VersionNotServed     caller, 505: a version of HTTP that is not served
    │   ├── RequestTimeout       caller, 408: the request did not arrive in time
    │   ├── PermissionDenied     caller, 403
    │   ├── RateLimited          caller, 429: a limit of the key is reached for now (`retry_after_s`)
    │   └── BudgetSpent          caller, 402: the key has spent what it may; a retry cannot help
    │       └── TaskBudgetSpent  the same of a task or of one of its phases (`reason`, `details`)
    ├── Unavailable              caller, 503: try again later (`retry_after_s`)
    │   └── Stopping             on another connection: this process ends
    ├── EvalError                operator: an evaluation cannot be run as asked
    ├── JobError                 worker: durable jobs
    │   ├── JobFailed            the job's handler: it cannot succeed, so it is not retried
    │   ├── LeaseLost            the worker: another one may have the job; nothing more is recorded for it here
    │   └── UnknownOutcome       a person or the handler: a step was begun and its result is not known (`step`)
    └── UpstreamError            the platform
        ├── UpstreamRefused      could not connect; nothing was sent, so nothing was billed
        ├── UpstreamTimeout      connect, header, first_event or idle deadline passed (`phase`)
        └── UpstreamBroken       the connection or the framing broke after the request was sent

Each class knows its HTTP status, the error type of the Anthropic API, and whether a retry can help.
A message says what, which value, and what to do.

Source: status and type pairs are those of the vendor's error page (2026-11): 400 invalid_request_error,
401 authentication_error, 402 billing_error, 403 permission_error, 404 not_found_error, 409 conflict_error,
413 request_too_large, 500 api_error, 504 timeout_error, 529 overloaded_error.
"""

import itertools
from collections.abc import Mapping
from typing import ClassVar, Literal

AnthropicErrorType = Literal[
    "invalid_request_error",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_found_error",
    "conflict_error",
    "request_too_large",
    "rate_limit_error",
    "api_error",
    "timeout_error",
    "overloaded_error",
]

DeadlinePhase = Literal["connect", "header", "first_event", "idle", "write", "total"]


def shortened(text: str, limit: int = 200) -> str:
    """Text of somebody else's as an error or a record repeats it: a line or two, however long it came."""
    return text if len(text) <= limit else text[:limit] + "..."


def visible(text: str, keep: str = "") -> str:
    """Text of somebody else's for a terminal or a log: what is not printable stands there as its escape, as `\\x1b`.

    That is what a terminal obeys (C0 and C1 controls, with them all escape sequences), what turns the direction of
    writing (U+202E) or hides (U+200B), line ends, and surrogates. `keep` names characters that stay all the same.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def printable(text: str, limit: int = 200) -> str:
    """The same, shortened."""
    return visible(shortened(text, limit))


MAX_QUOTED_CHARS = 80

MAX_QUOTED_ENTRIES = 4
"""Of a list or table; what follows is `...`."""

MAX_DIGIT_BITS = 14_000
"""Some 4,200 digits. Python writes no longer numbers (`sys.set_int_max_str_digits`), for it takes time."""


def quoted(value: object, limit: int = MAX_QUOTED_CHARS, *, python: bool = False) -> str:
    """A value that somebody sent or wrote, as an error repeats it: one line of about `limit` characters, in the
    notation of JSON and TOML (`true`, and `null`, which TOML lacks); with `python` in that of Python. Never raises.
    """
    text = _quoted(value, limit, python, 2)
    return text if isinstance(value, str) and len(text) <= 2 * limit else shortened(text, limit)


def _quoted(value: object, limit: int, python: bool, depth: int) -> str:
    if value is None or value is True or value is False:
        return repr(value) if python else {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return repr(shortened(value, limit))
    if isinstance(value, int) and value.bit_length() > MAX_DIGIT_BITS:
        return "(a number of thousands of digits)"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        entries = [
            f"{_quoted(key, limit, python, 0)}: {_quoted(one, limit, python, depth - 1)}"
            for key, one in itertools.islice(value.items(), MAX_QUOTED_ENTRIES if depth else 0)
        ]
        return _listed("{", entries, len(value), "}")
    if isinstance(value, list | tuple | set | frozenset):
        entries = [
            _quoted(one, limit, python, depth - 1)
            for one in itertools.islice(value, MAX_QUOTED_ENTRIES if depth else 0)
        ]
        return _listed("[", entries, len(value), "]")
    try:
        return printable(str(value), limit)  # a Decimal, a date
    except Exception:  # whatever a caller's own type does
        return f"(a {type(value).__name__})"


def _listed(begin: str, entries: list[str], of: int, end: str) -> str:
    return f"{begin}{', '.join([*entries, '...'] if len(entries) < of else entries)}{end}"


class TrimtabError(Exception):
    """Root of every error that Trimtab raises on purpose."""

    status: ClassVar[int] = 500
    anthropic_type: ClassVar[AnthropicErrorType] = "api_error"
    retryable: ClassVar[bool] = False

    @property
    def more(self) -> Mapping[str, object]:
        """What programs are told beside the message, in the error object of the answer."""
        return {}


class ConfigError(TrimtabError):
    """The operator must change something: a file, a flag or the environment.

    `where` names file and key path ("trimtab.toml: tiers.escalation").
    """

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}" if where else problem)
        self.where = where
        self.problem = problem


class StoreError(TrimtabError):
    """The record store cannot be opened, read or written."""


class StoreLocked(StoreError):
    """Another process holds the store and did not let go in time."""


class SandboxUnavailable(TrimtabError):
    """Code cannot be run in a sandbox on this machine; the message says what to install or to permit."""


class RequestError(TrimtabError):
    """The caller's request cannot be served as sent."""

    status = 400
    anthropic_type: ClassVar[AnthropicErrorType] = "invalid_request_error"


class RuleRefused(RequestError):
    """A rule of the normaliser refuses the request: the vendor's words first, then ours."""

    def __init__(self, says: str, note: str) -> None:
        super().__init__(f"{says} ({note})")
        self.note = note


class AuthenticationFailed(RequestError):
    """The caller showed no key, or one that opens nothing. The message never holds what was shown."""

    status = 401
    anthropic_type = "authentication_error"


class PermissionDenied(RequestError):
    """The caller may not do this from where it is, or with what it showed."""

    status = 403
    anthropic_type = "permission_error"


class NotFound(RequestError):
    """No such path, model or record."""

    status = 404
    anthropic_type = "not_found_error"


class MethodNotAllowed(RequestError):
    """The path exists, the method does not; `allowed` goes into the Allow header."""

    status = 405

    def __init__(self, method: str, path: str, allowed: str) -> None:
        super().__init__(f"{method} {path}: method not allowed; use {allowed}")
        self.allowed = allowed


class Conflict(RequestError):
    """What is asked for contradicts what there is already."""

    status = 409
    anthropic_type = "conflict_error"


class InFlight(Conflict):
    """The same request came before and is still being answered; what came of it can be heard when it has ended."""

    retryable = True

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TaskEnded(Conflict):
    """No further call is made for a task that was cancelled or closed.

    `reason` is a word for programs (`task_cancelled`, `task_closed`); `details` go into the answer's error object.
    """

    def __init__(self, message: str, reason: str, details: Mapping[str, object]) -> None:
        super().__init__(message)
        self.reason = reason
        self.details = details

    @property
    def more(self) -> Mapping[str, object]:
        """See `TrimtabError.more`."""
        return {"reason": self.reason, "details": self.details}


class RequestTimeout(RequestError):
    """The caller did not send its request, or read its answer, in time."""

    status = 408


class RequestTooLarge(RequestError):
    """The body is over the limit."""

    status = 413
    anthropic_type = "request_too_large"


class HeadersTooLarge(RequestError):
    """The request line and headers are over the limit."""

    status = 431


class VersionNotServed(RequestError):
    """The request line names another version of HTTP than 1.0 or 1.1."""

    status = 505

    def __init__(self, version: str) -> None:
        super().__init__(f"HTTP/{version} is not served here; send HTTP/1.1")


class RateLimited(RequestError):
    """A limit of the caller's key is reached; there will be room again after `retry_after_s` seconds."""

    status = 429
    anthropic_type = "rate_limit_error"
    retryable = True

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class BudgetSpent(RequestError):
    """The caller's key may not spend what this request can cost at the most.

    `notes`: for its record, the budgets that refuse it, what it asked for and what is left of them.
    """

    status = 402
    anthropic_type = "billing_error"
    notes: tuple[str, ...] = ()


class TaskBudgetSpent(BudgetSpent):
    """What is left of a task, or of what one of its phases may use, is too little for the call.

    `reason` is a word for programs (`task_budget_exhausted`, `phase_budget_exhausted`, `task_usd_exhausted`); `details`
    go into the answer's error object: what is left, and what this phase and the next one would have needed.
    """

    def __init__(self, message: str, reason: str, details: Mapping[str, object]) -> None:
        super().__init__(message)
        self.reason = reason
        self.details = details

    @property
    def more(self) -> Mapping[str, object]:
        """See `TrimtabError.more`."""
        return {"reason": self.reason, "details": self.details}


class Unavailable(TrimtabError):
    """We cannot serve now; the caller should come back after `retry_after_s` seconds."""

    status = 503
    retryable = True

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class EvalError(TrimtabError):
    """What an evaluation needs is not there: whoever is to be asked, or what it is to be asked for."""


class JobError(TrimtabError):
    """A durable job cannot go on."""


class JobFailed(JobError):
    """Raised by a job's handler: the job fails now, whatever attempts are left."""


class LeaseLost(JobError):
    """This worker no longer holds the job: its lease ran out and another may have taken it over."""


class UnknownOutcome(JobError):
    """A step that must not be repeated was begun by a worker that died: it may or may not have happened."""

    def __init__(self, job: str, step: str) -> None:
        super().__init__(
            f"job {job}: step {step!r} was begun and its result is not known; find out whether it happened, then "
            f"'trimtab jobs retry {job}' with '--repeat {step}' or '--outcome {step}=JSON'"
        )
        self.step = step


class Stopping(Unavailable):
    """This process is about to end; another connection may lead to another one."""


class UpstreamError(TrimtabError):
    """The platform could not be reached or did not keep to the protocol.

    An error *answer* of a platform (429, 529 ...) is not an exception: it is passed through as it came.
    """

    status = 502
    retryable = True


class UpstreamRefused(UpstreamError):
    """No connection was made; no byte of the request left, so nothing can have been billed."""


class UpstreamTimeout(UpstreamError):
    """A deadline passed; `phase` says which."""

    status = 504
    anthropic_type = "timeout_error"

    def __init__(self, message: str, phase: DeadlinePhase) -> None:
        super().__init__(message)
        self.phase: DeadlinePhase = phase


class UpstreamBroken(UpstreamError):
    """The connection ended or spoke nonsense after the request was sent: it may have been billed."""
