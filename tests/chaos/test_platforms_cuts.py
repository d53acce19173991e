"""A stream that ends at each place where it can end, on each framing, with another platform that could answer."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from drive import Key, eventually
from findings import Findings
from platforms_answers import Said
from platforms_drive import THREE, Arrival, FailingSite, Platforms, details
from platforms_framing import BEFORE_CONTENT, EVENTS
from platforms_judging import judge_books
from platforms_load import Caller

HOWS = ("cut", "torn", "ended", "reset", "error", "late")
OTHER = {"claude": "google", "aws": "claude", "google": "aws"}
"""Who could answer instead. Each takes over for each framing but its own."""


class Cuts:
    """One server; its callers ask one after the other, each twice in peace for each time that an answer is to be cut, so
    that no breaker opens."""

    def __init__(
        self,
        folder: Path,
        options: str = "",
        deadlines: Mapping[str, float] = {
            "connect_s": 2.0,
            "header_s": 0.3,
            "first_event_s": 0.3,
            "idle_s": 0.3,
        },
    ) -> None:
        self.platforms = Platforms(folder, THREE)
        store = f"sqlite:///{folder}/t.db"
        self.site = FailingSite(folder, self.platforms, store, 1, deadlines=deadlines, options=options)
        self.key: Key = self.site.key_for("any")
        self.site.start()
        self._asked = 0

    def ask(self, on: str, do: str, after: int, *, stream: bool) -> tuple[Said, list[Arrival]]:
        """What the caller got, and what came to the platforms."""
        return asyncio.run(self._ask(on, do, after, stream=stream))

    async def _ask(self, on: str, do: str, after: int, *, stream: bool) -> tuple[Said, list[Arrival]]:
        self._asked += 1
        caller = Caller(self.site.port, self.key)
        try:
            for n in range(2):
                calm = await caller.ask(f"calm-{self._asked}-{n}", "calm", stream=stream, order=on)
                assert (calm.verdict, calm.why) == ("whole", "")
            name = f"{do}-{self._asked}"
            said = await caller.ask(
                name, do, stream=stream, order=f"{on}, {OTHER[on]}", wishes={on: f"{do}:{after}"}
            )
        finally:
            caller.close()

        def came() -> list[Arrival]:
            found = [one for one in self.platforms.arrivals() if one.name == name]
            return found if found and all(one.how != "open" for one in found) else []

        return said, eventually(came)

    def end(self) -> None:
        """Stop, and see that all is in the books."""
        assert self.site.stop() == 0
        assert not self.site.tracebacks()
        findings = Findings("cuts")
        judge_books(findings, [], self.platforms.arrivals(), *details(self.site))
        assert not findings.missed, findings

    def destroy(self) -> None:
        self.site.destroy()
        self.platforms.close()


@pytest.fixture(scope="module")
def cuts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cuts]:
    made = Cuts(tmp_path_factory.mktemp("cuts"))
    try:
        yield made
        made.end()
    finally:
        made.destroy()


@pytest.mark.parametrize("after", range(-1, EVENTS + 1))
@pytest.mark.parametrize("on", THREE)
def test_a_stream_that_ends_at_any_place_is_answered_by_another_platform_or_told_as_broken(
    cuts: Cuts, on: str, after: int
) -> None:
    for do in HOWS:
        said, came = cuts.ask(on, do, after, stream=True)
        assert said.verdict != "wrong", (do, said)
        assert came[0].platform == on
        if after == EVENTS:  # all of it was there: whether its end is proper or not
            continue
        if after <= BEFORE_CONTENT:
            assert (said.verdict, said.why) == ("whole", ""), do
            assert said.attempt.startswith(OTHER[on])
            assert [one.platform for one in came] == [on, OTHER[on]]
        else:
            assert said.verdict == "broken", (do, said)
            assert len(came) == 1


@pytest.mark.parametrize("after", [-1, 0])
@pytest.mark.parametrize("on", THREE)
def test_an_answer_in_one_piece_that_does_not_come_whole_is_answered_by_another_platform(
    cuts: Cuts, on: str, after: int
) -> None:
    for do in ("cut", "reset", "late"):
        said, came = cuts.ask(on, do, after, stream=False)
        assert (said.verdict, said.why) == ("whole", ""), do
        assert [one.platform for one in came] == [on, OTHER[on]]


@pytest.mark.parametrize("do", ["overloaded", "failing", "final"])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("on", THREE)
def test_a_refusal_is_answered_by_another_platform(cuts: Cuts, on: str, do: str, stream: bool) -> None:
    said, came = cuts.ask(on, do, 0, stream=stream)
    assert (said.verdict, said.why) == ("whole", "")
    assert [one.platform for one in came] == [on, OTHER[on]]


def test_a_beginning_that_was_held_back_long_enough_is_shown_and_then_nobody_takes_over(
    tmp_path: Path,
) -> None:
    """After `hold_s` the caller has the head and the first events of one platform: from then on the answer is that
    platform's, also where its content never comes."""
    made = Cuts(tmp_path, "[retries]\nhold_s = 0.1\n")
    try:
        for on in THREE:
            said, came = made.ask(on, "late", 2, stream=True)
            assert said.verdict == "broken", said
            assert "no more bytes within 0.3 s" in said.why
            assert [one.platform for one in came] == [on]
        made.end()
    finally:
        made.destroy()


def test_with_the_deadlines_as_they_come_a_silent_platform_costs_a_stream_no_more_than_silent_s(
    tmp_path: Path,
) -> None:
    made = Cuts(tmp_path, "[retries]\nsilent_s = 0.3\n", deadlines={})
    try:
        for on in THREE:
            for after in (-1, 0):
                said, came = made.ask(on, "late", after, stream=True)
                assert (said.verdict, said.why) == ("whole", "")
                assert [one.platform for one in came] == [on, OTHER[on]]
        made.end()
    finally:
        made.destroy()
