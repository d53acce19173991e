"""Learns from usage how far the estimates of each content class are off: factors with errors, for each model.

What it is not: a store, or a job (`app`). Invariants: nothing learnt leaves every factor at 1; a factor moves only as
far as the usages outweigh what was measured beforehand; requests that do not fit the others (content that a request
does not show, as server tools) count little or nothing; the same usages give the same factors.

The method is a ridge regression of billed tokens on the estimate's items towards factors of 1, with relative errors,
and Huber weights against outliers. Source: P. J. Huber, Robust Statistics (1981), section 7; the ridge is the Bayesian
normal prior of the tables' own errors.
"""

import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

import msgspec

from trimtab.catalogue.estimating.estimate import ITEMS, Corrections, Item
from trimtab.catalogue.model import Model
from trimtab.catalogue.token_tables import FITS, OWN_WEIGHTS, WEIGHTS
from trimtab.catalogue.tokens import Generation, generation_of

LEAST_USAGES = 20
"""Of a model, or of all models of its generation; fewer tell too little."""

MOST_USAGES = 5_000
"""Of a model, the newest: 0.1 s of work, 15 s to measure."""

NOISE = 0.06
"""Relative error of the text of one class in one request where all factors are right: texts of a class differ by 3 to
8 %. Those of several classes in a request are independent."""

LEAST_NOISE = 0.01

ROUNDS = 8
"""Of reweighting; factors then move by less than 0.001."""

HUBER = 1.5
TOO_FAR = 6.0
"""In standard deviations: beyond the first a request counts less, beyond the second nothing."""

LEAST_DOUBT = 0.12
"""Of a class beforehand: a vocabulary that nobody measured may differ by so much even where texts of a class agree."""

LEAST_TOKENS = 50
"""Of a usage; shorter requests are frame more than text."""

_ERRORS: dict[str, float] = {"images": 0.02, "pdf": 0.7, "frame": 0.3, "tool_prompt": 0.2}
"""What is known beforehand of items that are no text: the vendor's rules, and guesses."""


class Used(msgspec.Struct, frozen=True):
    """One request: what the table says of it, and what was billed."""

    items: dict[Item, float]
    """Tokens by item, not corrected."""
    tokens: int
    """Input of all kinds, caches included."""


class Learnt(msgspec.Struct, frozen=True, kw_only=True):
    """What is published: by model id, and by generation for models with few usages of their own."""

    tables: str
    """Which tables the factors belong to; see `tables_version`."""
    models: dict[str, Corrections]
    generations: dict[str, Corrections]

    def of(self, model: Model) -> Corrections | None:
        """What holds for a model; `None` where nothing was learnt, or of other tables."""
        if self.tables != tables_version():
            return None
        own = self.models.get(model.id)
        return own if own is not None else self.generations.get(generation_of(model.tokenizer))


def tables_version() -> str:
    """Changes with the tables that estimates are made from: factors on others mean nothing."""
    figures = msgspec.json.encode([FITS, WEIGHTS, OWN_WEIGHTS])
    return f"{zlib.crc32(figures):08x}"


def learn(used: Mapping[str, Sequence[Used]], models: Iterable[Model]) -> Learnt:
    """Factors from usages by model id, newest first. Cost: 20 ms for 1,000 usages."""
    by_generation: dict[Generation, list[Used]] = {}
    own = {}
    for model in models:
        those = [one for one in used.get(model.id, ())[:MOST_USAGES] if _fits(one)]
        if not those:
            continue
        by_generation.setdefault(generation_of(model.tokenizer), []).extend(those)
        if len(those) >= LEAST_USAGES:
            own[model.id] = corrections(those, generation_of(model.tokenizer))
    return Learnt(
        tables=tables_version(),
        models=own,
        generations={
            generation: corrections(those[:MOST_USAGES], generation)
            for generation, those in by_generation.items()
            if len(those) >= LEAST_USAGES
        },
    )


def corrections(used: Sequence[Used], generation: Generation) -> Corrections:
    """Factors that fit these usages."""
    names = [item for item in ITEMS if any(item in one.items for one in used)]
    before = [_prior(item, generation) for item in names]
    rows = [_row(one, names) for one in used]
    weights = [1.0] * len(rows)
    moved = [0.0] * len(names)
    inverse: list[list[float]] = []
    for _ in range(ROUNDS):
        precision = [[0.0] * len(names) for _ in names]
        pull = [0.0] * len(names)
        for place, error in enumerate(before):
            precision[place][place] = 1 / error**2
        for (parts, off), weight in zip(rows, weights, strict=True):
            strength = weight / (NOISE**2 * sum([part * part for _, part in parts]) + LEAST_NOISE**2)
            for place, part in parts:
                pull[place] += strength * part * off
                for other, its in parts:
                    precision[place][other] += strength * part * its
        inverse = _inverted(precision)
        moved = [sum([value * pull[other] for other, value in enumerate(row)]) for row in inverse]
        left = [off - sum([part * moved[place] for place, part in parts]) for parts, off in rows]
        weights = _weights(left)
    return Corrections(
        factors={name: round(1.0 + moved[place], 4) for place, name in enumerate(names)},
        errors={name: round(math.sqrt(inverse[place][place]), 4) for place, name in enumerate(names)},
        usages=len(used),
    )


def _fits(one: Used) -> bool:
    estimated = sum(one.items.values())
    return one.tokens >= LEAST_TOKENS and estimated >= LEAST_TOKENS and 0.2 < one.tokens / estimated < 5.0


def _prior(item: Item, generation: Generation) -> float:
    if item in _ERRORS:
        return _ERRORS[item]
    fit = FITS[item]  # type: ignore[index]
    return max(LEAST_DOUBT, 1.5 * (fit.error_v3 if generation == "v3" else fit.error_v47))


def _row(one: Used, names: Sequence[Item]) -> tuple[list[tuple[int, float]], float]:
    """Parts of the estimate, and how far the usage is off it; both as parts of the estimate."""
    estimated = sum(one.items.values())
    parts = [(place, one.items[name] / estimated) for place, name in enumerate(names) if one.items.get(name)]
    return parts, one.tokens / estimated - 1.0


def _weights(left: Sequence[float]) -> list[float]:
    """By what is left of each request: full near the others, less beyond, none far off."""
    middle = median(left)
    scale = max(1.4826 * median([abs(one - middle) for one in left]), LEAST_NOISE)
    weights = []
    for one in left:
        far = abs(one - middle) / scale
        weights.append(1.0 if far <= HUBER else 0.0 if far > TOO_FAR else HUBER / far)
    return weights


def _inverted(matrix: list[list[float]]) -> list[list[float]]:
    """Of a symmetric positive definite matrix of some twenty rows, by Gauss and Jordan; the prior keeps it regular."""
    size = len(matrix)
    rows = [
        [*row, *(1.0 if place == other else 0.0 for other in range(size))] for place, row in enumerate(matrix)
    ]
    for place in range(size):
        best = max(range(place, size), key=lambda row: abs(rows[row][place]))
        rows[place], rows[best] = rows[best], rows[place]
        pivot = rows[place][place]
        rows[place] = [value / pivot for value in rows[place]]
        for other in range(size):
            factor = rows[other][place]
            if other != place and factor:
                rows[other] = [
                    value - factor * its for value, its in zip(rows[other], rows[place], strict=True)
                ]
    return [row[size:] for row in rows]
