"""What is known for one request on a ladder: by what was measured of its arms, else by list prices and what is shipped.

What it is not: where figures come from (`store`, by the callables that `app` gives), or a decision. Invariants: either
all rungs of a ladder are compared by measured costs or none is, so that a mean over other requests is never held
against a price of this one; nothing here waits or raises; money is integer nano-dollars.
"""

import datetime
from collections.abc import Callable
from typing import Protocol

from trimtab.catalogue import Arm, Catalogue, Effort, Model, NanoUSD, token_ratio
from trimtab.routing.cascade.ladder import Estimate, Facts, Failure, Ladder

USUAL_EFFORT: Effort = "high"
"""Where neither client, rung nor model names one. Source: vendor effort page (2026-11): the default is high."""

NEWEST = "v4.7"
"""The vocabulary that `Facts` count tokens on."""

_NANO_PER_TOKEN = 1000
"""1 USD per million tokens is 1000 nano-dollars per token."""


class Measured(Protocol):
    """What was measured of calls, real or simulated. Dictionaries only: never waits."""

    def cost(self, model: str, effort: str | None, task_class: str, simulated: bool) -> NanoUSD | None:
        """The mean cost of a call; `None`: too few are known."""
        ...

    def failure(self, route: str, task_class: str, arm: Arm, simulated: bool) -> Failure:
        """How often answers of the arm were not accepted, in this class and in all classes of the route (`wider`)."""
        ...

    def ms(self, task_class: str, arm: Arm, simulated: bool) -> float | None:
        """How long a call usually takes until the end of its answer."""
        ...

    def checks(self, route: str, simulated: bool) -> NanoUSD:
        """What the checks of one answer cost on average."""
        ...

    def harder(self, task_class: str, arm: Arm, simulated: bool) -> float:
        """What a call costs where a lower rung failed, against its mean; 1 where that is not known."""
        ...

    def prefers_model(self, task_class: str, arm: Arm, effort: Arm, model: Arm) -> bool:
        """Whether the class's table shows that after `arm` the arm of another `model` is the better next step than more
        `effort` of the same."""
        ...


class NothingMeasured:
    """What is known before anything was measured. Implements `Measured`."""

    def cost(self, model: str, effort: str | None, task_class: str, simulated: bool) -> NanoUSD | None:
        """Nothing."""
        return None

    def failure(self, route: str, task_class: str, arm: Arm, simulated: bool) -> Failure:
        """Nothing was judged."""
        return NOTHING_JUDGED

    def ms(self, task_class: str, arm: Arm, simulated: bool) -> float | None:
        """Nothing."""
        return None

    def checks(self, route: str, simulated: bool) -> NanoUSD:
        """Nothing."""
        return NanoUSD(0)

    def harder(self, task_class: str, arm: Arm, simulated: bool) -> float:
        """As on average."""
        return 1.0

    def prefers_model(self, task_class: str, arm: Arm, effort: Arm, model: Arm) -> bool:
        """Effort before model."""
        return False


NOTHING_JUDGED = Failure()


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
    ) -> None:
        self._catalogue = catalogue
        self._today = today
        self._measured = measured or NothingMeasured()
        self._day: datetime.date | None = None
        self._rates: dict[str, _Rates] = {}

    def of(self, ladder: Ladder, facts: Facts, *, route: str, simulated: bool) -> "KnownNow":
        """What is known for one request. Never waits. Cost: 1 us; what is asked of it, 5 us a rung (measured)."""
        day = self._today()
        if day != self._day:
            self._day, self._rates = day, {}
        return KnownNow(self, self._measured, ladder, facts, route, simulated)

    def rates(self, model_id: str) -> _Rates | None:
        """List prices; `None` for a model that the catalogue does not know."""
        found = self._rates.get(model_id)
        if found is None:
            model = self._catalogue.find(model_id)
            if model is None:
                return None
            found = self._rates[model_id] = _Rates(model, self._catalogue, self._day or self._today())
        return found

    def usual_output(self, arm: Arm, effort: Effort | None) -> int:
        """Tokens of an answer, as shipped for its effort."""
        model = self._catalogue.find(arm.model)
        level = effort or arm.effort or (model.default_effort if model is not None else None) or USUAL_EFFORT
        return self._catalogue.efforts.usual_output[level]


class KnownNow:
    """For one request. Implements `Known`."""

    __slots__ = ("_costs", "_estimates", "_facts", "_knowing", "_ladder", "_measured", "_route", "_simulated")

    def __init__(
        self,
        knowing: Knowing,
        measured: Measured,
        ladder: Ladder,
        facts: Facts,
        route: str,
        simulated: bool,
    ) -> None:
        self._knowing = knowing
        self._measured = measured
        self._ladder = ladder
        self._facts = facts
        self._route = route
        self._simulated = simulated
        self._estimates: dict[Arm, Estimate] = {}
        costs = [self._measured_cost(arm) for arm in ladder.rungs]
        self._costs = (
            {arm: cost for arm, cost in zip(ladder.rungs, costs, strict=True) if cost is not None}
            if None not in costs
            else {}
        )

    def estimate(self, arm: Arm) -> Estimate:
        """See `Known`."""
        found = self._estimates.get(arm)
        if found is None:
            found = self._estimates[arm] = self._estimated(arm)
        return found

    def failure(self, arm: Arm) -> Failure:
        """See `Known`."""
        return self._measured.failure(self._route, self._facts.task_class, arm, self._simulated)

    def prefers_model(self, arm: Arm) -> bool:
        """See `Known`. The next rung with more effort is held against the next one of another model."""
        if arm not in self._ladder.rungs:
            return False
        above = self._ladder.rungs[self._ladder.rungs.index(arm) + 1 :]
        effort = next((one for one in above if one.model == arm.model), None)
        model = next((one for one in above if one.model != arm.model), None)
        if effort is None or model is None:
            return False
        return self._measured.prefers_model(self._facts.task_class, arm, effort, model)

    def _measured_cost(self, arm: Arm) -> NanoUSD | None:
        effort = self._facts.effort or arm.effort
        return self._measured.cost(arm.model, effort, self._facts.task_class, self._simulated)

    def _estimated(self, arm: Arm) -> Estimate:
        facts, simulated = self._facts, self._simulated
        measured = self._costs.get(arm)
        cost, switch = self._list_cost(arm)
        return Estimate(
            cost_nanousd=cost if measured is None else measured,
            ms=self._measured.ms(facts.task_class, arm, simulated),
            checks_nanousd=self._measured.checks(self._route, simulated),
            switch_nanousd=switch,
            harder=self._measured.harder(facts.task_class, arm, simulated),
            measured=measured is not None,
        )

    def _list_cost(self, arm: Arm) -> tuple[int, int]:
        """By list prices: the call with the cached prefix read as cheaply as where it is; and what it costs more to
        write it anew, prefix x (write here - read there)."""
        facts, rates = self._facts, self._knowing.rates(arm.model)
        if rates is None:
            return 0, 0
        code = min(facts.code_tokens, facts.input_tokens)
        prompt = (facts.input_tokens - code) * rates.ratio_text + code * rates.ratio_code
        output = float(self._knowing.usual_output(arm, facts.effort))
        output *= rates.ratio_text
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
