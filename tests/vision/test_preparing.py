"""Images go out as the policy says: the right ones change, and beside them not one byte."""

import copy
import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import gif, image, jpeg, png, webp
from vision_drive import CATALOGUE, HAIKU, OPUS, Workshop
from vision_drive import prepared as prepare

from trimtab.errors import RequestError
from trimtab.messages import MessagesBody
from trimtab.messages.image_blocks import image_blocks
from trimtab.vision import Images, ImageSettings, Prepared
from trimtab.vision.settings import ImageRules
from trimtab.vision.workshop import Size

SHOT = png(3840, 2160, 30_000)
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "é"}, image(SHOT)]}


def body(*turns: object, **more: object) -> MessagesBody:
    messages = [{"role": "user", "content": turn} for turn in turns]
    return MessagesBody(
        json.dumps({"model": "m", "max_tokens": 9, "messages": messages, **more}, indent=1).encode()
    )


FIT, EXACT = ImageSettings(policy="fit"), ImageSettings(policy="exact")


def prepared(asked: MessagesBody, settings: ImageSettings = FIT, **more: Any) -> Prepared | None:
    return prepare(asked, settings, **more)


def sizes(raw: bytes) -> list[tuple[int, int]]:
    return [(block.head.width, block.head.height) for block in image_blocks(raw) if block.head is not None]


def without_images(raw: bytes) -> bytes:
    for block in reversed(image_blocks(raw)):
        raw = raw[: block.data[0]] + raw[block.data[1] :]
    return raw


def test_without_a_policy_nothing_is_looked_at() -> None:
    images = Images(ImageSettings(), Workshop(), CATALOGUE.platforms)  # type: ignore[arg-type]
    assert not images.wanted({}, body([image(SHOT)]))
    assert images.wanted({"x-trimtab-images": "exact"}, body("a"))
    assert prepared(body([image(SHOT)]), ImageSettings()) is None
    fitting = Images(FIT, Workshop(), CATALOGUE.platforms)  # type: ignore[arg-type]
    assert not fitting.wanted({}, body("text"))
    assert fitting.wanted({}, body([image(SHOT)]))


@pytest.mark.parametrize(("model", "size"), [(OPUS, (2576, 1449)), (HAIKU, (1456, 819))])
def test_an_image_is_sent_in_the_size_that_the_model_sees_and_nothing_else_changes(
    model: str, size: tuple[int, int]
) -> None:
    asked = body(
        [{"type": "text", "text": 'a "quoted" ü'}, image(png(640, 480)), RESULT], metadata={"z": 1, "a": [2]}
    )
    done = prepared(asked, model=model)
    assert done is not None
    assert sizes(done.body.raw) == [(640, 480), size]
    assert without_images(done.body.raw) == without_images(asked.raw)
    assert done.adaptations == (f"messages.0.content.2.content.1.source 3840x2160->{size[0]}x{size[1]}",)
    assert done.body.fields["metadata"] == asked.fields["metadata"]


def test_a_growing_conversation_keeps_its_beginning_byte_for_byte() -> None:
    turns = [[image(SHOT)], [RESULT], [image(png(2000, 1000))], [RESULT], "next"]
    sent = [prepared(body(*turns[:count])) for count in range(1, 6)]
    for before, after in itertools.pairwise(sent):
        assert before is not None
        assert after is not None
        beginning = before.body.raw[: before.body.raw.rindex(b"}\n ]")]
        assert after.body.raw.startswith(beginning)


def test_the_type_is_put_right_where_the_image_is_and_only_there() -> None:
    asked = body([image(jpeg(4000, 3000), "image/jpeg"), image(jpeg(400, 300), "image/webp")])
    done = prepared(asked)
    assert done is not None
    content = json.loads(done.body.raw)["messages"][0]["content"]
    assert [block["source"]["media_type"] for block in content] == ["image/png", "image/webp"]
    assert done.adaptations[0].endswith("x1851 image/png") or " image/png" in done.adaptations[0]


def test_a_smaller_size_may_be_asked_for_by_settings_tier_or_header() -> None:
    pytest.importorskip("PIL")
    asked = body([image(SHOT)])
    settings = ImageSettings(policy="fit", long_edge_px=1920, tiers={"fast": ImageRules(most_megapixels=0.5)})
    for own, tier, size in (
        ({}, None, (1920, 1080)),
        ({}, "fast", (942, 530)),
        ({"x-trimtab-images": "1280"}, None, (1280, 720)),
        ({"x-trimtab-images": "8000"}, None, (2576, 1449)),
    ):
        done = prepared(asked, settings, own=own, tier=tier)
        assert done is not None
        ((wide, high),) = sizes(done.body.raw)
        assert abs(wide - size[0]) <= 1, (own, tier, wide, high)
        assert abs(high - size[1]) <= 1


def test_more_than_twenty_images_fit_the_platform_too() -> None:
    done = prepared(body([image(png(2400, 1200))] * 20))
    assert done is not None
    assert done.adaptations == ()
    done = prepared(body([image(png(2400, 1200))] * 25 + [image(png(900, 900))]))
    assert done is not None
    assert set(sizes(done.body.raw)) == {(2000, 1000), (900, 900)}
    assert len(done.adaptations) == 20
    assert done.adaptations[-1] == "and 6 more images"


def test_the_bytes_that_a_platform_takes_are_those_of_the_strictest_that_may_serve() -> None:
    asked = body([image(png(800, 600, 4_500_000))])
    workshop = Workshop()
    done = prepared(asked, workshop=workshop)
    assert done is not None
    assert workshop.asked == []
    assert done.body is asked
    prepared(asked, workshop=workshop, platforms=("anthropic", "bedrock"))
    assert workshop.asked == [Size(800, 600, 5_242_880)]


def test_an_image_that_cannot_be_resized_goes_out_as_it_came_and_that_is_said() -> None:
    asked = body([image(SHOT)])
    done = prepared(asked, workshop=Workshop("it cannot be decoded (OSError)"))
    assert done is not None
    assert done.body is asked
    assert done.adaptations == ()
    assert done.observations == ("messages.0.content.0: not resized: it cannot be decoded (OSError)",)


def test_an_image_by_url_is_left_to_the_platform() -> None:
    asked = body([{"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}])
    done = prepared(asked)
    assert done is not None
    assert done.body is asked


@pytest.mark.parametrize("make", [png, jpeg, gif, webp])
def test_exact_refuses_what_the_model_would_see_smaller_and_says_what_to_do(make: Any) -> None:
    done = prepared(body([image(make(2576, 1449))]), EXACT)
    assert done is not None
    assert done.adaptations == ()
    with pytest.raises(RequestError) as refused:
        prepared(body("a", [{"type": "text", "text": "b"}, image(make(2577, 1449))]), EXACT)
    for word in ("messages.1.content.1", "2577x1449", "2576x1448", OPUS, "x-trimtab-images: fit"):
        assert word in str(refused.value)
    with pytest.raises(RequestError, match="would see 1456x819"):
        prepared(body([image(make(2576, 1449))]), EXACT, model=HAIKU)


def test_exact_refuses_what_it_cannot_vouch_for() -> None:
    for block in (
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
        image(b"<svg/>"),
    ):
        with pytest.raises(RequestError, match=r"messages\.0\.content\.0.*not known.*as_sent"):
            prepared(body([block]), EXACT)


BLOCK: st.SearchStrategy[dict[str, object]] = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, st.text(max_size=20)),
    st.builds(lambda w, h: image(png(w, h, w)), st.integers(1, 9000), st.integers(1, 9000)),
    st.builds(
        lambda w, h: {**RESULT, "content": [image(jpeg(w, h))]}, st.integers(1, 5000), st.integers(1, 5000)
    ),
)


@given(
    st.lists(st.lists(BLOCK, max_size=4), min_size=1, max_size=4),
    st.booleans(),
    st.sampled_from([OPUS, HAIKU]),
)
def test_whatever_is_asked_only_images_change_and_then_the_platform_shrinks_none(
    turns: list[list[dict[str, object]]], ascii_only: bool, model: str
) -> None:
    messages = [{"role": "user", "content": turn} for turn in turns]
    raw = json.dumps({"model": "m", "max_tokens": 9, "messages": messages}, ensure_ascii=ascii_only).encode()
    done = prepared(MessagesBody(raw), model=model)
    assert done is not None
    after = done.body.raw
    strip = copy.deepcopy(json.loads(raw)), copy.deepcopy(json.loads(after))
    for document in strip:
        for turn in document["messages"]:
            for block in turn["content"]:
                for inner in (block, *block.get("content", ())):
                    if inner["type"] == "image":
                        inner["source"] = None
    assert strip[0] == strip[1]
    again = prepared(done.body, EXACT, model=model)
    assert again is not None
    assert prepared(done.body, model=model).body is done.body  # type: ignore[union-attr]
