"""What an agent is to work with: which model, with how much effort, and within which budget.

What it is not: sent to anybody as it is. `task()` is what the gateway is asked for once, `headers()` and `call()` are
what each call says. The names of the budget are ours, never a vendor's wire format.
Invariant: a configuration that exists makes sense; whatever does not is refused when it is written, naming the field.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from trimtab.budgets.tasks import NewPhase, new_task
from trimtab.budgets.tasks.making import MAX_TOKENS, own_name
from trimtab.budgets.tasks.model import STRATEGIES
from trimtab.catalogue import EFFORTS, Effort
from trimtab.errors import ConfigError, RequestError, printable, quoted

Strategy = Literal["prioritize_completion", "prioritize_quality"]

Share = int | float | str
"""Of a phase: tokens (an int), a part (a float up to 1.0), or percent (`"40%"`)."""

PER_CALL = 16_000
PER_CALL_HIGH = 64_000
"""With effort xhigh or max. Source: vendor effort page (2026-11): set max_tokens to 64k or more there."""

_FIELDS = {"total": "max_tokens", "strategy": "budget_strategy", "usd": "max_usd"}


class AgentConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One agent's model, effort and budget. Raises `ConfigError` where a field makes no sense."""

    model: str
    """A model id, a tier (`trimtab/default`) or a route's name."""
    effort: Effort | None = None
    """`None`: as the route, tier or model has it."""
    max_tokens: int
    """The total of the whole task, in tokens that the model sees: resent history counts once. Not the limit of a call,
    which is `max_tokens_per_call`."""
    task_budgets: Mapping[str, int] | None = None
    """Tokens by phase, in order. The phases are ours: `analysis` (also `initial_analysis`), `tools` (`tool_execution`),
    `verification`, `report` (`final_report`); others may be named. What they leave of `max_tokens` is divided among
    them in the same proportion. Without any: 20, 40, 30 and 10 %."""
    budget_strategy: Strategy = "prioritize_completion"
    """`prioritize_completion`: later phases keep the minimum that they need to finish. `prioritize_quality`:
    verification is guaranteed, and the report shrinks first."""
    budget_breakdown: Mapping[str, Share] | None = None
    """Phases of one's own in place of `task_budgets`: tokens, or shares of `max_tokens`."""
    guaranteed: tuple[str, ...] = ()
    """With `prioritize_quality`: phases of one's own from which nothing is taken. Without any: `verification`."""
    max_usd: float | None = None
    """What all calls of the task may cost together."""
    max_tokens_per_call: int | None = None
    """`max_tokens` of one call. `None`: 16,000, or 64,000 with effort xhigh or max; never above the task's total."""
    name: str = ""
    scenario: str = ""
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check it whole."""
        if not isinstance(self.model, str) or not self.model or not self.model.isprintable():
            raise _wrong("model", self.model, "must be a model's id, or trimtab/<tier>")
        if self.effort is not None and self.effort not in EFFORTS:
            raise _wrong("effort", self.effort, f"must be one of {', '.join(EFFORTS)}")
        _whole("max_tokens", self.max_tokens)
        if (per_call := self.max_tokens_per_call) is not None:
            _whole("max_tokens_per_call", per_call)
            if per_call > self.max_tokens:
                most = f"must be 1 to the task's total, {self.max_tokens:,}"
                raise _wrong("max_tokens_per_call", per_call, most)
        if self.task_budgets is not None and self.budget_breakdown is not None:
            raise ConfigError(
                "AgentConfig", "task_budgets and budget_breakdown both name phases; leave one out"
            )
        if (usd := self.max_usd) is not None and (
            not isinstance(usd, int | float) or isinstance(usd, bool) or not 0 < usd <= 1_000_000
        ):
            raise _wrong("max_usd", self.max_usd, "must be a number of dollars above 0 and at most 1,000,000")
        if self.budget_strategy not in STRATEGIES:
            raise _wrong("budget_strategy", self.budget_strategy, f"must be {' or '.join(STRATEGIES)}")
        self._check_texts()
        try:
            new_task("check", self.max_tokens, at_ms=0, phases=self._phases(), strategy=self.budget_strategy)
        except RequestError as problem:
            raise self._in_our_words(str(problem)) from None

    def _check_texts(self) -> None:
        """Python lets anything stand there."""
        for field in ("task_budgets", "budget_breakdown"):
            asked: object = getattr(self, field)
            if asked is not None and not (
                isinstance(asked, Mapping) and all(isinstance(name, str) for name in asked)
            ):
                raise _wrong(field, asked, "must be phases by their names, as {'tools': 40_000}")
        for field in ("name", "scenario"):
            if not isinstance(getattr(self, field), str):
                raise _wrong(field, getattr(self, field), "must be text")
        for field in ("tags", "guaranteed"):
            texts: object = getattr(self, field)
            if not isinstance(texts, tuple | list) or not all(isinstance(one, str) for one in texts):
                raise _wrong(field, texts, "must be a tuple of texts")

    def task(self) -> dict[str, Any]:
        """The body of `POST /trimtab/v1/tasks`, which answers with the task's id."""
        body: dict[str, Any] = {"total": self.max_tokens, "strategy": self.budget_strategy}
        phases = self._phases()
        if phases is not None:
            body["phases"] = [msgspec.to_builtins(phase) for phase in phases]
        if self.max_usd is not None:
            body["usd"] = self.max_usd
        for field, value in (("name", self.name), ("scenario", self.scenario), ("tags", list(self.tags))):
            if value:
                body[field] = value
        return body

    def headers(self, task: str, phase: str = "", progress: float | None = None) -> dict[str, str]:
        """What a call of the task sends: the id that `POST /trimtab/v1/tasks` answered, the phase that the call is part
        of (empty: the one that the task is in), and how far that phase is, from 0 to 1. Raises `ConfigError`."""
        if progress is not None and not 0 <= progress <= 1:
            raise ConfigError(
                "AgentConfig.headers", f"progress: {quoted(progress, python=True)}: must be from 0 to 1"
            )
        if phase and own_name(phase) not in self.phases():
            known = ", ".join(self.phases())
            raise ConfigError(
                "AgentConfig.headers", f"phase: {printable(phase, 80)!r}: must be one of {known}"
            )
        found = {"x-trimtab-task": task}
        said = phase if progress is None else f"{phase}; progress={progress:.3f}"
        if said:
            found["x-trimtab-phase"] = said
        return found

    def call(self) -> dict[str, Any]:
        """Fields of a Messages request: model, the limit of the call, and the effort where one is set."""
        high = self.effort in ("xhigh", "max")
        most = self.max_tokens_per_call or (PER_CALL_HIGH if high else PER_CALL)
        fields: dict[str, Any] = {"model": self.model, "max_tokens": min(most, self.max_tokens)}
        if self.effort is not None:
            fields["output_config"] = {"effort": self.effort}
        return fields

    def phases(self) -> dict[str, int]:
        """The phases by their own names, and the tokens of each: together `max_tokens`."""
        task, _ = new_task(
            "shown", self.max_tokens, at_ms=0, phases=self._phases(), strategy=self.budget_strategy
        )
        return {phase.name: phase.budget for phase in task.phases}

    def _phases(self) -> list[NewPhase] | None:
        field = "task_budgets" if self.budget_breakdown is None else "budget_breakdown"
        asked: Mapping[str, Share] | None = (
            self.task_budgets if self.budget_breakdown is None else self.budget_breakdown
        )
        if asked is None:
            if self.guaranteed:
                raise _wrong(
                    "guaranteed", self.guaranteed, "names phases; give task_budgets or budget_breakdown too"
                )
            return None
        guaranteed = {own_name(name) for name in self.guaranteed}
        made = [_phase(field, name, share, own_name(name) in guaranteed) for name, share in asked.items()]
        if unknown := guaranteed - {own_name(phase.name) for phase in made}:
            raise _wrong("guaranteed", min(unknown), "is none of the phases")
        return made

    def _in_our_words(self, problem: str) -> ConfigError:
        """The arithmetic names what the gateway is sent; here the fields have other names."""
        field, _, rest = problem.partition(":")
        first, dot, more = field.partition(".")
        ours = _FIELDS.get(first, first)
        if first == "phases":
            ours = "task_budgets" if self.budget_breakdown is None else "budget_breakdown"
        rest = rest.replace("raise total", "raise max_tokens").strip()
        return ConfigError(f"AgentConfig.{ours}{dot}{more}", rest)


def _phase(field: str, name: str, share: Share, guaranteed: bool) -> NewPhase:
    if isinstance(share, str):
        plain = share.removesuffix("%").replace(".", "", 1)
        if not (share.endswith("%") and plain.isascii() and plain.isdigit() and len(plain) <= 16):
            raise _wrong(f"{field}.{name}", share, "must be tokens (40_000), a part (0.4) or percent ('40%')")
        return NewPhase(name, percent=float(share[:-1]), guaranteed=guaranteed)
    if isinstance(share, float):
        if field == "task_budgets" or not 0 < share <= 1:
            raise _wrong(
                f"{field}.{name}",
                share,
                "must be whole tokens, or a part above 0 and up to 1 in budget_breakdown",
            )
        return NewPhase(name, percent=share * 100, guaranteed=guaranteed)
    _whole(f"{field}.{name}", share)
    return NewPhase(name, tokens=share, guaranteed=guaranteed)


def _whole(field: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_TOKENS:
        raise _wrong(field, value, f"must be a whole number of tokens, 1 to {MAX_TOKENS:,}")


def _wrong(field: str, value: object, problem: str) -> ConfigError:
    return ConfigError(f"AgentConfig.{field}", f"{quoted(value, 120, python=True)}: {problem}")
