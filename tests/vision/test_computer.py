"""Where a model clicks is where its client means it, in every turn, and the model's own words come back to it."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import image, png
from vision_drive import prepared

from trimtab.messages import MessagesBody, SSEParser, encode_event
from trimtab.messages.sse import parse_block
from trimtab.vision.answering import MapBack
from trimtab.vision.computer import Frame, Tools, moved_back
from trimtab.vision.settings import ImageSettings

SCREEN, SENT = (3840, 2160), (2576, 1449)
TOOL = {"type": "computer_20251124", "name": "computer", "display_width_px": 3840, "display_height_px": 2160}
TOOLSET = {"type": "computer_toolset_20260801", "configs": {}}
MAPS = ImageSettings(policy="fit", coordinates="map_back")
HOW = MapBack(Tools(frozenset({"computer"}), True), Frame(SENT, SCREEN))


def action(call: str = "t1", **given: Any) -> dict[str, Any]:
    return {
        "role": "assistant",
        "content": [{"type": "tool_use", "id": call, "name": "computer", "input": given}],
    }


def shot(call: str = "t1", size: tuple[int, int] = SCREEN) -> dict[str, Any]:
    return {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": call, "content": [image(png(*size))]}],
    }


def body(*turns: object, tools: object = (TOOL,)) -> MessagesBody:
    asked = {
        "model": "m",
        "max_tokens": 9,
        "tools": list(tools),
        "messages": [{"role": "user", "content": "go"}, *turns],
    }  # type: ignore[call-overload]
    return MessagesBody(json.dumps(asked).encode())


def test_the_display_is_said_in_the_size_of_its_screenshots_from_the_first_turn_on() -> None:
    for asked in (body(), body(action(action="screenshot"), shot())):
        done = prepared(asked, ImageSettings(policy="fit"))
        assert done is not None
        tool = json.loads(done.body.raw)["tools"][0]
        assert (tool["display_width_px"], tool["display_height_px"]) == SENT
        assert "tools.0.display 3840x2160->2576x1449" in done.adaptations
        assert done.back is None
        (block,) = [*json.loads(done.body.raw)["messages"][2:3], None][:1]
        assert block is None or "2576x1449" in done.adaptations[0]


def test_the_answer_is_about_the_last_screen_and_a_zoomed_part_is_none() -> None:
    small, zoomed = (1280, 800), (3000, 3000)
    for turns, frame in (
        ([], Frame(SENT, SCREEN)),
        ([action(action="screenshot"), shot()], Frame(SENT, SCREEN)),
        ([action(action="screenshot"), shot(size=small)], None),
        ([action(action="screenshot"), shot(), action("t2", action="zoom", region=[0, 0, 9, 9]), shot("t2", zoomed)], Frame(SENT, SCREEN)),
        ([{"role": "user", "content": [image(png(*zoomed))]}], Frame(SENT, SCREEN)),
    ):  # fmt: skip
        done = prepared(body(*turns), MAPS)
        assert done is not None
        assert (done.back.frame if done.back is not None else None) == frame


def test_the_toolset_has_no_display_and_its_screens_count_all_the_same() -> None:
    call = {"type": "tool_use", "id": "t1", "name": "screenshot", "toolset_name": "computer", "input": {}}
    done = prepared(body({"role": "assistant", "content": [call]}, shot(), tools=(TOOLSET,)), MAPS)
    assert done is not None
    assert done.back == MapBack(Tools(has_toolset=True), Frame(SENT, SCREEN))
    assert prepared(body(tools=(TOOLSET,)), MAPS).back is None  # type: ignore[union-attr]


def test_without_a_computer_tool_nothing_is_mapped() -> None:
    own = {"name": "computer", "input_schema": {"type": "object"}}
    done = prepared(body(action(action="left_click", coordinate=[5, 6]), shot(), tools=(own,)), MAPS)
    assert done is not None
    assert done.back is None
    assert json.loads(done.body.raw)["messages"][1] == action(action="left_click", coordinate=[5, 6])


POINT = st.tuples(st.integers(0, SENT[0] - 1), st.integers(0, SENT[1] - 1)).map(list)


@given(POINT, POINT, st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " : ")]))
def test_what_the_model_did_is_told_to_it_again_in_its_own_words(
    point: list[int], start: list[int], separators: tuple[str, str]
) -> None:
    said = json.dumps(
        {"action": "left_click_drag", "start_coordinate": start, "coordinate": point, "text": "é"},
        separators=separators,
    ).encode()
    given_to_client = moved_back(said, HOW.frame)
    meant = json.loads(given_to_client)
    for axis in (0, 1):
        assert abs(meant["coordinate"][axis] - point[axis] * SCREEN[axis] / SENT[axis]) <= 0.5 + 1e-9
    told = body(action(action="screenshot"), shot(), action("t2", **meant), shot("t2"))
    done = prepared(told, MAPS)
    assert done is not None
    turn = json.loads(done.body.raw)["messages"][3]
    assert turn["content"][0]["input"] == json.loads(said)


def test_only_numbers_of_coordinates_change() -> None:
    said = b'{ "action":"zoom" , "region": [0,0, 2576,1449],"duration":5, "coordinate" :[ 1288, 724.5 ]}'
    assert moved_back(said, HOW.frame) == (
        b'{ "action":"zoom" , "region": [0,0, 3840,2160],"duration":5, "coordinate" :[ 1920, 1080 ]}'
    )


@pytest.mark.parametrize(
    "said",
    [b"", b"{", b"[]", b'{"coordinate":"[1,2]"}', b'{"coordinate":[1]}', b'{"coordinate":[true,2]}', b'{"coordinate":[1e300,2]}',
     b'{"coordinate":null}', b'{"coordinate":[[1,2]]}', b'{"text":"coordinate [1,2]"}', b'{"coordinate":[1,2],"coordinate":[3,4]}'],
)  # fmt: skip
def test_what_is_no_coordinate_stays(said: bytes) -> None:
    assert moved_back(said, HOW.frame) == said


CLICK = {
    "type": "tool_use",
    "id": "a",
    "name": "computer",
    "input": {"action": "left_click", "coordinate": [100, 50]},
}
OTHER = {"type": "tool_use", "id": "b", "name": "other", "input": {"coordinate": [100, 50]}}


def test_a_json_answer_changes_in_its_coordinates_only() -> None:
    answer = json.dumps(
        {"id": "m", "content": [{"type": "text", "text": "é \\"}, CLICK, OTHER], "usage": {"a": 1}}
    ).encode()
    changed = HOW.whole(answer)
    assert changed == answer.replace(b"[100, 50]", b"[149, 75]", 1)
    for other in (b"", b"not json", b'{"type":"error"}', b'{"content":7}', b'{"content":[1]}'):
        assert HOW.whole(other) == other


def event(kind: str, **fields: Any) -> bytes:
    return encode_event(kind, json.dumps({"type": kind, **fields}).encode())


def pieces(index: int, block: dict[str, Any], cuts: list[int]) -> list[bytes]:
    text = json.dumps(block["input"])
    marks = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    deltas = [text[start:end] for start, end in itertools.pairwise(marks)]
    return [
        event("content_block_start", index=index, content_block={**block, "input": {}}),
        *(
            event(
                "content_block_delta", index=index, delta={"type": "input_json_delta", "partial_json": part}
            )
            for part in deltas
        ),
        event("content_block_stop", index=index),
    ]


@given(st.lists(st.integers(0, 200), max_size=6), st.lists(st.integers(1, 700), max_size=8), st.booleans())
def test_a_stream_says_the_same_however_it_is_cut(cuts: list[int], chunks: list[int], with_cr: bool) -> None:
    text = [
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": "tool_use é"}),
        event("ping"),
    ]
    stream = b"".join(
        [
            event("message_start", message={"id": "m"}),
            *text,
            *pieces(1, OTHER, cuts),
            *pieces(2, CLICK, cuts),
            event("message_stop"),
        ]
    )
    if with_cr:
        stream = stream.replace(b"\n", b"\r\n")
    back, out = HOW.stream(), b""
    at = 0
    for size in (*chunks, len(stream)):
        out += back.feed(stream[at : at + size])
        at += size
    out += back.rest()
    start = b'"input_json_delta"'
    ours = event("content_block_start", index=2, content_block={**CLICK, "input": {}})
    ours = ours.replace(b"\n", b"\r\n") if with_cr else ours
    before, _, after = stream.partition(ours)
    assert out.startswith(before + ours)
    blocks = [parse_block(block) for block in SSEParser().feed(out[len(before + ours) :] + b"\n")]
    assert [block.name for block in blocks[:3]] == [
        b"content_block_delta",
        b"content_block_stop",
        b"message_stop",
    ]
    delta = json.loads(blocks[0].data)
    assert delta["index"] == 2
    assert json.loads(delta["delta"]["partial_json"]) == {"action": "left_click", "coordinate": [149, 75]}
    assert start in after


def test_other_actions_stream_as_they_come_and_a_cut_one_says_nothing_false() -> None:
    key = {**CLICK, "input": {"action": "key", "text": "ctrl+s"}}
    stream = b"".join([*pieces(0, key, [5, 9]), event("message_stop")])
    back = HOW.stream()
    assert back.feed(stream) + back.rest() == stream
    cut = pieces(0, CLICK, [9])[:-1]
    back = HOW.stream()
    assert back.feed(b"".join(cut)) == cut[0]
    assert back.rest() == b""
