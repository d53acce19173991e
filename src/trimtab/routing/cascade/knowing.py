"""What is known for one request on a ladder: by what was measured of its arms, else by list prices and what is shipped.

What it is not: where figures come from (`store`, by what `app` gives), or a decision. Invariants: rungs are compared on
one scale, so that a mean over other requests is never held against the price of this one; nothing here waits or raises;
money is integer nano-dollars.
"""

import datetime
from collections.abc import Callable
from typing import Protocol

import msgspec

from trimtab.catalogue import Arm, Catalogue, Effort, Model, NanoUSD, token_ratio
from trimtab.catalogue.effort import fitted
from trimtab.routing.cascade.ladder import Estimate, Facts, Failure, Ladder
from trimtab.store.figures.usual import EVERY_CLASS

USUAL_EFFORT: Effort = "high"
"""Where neither client, rung nor model names one. Source: vendor effort page (2026-11): the default is high."""

NOTHING_JUDGED = Failure()

NEWEST = "v4.7"
"""The vocabulary that `Facts` count tokens on."""

_NANO_PER_TOKEN = 1000
"""1 USD per million tokens is 1000 nano-dollars per token."""


class Judged(Protocol):
    """How often answers were judged, and not accepted."""

    @property
    def judged(self) -> int:
        """Answers."""
        ...

    @property
    def not_accepted(self) -> int:
        """Of these; those of which the verifiers were unsure included."""
        ...

    @property
    def unsure(self) -> int:
        """Of these."""
        ...


class Measured(Protocol):
    """What was measured of judged attempts, real or simulated. Dictionaries only: never waits. Times and money of an
    arm are those of requests that began with it."""

    def failure(
        self, route: str, task_class: str, arm: Arm, simulated: bool, *, later: bool = False
    ) -> Judged:
        """In exactly this class, or in all of the route (`EVERY_CLASS`). `later`: of requests on which a lower rung had
        failed."""
        ...

    def attempt_cost(
        self, route: str, task_class: str, arm: Arm, simulated: bool, *, later: bool = False
    ) -> NanoUSD | None:
        """The mean, without checks; `None`: too few are known. `later`: of requests on which a lower rung had
        failed."""
        ...

    def checks_cost(self, route: str, task_class: str, arm: Arm, simulated: bool) -> NanoUSD | None:
        """Of the checks of one answer."""
        ...

    def ms(self, route: str, task_class: str, arm: Arm, simulated: bool) -> float | None:
        """How long a call usually takes until the end of its answer."""
        ...

    def checks_ms(self, route: str, task_class: str, arm: Arm, simulated: bool) -> float | None:
        """How long the checks of one answer take."""
        ...

    def harder(self, route: str, task_class: str, arm: Arm, simulated: bool) -> float:
        """What a call costs where a lower rung failed, against a first one; 1 where that is not known."""
        ...


class UsualCost(Protocol):
    """What calls cost, judged or not."""

    def __call__(self, model: str, effort: str | None, task_class: str, simulated: bool) -> NanoUSD | None:
        """The mean; `None`: too few are known. Never waits."""
        ...


def nothing_usual(model: str, effort: str | None, task_class: str, simulated: bool) -> NanoUSD | None:
    """What is known before any call. Implements `UsualCost`."""
    return None


class PrefersModel(Protocol):
    """What tables of efforts say."""

    def __call__(self, task_class: str, arm: Arm, effort: Arm, model: Arm, simulated: bool) -> bool:
        """Whether the class's table shows that after `arm` the arm of another `model` is the better next step than more
        `effort` of the same. Never waits."""
        ...


def effort_first(task_class: str, arm: Arm, effort: Arm, model: Arm, simulated: bool) -> bool:
    """What holds where no table says otherwise. Implements `PrefersModel`."""
    return False


class _Rates:
    """One model's list prices on a day, in nano-dollars a token, and its tokens for each of the newest vocabulary."""

    __slots__ = (
        "above",
        "input",
        "long_input",
        "long_output",
        "output",
        "ratio_code",
        "ratio_text",
        "read",
        "write",
    )

    def __init__(self, model: Model, catalogue: Catalogue, day: datetime.date) -> None:
        row = catalogue.price_row(model, day)
        self.input = float(row.input) * _NANO_PER_TOKEN
        self.output = float(row.output) * _NANO_PER_TOKEN
        self.read = float(row.cache_read) * _NANO_PER_TOKEN
        self.write = float(row.cache_write_5m) * _NANO_PER_TOKEN
        long = row.long_prompt
        self.above = long.above_tokens if long is not None else None
        self.long_input = float(long.input_factor) if long is not None else 1.0
        self.long_output = float(long.output_factor) if long is not None else 1.0
        self.ratio_text = token_ratio(NEWEST, model.tokenizer, "english_docs")
        self.ratio_code = token_ratio(NEWEST, model.tokenizer, "python_code")

    def cost(self, uncached: float, cached_nanousd: float, prompt: float, output: float) -> int:
        """Of one call whose prompt has so many tokens that are in no cache."""
        into, out = self.input, self.output
        if self.above is not None and prompt > self.above:
            into, out = into * self.long_input, out * self.long_output
        return round(uncached * into + cached_nanousd + output * out)


class Knowing:
    """What is known for requests. One per configuration version; used on the event loop only."""

    def __init__(
        self,
        catalogue: Catalogue,
        today: Callable[[], datetime.date],
        measured: Measured | None = None,
        prefers_model: PrefersModel = effort_first,
        usual_cost: UsualCost = nothing_usual,
    ) -> None:
        """`usual_cost` is asked where no judged attempt of an arm was measured; where that knows nothing, list prices
        hold."""
        self._catalogue = catalogue
        self._today = today
        self.measured = measured
        self.prefers_model = prefers_model
        self.usual_cost = usual_cost
        self._day: datetime.date | None = None
        self._rates: dict[str, _Rates] = {}
        self._levels: dict[tuple[str, Effort], Effort] = {}

    def of(self, ladder: Ladder, facts: Facts, *, route: str, simulated: bool) -> "KnownNow":
        """What is known for one request. Never waits. Cost: 1 us; what is asked of it, 5 us a rung (measured)."""
        day = self._today()
        if day != self._day:
            self._day, self._rates = day, {}
        return KnownNow(self, ladder, facts, route, simulated)

    def rates(self, model_id: str) -> _Rates | None:
        """List prices; `None` for a model that the catalogue does not know."""
        found = self._rates.get(model_id)
        if found is None:
            model = self._catalogue.find(model_id)
            if model is None:
                return None
            found = self._rates[model_id] = _Rates(model, self._catalogue, self._day or self._today())
        return found

    def level(self, model_id: str, effort: Effort) -> Effort:
        """What an effort is on a model that may lack it."""
        known = self._levels.get((model_id, effort))
        if known is None:
            model = self._catalogue.find(model_id)
            levels = model.effort_levels if model is not None else ()
            known = self._levels[model_id, effort] = fitted(effort, levels) if levels else effort
        return known

    def usual_output(self, arm: Arm) -> int:
        """Tokens of an answer, as shipped for its effort."""
        model = self._catalogue.find(arm.model)
        level = arm.effort or (model.default_effort if model is not None else None) or USUAL_EFFORT
        return self._catalogue.efforts.usual_output[level]


class KnownNow:
    """For one request. Implements `Known`."""

    __slots__ = ("_estimates", "_facts", "_knowing", "_ladder", "_place")

    def __init__(self, knowing: Knowing, ladder: Ladder, facts: Facts, route: str, simulated: bool) -> None:
        self._knowing = knowing
        self._ladder = ladder
        self._facts = facts
        self._place = (route, simulated)
        self._estimates: dict[Arm, Estimate] | None = None

    def estimate(self, arm: Arm) -> Estimate:
        """See `Known`."""
        if self._estimates is None:
            self._estimates = self._of_all()
        found = self._estimates.get(arm)
        if found is None:
            cost, switch = self._list_cost(arm)
            found = self._estimates[arm] = Estimate(cost_nanousd=cost, switch_nanousd=switch)
        return found

    def failure(self, arm: Arm) -> Failure:
        """See `Known`."""
        measured = self._knowing.measured
        if measured is None:
            return NOTHING_JUDGED
        arm = self._worked(arm)
        (route, simulated), name = self._place, self._facts.task_class

        def counted(task_class: str, later: bool, wider: Failure | None) -> Failure:
            found = measured.failure(route, task_class, arm, simulated, later=later)
            return Failure(found.not_accepted, found.judged, found.unsure, wider)

        whole, again = counted(EVERY_CLASS, False, None), counted(EVERY_CLASS, True, None)
        first = counted(name, False, whole)
        return msgspec.structs.replace(first, later=counted(name, True, again if again.judged else None))

    def prefers_model(self, arm: Arm) -> bool:
        """See `Known`. The next rung with more effort is held against the next one of another model."""
        if arm not in self._ladder.rungs:
            return False
        above = self._ladder.rungs[self._ladder.rungs.index(arm) + 1 :]
        effort = next((one for one in above if one.model == arm.model), None)
        model = next((one for one in above if one.model != arm.model), None)
        if effort is None or model is None:
            return False
        one, more, other = self._worked(arm), self._worked(effort), self._worked(model)
        return self._knowing.prefers_model(self._facts.task_class, one, more, other, self._place[1])

    def _worked(self, arm: Arm) -> Arm:
        """The arm as it works for this request, by which attempts are recorded: the client's own effort wins, and a
        level that the model lacks is another."""
        facts = self._facts
        effort = facts.effort or arm.effort or facts.other_effort
        thinking = arm.thinking or facts.thinking
        if effort is not None:
            effort = self._knowing.level(arm.model, effort)
        return arm if effort == arm.effort and thinking == arm.thinking else Arm(arm.model, effort, thinking)

    def _of_all(self) -> dict[Arm, Estimate]:
        """Of all rungs. One whose cost was not measured is taken at what its list price is against that of the nearest
        one that was, so that a mean over requests is never held against the price of this one. One that only followed
        on others is taken at no more than it cost there: too little is put right once requests begin with it, too much
        never would be, for nothing would begin with it."""
        rungs = self._ladder.rungs
        lists = [self._list_cost(arm) for arm in rungs]
        costs, checks = self._measured_costs()
        known = [n for n, cost in enumerate(costs) if cost is not None]
        usual_checks = next((one for one in checks if one is not None), NanoUSD(0))
        found: dict[Arm, Estimate] = {}
        for n, arm in enumerate(rungs):
            own = costs[n]
            cost: int = lists[n][0] if own is None else own
            if own is None and known:
                near = min(known, key=lambda other: abs(other - n))
                listed, of_near = lists[near][0], costs[near]
                if listed > 0 and of_near is not None:
                    cost = round(of_near * lists[n][0] / listed)
            if (followed := self._cost_after_others(arm)) is not None:
                cost = min(cost, followed)
            one = checks[n]
            ms, harder = self._times(arm)
            found[arm] = Estimate(
                cost_nanousd=cost,
                ms=ms,
                checks_nanousd=usual_checks if one is None else one,
                switch_nanousd=lists[n][1],
                harder=harder,
                measured=own is not None,
            )
        return found

    def _measured_costs(self) -> tuple[list[NanoUSD | None], list[NanoUSD | None]]:
        """Of calls and of their checks, of all rungs."""
        measured, (route, simulated), name = self._knowing.measured, self._place, self._facts.task_class
        costs: list[NanoUSD | None] = []
        checks: list[NanoUSD | None] = []
        for rung in self._ladder.rungs:
            arm = self._worked(rung)
            cost = None if measured is None else measured.attempt_cost(route, name, arm, simulated)
            costs.append(
                self._knowing.usual_cost(arm.model, arm.effort, name, simulated) if cost is None else cost
            )
            checks.append(None if measured is None else measured.checks_cost(route, name, arm, simulated))
        return costs, checks

    def _cost_after_others(self, arm: Arm) -> NanoUSD | None:
        """Of calls on requests on which a lower rung had failed, where nothing was measured of others."""
        measured, (route, simulated), name = self._knowing.measured, self._place, self._facts.task_class
        if measured is None:
            return None
        arm = self._worked(arm)
        if measured.attempt_cost(route, name, arm, simulated) is not None:
            return None
        return measured.attempt_cost(route, name, arm, simulated, later=True)

    def _times(self, arm: Arm) -> tuple[float | None, float]:
        """How long a call with its checks takes, and how much more it costs where a lower rung failed."""
        measured, (route, simulated), name = self._knowing.measured, self._place, self._facts.task_class
        if measured is None:
            return None, 1.0
        arm = self._worked(arm)
        ms = measured.ms(route, name, arm, simulated)
        if ms is not None:
            ms += measured.checks_ms(route, name, arm, simulated) or 0.0
        return ms, measured.harder(route, name, arm, simulated)

    def _list_cost(self, arm: Arm) -> tuple[int, int]:
        """By list prices: the call with the cached prefix read as cheaply as where it is; and what it costs more to
        write it anew, prefix x (write here - read there)."""
        facts, rates = self._facts, self._knowing.rates(arm.model)
        if rates is None:
            return 0, 0
        code = min(facts.code_tokens, facts.input_tokens)
        prompt = (facts.input_tokens - code) * rates.ratio_text + code * rates.ratio_code
        output = self._knowing.usual_output(self._worked(arm)) * rates.ratio_text
        if facts.max_tokens is not None:
            output = min(output, facts.max_tokens)
        cached, prefix, switch = 0.0, 0.0, 0.0
        was = self._knowing.rates(facts.on_rung.model) if facts.on_rung is not None else None
        if was is not None and facts.on_rung is not None and facts.cached_tokens:
            prefix = facts.cached_tokens * rates.ratio_text / was.ratio_text
            prompt = max(prompt, prefix)
            cached = facts.cached_tokens * was.read
            if facts.on_rung.model != arm.model:
                switch = prefix * rates.write - cached
        return rates.cost(prompt - prefix, cached, prompt, output), round(switch)
