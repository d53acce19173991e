"""Requests drawn again and again, and with each draw the errors of the tables: where intervals come from.

What it is not: a test of a hypothesis. Invariant: the same requests give the same draws.

Source: percentile bootstrap over requests (B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993, chapter
13); the tables' errors are drawn as normal, half of each shared by all classes.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from trimtab.catalogue import Model
from trimtab.catalogue.estimating import Corrections
from trimtab.catalogue.estimating.estimate import Estimate, Item
from trimtab.catalogue.token_tables import FITS
from trimtab.catalogue.tokens import generation_of
from trimtab.migration.judging import Judged
from trimtab.stats import Interval

DRAWS = 400
"""Quantiles at 2.5 % and 97.5 % are then good to a tenth of the width."""

GROUPS = 400
"""More requests are put into so many groups, which are drawn in their place: nearly the same interval for less work."""

SEED = 20_261_120

ERROR_UNKNOWN = 0.12
RATIO_UNKNOWN = 1.25
"""Ratio of tokens of v4.7 to v3 where nothing is known of the content: the middle between digits (1.0) and English
(1.5), and half of what lies between."""

ERROR_GUESSED = 0.4
ERROR_FRAME = 0.1

Draw: TypeAlias = tuple[list[float], list[float]]
"""Input tokens by item, on the old and the new model."""


class Resampled:
    """The draws of one set of requests."""

    def __init__(
        self, judged: Sequence[Judged], before: Model, after: Model, corrections: Mapping[str, Corrections]
    ) -> None:
        """`corrections` are those that the estimates were made with, by model id."""
        self.names: list[Item] = sorted(
            {name for one in judged for name in (*one.before.by_item, *one.after.by_item)}
        )
        size = max(1, -(-len(judged) // GROUPS))
        self.groups: list[Draw] = [
            (
                _summed([one.before for one in judged[start : start + size]], self.names),
                _summed([one.after for one in judged[start : start + size]], self.names),
            )
            for start in range(0, len(judged), size)
        ]
        errors = _errors(judged, self.names, (before, after), corrections)
        chance = random.Random(SEED)  # noqa: S311 (no secret)
        self.draws = [_drawn(self.groups, errors, chance) for _ in range(DRAWS)] if judged else []

    def interval(self, what: Callable[[Draw], float]) -> Interval:
        """Of 95 %, of a figure of a draw."""
        return quantiles([what(draw) for draw in self.draws])

    def at(self, place: int) -> tuple[float, float, list[float]]:
        """Tokens of one item before and after, and its ratios in the draws where there is some of it."""
        before, after = (sum([group[side][place] for group in self.groups]) for side in (0, 1))
        return before, after, [draw[1][place] / draw[0][place] for draw in self.draws if draw[0][place]]


def ratio_of(draw: Draw) -> float:
    """Input tokens after to before."""
    return sum(draw[1]) / sum(draw[0]) if sum(draw[0]) else 1.0


def unknown_ratio(before: Model, after: Model) -> Interval:
    """Of tokens, where nothing is known of the content."""
    old, new = generation_of(before.tokenizer), generation_of(after.tokenizer)
    if old == new:
        return Interval(1.0, 1.0)
    low, high = RATIO_UNKNOWN - 2 * ERROR_UNKNOWN, RATIO_UNKNOWN + 2 * ERROR_UNKNOWN
    return Interval(low, high) if new == "v4.7" else Interval(1 / high, 1 / low)


def quantiles(values: Sequence[float]) -> Interval:
    """What holds 95 % of the values between."""
    ordered = sorted(values)
    last = len(ordered) - 1
    return Interval(ordered[round(0.025 * last)], ordered[round(0.975 * last)])


def _summed(estimates: Sequence[Estimate], names: Sequence[Item]) -> list[float]:
    return [sum([one.by_item.get(name, 0.0) for one in estimates]) for name in names]


def _drawn(groups: Sequence[Draw], errors: Sequence[float], chance: random.Random) -> Draw:
    before, after = [0.0] * len(errors), [0.0] * len(errors)
    for group in chance.choices(groups, k=len(groups)):
        for sums, part in zip((before, after), group, strict=True):
            for place, value in enumerate(part):
                sums[place] += value
    common = chance.gauss(0.0, 1.0)
    for place, error in enumerate(errors):
        off = error * (common + chance.gauss(0.0, 1.0)) / 2**0.5
        after[place] *= 1.0 + max(-0.9, off)
    return before, after


def _errors(
    judged: Sequence[Judged],
    names: Sequence[Item],
    models: tuple[Model, Model],
    corrections: Mapping[str, Corrections],
) -> list[float]:
    """Relative error of each item's ratio, beside what differs between requests."""
    generations = {generation_of(model.tokenizer) for model in models}
    learnt = [corrections[model.id].errors for model in models if model.id in corrections]
    counted = all(generations <= set(one.measured.counted_by) for one in judged)
    guessed = sum([one.after.guessed_images for one in judged])
    images = sum([len(one.measured.images) for one in judged])
    errors = []
    for name in names:
        if name == "images":
            errors.append(ERROR_GUESSED * guessed / images if images else 0.0)
        elif name == "pdf":
            errors.append(ERROR_GUESSED)
        elif name == "frame" or name == "tool_prompt":
            errors.append(ERROR_FRAME)
        elif (
            len(generations) == 2 and not counted and len(learnt) == 2 and all(name in one for one in learnt)
        ):
            errors.append(math.hypot(*[one[name] for one in learnt]))
        else:
            errors.append(0.0 if len(generations) == 1 else 0.01 if counted else FITS[name].error_ratio)
    return errors
