import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.catalogue import image_tokens, resize_for
from trimtab.catalogue.images import map_point, size_within, vision_limits

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


@given(SIDES, SIDES, TIERS, st.integers(28, 8000), st.integers(1000, 64_000_000))
def test_a_smaller_size_may_be_asked_for_and_a_larger_one_changes_nothing(
    width: int, height: int, vision: str, side_px: int, pixels: int
) -> None:
    wide, high = size_within(width, height, vision, side_px=side_px, pixels=pixels)
    seen = resize_for(width, height, vision)
    assert max(wide, high) <= side_px
    assert wide * high <= pixels
    assert wide <= seen[0]
    assert high <= seen[1]
    if max(seen) <= side_px and seen[0] * seen[1] <= pixels:
        assert (wide, high) == seen


@given(SIDES, SIDES, TIERS, st.data())
def test_a_point_that_goes_to_the_smaller_image_and_back_is_off_by_half_a_pixel_of_it(
    width: int, height: int, vision: str, data: st.DataObject
) -> None:
    original, sent = (width, height), resize_for(width, height, vision)
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    there = map_point(x, y, original, sent)
    assert 0 <= there[0] < sent[0]
    assert 0 <= there[1] < sent[1]
    back = map_point(*there, sent, original)
    for at, first, again, long, short in (
        (x, there[0], back[0], *_pair(0, original, sent)),
        (y, there[1], back[1], *_pair(1, original, sent)),
    ):
        if first < short - 1:  # a point at the edge is kept inside, which moves it by rounding only
            assert abs(first * long / short - at) <= long / short / 2 + 1e-6
            assert abs(again - at) <= long / short / 2 + 1
        assert abs(again - at) <= long / short + 1
    assert 0 <= back[0] < width
    assert 0 <= back[1] < height


def _pair(axis: int, original: tuple[int, int], sent: tuple[int, int]) -> tuple[int, int]:
    return original[axis], sent[axis]


@given(SIDES, SIDES, TIERS, st.data())
def test_what_a_model_named_comes_back_to_it_as_it_was(
    width: int, height: int, vision: str, data: st.DataObject
) -> None:
    original, sent = (width, height), resize_for(width, height, vision)
    named = data.draw(st.integers(0, sent[0] - 1)), data.draw(st.integers(0, sent[1] - 1))
    assert map_point(*map_point(*named, sent, original), original, sent) == named


def test_a_point_outside_of_the_image_stays_outside() -> None:
    assert map_point(2576, -1, (2576, 1449), (3840, 2160)) == (3840, -1)
    assert map_point(2575, 1448, (2576, 1449), (3840, 2160)) == (3839, 2159)
    assert map_point(1000.5, 20, (2000, 1000), (4000, 2000)) == (2001, 40)
