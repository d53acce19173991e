import datetime
from typing import Any

import pytest

from trimtab.catalogue import Catalogue, Difference, compare_live, model_info

TODAY = datetime.date(2026, 11, 20)
AT = datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC)


@pytest.fixture
def live(catalogue: Catalogue) -> list[dict[str, Any]]:
    return [dict(model_info(model, AT)) for model in catalogue.models]


def entry(live: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(item for item in live if item["id"] == name)


def test_a_platform_that_says_the_same_makes_no_difference(
    catalogue: Catalogue, live: list[dict[str, Any]]
) -> None:
    assert compare_live(catalogue, live, TODAY) == []


def test_what_the_platform_need_not_list_is_not_missed(
    catalogue: Catalogue, live: list[dict[str, Any]]
) -> None:
    needless = ("claude-3-5", "claude-mythos", "claude-sonnet-4-5")  # retired, by invitation, deprecated
    rest = [item for item in live if not item["id"].startswith(needless)]
    assert compare_live(catalogue, rest, TODAY) == []


def test_models_that_only_one_side_has(catalogue: Catalogue, live: list[dict[str, Any]]) -> None:
    live.remove(entry(live, "claude-opus-5"))
    live.append({"type": "model", "id": "claude-opus-6"})
    found = compare_live(catalogue, live, TODAY)
    assert found == [Difference("not_in_catalogue", "claude-opus-6"), Difference("not_live", "claude-opus-5")]
    assert found[0].text == "the platform lists it, the catalogue does not: add it to the overlay"


def test_differing_facts_name_both_values(catalogue: Catalogue, live: list[dict[str, Any]]) -> None:
    opus = entry(live, "claude-opus-4-7")
    opus.update(
        max_tokens=64_000, max_input_tokens=200_000, lifecycle="deprecated", retires_at="2027-04-16T00:00:00Z"
    )
    opus["capabilities"]["effort"]["xhigh"] = {"supported": False}
    found = compare_live(catalogue, live, TODAY)
    assert {difference.model for difference in found} == {"claude-opus-4-7"}
    assert [difference.text for difference in found] == [
        "max_input_tokens: catalogue 1000000, platform 200000",
        "max_tokens: catalogue 128000, platform 64000",
        "lifecycle: catalogue active, platform deprecated",
        "retires_at: catalogue none, platform 2027-04-16",
        "effort: catalogue low, medium, high, xhigh, max, platform low, medium, high, max",
    ]


def test_an_alias_in_the_list_is_the_same_model(catalogue: Catalogue, live: list[dict[str, Any]]) -> None:
    entry(live, "claude-haiku-4-5-20251001")["id"] = "claude-haiku-4-5"
    assert compare_live(catalogue, live, TODAY) == []


def test_a_short_or_odd_answer_is_read_as_far_as_it_goes(
    catalogue: Catalogue, live: list[dict[str, Any]]
) -> None:
    for item in live:
        for key in ("capabilities", "lifecycle", "retires_at", "max_tokens", "max_input_tokens"):
            del item[key]
    entry(live, "claude-opus-4-7").update(max_tokens="many", lifecycle=3, retires_at="soon", capabilities=[1])
    entry(live, "claude-opus-4-6").update(max_tokens=None, capabilities={"effort": {"supported": None}})
    odd: list[Any] = [*live, {}, {"id": 5}, "claude-opus-6", None]
    found = compare_live(catalogue, odd, TODAY)
    assert [difference for difference in found if difference.model != "claude-opus-4-6"] == []


def test_a_model_without_effort_says_so(catalogue: Catalogue, live: list[dict[str, Any]]) -> None:
    entry(live, "claude-opus-4-6")["capabilities"]["effort"] = {"supported": False}
    found = compare_live(catalogue, live, TODAY)
    assert [difference.text for difference in found] == [
        "effort: catalogue low, medium, high, max, platform none"
    ]
