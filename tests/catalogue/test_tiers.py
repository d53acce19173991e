import pytest

from trimtab.catalogue import Arm, Catalogue, TierPlaces, Tiers, TierSettings, resolve_tiers
from trimtab.catalogue.tiers import TierBinding
from trimtab.errors import ConfigError


def where(key: str) -> str:
    return f"trimtab.toml: {key}"


def resolve(catalogue: Catalogue, **settings: str) -> Tiers:
    return resolve_tiers(TierSettings(**settings), catalogue, where)  # type: ignore[arg-type]


def test_the_classic_lineup_is_the_default_and_names_no_effort(catalogue: Catalogue) -> None:
    assert resolve(catalogue) == Tiers(
        default=Arm("claude-sonnet-4-6"),
        escalation=Arm("claude-opus-4-7"),
        control=Arm("claude-opus-4-6"),
        fast=Arm("claude-haiku-4-5"),
    )


def test_the_current_lineup(catalogue: Catalogue) -> None:
    assert resolve(catalogue, lineup="current") == Tiers(
        default=Arm("claude-sonnet-5-5"),
        escalation=Arm("claude-opus-5-5"),
        control=Arm("claude-opus-4-7"),
        fast=Arm("claude-haiku-5-5"),
    )


def test_a_binding_stands_above_the_lineup(catalogue: Catalogue) -> None:
    tiers = resolve(catalogue, lineup="current", escalation="claude-opus-4-7@xhigh+adaptive")
    assert tiers.escalation == Arm("claude-opus-4-7", "xhigh", "adaptive")
    assert tiers.default == Arm("claude-sonnet-5-5")


def test_a_tier_is_found_by_its_name_and_nothing_else_is(catalogue: Catalogue) -> None:
    tiers = resolve(catalogue)
    assert tiers.by_name("fast") == Arm("claude-haiku-4-5")
    assert tiers.by_name("by_name") is None
    assert tiers.by_name("auto") is None
    assert [name for name, _ in tiers.items()] == ["default", "escalation", "control", "fast"]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "escalation",
            "claude-opus-4-7@hihg",
            "trimtab.toml: tiers.escalation: 'claude-opus-4-7@hihg': "
            "effort must be one of low, medium, high, xhigh, max",
        ),
        (
            "default",
            "claude-sonet-4-6",
            "trimtab.toml: tiers.default: 'claude-sonet-4-6': no such model in the catalogue; "
            "did you mean 'claude-sonnet-4-6'?",
        ),
        (
            "default",
            "zzz",
            "trimtab.toml: tiers.default: 'zzz': no such model in the catalogue; "
            "`trimtab models` lists those there are",
        ),
        (
            "fast",
            "claude-3-5-haiku-20241022+adaptive",
            "trimtab.toml: tiers.fast: 'claude-3-5-haiku-20241022+adaptive': "
            "claude-3-5-haiku-20241022 does not think; leave '+adaptive' out",
        ),
        (
            "fast",
            "",
            "trimtab.toml: tiers.fast: '': must name a model; leave the key out to keep the lineup's",
        ),
    ],
)
def test_a_wrong_binding_says_where_what_and_how_to_mend_it(
    catalogue: Catalogue, key: str, value: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(catalogue, **{key: value})
    assert str(caught.value) == message


def test_a_retired_model_may_be_bound(catalogue: Catalogue) -> None:
    assert resolve(catalogue, fast="claude-3-5-haiku-latest").fast == Arm("claude-3-5-haiku-latest")


def test_a_tier_may_be_bound_to_platforms_and_regions_beside_its_arm(catalogue: Catalogue) -> None:
    bound = TierBinding("claude-opus-4-7@xhigh", ("aws-eu", "claude"), ("eu",))
    tiers = resolve_tiers(TierSettings(escalation=bound, fast="claude-haiku-4-5"), catalogue, where)
    assert tiers.escalation == Arm("claude-opus-4-7", "xhigh")
    assert tiers.places == {"escalation": TierPlaces(("aws-eu", "claude"), ("eu",))}


@pytest.mark.parametrize(
    ("bound", "message"),
    [
        (TierBinding("nobody"), "trimtab.toml: tiers.fast.arm: 'nobody': no such model in the catalogue"),
        (TierBinding(""), "trimtab.toml: tiers.fast.arm: '': must name a model"),
        (
            TierBinding("claude-opus-4-7", ()),
            "trimtab.toml: tiers.fast.platforms: is empty, which leaves no platform",
        ),
        (TierBinding("claude-opus-4-7", None, ()), "trimtab.toml: tiers.fast.data_regions: is empty"),
        (
            TierBinding("claude-opus-4-7", ("a", "a")),
            "trimtab.toml: tiers.fast.platforms: 'a' stands there twice",
        ),
    ],
)
def test_a_mistake_in_the_places_of_a_tier_is_one_clear_line(
    catalogue: Catalogue, bound: TierBinding, message: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        resolve_tiers(TierSettings(fast=bound), catalogue, where)
    assert str(refused.value).startswith(message)
