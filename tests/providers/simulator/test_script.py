"""Script files: every reply does what it says, rules match in order, and a bad file is refused with its place."""

import os
from pathlib import Path
from typing import Any

import pytest

from trimtab.errors import ConfigError
from trimtab.providers.simulator import Simulator, SimulatorSettings
from trimtab.providers.simulator.script import load_script, read_script

TOOL = {"name": "get_weather", "input_schema": {"type": "object", "properties": {}}}


def rule(reply: str, match: str = "{}") -> str:
    return f"version: 1\nrules:\n- match: {match}\n  reply: {reply}\n"


def test_text_thinking_stop_reason_and_usage(make: Any) -> None:
    client = make(rule("{text: hello, thinking: hm, stop_reason: max_tokens, usage: {input_tokens: 7}}"))
    answer = client.ask(thinking={"type": "adaptive"}, model="claude-opus-4-6")
    assert [block.get("text") or block.get("thinking") for block in answer.json["content"]] == ["hm", "hello"]
    assert answer.json["stop_reason"] == "max_tokens"
    assert answer.usage.input_tokens == 7
    stream = client.ask(stream=True)
    assert (stream.text, stream.problems, stream.usage.input_tokens) == ("hello", [], 7)


def test_tool_use(make: Any) -> None:
    client = make(
        rule("{text: I look., tool_use: [{name: get_weather, input: {days: 2, at: 1.5}}, {name: other}]}")
    )
    message = client.ask(tools=[TOOL]).json
    assert [block["type"] for block in message["content"]] == ["text", "tool_use", "tool_use"]
    assert message["content"][1]["input"] == {"days": 2, "at": 1.5}
    assert message["stop_reason"] == "tool_use"
    assert client.ask(tools=[TOOL], stream=True).problems == []


def test_refusals_before_and_after_output(make: Any) -> None:
    before = make(rule("{refusal: {category: cyber, explanation: no}}")).ask(model="claude-opus-5-5")
    assert (before.status, before.json["content"], before.json["stop_reason"]) == (200, [], "refusal")
    assert before.json["stop_details"] == {"type": "refusal", "category": "cyber", "explanation": "no"}
    assert before.usage.output_tokens == 0
    after = make(rule("{text: Well, refusal: {}}")).ask(stream=True)
    assert (after.text, after.problems) == ("Well", [])
    delta = next(event["delta"] for event in after.events if event["type"] == "message_delta")
    assert delta["stop_reason"] == "refusal"
    assert delta["stop_details"] == {"type": "refusal", "category": None, "explanation": None}


def test_pause_turn_can_be_sent_back(make: Any) -> None:
    client = make(rule("{text: Searching, pause_turn: true}", "{first: 1}"))
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    asked = {"role": "user", "content": "search"}
    paused = client.ask("search", tools=tools, model="claude-opus-4-7").json
    assert paused["stop_reason"] == "pause_turn"
    assert paused["content"][-1]["type"] == "server_tool_use"
    turns = [asked, {"role": "assistant", "content": paused["content"]}]
    again = client.ask(messages=turns, tools=tools, model="claude-opus-4-7")
    assert again.json["stop_reason"] == "end_turn"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(429, "rate_limit_error"), (529, "overloaded_error"), (500, "api_error"), (418, "api_error")],
)
def test_errors_by_status(make: Any, status: int, kind: str) -> None:
    answer = make(rule(f"{{error: {{status: {status}}}}}")).ask(stream=True)
    assert (answer.status, answer.json["error"]["type"]) == (status, kind)
    assert "retry-after" not in answer.headers
    assert answer.headers["content-type"] == "application/json"


def test_errors_with_all_their_parts(make: Any) -> None:
    reply = "{error: {status: 429, type: api_error, message: Slow, retry_after_s: 7, should_retry: false, error_code: x}}"
    answer = make(rule(reply)).ask()
    assert answer.json["error"] == {"type": "api_error", "message": "Slow", "details": {"error_code": "x"}}
    assert answer.headers["retry-after"] == "7"
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["x-trimtab-simulated"] == "true"


def test_raw_replies(make: Any) -> None:
    reply = (
        "{raw: {status: 502, content_type: text/html, body: '<h1>Bad</h1>', headers: {X-Proxy: yes please}}}"
    )
    answer = make(rule(reply)).ask()
    assert (answer.status, answer.body) == (502, b"<h1>Bad</h1>")
    assert answer.headers["content-type"] == "text/html"
    assert answer.headers["x-proxy"] == "yes please"


@pytest.mark.parametrize("after", [0, 1, 3, 1000])
def test_an_error_event_ends_a_stream_after_so_many_events(make: Any, after: int) -> None:
    answer = make(rule(f"{{stream_error: {{after_events: {after}}}}}")).ask(stream=True)
    assert answer.status == 200
    events = answer.events
    assert events[-1]["error"] == {"type": "overloaded_error", "message": "Overloaded"}
    if after < 1000:
        assert len(events) == after + 1
        assert answer.problems == []


def test_cuts_after_events_and_bytes(make: Any) -> None:
    events = make(rule("{cut: {after_events: 4}}")).ask(stream=True)
    assert events.was_cut
    assert len(events.events) == 4
    for count in (0, 1, 100, 333):
        cut = make(rule(f"{{cut: {{after_bytes: {count}}}}}")).ask(stream=True)
        assert cut.was_cut
        assert len(cut.body) == count
    whole = make(rule("{cut: {after_bytes: 100}}")).ask()
    assert whole.was_cut
    assert int(whole.headers["content-length"]) > len(whole.body) == 100


def test_stalls_and_delays(make: Any) -> None:
    before = make(rule("{stall: {where: before_head, seconds: 30}, delay_s: 0.5}")).ask(stream=True)
    assert before.response.before_head_s == 30.5
    head = make(rule("{stall: {where: after_head, seconds: 30}}")).ask(stream=True)
    assert (head.waits, head.problems) == ([30.0], [])
    steps = list(make(rule("{stall: {where: after_events, events: 2, seconds: 3}}")).ask(stream=True).chunks)
    assert len(steps) > 2


def test_chunks_are_cut_anywhere_even_inside_a_character(make: Any) -> None:
    answer = make(rule("{text: 'ééé€€€😀', chunk_bytes: 1}")).ask(stream=True)
    assert all(len(chunk) == 1 for chunk in answer.chunks)
    assert (answer.problems, answer.text) == ([], "ééé€€€😀")
    mixed = make(rule("{chunk_bytes: 7, cut: {after_bytes: 100}}")).ask(stream=True)
    assert mixed.was_cut
    assert len(mixed.body) == 100


MATCHES = [
    ("{contains: ALPHA}", {"content": "say alpha"}, {"content": "say beta"}),
    ("{contains: [a, b]}", {"content": "b then a"}, {"content": "only b"}),
    ("{model: claude-opus-4-7}", {"model": "claude-opus-4-7"}, {"model": "claude-opus-4-6"}),
    ("{model: 'claude-haiku-*'}", {"model": "claude-haiku-4-5"}, {}),
    ("{model: [claude-haiku-4-5-20251001]}", {"model": "claude-haiku-4-5"}, {}),
    ("{model: claude-haiku-4-5}", {"model": "claude-haiku-4-5-20251001"}, {}),
    ("{effort: low}", {"output_config": {"effort": "low"}}, {}),
    ("{effort: [low, high]}", {}, {"output_config": {"effort": "medium"}}),
    ("{stream: true}", {"stream": True}, {}),
    ("{header: {X-Team: red}}", {"headers": {"x-team": "the RED one"}}, {"headers": {"x-team": "blue"}}),
]


@pytest.mark.parametrize(("match", "yes", "no"), MATCHES)
def test_matches(make: Any, match: str, yes: dict[str, Any], no: dict[str, Any]) -> None:
    client = make(rule("{text: matched}", match))
    assert client.ask(**yes).text == "matched"
    assert client.ask(**no).text != "matched"


def test_nth_and_first_count_only_what_matches_otherwise(make: Any) -> None:
    client = make(rule("{error: {status: 529}}", "{contains: x, nth: [2, 4]}"))
    assert [client.ask(text).status for text in "xyxxxx"] == [200, 200, 529, 200, 529, 200]
    client = make(rule("{error: {status: 529}}", "{first: 2}"))
    assert [client.ask().status for _ in range(4)] == [529, 529, 200, 200]


def test_the_first_rule_that_matches_wins(make: Any) -> None:
    client = make("version: 1\nrules: [{match: {nth: 1}, reply: {text: a}}, {reply: {text: b}}]")
    assert [client.ask().text for _ in range(3)] == ["a", "b", "b"]


def test_other_endpoints_can_be_scripted(make: Any) -> None:
    client = make(rule("{error: {status: 500}}", "{endpoint: count_tokens}"))
    assert client.ask(path="/v1/messages/count_tokens", max_tokens=...).status == 500
    assert client.ask().status == 200
    models = make(rule("{error: {status: 500}}", "{endpoint: models}"))
    assert models.raw("GET", "/v1/models").status == 500


def test_cases_are_answered_by_skill_and_difficulty(make: Any) -> None:
    script = "version: 1\ncases: [{contains: capital of peru, answer: Lima, wrong: [Quito], difficulty: %s}]"
    easy, hard = make(script % "-50"), make(script % "50")
    question = "What is the capital of Peru?"
    assert easy.ask(question).text == "Lima"
    assert hard.ask(question).text == "Quito"
    medium = make(script % "4.0")
    said = {medium.ask(f"{question} Take {n}").text for n in range(40)}
    assert said == {"Lima", "Quito"}


def invoice(case: str, rules: str = "[]") -> str:
    known = "contains: invoice, answer: right, wrong: [w1, w2, w3, w4]"
    return f"version: 1\nrules: {rules}\ncases: [{{{known}, {case}}}]"


HAIKU, SONNET, OPUS = "claude-haiku-4-5", "claude-sonnet-4-6", "claude-opus-4-7"


def answers(client: Any, model: str, count: int = 1000, **fields: Any) -> list[str]:
    return [client.ask(f"Invoice {n}", model=model, **fields).text for n in range(count)]


def test_models_are_right_as_often_as_the_script_says(make: Any) -> None:
    chances = f'chance: {{"{SONNET}@low": 0.2, "claude-sonnet-*": 0.6, claude-haiku-4-5: 0.4, "*": 1.0}}'
    client = make(invoice(chances))
    low = {"output_config": {"effort": "low"}}
    found = {
        0.2: answers(client, SONNET, **low),
        0.6: answers(client, SONNET),
        0.4: answers(client, HAIKU),
        1.0: answers(client, OPUS, 50),
    }
    for chance, said in found.items():
        rate = said.count("right") / len(said)
        assert abs(rate - chance) <= 4 * (chance * (1 - chance) / len(said)) ** 0.5, chance
    both_wrong = [
        (one, two) for one, two in zip(found[0.6], found[0.4], strict=True) if "right" not in (one, two)
    ]
    # Independent: wrong at the same question as often as chance has it, with the same wrong answer one time in four.
    assert abs(len(both_wrong) / 1000 - 0.4 * 0.6) < 0.06
    assert abs(sum(one == two for one, two in both_wrong) / len(both_wrong) - 0.25) < 0.12
    assert answers(client, "claude-haiku-4-5-20251001", 50) == found[0.4][:50], (
        "a model has one name in draws"
    )
    assert answers(client, SONNET) == found[0.6], "the same questions get the same answers"
    assert answers(make(invoice(chances), seed=1), SONNET) != found[0.6]
    assert set(answers(make(invoice("chance: 0.0, difficulty: -50")), OPUS, 20)) == {"w1", "w2", "w3", "w4"}


def test_models_that_fail_together_fail_at_the_same_questions_with_the_same_words(make: Any) -> None:
    for said in (f'chance: {{{HAIKU}: 0.5, "*": 0.8}}', "difficulty: 3.0"):
        client = make(invoice(f"{said}, together: true"))
        weak, strong = answers(client, HAIKU, 300), answers(client, SONNET, 300)
        assert weak.count("right") < strong.count("right") < 300
        for one, two in zip(weak, strong, strict=True):
            assert two == "right" or one == two


def test_a_share_of_the_requests_meets_a_rule_and_always_the_same(make: Any) -> None:
    broken = "{match: {share: 0.3}, reply: {text: broken}}"
    cut = "{match: {contains: invoice, share: 0.5, together: true}, reply: {text: cut}}"
    client = make(invoice("chance: 1.0", f"[{broken}, {cut}]"))
    one, two = answers(client, HAIKU), answers(client, SONNET)
    for said in (one, two):
        assert abs(said.count("broken") / 1000 - 0.3) < 0.06
        assert abs(said.count("cut") / 1000 - 0.35) < 0.06, "of those that no rule before has taken"
    same = sum(a == b == "broken" for a, b in zip(one, two, strict=True))
    assert abs(same / 1000 - 0.09) < 0.04, "each model by itself"
    assert all({a, b} <= {"cut", "broken"} for a, b in zip(one, two, strict=True) if "cut" in (a, b)), (
        "all or none"
    )
    assert answers(client, HAIKU, 100) == one[:100]
    counted = make(rule("{text: drawn}", "{share: 0.5, first: 3}"))
    assert answers(counted, HAIKU, 100).count("drawn") == 3
    assert [
        answers(make(rule("{text: drawn}", f"{{share: {share}}}")), HAIKU, 20).count("drawn")
        for share in (0, 1)
    ] == [0, 20]


BAD = [
    ("version: 2", "script.yaml: version", "2"),
    ("rules: []", "script.yaml: version", "missing"),
    ("[]", "script.yaml", "must be a mapping"),
    (": {", "script.yaml", "cannot be read"),
    ("version: 1\nrule: []", "script.yaml: rule", "did you mean 'rules'"),
    (rule("{texts: a}"), "script.yaml: rules[0].reply.texts", "did you mean 'text'"),
    (rule("{text: a}", "{model: 1}"), "script.yaml: rules[0].match.model", "1"),
    (rule("{error: {status: 200}}"), "script.yaml: rules[0].reply.error.status", "200"),
    (
        rule("{error: {status: 500}, text: a}"),
        "script.yaml: rules[0].reply.text",
        "cannot stand beside `error`",
    ),
    (rule("{error: {status: 500}, raw: {body: a}}"), "script.yaml: rules[0].reply", "not both"),
    (rule("{cut: {}}"), "script.yaml: rules[0].reply.cut", "give one of"),
    (rule("{stall: {where: after_events, seconds: 1}}"), "rules[0].reply.stall.events", "needed there"),
    (
        rule("{stall: {where: before_head, events: 1, seconds: 1}}"),
        "rules[0].reply.stall.events",
        "belongs to",
    ),
    (rule("{text: a}", "{endpoint: models}"), "script.yaml: rules[0].reply.text", "only answers of endpoint"),
    (rule("{refusal: {}, pause_turn: true}"), "script.yaml: rules[0].reply.refusal", "cannot stand beside"),
    (rule("{refusal: {category: rude}}"), "script.yaml: rules[0].reply.refusal.category", "rude"),
    ("version: 1\nversion: 1", "script.yaml: line 2", "twice"),
    ("version: 1\ncases: [{contains: a, answer: b, wrong: [], difficulty: 1}]", "cases[0].wrong", "[]"),
    (
        "version: 1\ncases: [{contains: a, answer: b, wrong: [c]}]",
        "script.yaml: cases[0]",
        "needs `difficulty` or",
    ),
    (invoice("chance: {claude-opus-4-7: 0.5}"), "cases[0].chance", "nothing of some models"),
    (
        invoice("chance: {claude-opus-4-7@huge: 0.5, '*': 1}"),
        "cases[0].chance",
        "MODEL@EFFORT with one of low",
    ),
    (invoice("chance: {'@low': 0.5, '*': 1}"), "cases[0].chance", "must be MODEL or"),
    (invoice("chance: 1.1"), "cases[0].chance", "1.1"),
    (rule("{text: a}", "{share: -0.1}"), "rules[0].match.share", "-0.1"),
    (rule("{text: a}", "{together: true}"), "rules[0].match.together", "how `share` is drawn"),
    (
        rule("{error: {status: 500}}", "{endpoint: models, share: 0.5}"),
        "rules[0].match.share",
        "asks nothing",
    ),
]


@pytest.mark.parametrize(("content", "where", "problem"), BAD)
def test_a_bad_script_is_refused_with_its_place(content: str, where: str, problem: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read_script(content.encode(), "script.yaml")
    assert where in raised.value.where
    assert problem in raised.value.problem


def test_a_missing_script_says_which(tmp_path: Path, catalogue: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"nowhere\.yaml: cannot read the file: No such file.*; check `script`"
    ):
        Simulator(SimulatorSettings(script=str(tmp_path / "nowhere.yaml")), catalogue)


def test_the_settings_name_the_script(tmp_path: Path, catalogue: Any) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(rule("{text: scripted}"))
    assert load_script(path).rules[0].reply.text == "scripted"
    Simulator(SimulatorSettings(script=str(path)), catalogue)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "rules: " + "[" * 900, "version: &a [*a]", "a: 1.0e999999999999"]
)
def test_a_script_that_would_exhaust_something_is_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^s\.yaml: line 1: cannot be read: "):
        read_script(text.encode(), "s.yaml")


def test_a_pipe_or_a_device_is_no_script(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(ConfigError, match=r"cannot read the file: .*; check `script`"):
            load_script(path)
