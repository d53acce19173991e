"""Prompt caching: written once, read after, within its life, per model."""

from typing import Any

from trimtab.messages import Usage

MARK = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
LONG = "some words that fill the prompt " * 400


def system(mark: Any = MARK, text: str = LONG) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text, "cache_control": mark}]


def split(usage: Usage) -> tuple[int, int]:
    assert usage.cache_creation_input_tokens is not None
    assert usage.cache_read_input_tokens is not None
    return usage.cache_creation_input_tokens, usage.cache_read_input_tokens


def test_a_prefix_is_written_once_and_read_after(client: Any) -> None:
    written, read = split(client.ask("one", system=system()).usage)
    assert written > 1024
    assert read == 0
    assert split(client.ask("two", system=system()).usage) == (0, written)


def test_parts_always_sum_to_the_whole(client: Any) -> None:
    count = client.ask("one", system=system(), path="/v1/messages/count_tokens", max_tokens=...).json[
        "input_tokens"
    ]
    for _ in range(2):
        usage = client.ask("one", system=system()).usage
        assert usage.input_tokens + sum(split(usage)) == count


def test_the_life_is_five_minutes_or_an_hour_and_each_read_renews_it(client: Any) -> None:
    for mark, life in ((MARK, 300), (HOUR, 3600)):
        fields = {"system": system(mark, f"{life} {LONG}")}
        client.ask(**fields)
        client.clock.now += life - 1
        assert split(client.ask(**fields).usage)[1] > 0
        client.clock.now += life - 1
        assert split(client.ask(**fields).usage)[1] > 0
        client.clock.now += life + 1
        assert split(client.ask(**fields).usage)[1] == 0


def test_writes_are_told_apart_by_time_to_live(client: Any) -> None:
    turn = [{"type": "text", "text": LONG, "cache_control": MARK}]
    creation = client.ask(turn, system=system(HOUR)).usage.cache_creation
    assert creation.ephemeral_1h_input_tokens > 1024
    assert creation.ephemeral_5m_input_tokens > 1024


def test_short_prefixes_are_not_cached(client: Any) -> None:
    short = system(text="short")
    client.ask(system=short)
    assert split(client.ask(system=short).usage) == (0, 0)
    below = {"system": system(text=LONG[:5000]), "model": "claude-opus-4-6"}
    client.ask(**below)
    assert split(client.ask(**below).usage) == (0, 0), "4096 is the least on this model"


def test_a_growing_conversation_reads_what_it_wrote(client: Any) -> None:
    turns: list[dict[str, Any]] = [{"role": "user", "content": LONG}]
    before = 0
    for n in range(4):
        written, read = split(client.ask(messages=turns, cache_control=MARK).usage)
        assert read == before
        before = read + written
        turns += [{"role": "assistant", "content": f"answer {n}"}, {"role": "user", "content": f"more {n}"}]


def test_another_model_effort_or_thinking_starts_cold(client: Any) -> None:
    turn = [{"type": "text", "text": LONG, "cache_control": MARK}]
    client.ask(turn)
    assert split(client.ask(turn).usage)[1] > 0
    assert split(client.ask(turn, model="claude-sonnet-5").usage)[1] == 0
    assert split(client.ask(turn, output_config={"effort": "low"}).usage)[1] == 0
    assert split(client.ask(turn, thinking={"type": "adaptive"}).usage)[1] == 0


def test_system_survives_a_change_of_effort(client: Any) -> None:
    client.ask(system=system())
    assert split(client.ask(system=system(), output_config={"effort": "low"}).usage)[1] > 0


def test_the_look_back_is_twenty_blocks(client: Any) -> None:
    def turn(extra: int) -> list[dict[str, Any]]:
        blocks: list[dict[str, Any]] = [{"type": "text", "text": f"{n} {LONG}"} for n in range(1 + extra)]
        blocks[-1]["cache_control"] = MARK
        return blocks

    client.ask(turn(0))
    assert split(client.ask(turn(19)).usage)[1] > 0
    client.clock.now += 301
    client.ask(turn(0))
    assert split(client.ask(turn(20)).usage)[1] == 0


def test_a_refused_call_writes_nothing(make: Any) -> None:
    client = make("version: 1\nrules: [{match: {first: 1}, reply: {error: {status: 529}}}]")
    assert client.ask(system=system()).status == 529
    assert split(client.ask(system=system()).usage)[1] == 0


def test_memory_is_bounded_and_the_oldest_goes_first(make: Any) -> None:
    client = make(prompt_cache_entries=2)
    for name in ("a", "b", "a", "c"):
        client.ask(system=system(text=name + LONG))
    assert split(client.ask(system=system(text="a" + LONG)).usage)[1] > 0
    assert split(client.ask(system=system(text="b" + LONG)).usage)[1] == 0
