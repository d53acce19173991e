"""Two hundred usages fed back bring every content class within 5 %, whatever the true tokenizer is; outliers do not.

The measured usages (`measured_usages.json`) are numbers only: for 200 requests of one to three texts, what the table
estimates by class, and what ctok 1.3.0 counts. Held out are other texts of each class: the mean over them of estimated to
counted tokens, and how many they are.
"""

import json
import random
from pathlib import Path
from typing import Any, cast

import pytest
from class_samples import samples
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.catalogue import Catalogue, Model
from trimtab.catalogue.estimating import Used, estimate, learn, measure
from trimtab.catalogue.estimating.estimate import ITEMS, Corrections, Item
from trimtab.catalogue.estimating.learning import corrections, tables_version
from trimtab.catalogue.token_tables import FITS
from trimtab.catalogue.tokens import GENERATIONS, Generation
from trimtab.messages import MessagesBody

MEASURED = json.loads((Path(__file__).parents[1] / "support" / "measured_usages.json").read_text())
MODELS = Catalogue.load().models
CLASSES: tuple[Item, ...] = tuple(cast("list[Item]", list(FITS)))


def measured(generation: Generation) -> list[Used]:
    return [Used({item: float(tokens) for item, tokens in items.items()}, counted) for items, counted in MEASURED[generation]["usages"]]  # fmt: skip


@pytest.mark.parametrize("generation", GENERATIONS)
def test_after_200_measured_usages_every_class_is_within_5_percent_of_what_is_counted(
    generation: Generation,
) -> None:
    learnt = corrections(measured(generation), generation)
    assert learnt.usages == 200
    held_out: dict[Item, Any] = MEASURED[generation]["held_out"]
    assert len(held_out) >= 15
    for item, (ratio, texts) in held_out.items():
        assert texts >= 5
        assert ratio == pytest.approx(1, abs=0.15), "the bar before anything is fed back"
        assert ratio * learnt.factors[item] == pytest.approx(1, abs=0.05)


def simulated(true: dict[Item, float], number: int, seed: int, odd: float = 0.0) -> list[Used]:
    """Requests of one to four classes on a tokenizer with these factors; each text is 6 % off by itself."""
    chance = random.Random(seed)
    used = []
    for _ in range(number):
        items: dict[Item, float] = {"frame": 8.0 + 4 * chance.randrange(6)}
        for item in chance.sample(sorted(true), k=chance.randrange(1, 5)):
            items[item] = chance.lognormvariate(6.5, 1.0)
        billed = sum(items[item] * true.get(item, 1.0) * chance.gauss(1.0, 0.06) for item in items)
        if chance.random() < odd:
            billed *= chance.choice([0.3, 2.0, 4.0])
        used.append(Used(items, round(billed)))
    return used


def true_factors(seed: int, spread: float) -> dict[Item, float]:
    """Of eight classes: what one operator's programs send."""
    chance = random.Random(seed)
    return {item: chance.uniform(1 - spread, 1 + spread) for item in chance.sample(CLASSES, k=8)}


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("seed", range(6))
def test_a_tokenizer_that_differs_by_class_is_learnt_to_5_percent_by_200_usages(
    seed: int, generation: Generation
) -> None:
    true = true_factors(seed, 0.15)
    learnt = corrections(simulated(true, 200, seed), generation)
    before = [abs(true[item] - 1) for item in true]
    after = [abs(learnt.factors[item] / true[item] - 1) for item in true]
    assert max(before) > 0.08
    assert max(after) < 0.05
    assert sum(after) / len(after) < 0.02
    new = simulated(true, 300, seed + 100)
    off = [
        abs(sum(one.items[item] * learnt.factors[item] for item in one.items) / one.tokens - 1) for one in new
    ]
    assert sorted(off)[150] < 0.05, "a new request"


def test_one_request_in_ten_that_does_not_fit_hardly_moves_what_is_learnt() -> None:
    true = true_factors(3, 0.1)
    clean, odd = (
        corrections(simulated(true, 300, 3), "v4.7"),
        corrections(simulated(true, 300, 3, odd=0.1), "v4.7"),
    )
    assert max(abs(odd.factors[item] / true[item] - 1) for item in true) < 0.07
    assert max(abs(odd.factors[item] - clean.factors[item]) for item in true) < 0.05


def test_what_a_class_was_never_seen_in_stays_as_the_table_says() -> None:
    learnt = corrections([Used({"english_docs": 1000.0}, 1200)] * 50, "v3")
    assert set(learnt.factors) == {"english_docs"}
    assert learnt.factors["english_docs"] == pytest.approx(1.2, abs=0.02)


def test_few_usages_move_a_factor_little_and_its_error_says_so() -> None:
    one = corrections([Used({"english_docs": 1000.0}, 1300)], "v3")
    many = corrections([Used({"english_docs": 1000.0}, 1300)] * 100, "v3")
    assert 1.0 < one.factors["english_docs"] < many.factors["english_docs"] <= 1.31
    assert one.errors["english_docs"] > 3 * many.errors["english_docs"]


def model(catalogue: Catalogue, name: str) -> Model:
    found = catalogue.find(name)
    assert found is not None
    return found


def test_a_model_without_usages_of_its_own_takes_what_its_vocabulary_taught(catalogue: Catalogue) -> None:
    used = {"claude-opus-4-7": [Used({"english_docs": 1000.0}, 1100)] * 30, "claude-opus-4-6": [Used({"english_docs": 1000.0}, 900)] * 5}  # fmt: skip
    learnt = learn(used, catalogue.models)
    assert set(learnt.models) == {"claude-opus-4-7"}
    sibling = learnt.of(model(catalogue, "claude-opus-4-8"))
    assert sibling is not None
    assert sibling.factors["english_docs"] == pytest.approx(1.1, abs=0.02)
    assert learnt.of(model(catalogue, "claude-opus-4-6")) is None, "five usages tell too little"


def test_what_was_learnt_on_other_tables_is_not_used(catalogue: Catalogue) -> None:
    used = {"claude-opus-4-7": [Used({"english_docs": 1000.0}, 1100)] * 30}
    learnt = learn(used, catalogue.models)
    opus = model(catalogue, "claude-opus-4-7")
    assert learnt.of(opus) is not None
    stale = type(learnt)(tables="0" * 8, models=learnt.models, generations=learnt.generations)
    assert stale.of(opus) is None
    assert tables_version() == learnt.tables


def test_a_corrected_estimate_says_so_and_is_surer(catalogue: Catalogue) -> None:
    body = {
        "model": "m",
        "max_tokens": 1,
        "messages": [{"role": "user", "content": samples()["english_docs"].text}],
    }
    found = measure(MessagesBody(json.dumps(body).encode()))
    opus = model(catalogue, "claude-opus-4-7")
    taught = Corrections(factors={"english_docs": 1.1}, errors={"english_docs": 0.01}, usages=200)
    plain, corrected = estimate(found, opus), estimate(found, opus, taught)
    assert (plain.source, corrected.source) == ("table", "table+learnt")
    assert corrected.by_item["english_docs"] == pytest.approx(plain.by_item["english_docs"] * 1.1)
    assert corrected.tokens == round(sum(corrected.by_part.values()))
    assert (corrected.high - corrected.low) / corrected.tokens < (plain.high - plain.low) / plain.tokens


@settings(max_examples=30)
@given(
    st.lists(
        st.builds(
            Used,
            st.dictionaries(st.sampled_from(ITEMS), st.floats(1.0, 1e6), min_size=1, max_size=5),
            st.integers(0, 10**9),
        ),
        max_size=40,
    )
)
def test_any_usages_give_factors_that_can_be_used(used: list[Used]) -> None:
    learnt = learn({"claude-opus-4-7": used}, MODELS)
    for found in (*learnt.models.values(), *learnt.generations.values()):
        assert all(0 < factor < 100 for factor in found.factors.values())
        assert all(0 < error < 10 for error in found.errors.values())
