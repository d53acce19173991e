"""What an operator or a caller says about images is understood, or refused in words that help."""

import pytest

from trimtab.errors import ConfigError, RequestError
from trimtab.vision.settings import ImageRules, ImageSettings, Rules, acts, check_images, rules_for

PX, PIXELS = 8000, 64_000_000
SETTINGS = ImageSettings(
    policy="fit",
    long_edge_px=2000,
    coordinates="map_back",
    tiers={
        "fast": ImageRules(long_edge_px=1000, most_megapixels=0.5),
        "control": ImageRules(policy="as_sent"),
    },
    routes={"screens": ImageRules(policy="exact", coordinates="as_model")},
)


def check(settings: ImageSettings, *, pillow: bool = True) -> None:
    check_images(
        settings,
        lambda key: f"t.toml: images.{key}",
        tiers=["fast", "control"],
        routes=["screens"],
        can_resize=lambda: pillow,
    )


def test_nothing_said_leaves_images_as_they_are() -> None:
    assert rules_for(ImageSettings(), {}, "fast", "") == Rules("as_sent", PX, PIXELS, False)
    assert not acts(ImageSettings())
    assert acts(ImageSettings(routes={"a": ImageRules(policy="exact")}))


def test_a_route_says_more_than_a_tier_and_a_header_more_than_both() -> None:
    assert rules_for(SETTINGS, {}, None, "") == Rules("fit", 2000, PIXELS, True)
    assert rules_for(SETTINGS, {}, "fast", "") == Rules("fit", 1000, 500_000, True)
    assert rules_for(SETTINGS, {}, "control", "") == Rules("as_sent", 2000, PIXELS, True)
    assert rules_for(SETTINGS, {}, "fast", "screens") == Rules("exact", 1000, 500_000, False)
    own = {"x-trimtab-images": "as_sent", "x-trimtab-coordinates": "as_model"}
    assert rules_for(SETTINGS, own, "fast", "") == Rules("as_sent", 1000, 500_000, False)


def test_mapping_back_where_nothing_is_resized_is_refused_and_not_silently_left() -> None:
    for settings in (ImageSettings(), ImageSettings(policy="exact")):
        with pytest.raises(RequestError, match="x-trimtab-images: fit too"):
            rules_for(settings, {"x-trimtab-coordinates": "map_back"}, None, "")


@pytest.mark.parametrize("said", ["1280", "1280px", "1280 px"])
def test_a_number_is_the_longest_side_to_fit(said: str) -> None:
    pytest.importorskip("PIL")
    assert rules_for(ImageSettings(), {"x-trimtab-images": said}, None, "").side_px == 1280


@pytest.mark.parametrize("said", ["", "small", "27", "8001", "99999999999", "-5", "١٢٨٠", "1e3"])
def test_a_header_that_says_nothing_known_is_refused_with_what_it_may_say(said: str) -> None:
    with pytest.raises(RequestError, match=r"x-trimtab-images.*fit, exact, as_sent.*28 to 8000"):
        rules_for(ImageSettings(), {"x-trimtab-images": said}, None, "")
    with pytest.raises(RequestError, match=r"x-trimtab-coordinates.*map_back or as_model"):
        rules_for(ImageSettings(), {"x-trimtab-coordinates": said}, None, "")


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        (ImageSettings(long_edge_px=27), "images.long_edge_px"),
        (ImageSettings(most_megapixels=float("nan")), "images.most_megapixels"),
        (ImageSettings(cache_mib=-1), "images.cache_mib"),
        (ImageSettings(tiers={"fats": ImageRules()}), "images.tiers.fats"),
        (ImageSettings(routes={"screen": ImageRules()}), "images.routes.screen: .*screens"),
        (
            ImageSettings(routes={"screens": ImageRules(long_edge_px=9000)}),
            "images.routes.screens.long_edge_px",
        ),
    ],
)
def test_a_setting_out_of_its_bounds_is_refused_at_the_start(settings: ImageSettings, where: str) -> None:
    with pytest.raises(ConfigError, match=where):
        check(settings)


def test_fit_without_pillow_is_one_clear_error_at_the_start() -> None:
    check(SETTINGS)
    with pytest.raises(ConfigError, match=r"images.policy.*trimtab\[vision\]"):
        check(SETTINGS, pillow=False)
    with pytest.raises(ConfigError, match=r"images.tiers.fast.policy"):
        check(ImageSettings(tiers={"fast": ImageRules(policy="fit")}), pillow=False)
    check(ImageSettings(policy="exact", coordinates="map_back"), pillow=False)
