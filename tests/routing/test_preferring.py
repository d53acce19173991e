"""Section [choosing]: a mistake is one clear line, and no setting is without effect."""

import re

import msgspec
import pytest

from trimtab.errors import ConfigError
from trimtab.routing import ChoosingSettings, check_choosing
from trimtab.routing.preferring import check_declared


def where(key: str) -> str:
    return f"trimtab.toml: choosing.{key}"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"cost": 2.0}, 'choosing.cost: 2.0: has no effect with prefer = "order"; set prefer = "balanced"'),
        ({"prefer": "speed", "latency": 1.0}, 'choosing.latency: 1.0: has no effect with prefer = "speed"'),
        ({"prefer": "balanced", "room": -1.0}, "choosing.room: -1.0: must be from 0 to 1000"),
        ({"prefer": "balanced", "cost": float("nan")}, "choosing.cost: nan: must be from 0 to 1000"),
        (
            {"prefer": "balanced", "cost": 0.0, "latency": 0.0, "throughput": 0.0, "room": 0.0},
            "choosing.prefer: 'balanced': every weight is 0",
        ),
        ({"sticky_s": 0.0}, "choosing.sticky_s: 0.0: must be greater than 0 and at most 86400"),
        ({"sticky_s": float("inf")}, "choosing.sticky_s: inf: must be greater than 0"),
        ({"data_regions": ()}, "choosing.data_regions: is empty, which leaves no platform at all"),
    ],
)
def test_each_mistake_is_one_clear_line(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        check_choosing(ChoosingSettings(**settings), where)  # type: ignore[arg-type]


def test_what_can_be_meant_is_taken() -> None:
    for settings in (
        ChoosingSettings(),
        ChoosingSettings(prefer="balanced", cost=0.0, room=3.0),
        ChoosingSettings(prefer="weights", sticky=False, data_regions=("eu",)),
    ):
        check_choosing(settings, where)


def test_another_preference_is_refused_with_those_there_are() -> None:
    with pytest.raises(msgspec.ValidationError, match="Invalid enum value 'cheap'"):
        msgspec.convert({"prefer": "cheap"}, ChoosingSettings)


def test_a_region_that_no_entry_declares_is_refused_with_those_there_are() -> None:
    check_declared(("eu",), ["us", None, "eu"], where("data_regions"))
    check_declared(None, [], where("data_regions"))
    with pytest.raises(
        ConfigError, match=r"'mars': no platform entry declares this data_region; those declared are eu, us"
    ):
        check_declared(("mars",), ["us", None, "eu"], where("data_regions"))
    with pytest.raises(ConfigError, match="none declares any"):
        check_declared(("eu",), [None], where("data_regions"))
