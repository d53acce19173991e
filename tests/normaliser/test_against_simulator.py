"""Two independent readings of the vendor's rules: what strict says, the simulator says; what adapt makes, it takes."""

import json
from typing import Any

from effort_bench import EffortBench
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from normaliser_drive import CATALOGUE, NEW, OLD, adapted, headers_of, normalised, refusal, simulated
from searches import examples

from trimtab.catalogue import EFFORTS
from trimtab.catalogue.effort import THINKING_POLICIES, EffortSettings
from trimtab.messages import MessagesBody
from trimtab.routing import RouteSettings
from trimtab.routing.routes import RouteMatch

MODELS = [model.id for model in CATALOGUE.models]

TEXT = st.sampled_from(["hi", "what is this?", 'a "quoted" \\ line\nand ünïcode'])
USER = st.one_of(
    TEXT, st.lists(st.builds(lambda text: {"type": "text", "text": text}, TEXT), min_size=1, max_size=2)
)
ASSISTANT = st.one_of(
    TEXT,
    st.lists(
        st.one_of(
            st.builds(lambda text: {"type": "text", "text": text}, TEXT),
            st.just({"type": "redacted_thinking", "data": "abc"}),
        ),
        min_size=1,
        max_size=3,
    ),
)
CALL = {"type": "tool_use", "id": "t1", "name": "look", "input": {"role": "user"}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "seen"}


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = []
    if draw(st.integers(0, 5)) == 0:
        turns.append({"role": "system", "content": draw(TEXT)})
    for _ in range(draw(st.integers(0, 2))):
        turns += [{"role": "user", "content": draw(USER)}, {"role": "assistant", "content": draw(ASSISTANT)}]
    turns.append({"role": "user", "content": draw(USER)})
    ending = draw(st.sampled_from(["none", "none", "prefill", "loop", "empty", "open", "system"]))
    if ending == "prefill":
        turns.append(
            {"role": "assistant", "content": draw(st.sampled_from(["{", [{"type": "text", "text": "So"}]]))}
        )
    elif ending == "empty":
        turns.append({"role": "assistant", "content": draw(st.sampled_from(["", []]))})
    elif ending == "loop":
        turns += [{"role": "assistant", "content": [CALL]}, {"role": "user", "content": [RESULT]}]
    elif ending == "open":
        turns += [{"role": "assistant", "content": [CALL]}, {"role": "user", "content": "never mind"}]
    elif ending == "system":
        turns.append({"role": "system", "content": draw(TEXT)})
    return turns


THINKING = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("enabled"), "budget_tokens": st.sampled_from([1000, 1024, 3000, 9000, 40000])},
        optional={"display": st.sampled_from(["summarized", "omitted"])},
    ),
    st.fixed_dictionaries(
        {"type": st.just("adaptive")}, optional={"display": st.sampled_from(["summarized", "omitted"])}
    ),
    st.fixed_dictionaries({"type": st.just("disabled")}, optional={"display": st.just("summarized")}),
    st.just({"type": "between_tools"}),
)
TOOL = st.one_of(
    st.just({"name": "look", "input_schema": {"type": "object"}}),
    st.just({"name": "defer", "input_schema": {"type": "object"}, "defer_loading": True}),
    st.sampled_from(
        [
            {"type": "text_editor_20250124", "name": "str_replace_editor"},
            {"type": "text_editor_20250728", "name": "str_replace_editor"},
            {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"},
            {
                "type": "computer_20250124",
                "name": "computer",
                "display_width_px": 800,
                "display_height_px": 600,
            },
            {
                "type": "computer_20251124",
                "name": "computer",
                "display_width_px": 800,
                "display_height_px": 600,
            },
            {"type": "computer_toolset_20260801"},
            {
                "type": "tool_search_tool_regex_20251119",
                "name": "tool_search_tool_regex",
                "defer_loading": True,
            },
        ]
    ),
)
CONFIG = st.fixed_dictionaries(
    {},
    optional={
        "effort": st.sampled_from(["low", "medium", "high", "xhigh", "max"]),
        "task_budget": st.fixed_dictionaries(
            {"type": st.just("tokens"), "total": st.sampled_from([5000, 20000, 60000])},
            optional={"remaining": st.just(100)},
        ),
    },
)


def _family(tool: dict[str, Any]) -> str:
    """One editor and one computer at most: two of them would have one name."""
    return "".join(tool.get("type", tool.get("name", "")).split("_")[:1])


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    fields: dict[str, Any] = {"max_tokens": draw(st.sampled_from([500, 1500, 4000, 8000, 100000, 200000]))}
    maybe = {
        "temperature": st.sampled_from([0, 0.3, 1]), "top_p": st.sampled_from([0.5, 0.99, 1]), "top_k": st.just(40),
        "thinking": THINKING, "output_config": CONFIG, "speed": st.sampled_from(["standard", "fast"]),
        "inference_geo": st.sampled_from(["us", "global"]), "system": TEXT,
        "tools": st.lists(TOOL, min_size=1, max_size=3, unique_by=_family),
    }  # fmt: skip
    for name, values in maybe.items():
        if draw(st.integers(0, 2)) == 0:
            fields[name] = draw(values)
    if "tools" in fields and draw(st.booleans()):
        named = [
            tool["name"]
            for tool in fields["tools"]
            if not tool.get("type", "").startswith("tool_search") and "name" in tool
        ]
        choices: list[dict[str, Any]] = [{"type": "auto"}, {"type": "any", "disable_parallel_tool_use": True}]
        choices += [{"type": "tool", "name": name} for name in named]
        fields["tool_choice"] = draw(st.sampled_from(choices))
    fields["messages"] = draw(conversations())
    items = draw(st.permutations(list({"model": draw(st.sampled_from(MODELS)), **fields}.items())))
    dump = draw(st.sampled_from([{}, {"indent": 1}, {"separators": (",", ":")}, {"ensure_ascii": False}]))
    betas = draw(st.lists(st.sampled_from(["task-budgets-2026-03-13", "computer-use-2025-01-24", "effort-2025-11-24", "x-new-2026-01-01"]), unique=True))  # fmt: skip
    if "speed" in fields:
        betas.append("fast-mode-2026-02-01")
    return json.dumps(dict(items), **dump).encode(), headers_of(
        draw(st.sampled_from([OLD, OLD, NEW])), *betas
    )


UNMENDABLE = ("inference-geo-bound", "tool-results-missing", "computer-version", "system-turn")
"""Rules that change nothing, or not every request; the platform's answer stands."""

thoroughly = settings(
    max_examples=examples(150, of=400), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@thoroughly
@given(requests())
def test_what_strict_lets_pass_is_answered_and_what_it_refuses_is_refused(
    asked: tuple[bytes, list[tuple[bytes, bytes]]],
) -> None:
    body, headers = asked
    refused = refusal(body, headers)
    status, message = simulated(body, headers)
    assert (refused is None) == (status == 200), (refused, message)


@thoroughly
@given(requests())
def test_what_adapt_sends_is_answered_or_the_record_says_why_not(
    asked: tuple[bytes, list[tuple[bytes, bytes]]],
) -> None:
    body, headers, result = adapted(*asked)
    unmended = [note for note in result.observations if note.startswith(UNMENDABLE)]
    if not unmended:
        assert simulated(body, headers) == (200, "")
        assert refusal(body, headers) is None


@thoroughly
@given(requests())
def test_adapting_twice_changes_nothing_more(asked: tuple[bytes, list[tuple[bytes, bytes]]]) -> None:
    body, headers, _ = adapted(*asked)
    again, headers_again, result = adapted(body, headers)
    assert (again, headers_again, result.adaptations) == (body, headers, ())


@thoroughly
@given(requests())
def test_a_changed_body_is_valid_json_with_each_field_once_and_its_order_kept(
    asked: tuple[bytes, list[tuple[bytes, bytes]]],
) -> None:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({name for name, _ in pairs}) == len(pairs)
        return dict(pairs)

    before = json.loads(asked[0])
    body, _, result = adapted(*asked)
    after = json.loads(body, object_pairs_hook=once)
    kept = [name for name in before if name in after]
    assert [name for name in after if name in before] == kept
    said = " ".join(result.adaptations)
    for name in before.keys() | after.keys():
        if before.get(name) != after.get(name):
            assert name in said, f"{name} changed, and {result.adaptations} does not say so"
    for name in kept:
        if before[name] == after[name]:
            assert MessagesBody(body).fields[name] == MessagesBody(asked[0]).fields[name]


@thoroughly
@given(requests())
def test_observing_changes_nothing_and_misses_nothing_that_it_looks_for(
    asked: tuple[bytes, list[tuple[bytes, bytes]]],
) -> None:
    result = normalised(*asked, mode="observe", tier=None)
    assert (result.body, result.headers, result.adaptations) == (None, None, ())


@thoroughly
@given(
    requests(),
    st.sampled_from(["adapt", "observe", "off"]),
    st.none() | st.sampled_from(EFFORTS),
    st.sampled_from(["guidance", "budget", "off"]),
    st.none() | st.sampled_from(EFFORTS),
    st.sampled_from(THINKING_POLICIES),
    st.sampled_from(["down", "up"]),
)
def test_no_effort_cap_or_thinking_policy_breaks_a_request_that_was_answered(
    asked: tuple[bytes, list[tuple[bytes, bytes]]],
    mode: Any,
    effort: str | None,
    without: Any,
    most: Any,
    thinking: Any,
    clamp: Any,
) -> None:
    """Whatever the client sends, and in every mode that refuses nothing itself."""
    body, headers = asked

    def status(bench: EffortBench, own: dict[str, str]) -> tuple[int, str, tuple[str, ...]]:
        job = bench.job_of(body, own, headers)
        assert isinstance(job.call.body, bytes)
        return *simulated(job.call.body, job.call.headers), job.adaptations

    if status(EffortBench(mode=mode), {})[0] == 200:
        bench = EffortBench(
            mode=mode,
            effort=EffortSettings(clamp=clamp, without=without, most=most),
            routes={"r": RouteSettings(match=RouteMatch(), thinking=thinking)},
        )
        own = {} if effort is None else {"x-trimtab-effort": effort}
        found = status(bench, own)
        assert found[0] == 200, found
