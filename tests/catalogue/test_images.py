import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.catalogue import image_tokens, resize_for
from trimtab.catalogue.images import vision_limits

SIDES = st.integers(min_value=1, max_value=8000)
TIERS = st.sampled_from(["standard", "high"])


@pytest.mark.parametrize(
    ("width", "height", "vision", "size", "tokens"),
    [
        (1920, 1080, "standard", (1456, 819), 1560),
        (1920, 1080, "high", (1920, 1080), 2691),
        (1080, 1920, "standard", (819, 1456), 1560),
        (3840, 2160, "high", (2576, 1449), 4784),
        (1366, 768, "standard", (1366, 768), 1372),
        (1366, 768, "high", (1366, 768), 1372),
        (1280, 720, "standard", (1280, 720), 1196),
        (1092, 1092, "standard", (1092, 1092), 1521),
        (200, 200, "standard", (200, 200), 64),
        (1, 1, "high", (1, 1), 1),
        (28, 28, "standard", (28, 28), 1),
        (29, 28, "standard", (29, 28), 2),
        (8000, 1, "standard", (1568, 1), 56),
    ],
)
def test_the_vendor_table(width: int, height: int, vision: str, size: tuple[int, int], tokens: int) -> None:
    assert resize_for(width, height, vision) == size
    assert image_tokens(width, height, vision) == tokens


@given(SIDES, SIDES, TIERS)
def test_a_resized_image_keeps_within_both_limits_and_is_never_enlarged(
    width: int, height: int, vision: str
) -> None:
    seen_width, seen_height = resize_for(width, height, vision)
    limits = vision_limits(vision)
    assert 1 <= seen_width <= width
    assert 1 <= seen_height <= height
    assert -(-max(seen_width, seen_height) // 28) * 28 <= limits.long_edge_px
    assert 1 <= image_tokens(width, height, vision) <= limits.tokens
    assert resize_for(seen_width, seen_height, vision) == (seen_width, seen_height)


@given(SIDES, SIDES, TIERS)
def test_the_aspect_ratio_is_kept_within_the_rounding_of_the_short_edge(
    width: int, height: int, vision: str
) -> None:
    seen_width, seen_height = resize_for(width, height, vision)
    long, short = max(width, height), min(width, height)
    seen_long, seen_short = max(seen_width, seen_height), min(seen_width, seen_height)
    exact = seen_long * short / long
    assert abs(seen_short - exact) <= 0.5 or seen_short == 1


@given(SIDES, SIDES, TIERS)
def test_the_resized_image_is_the_largest_that_fits(width: int, height: int, vision: str) -> None:
    seen = resize_for(width, height, vision)
    if seen == (width, height):
        return
    limits = vision_limits(vision)
    long, short = max(width, height), min(width, height)
    larger = max(seen) + 1
    other = max(round(larger * short / long), 1)
    padded = -(-larger // 28) * 28
    assert padded > limits.long_edge_px or -(-larger // 28) * -(-other // 28) > limits.tokens


@given(SIDES, SIDES, TIERS)
def test_turning_an_image_turns_its_size(width: int, height: int, vision: str) -> None:
    seen = resize_for(width, height, vision)
    assert resize_for(height, width, vision) == (seen[1], seen[0])


@pytest.mark.parametrize(
    ("width", "height", "vision"), [(0, 5, "high"), (5, -1, "high"), (5, 5, "none"), (5, 5, "x")]
)
def test_what_cannot_be_an_image_is_refused(width: int, height: int, vision: str) -> None:
    with pytest.raises(ValueError):
        image_tokens(width, height, vision)
