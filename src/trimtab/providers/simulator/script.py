"""Script files: rules that replace or disturb answers, and cases with known answers.

What it is not: the matching (`matching`) or the playing (`core`). Every key is documented in docs/simulator.md.
Invariant: a script is read whole and strictly, or a `ConfigError` names file, key path, value and remedy.
"""

from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from trimtab.catalogue import EFFORTS, Effort
from trimtab.catalogue.reading import read_yaml, to_struct
from trimtab.config import fail, read_file
from trimtab.errors import AnthropicErrorType

_Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
_Ordinal = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=3600)]
_Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Texts = str | tuple[str, ...]

ERROR_TYPES: dict[int, AnthropicErrorType] = {
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error",
    404: "not_found_error", 409: "conflict_error", 413: "request_too_large", 429: "rate_limit_error",
    500: "api_error", 504: "timeout_error", 529: "overloaded_error",
}  # fmt: skip
"""Source: vendor error page (2026-11)."""

Endpoint = Literal["messages", "count_tokens", "models", "credentials"]
RefusalCategory = Literal["cyber", "bio", "frontier_llm", "reasoning_extraction", "general_harms"]
StopReason = Literal[
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
]


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Named fields only, nothing unknown."""


class Match(_Row, frozen=True, kw_only=True):
    """All given keys must hold."""

    endpoint: Endpoint = "messages"
    contains: _Texts | None = None
    """Text, or texts that must all stand, in the last user turn; of credentials: in what is said of whom they are for.
    Case does not matter."""
    model: _Texts | None = None
    """Model ids or patterns with `*`, matched against the id as sent, the id it stands for, and its aliases."""
    effort: Effort | tuple[Effort, ...] | None = None
    stream: bool | None = None
    header: dict[str, str] = {}
    """Header name to a text that its value must contain."""
    nth: _Ordinal | tuple[_Ordinal, ...] | None = None
    """Only these of the requests that hold otherwise, counted from 1."""
    first: _Ordinal | None = None
    """Only the first so many of them."""
    share: _Probability | None = None
    """Only this part of the requests that come as far as this rule, drawn by seed, rule, model, effort and last user
    turn: the same request is always in it, or never."""
    together: bool = False
    """Drawn without model and effort: where one model meets it, all do."""


class ToolCall(_Row, frozen=True, kw_only=True):
    """A tool call to emit."""

    name: str
    input: dict[str, Any] = {}


class Refusal(_Row, frozen=True, kw_only=True):
    """A refusal; with `text` in the reply it comes mid-way, without it before any output."""

    category: RefusalCategory | None = None
    explanation: str | None = None


class ErrorReply(_Row, frozen=True, kw_only=True):
    """An HTTP error answer."""

    status: Annotated[int, msgspec.Meta(ge=400, le=599)]
    type: AnthropicErrorType | None = None
    """`None`: the type that belongs to the status, else `api_error`."""
    message: str | None = None
    retry_after_s: _Count | None = None
    """`None`: no `retry-after` header."""
    should_retry: bool | None = None
    """The `x-should-retry` header."""
    error_code: str | None = None
    """`details.error_code`."""

    @property
    def error_type(self) -> AnthropicErrorType:
        """The type to send."""
        return self.type or ERROR_TYPES.get(self.status, "api_error")


class StreamError(_Row, frozen=True, kw_only=True):
    """An `error` event after a 200; the stream ends with it."""

    after_events: _Count
    type: AnthropicErrorType = "overloaded_error"
    message: str = "Overloaded"


class CutAt(_Row, frozen=True, kw_only=True):
    """The connection breaks: give one of the two."""

    after_events: _Count | None = None
    after_bytes: _Count | None = None


class Stall(_Row, frozen=True, kw_only=True):
    """Nothing comes for a while; then the answer goes on."""

    where: Literal["before_head", "after_head", "after_events"]
    events: _Count | None = None
    """With `after_events`: how many come first."""
    seconds: _Seconds


class RawReply(_Row, frozen=True, kw_only=True):
    """An answer that is not the API's: a proxy's page, broken JSON."""

    body: str
    status: Annotated[int, msgspec.Meta(ge=200, le=599)] = 200
    content_type: str = "application/json"
    headers: dict[str, str] = {}


class Reply(_Row, frozen=True, kw_only=True):
    """What happens. Without content keys the usual simulated answer is given, with the faults on top."""

    text: str | None = None
    thinking: str | None = None
    tool_use: ToolCall | tuple[ToolCall, ...] | None = None
    stop_reason: StopReason | None = None
    usage: dict[str, _Count] = {}
    """Replaces counts of `usage` by name."""
    refusal: Refusal | None = None
    pause_turn: bool = False
    error: ErrorReply | None = None
    raw: RawReply | None = None
    stream_error: StreamError | None = None
    cut: CutAt | None = None
    stall: Stall | None = None
    delay_s: _Seconds = 0.0
    """Added before the head."""
    chunk_bytes: _Ordinal | None = None
    """Cut the body into pieces of so many bytes."""

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """`tool_use` as a tuple."""
        return (
            self.tool_use if isinstance(self.tool_use, tuple) else (self.tool_use,) if self.tool_use else ()
        )

    @property
    def has_content(self) -> bool:
        """Whether the reply says what the answer holds."""
        return any((self.text is not None, self.tool_use, self.refusal, self.pause_turn))


class Rule(_Row, frozen=True, kw_only=True):
    """One rule; the first that matches is used."""

    match: Match = Match()
    reply: Reply


class Case(_Row, frozen=True, kw_only=True):
    """A task with a known answer, answered right or wrong as model, effort and difficulty have it, or as it is said."""

    contains: _Texts
    answer: str
    wrong: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    difficulty: float | None = None
    """In logits: at the model's skill, half of the answers are right."""
    chance: _Probability | dict[str, _Probability] | None = None
    """The probability of a right answer, of all arms or by arm: a model's id or pattern, with `@effort` or without. The
    first that matches is used; it wins over `difficulty`."""
    together: bool = False
    """One draw for all arms: what a weaker one gets right, a stronger one does too, and those that are wrong say the
    same."""

    def chance_of(self, models: tuple[str, ...], effort: Effort | None) -> float | None:
        """The probability that is said for this arm; `None`: its skill and the difficulty say it."""
        if not isinstance(self.chance, dict):
            return self.chance
        for arm, chance in self.chance.items():
            pattern, at, level = arm.partition("@")
            if (not at or level == effort) and any(fnmatchcase(model, pattern) for model in models):
                return chance
        return None


class Script(_Row, frozen=True, kw_only=True):
    """A script file."""

    version: Literal[1]
    rules: tuple[Rule, ...] = ()
    cases: tuple[Case, ...] = ()


def load_script(path: Path) -> Script:
    """Read a script file. Raises `ConfigError`."""
    return read_script(read_file(path, "check `script`"), path.name)


def read_script(content: bytes, name: str) -> Script:
    """A script from its bytes. `name` is how errors call the file."""
    raw = read_yaml(content, name)
    if not isinstance(raw, dict):
        fail(name, raw, "must be a mapping with `version: 1`, and `rules` or `cases`")
    script = to_struct(_floats(raw), Script, name)
    for index, rule in enumerate(script.rules):
        _check_rule(rule, f"{name}: rules[{index}]")
    for index, case in enumerate(script.cases):
        _check_case(case, f"{name}: cases[{index}]")
    return script


def _floats(value: Any) -> Any:
    """Decimal fractions as floats: tool inputs go out as JSON numbers."""
    if isinstance(value, dict):
        return {key: _floats(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_floats(member) for member in value]
    return float(value) if isinstance(value, Decimal) else value


_CONTENT = ("text", "thinking", "tool_use", "stop_reason", "usage", "refusal", "pause_turn")
_STREAM_FAULTS = ("stream_error",)


def _check_rule(rule: Rule, where: str) -> None:
    """What the types cannot say: keys that exclude or need each other."""
    reply, match = rule.reply, rule.match
    if match.together and match.share is None:
        fail(
            f"{where}.match.together",
            True,
            "says how `share` is drawn, and there is none; add it, or leave this out",
        )
    if match.share is not None and match.endpoint == "models":
        fail(
            f"{where}.match.share",
            match.share,
            "is drawn by what is asked, and `models` asks nothing; use `nth`",
        )
    given = [
        name for name in Reply.__struct_fields__ if getattr(reply, name) not in (None, {}, False, 0.0, ())
    ]
    whole = [name for name in ("error", "raw") if name in given]
    clashing = [name for name in (*_CONTENT, *_STREAM_FAULTS) if name in given]
    if len(whole) == 2:
        fail(f"{where}.reply", whole, "an answer is an error or raw, not both; keep one")
    if whole and clashing:
        fail(f"{where}.reply.{clashing[0]}", whole[0], f"cannot stand beside `{whole[0]}`; remove one")
    if match.endpoint != "messages" and clashing:
        fail(
            f"{where}.reply.{clashing[0]}",
            match.endpoint,
            "only answers of endpoint `messages` have this key",
        )
    if reply.refusal is not None and (reply.tool_use or reply.pause_turn):
        fail(
            f"{where}.reply.refusal", "refusal", "cannot stand beside `tool_use` or `pause_turn`; remove one"
        )
    cut = reply.cut
    if cut is not None and (cut.after_events is None) == (cut.after_bytes is None):
        fail(f"{where}.reply.cut", {}, "give one of `after_events` and `after_bytes`")
    stall = reply.stall
    if stall is not None and (stall.where == "after_events") != (stall.events is not None):
        fail(
            f"{where}.reply.stall.events",
            stall.events,
            "belongs to `where: after_events`, and is needed there",
        )


def _check_case(case: Case, where: str) -> None:
    """Whatever model is asked must have a probability of being right."""
    arms = case.chance if isinstance(case.chance, dict) else {}
    for arm in arms:
        model, at, level = arm.partition("@")
        if not model or (at and level not in EFFORTS):
            fail(f"{where}.chance", arm, f"must be MODEL or MODEL@EFFORT with one of {', '.join(EFFORTS)}")
    if case.difficulty is None and (
        case.chance is None or (isinstance(case.chance, dict) and "*" not in arms)
    ):
        fail(
            where if case.chance is None else f"{where}.chance",
            list(arms) or None,
            'says nothing of some models; add "*" or `difficulty`'
            if arms
            else "needs `difficulty` or `chance`",
        )
