"""Images of chat requests go out as the policy says: the right ones change, and beside them not one byte."""

import asyncio
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import b64, jpeg, png
from vision_drive import CATALOGUE, HAIKU, OPUS, Workshop, prepared

from trimtab.catalogue import Model
from trimtab.errors import RequestError
from trimtab.messages.chat import ChatBody, chat_image_blocks
from trimtab.vision import Images, ImageSettings

FIT, EXACT = ImageSettings(policy="fit"), ImageSettings(policy="exact")
URL = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}


def picture(data: bytes, kind: str = "image/png") -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{b64(data)}", "detail": "high"}}


SHOT = picture(png(3840, 2160, 30_000))


def body(*parts: object, **more: object) -> ChatBody:
    messages = [{"role": "user", "content": list(parts)}]
    return ChatBody(json.dumps({"model": "m", "messages": messages, **more}, indent=1).encode())


def sizes(raw: bytes) -> list[tuple[int, int]]:
    return [
        (block.head.width, block.head.height) for block in chat_image_blocks(raw) if block.head is not None
    ]


def without_images(raw: bytes) -> bytes:
    for block in reversed(chat_image_blocks(raw)):
        raw = raw[: block.data[0]] + raw[block.data[1] :]
    return raw


def other() -> Model:
    """A model of an operator, of which nobody says how it sees images."""
    found = CATALOGUE.find(HAIKU)
    assert found is not None
    return msgspec.structs.replace(found, id="qwen3-vl", vision="none")


@pytest.mark.parametrize(("model", "size"), [(OPUS, (2576, 1449)), (HAIKU, (1456, 819))])
def test_a_large_image_is_sent_as_the_model_sees_it_and_all_else_stays(
    model: str, size: tuple[int, int]
) -> None:
    asked = body({"type": "text", "text": "é"}, SHOT, picture(png(64, 64)), URL, seed=1)
    made = prepared(asked, FIT, model)
    assert made is not None
    assert isinstance(made.body, ChatBody)
    assert sizes(made.body.raw) == [size, (64, 64)]
    assert without_images(made.body.raw) == without_images(asked.raw)
    assert made.adaptations == (f"messages.0.content.1.image_url 3840x2160->{size[0]}x{size[1]}",)
    assert made.back is None


@pytest.mark.parametrize("slash", [b"/", b"\\/"])
def test_a_media_type_is_corrected_where_the_picture_becomes_another_kind(slash: bytes) -> None:
    raw = body(picture(jpeg(4000, 3000, (b"\xe1" + b"\xff" * 300,)), "image/jpeg"), SHOT).raw.replace(
        b"/", slash
    )
    made = prepared(ChatBody(raw), FIT)
    assert made is not None
    urls = [part["image_url"]["url"] for part in json.loads(made.body.raw)["messages"][0]["content"]]
    assert all(url.startswith("data:image/png;base64,iVBOR") for url in urls)
    assert made.adaptations[0].endswith(" image/png")
    assert not made.adaptations[1].endswith(" image/png")


def test_exact_refuses_what_the_model_would_see_smaller_or_may_not_see_so() -> None:
    for asked, why in (
        (
            body(SHOT),
            "messages.0.content.0: this image has 3840x2160 pixels, claude-opus-4-7 would see 2576x1449",
        ),
        (body(URL), "because it is given by url"),
    ):
        with pytest.raises(RequestError, match=why):
            prepared(asked, EXACT)
    assert prepared(body(picture(png(640, 480))), EXACT) is not None


def test_images_of_a_model_that_the_catalogue_does_not_know_to_see_obey_figures_only() -> None:
    images = Images(ImageSettings(), Workshop(), CATALOGUE.platforms)  # type: ignore[arg-type]

    async def ask(own: str, *parts: object) -> Any:
        return await images.prepare(body(*parts), {"x-trimtab-images": own}, other(), ("openai",), None, "")

    many = [picture(png(3000, 3000, 100 + one)) for one in range(21)]
    assert asyncio.run(ask("fit", SHOT, *many)).adaptations == ()
    shrunk = asyncio.run(ask("1920", SHOT))
    assert sizes(shrunk.body.raw) == [(1920, 1080)]
    with pytest.raises(RequestError, match="how qwen3-vl sees images is not in the catalogue"):
        asyncio.run(ask("exact", SHOT))
    assert asyncio.run(ask("exact", {"type": "text", "text": "a"})).adaptations == ()


def test_nothing_is_mapped_back_on_chat_and_who_asks_for_it_hears_so() -> None:
    with pytest.raises(RequestError, match="a chat request has no computer tool"):
        prepared(body(SHOT), FIT, own={"x-trimtab-images": "fit", "x-trimtab-coordinates": "map_back"})
    made = prepared(body(SHOT), ImageSettings(policy="fit", coordinates="map_back"))
    assert made is not None
    assert made.back is None


def test_without_a_policy_nothing_is_looked_at() -> None:
    images = Images(ImageSettings(), Workshop(), CATALOGUE.platforms)  # type: ignore[arg-type]
    assert not images.wanted({}, body(SHOT))
    assert images.wanted({"x-trimtab-images": "exact"}, body())
    fitting = Images(FIT, Workshop(), CATALOGUE.platforms)  # type: ignore[arg-type]
    assert fitting.wanted({}, body(SHOT))
    assert not fitting.wanted({}, body({"type": "text", "text": "a"}))


@given(
    st.lists(
        st.sampled_from(
            [
                SHOT,
                picture(png(64, 64)),
                URL,
                picture(png(1000, 3000, 20_000)),
                {"type": "text", "text": "\\/"},
            ]
        ),
        max_size=5,
    )
)
def test_only_the_bytes_of_images_change(parts: list[Any]) -> None:
    asked = body(*parts)
    made = prepared(asked, FIT)
    assert made is not None
    assert without_images(made.body.raw) == without_images(asked.raw)
    again = prepared(made.body, FIT)
    assert again is not None
    assert again.body.raw == made.body.raw
