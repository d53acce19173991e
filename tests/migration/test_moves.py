"""Four moves to a newer model, with requests that hold each of the 18 cases: what is predicted is what happens.

The simulator stands for the vendor. It reads requests by its own checks, which share nothing with the normaliser's.
"""

import json
from typing import Any

import pytest
from migration_cases import CASES, PAIRS
from normaliser_drive import CATALOGUE, NORMALISER, SIMULATOR, model_of

from trimtab.catalogue.estimating import NO_TOKENIZERS
from trimtab.messages import MessagesBody, Usage
from trimtab.migration import Judge, Judged, Request

Headers = list[tuple[bytes, bytes]]


def judged(case: str, before: str, after: str) -> Judged:
    body, headers = CASES[case].body(before), CASES[case].headers()
    judge = Judge(model_of(before), model_of(after), NORMALISER, tokenizers=NO_TOKENIZERS)
    return judge.judge(Request(name=case, body=MessagesBody(body), headers=headers))


def answered(body: bytes, headers: Headers) -> tuple[int, str]:
    """Status of the simulated vendor, and the message of an error."""
    key = [] if any(name == b"x-api-key" for name, _ in headers) else [(b"x-api-key", b"k")]
    response = SIMULATOR.handle("POST", "/v1/messages", b"", [*headers, *key], body)
    if response.status == 200:
        return 200, ""
    whole = b"".join(step for step in response.steps if isinstance(step, bytes))
    return response.status, json.loads(whole)["error"]["message"]


@pytest.mark.parametrize(("before", "after"), PAIRS, ids=[f"{a} to {b}" for a, b in PAIRS])
@pytest.mark.parametrize("case", CASES)
def test_every_predicted_400_is_given_and_every_400_given_is_predicted(
    case: str, before: str, after: str
) -> None:
    found = judged(case, before, after)
    status, message = answered(CASES[case].body(after), CASES[case].headers())
    predicted = [finding.says for finding in found.findings if finding.kind == "refused"]
    assert found.breaks == bool(predicted) == (status == 400), (predicted, status, message)
    if status == 400 and not case.startswith(
        ("12-unsigned", "18-")
    ):  # the vendor's wording is by place there
        assert message in predicted


@pytest.mark.parametrize(("before", "after"), PAIRS, ids=[f"{a} to {b}" for a, b in PAIRS])
@pytest.mark.parametrize("case", CASES)
def test_what_the_old_model_refuses_too_is_marked_so(case: str, before: str, after: str) -> None:
    found = judged(case, before, after)
    status, _ = answered(CASES[case].body(before), CASES[case].headers())
    too = [finding.before_too for finding in found.findings if finding.kind == "refused"]
    if status == 200:
        assert not any(too), "it was answered before"
    elif len(too) == 1 and not found.name.startswith(("11-text-editor", "17-")):
        assert too == [True] or status == 400


CANNOT_BE_MENDED = {
    "11-toolset": ("claude-opus-4-7",),
    "11-computer": ("claude-opus-5-5", "claude-sonnet-5-5"),
    "13-many-large-images": ("claude-opus-4-7", "claude-opus-5-5", "claude-sonnet-5-5"),
    "16-missing-results": ("claude-opus-4-7", "claude-opus-5-5", "claude-sonnet-5-5"),
}
"""By target: what nobody can honestly change."""


@pytest.mark.parametrize(("before", "after"), PAIRS, ids=[f"{a} to {b}" for a, b in PAIRS])
@pytest.mark.parametrize("case", CASES)
def test_every_adapted_request_is_answered_by_the_new_model(case: str, before: str, after: str) -> None:
    found = judged(case, before, after)
    refused = [finding for finding in found.findings if finding.kind == "refused"]
    assert found.adapted is not None
    assert json.loads(found.adapted)["model"] == after
    status, message = answered(found.adapted, found.headers)
    if after in CANNOT_BE_MENDED.get(case, ()):
        assert status == 400
        assert not all(finding.mended for finding in refused)
    else:
        assert (status, message) == (200, "")
        assert all(finding.mended for finding in refused)


def ids(found: Judged, kind: str = "silent") -> set[str]:
    return {finding.id for finding in found.findings if finding.kind == kind}


def test_silent_changes_are_named_where_they_happen_and_not_elsewhere() -> None:
    four_seven = judged("agent", "claude-opus-4-6", "claude-opus-4-7")
    assert {"tokens", "images-larger", "cache-cold", "max-tokens"} <= ids(four_seven)
    assert "thinking-not-shown" in ids(judged("thinking-adaptive", "claude-opus-4-6", "claude-opus-4-7"))
    assert "thinking-not-shown" not in ids(judged("thinking-adaptive", "claude-opus-4-7", "claude-opus-4-8"))
    assert "thinking-on-by-default" in ids(judged("plain", "claude-opus-4-7", "claude-opus-5-5"))
    assert "effort-default" in ids(judged("plain", "claude-opus-4-7", "claude-opus-5-5")), "high, then medium"
    assert "effort-default" not in ids(judged("plain", "claude-opus-4-6", "claude-opus-4-7"))
    assert "effort-without-room" in ids(judged("07-effort-xhigh", "claude-opus-4-6", "claude-opus-4-7"))
    assert "beta-now-general" in ids(judged("old-betas", "claude-opus-4-6", "claude-opus-4-7"))
    same = judged("agent", "claude-opus-4-7", "claude-opus-4-8")
    assert not {"images-larger", "max-tokens"} & ids(same), "the same vocabulary and the same vision"


def test_a_prefix_between_the_two_minima_is_cached_from_now_on() -> None:
    text = "The harbour master wrote to the owners of the ship in the spring. " * 170  # about 2,500 tokens
    body = {
        "model": "claude-opus-4-6",
        "max_tokens": 20000,
        "system": [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": "hi"}],
    }
    judge = Judge(
        model_of("claude-opus-4-6"), model_of("claude-opus-4-7"), NORMALISER, tokenizers=NO_TOKENIZERS
    )
    found = judge.judge(
        Request(
            name="x",
            body=MessagesBody(json.dumps(body).encode()),
            headers=[(b"anthropic-version", b"2023-06-01")],
        )
    )
    [minimum] = [finding for finding in found.findings if finding.id == "cache-minimum"]
    assert "cached now: the least is 2,048, and was 4,096" in minimum.says


def with_usage(case: str, **usage: Any) -> Request:
    body = CASES[case].body("claude-opus-4-6")
    return Request(name=case, body=MessagesBody(body), headers=CASES[case].headers(), usage=Usage(**usage))


def test_an_answer_that_would_no_longer_fit_into_max_tokens_is_told() -> None:
    judge = Judge(
        model_of("claude-opus-4-6"), model_of("claude-opus-4-7"), NORMALISER, tokenizers=NO_TOKENIZERS
    )
    assert "max-tokens" in ids(judge.judge(with_usage("plain", input_tokens=10, output_tokens=3500)))
    assert "max-tokens" not in ids(judge.judge(with_usage("plain", input_tokens=10, output_tokens=500)))


def test_a_prompt_that_no_longer_fits_breaks() -> None:
    long = {
        "model": "claude-opus-4-6",
        "max_tokens": 10,
        "messages": [{"role": "user", "content": "word " * 900_000}],
    }
    judge = Judge(
        model_of("claude-opus-4-6"), model_of("claude-haiku-4-5"), NORMALISER, tokenizers=NO_TOKENIZERS
    )
    request = Request(
        name="x",
        body=MessagesBody(json.dumps(long).encode()),
        headers=[(b"anthropic-version", b"2023-06-01")],
    )
    assert "prompt-too-long" in ids(judge.judge(request), "refused")
    assert CATALOGUE.find("claude-haiku-4-5") is not None
