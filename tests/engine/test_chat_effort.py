"""Effort on the surface of the OpenAI API: `reasoning_effort` where the model has levels, words where not."""

import json
from typing import Any

import pytest
from effort_bench import EffortBench, sent

from trimtab.catalogue import Catalogue
from trimtab.catalogue.effort import EffortSettings
from trimtab.errors import RequestError
from trimtab.messages.chat import ChatBody
from trimtab.routing import RouteSettings

OVERLAY = b"""
models:
- id: qwen3-32b
  limits: {context: 32768, max_output: 4096}
  prices: [{effective_from: 2026-01-01, input: 1, output: 1, cache_write_5m: 1, cache_write_1h: 1, cache_read: 1}]
- id: oss-120b
  limits: {context: 32768, max_output: 4096}
  effort: {levels: [low, medium, high], default: medium}
  prices: [{effective_from: 2026-01-01, input: 1, output: 1, cache_write_5m: 1, cache_write_1h: 1, cache_read: 1}]
"""


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    file = tmp_path_factory.mktemp("overlay") / "overlay.yaml"
    file.write_bytes(OVERLAY)
    return Catalogue.load(file)


def ask(catalogue: Catalogue, model: str, own: dict[str, str] | None = None, **more: Any) -> tuple[dict[str, Any], tuple[str, ...], str]:  # fmt: skip
    """The body that goes out, what was said to be changed, and the arm."""
    fields = {name: more.pop(name) for name in ("reasoning_effort", "messages", "stream") if name in more}
    bench = EffortBench("openai", catalogue=catalogue, **more)
    job = bench.job(model, own, chat=True, **fields)
    return sent(job), job.adaptations, str(job.plan.arm)


@pytest.mark.parametrize("effort", ["none", "minimal", "low", "medium", "high", "xhigh", "max", "huge"])
def test_the_clients_own_passes_as_it_is(catalogue: Catalogue, effort: str) -> None:
    for model in ("qwen3-32b", "oss-120b"):
        body, said, _ = ask(catalogue, model, reasoning_effort=effort, pinned="observe")
        assert (body["reasoning_effort"], said) == (effort, ())


def test_an_effort_that_others_name_is_sent_where_the_model_has_levels_and_clamped_to_them(
    catalogue: Catalogue,
) -> None:
    for effort, becomes in (("low", "low"), ("high", "high"), ("xhigh", "high"), ("max", "high")):
        for own, more in (
            ({"x-trimtab-effort": effort}, {}),
            ({}, {"routes": {"r": RouteSettings(model="oss-120b", effort=effort)}}),  # type: ignore[arg-type]
        ):
            body, said, arm = ask(catalogue, "trimtab/r" if more else "oss-120b", own, **more)
            assert (body["reasoning_effort"], said, arm) == (
                becomes,
                (f"reasoning_effort={becomes}",),
                f"oss-120b@{becomes}",
            )
    body, said, arm = ask(catalogue, "oss-120b", {"x-trimtab-task": "quick"})  # of a task of this scenario
    assert (body["reasoning_effort"], arm) == ("low", "oss-120b@low")
    body, said, _ = ask(catalogue, "oss-120b", {"x-trimtab-effort": "low"}, reasoning_effort="high")
    assert (body["reasoning_effort"], said) == ("high", ())
    body, said, _ = ask(catalogue, "oss-120b", reasoning_effort="max")
    assert (body["reasoning_effort"], said) == ("high", ("reasoning_effort=high",)), "in mode adapt"
    for own, fields in (({"x-trimtab-effort": "max"}, {}), ({}, {"reasoning_effort": "max"})):
        with pytest.raises(RequestError, match="oss-120b takes low, medium, high"):
            ask(catalogue, "oss-120b", own, mode="strict", **fields)


@pytest.mark.parametrize(
    ("messages", "place"),
    [
        ([{"role": "user", "content": "hi"}], "first"),
        ([], "first"),
        ([{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hi"}], "behind"),
        ([{"role": "system", "content": "a"}, {"role": "developer", "content": [{"type": "text", "text": "b"}]}, {"role": "user", "content": "hi"}], "block"),
    ],
)  # fmt: skip
def test_a_model_without_levels_is_told_in_words_and_so_is_one_whose_server_takes_no_level(
    catalogue: Catalogue, messages: list[dict[str, Any]], place: str
) -> None:
    for model, effort, more in (("qwen3-32b", "max", {}), ("oss-120b", "high", {"takes_effort": False})):
        words = catalogue.efforts.guidance[effort]  # type: ignore[index]
        told: dict[str, list[Any]] = {
            "first": [{"role": "system", "content": words}, *messages],
            "behind": [{"role": "system", "content": f"Be kind.\n\n{words}"}, *messages[1:]],
            "block": [*messages[:1], {"role": "developer", "content": [{"type": "text", "text": "b"}, {"type": "text", "text": words}]}, *messages[2:]],
        }  # fmt: skip
        body, said, arm = ask(catalogue, model, {"x-trimtab-effort": "max"}, messages=messages, **more)
        assert "reasoning_effort" not in body
        assert (body["messages"], said, arm) == (
            told[place],
            (f"messages=says effort {effort}",),
            f"{model}@{effort}",
        )
    off, said, arm = ask(
        catalogue,
        "qwen3-32b",
        {"x-trimtab-effort": "max"},
        messages=messages,
        effort=EffortSettings(without="off"),
    )
    assert (off["messages"], said, arm) == (messages, ("x-trimtab-effort removed",), "qwen3-32b")


def test_a_cap_holds_over_the_clients_and_over_the_models_default(catalogue: Catalogue) -> None:
    capped = {"effort": EffortSettings(most="low"), "pinned": "observe"}
    for model, sent_effort, becomes in (
        ("oss-120b", "max", "low"),
        ("oss-120b", None, "low"),
        ("oss-120b", "none", "none"),
        ("qwen3-32b", "high", "low"),
        ("qwen3-32b", None, None),
    ):
        fields = {} if sent_effort is None else {"reasoning_effort": sent_effort}
        body, said, _ = ask(catalogue, model, **capped, **fields)
        assert body.get("reasoning_effort") == becomes
        assert said == (() if becomes == sent_effort else (f"reasoning_effort={becomes}",))


def test_words_at_the_front_leave_every_other_byte() -> None:
    raw = b'{"model":"m" , "messages" : [ {"role":"user","content":"\\u00e9"} ],"x":1e5}'
    guided = ChatBody(raw).guided("Care.")
    assert guided is not None
    assert guided.raw == raw.replace(b"[ {", b'[{"role":"system","content":"Care."}, {', 1)
    for messages in ([{"role": "system", "content": 7}], [{"role": "system"}]):
        assert ChatBody(json.dumps({"model": "m", "messages": messages}).encode()).guided("Care.") is None
