"""Complaints that concern every platform, tried on each: Trimtab in front of the simulator in that platform's framing."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from aws_platform import ACCESS, SECRET
from drive import opened_key_door
from raw_client import Aborted, Answer, Client
from simulated_platforms import House, simulated

from trimtab.admin import Actor, NewKey
from trimtab.catalogue import Catalogue
from trimtab.messages import StreamValidator

MODEL = "claude-opus-4-7"
ANSWER = "text: 'The rudder, 日本, is small.'"
SPARE = "The spare rudder answers."
CONTENT_AT = 4
"""Events up to the first delta: message_start, content_block_start, ping, content_block_delta."""
SHOWN = f"stall: {{where: after_events, events: {CONTENT_AT}, seconds: 0.1}}"
"""Time for the first content to go out: what comes with it in one packet may be held back with it."""
SCRIPT = f"""
version: 1
rules:
- {{match: {{contains: cut after content}}, reply: {{{ANSWER}, {SHOWN}, cut: {{after_events: {CONTENT_AT + 1}}}}}}}
- {{match: {{contains: cut before content}}, reply: {{{ANSWER}, cut: {{after_events: 1}}}}}}
- {{match: {{contains: cut before all}}, reply: {{{ANSWER}, cut: {{after_events: 0}}}}}}
- {{match: {{contains: fails after content}}, reply: {{{ANSWER}, {SHOWN}, stream_error: {{after_events: {CONTENT_AT}}}}}}}
- {{match: {{contains: fails before content}}, reply: {{{ANSWER}, stream_error: {{after_events: 1}}}}}}
- {{match: {{contains: overloaded}}, reply: {{error: {{status: 529}}}}}}
- {{match: {{endpoint: count_tokens, contains: overloaded}}, reply: {{error: {{status: 529}}}}}}
- {{match: {{contains: late head}}, reply: {{{ANSWER}, stall: {{where: before_head, seconds: 60}}}}}}
- {{match: {{contains: late start}}, reply: {{{ANSWER}, stall: {{where: after_head, seconds: 60}}}}}}
- {{match: {{contains: late content}}, reply: {{{ANSWER}, stall: {{where: after_events, events: 1, seconds: 60}}}}}}
- {{match: {{contains: late middle}}, reply: {{{ANSWER}, stall: {{where: after_events, events: {CONTENT_AT}, seconds: 60}}}}}}
"""
SPARE_SCRIPT = f"""
version: 1
rules:
- {{match: {{contains: nowhere}}, reply: {{error: {{status: 529}}}}}}
- {{match: {{}}, reply: {{text: '{SPARE}'}}}}
"""
"""Of the platform that can answer instead."""
KEYS = 'access_key_id = "file:{folder}/aws.id"\nsecret_access_key = "file:{folder}/aws.key"\nregion = "eu-west-1"\n'
PLATFORMS = {
    "anthropic": 'kind = "anthropic"\nbase_url = "{url}"\napi_key = "file:{folder}/aws.id"\n',
    "anthropic-on-aws": 'kind = "anthropic_on_aws"\nworkspace = "wrkspc_1"\nbase_url = "{url}"\n' + KEYS,
    "bedrock": 'kind = "bedrock"\nbase_url = "{url}"\n' + KEYS,
    "converse": 'kind = "bedrock"\nendpoint = "converse"\nbase_url = "{url}"\n' + KEYS,
    "mantle": 'kind = "bedrock"\nendpoint = "mantle"\nbase_url = "{url}/anthropic"\n' + KEYS,
    "vertex": 'kind = "vertex"\nproject = "my-project"\nregion = "eu-west-1"\nbase_url = "{url}"\n'
    'access_token = "file:{folder}/aws.id"\n',
    "foundry": 'kind = "foundry"\nbase_url = "{url}/anthropic"\napi_key = "file:{folder}/aws.id"\n',
}
DEADLINES = {"header_s": 0.7, "first_event_s": 0.8, "idle_s": 0.9}
"""Different, so that a message says which one it was."""


class Placed(NamedTuple):
    """A gateway, the simulator behind it in one platform's framing, and another one, well, that could answer instead."""

    name: str
    house: House
    spare: House
    client: Client

    @property
    def begun(self) -> int:
        """Events that a client has when the first content came. The simulator's ping has no place in Converse."""
        return CONTENT_AT - (self.name == "converse")

    def post(self, content: str, *, stream: bool = True, to: str = "", model: str = MODEL) -> Answer:
        """The answer, as far as it came. `to`: entries that may serve it, the first one first; else this platform."""
        asked = {"model": model, "max_tokens": 500, "messages": [{"role": "user", "content": content}]}
        body = json.dumps(asked | ({"stream": True} if stream else {})).encode()
        try:
            return self.client.post(body, [("x-trimtab-platform", to or self.name)])
        except Aborted as aborted:
            return aborted.answer

    def with_spare(self, content: str, *, stream: bool = True) -> Answer:
        """The answer where this platform is asked first, in good standing, and the other one may be asked too."""
        for _ in range(2):
            assert self.post("Hello there", stream=False).status == 200
        return self.post(content, stream=stream, to=f"{self.name}, spare")


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with simulated(SCRIPT, catalogue=Catalogue.load()) as made:
        yield made


@pytest.fixture(scope="module")
def spare() -> Iterator[House]:
    with simulated(SPARE_SCRIPT, catalogue=Catalogue.load()) as made:
        yield made


@pytest.fixture(scope="module")
def everywhere(
    house: House, spare: House, started: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, dict[str, str]]:
    """A gateway with all platforms and a spare one, and a key for each."""
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "aws.id").write_text(ACCESS)
    (folder / "aws.key").write_text(SECRET)
    deadlines = "".join(f"{name} = {value}\n" for name, value in DEADLINES.items())
    entries = (
        f"[platforms.{name}]\n{entry.format(url=house.url, folder=folder)}{deadlines}"
        for name, entry in PLATFORMS.items()
    )
    other = PLATFORMS["anthropic"].format(url=spare.url, folder=folder)
    gateway = started(
        store_options="batch_ms = 5\n",
        server_options="require_keys = true\n",
        options="".join(entries) + f"[platforms.spare]\n{other}",
    )
    keys = {}
    with opened_key_door(gateway.site.config, create=False) as door:
        for name in PLATFORMS:
            made = door.admin.add(Actor("chaos"), NewKey(name=name, platforms=(name, "spare")))
            keys[name] = made.secret.reveal()
    return gateway, keys


@pytest.fixture(params=PLATFORMS)
def placed(request: pytest.FixtureRequest, everywhere: Any, house: House, spare: House) -> Iterator[Placed]:
    gateway, keys = everywhere
    client = Client(gateway.site.port, keys[request.param])
    yield Placed(request.param, house, spare, client)
    client.close()


@contextmanager
def one_call(placed: Placed) -> Iterator[None]:
    """The platform is asked once, whatever becomes of it."""
    at = len(placed.house.seen)
    yield
    assert len(placed.house.seen) == at + 1


def events_of(answer: Answer) -> list[dict[str, Any]]:
    return [
        json.loads(block.partition(b"data: ")[2])
        for block in answer.body.split(b"\n\n")
        if b"data: " in block
    ]


def text_of(answer: Answer) -> str:
    return "".join(
        event["delta"]["text"] for event in events_of(answer) if event["type"] == "content_block_delta"
    )


# --- 15: before the first content another platform answers; after it nothing is tried again in silence ---


@pytest.mark.parametrize(
    "fault", ["cut before all", "cut before content", "fails before content", "overloaded"]
)
def test_before_the_first_content_another_platform_answers_and_the_stream_begins_once(
    fault: str, placed: Placed
) -> None:
    """Complaint 15, no fallback where there was time for one, or two beginnings: retries ignored for streams, and text
    that came twice after a fallback (litellm#6957, litellm#29808, litellm#28216, litellm#32835)."""
    at = len(placed.spare.seen)
    answer = placed.with_spare(fault)
    assert answer.status == 200
    validator = StreamValidator()
    validator.feed(answer.body)
    assert validator.finish() == []
    kinds = [event["type"] for event in events_of(answer)]
    assert (kinds.count("message_start"), kinds.count("message_stop"), kinds.count("error")) == (1, 1, 0)
    assert text_of(answer) == SPARE
    assert answer.named["x-trimtab-platform"] == "spare"
    assert len(placed.spare.seen) == at + 1
    record = placed.client.record(answer.id)
    first, second = record["attempts"]
    assert (record["result"], first["platform"], second["platform"]) == ("ok", placed.name, "spare")
    assert (first["result"], second["result"]) == ("truncated" if "cut" in fault else "error", "ok")
    billed = fault in ("cut before content", "fails before content")
    assert (first.get("cost_nanousd", 0) > 0) == (billed or fault == "cut before all")
    assert record["cost_nanousd"] == sum(each.get("cost_nanousd", 0) for each in (first, second))


@pytest.mark.parametrize("fault", ["cut before all", "overloaded", "late head"])
def test_an_answer_in_one_piece_comes_from_another_platform_whole_or_not_at_all(
    fault: str, placed: Placed
) -> None:
    """Complaint 15, for answers in one piece: nothing has gone out, so another platform can answer (litellm#6957)."""
    answer = placed.with_spare(fault, stream=False)
    assert answer.status == 200
    assert json.loads(answer.body)["content"] == [{"type": "text", "text": SPARE}]
    assert [each["platform"] for each in placed.client.record(answer.id)["attempts"]] == [
        placed.name,
        "spare",
    ]


def test_tokens_are_counted_by_another_platform_where_one_is_overloaded(placed: Placed) -> None:
    """Complaint 8, counting that fails with the platform it goes to (ai-gateway#2546)."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": "overloaded"}]}
    assert placed.post("Hello there", stream=False).status == 200
    answer = placed.client.post(
        json.dumps(body).encode(),
        [("x-trimtab-platform", f"{placed.name}, spare")],
        "/v1/messages/count_tokens",
    )
    assert answer.status == 200
    assert json.loads(answer.body)["input_tokens"] > 0
    assert answer.named["x-trimtab-platform"] == "spare"
    record = placed.client.record(answer.id)
    assert [each["platform"] for each in record["attempts"]] == [placed.name, "spare"]
    assert record.get("cost_nanousd", 0) == 0


@pytest.mark.parametrize("fault", ["cut after content", "fails after content"])
def test_after_the_first_content_an_error_ends_the_stream_though_another_platform_could_answer(
    fault: str, placed: Placed
) -> None:
    """Complaint 15, a silent change of the model in mid-stream, and text twice (litellm#6957, litellm#32835)."""
    at = len(placed.spare.seen)
    answer = placed.with_spare(fault)
    events = events_of(answer)
    assert [event["type"] for event in events].count("message_start") == 1
    assert [event["type"] for event in events].count("error") == 1
    assert events[-1]["type"] == "error"
    assert SPARE not in text_of(answer)
    assert len(placed.spare.seen) == at
    record = placed.client.record(answer.id)
    assert [each["platform"] for each in record["attempts"]] == [placed.name]
    assert record["cost_nanousd"] > 0


@pytest.mark.parametrize("when", ["before all", "before content", "after content"])
def test_a_stream_that_a_platform_cuts_is_told_once_and_never_begun_again(when: str, placed: Placed) -> None:
    """Complaint 15, a second answer inside the first: a retry or another model in mid-stream gave text twice, or none of
    it was tried and nobody heard (litellm#6957, litellm#29808, litellm#28216). Here no other platform is permitted."""
    with one_call(placed):
        answer = placed.post(f"cut {when}")
    types = [event["type"] for event in events_of(answer)]
    assert types.count("message_start") <= 1
    assert "message_stop" not in types
    if when == "before all":
        assert answer.status == 502 or types in ([], ["error"])
    else:
        assert types[0] == "message_start"
        assert types.count("error") <= 1
    record = placed.client.record(answer.id)
    assert record["result"] == "truncated"
    assert len(record["attempts"]) == 1


@pytest.mark.parametrize("when", ["before content", "after content"])
def test_an_error_in_mid_stream_is_the_last_event_and_no_other_model_goes_on(
    when: str, placed: Placed
) -> None:
    """Complaint 15, a silent change of the model: an error of the platform inside a stream ends it, in the vendor's words
    (litellm#6957, litellm#29808, litellm#19077)."""
    with one_call(placed):
        answer = placed.post(f"fails {when}")
    validator = StreamValidator()
    validator.feed(answer.body)
    assert validator.finish() == []
    events = events_of(answer)
    assert [event["type"] for event in events].count("message_start") == 1
    assert events[-1]["type"] == "error"
    assert events[-1]["error"]["type"] == "overloaded_error"
    assert len(events) == (placed.begun if when == "after content" else 1) + 1
    assert len(placed.client.record(answer.id)["attempts"]) == 1


def test_an_overloaded_platform_is_said_to_be_overloaded(placed: Placed) -> None:
    """Complaints 15 and 27, an error that became another: before any content the platform's own is told, with the status
    that the vendor has for it (litellm#5764)."""
    with one_call(placed):
        answer = placed.post("overloaded")
    assert (answer.status, answer.error["type"]) == (529, "overloaded_error")


# --- 18: a stall is an error of its own ---


@pytest.mark.parametrize("moment", ["late head", "late start", "late middle"])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_a_platform_that_falls_silent_is_a_timeout_that_says_where(
    moment: str, stream: bool, placed: Placed
) -> None:
    """Complaint 18, a hung stream that is no error: a stall never ended, or one deadline stood for all of them
    (hermes-agent#22277, hermes-agent#42776, livekit/agents#6171, experiential#641)."""
    if moment == "late middle" and not stream:
        pytest.skip("an answer in one piece has no middle")
    with one_call(placed):
        answer = placed.post(moment, stream=stream)
    late = {"late head": "header_s", "late start": "first_event_s" if stream else "idle_s"}.get(
        moment, "idle_s"
    )
    begun = stream and moment != "late head"
    if begun:
        assert answer.status == 200
        events = events_of(answer)
        assert "message_stop" not in [event["type"] for event in events]
        assert len(events) == (placed.begun if moment == "late middle" else 0) + 1
        error = events[-1]["error"]
    else:
        assert answer.status == 504
        error = answer.error
    assert error["type"] == "timeout_error"
    assert f"within {DEADLINES[late]:g} s" in error["message"]
    record = placed.client.record(answer.id)
    assert record["result"] == (
        "error" if moment == "late head" else "truncated"
    )  # after a head it may be billed
    assert len(record["attempts"]) == 1


@pytest.mark.parametrize("moment", ["late head", "late start", "late content"])
def test_a_platform_that_falls_silent_before_its_content_gives_way_to_another(
    moment: str, placed: Placed
) -> None:
    """Complaint 18, no fallback for a hung stream, or the same silent platform again: each deadline has its own
    fail-over (hermes-agent#22277, hermes-agent#42776, experiential#641)."""
    answer = placed.with_spare(moment)
    assert answer.status == 200
    kinds = [event["type"] for event in events_of(answer)]
    assert (kinds.count("message_start"), kinds[-1], text_of(answer)) == (1, "message_stop", SPARE)
    late = {"late head": "header_s", "late start": "first_event_s", "late content": "idle_s"}[moment]
    first, second = placed.client.record(answer.id)["attempts"]
    assert (first["platform"], second["platform"], second["result"]) == (placed.name, "spare", "ok")
    assert f"within {DEADLINES[late]:g} s" in first["error"]
    assert first["cost_nanousd"] > 0, "a silent platform may bill what it was asked"


# --- 27: an error that nobody could help stays the platform's own ---


def test_where_every_platform_is_overloaded_the_caller_hears_it_each_time_in_the_vendors_words(
    placed: Placed,
) -> None:
    """Complaint 27, no word of a platform's any more once all are cooling down (litellm#27823, litellm#5764): whatever is
    tried, and however often, a 529 is said as a 529."""
    for n in range(7):
        answer = placed.post("overloaded nowhere", stream=bool(n % 2), to=f"{placed.name}, spare")
        assert (answer.status, answer.error["type"]) == (529, "overloaded_error"), n
    for _ in range(2):  # whoever asks next finds both in good standing
        assert placed.post("Hello there", to=placed.name).status == 200
        assert placed.post("Hello there", to="spare").status == 200
