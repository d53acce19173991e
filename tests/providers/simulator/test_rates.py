"""Rate limits: enforced where set, shown always, shared as the vendor shares them."""

from typing import Any


def test_over_the_limit_is_429_with_retry_after_and_it_recovers(make: Any) -> None:
    client = make(rate_limit_rpm=3)
    assert [client.ask().status for _ in range(4)] == [200, 200, 200, 429]
    refused = client.ask()
    assert refused.json["error"]["type"] == "rate_limit_error"
    assert refused.headers["retry-after"] == "20"
    assert refused.headers["anthropic-ratelimit-requests-remaining"] == "0"
    client.clock.now += 20
    assert client.ask().status == 200
    assert client.ask().status == 429


def test_remaining_goes_down_and_reset_is_rfc_3339(make: Any) -> None:
    client = make(rate_limit_rpm=60)
    first, second = client.ask().headers, client.ask().headers
    assert first["anthropic-ratelimit-requests-limit"] == "60"
    assert first["anthropic-ratelimit-requests-remaining"] == "59"
    assert second["anthropic-ratelimit-requests-remaining"] == "58"
    assert second["anthropic-ratelimit-requests-reset"] == "2026-11-21T00:00:02Z"


def test_input_tokens_are_limited_without_cache_reads(make: Any) -> None:
    client = make(rate_limit_itpm=6000)
    text = "some words that fill the prompt " * 600
    system = [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]
    statuses = [client.ask(system=system).status for _ in range(5)]
    assert statuses == [200] * 5, "written once, then read, which does not count"
    assert client.ask(text).status == 429
    client.clock.now += 60
    assert client.ask(text).status == 200


def test_opus_4_models_share_a_bucket_and_5_does_not(make: Any) -> None:
    client = make(rate_limit_rpm=1)
    assert client.ask(model="claude-opus-4-7").status == 200
    assert client.ask(model="claude-opus-4-6").status == 429
    assert client.ask(model="claude-opus-5").status == 200


def test_every_reply_shows_limits_without_any_set(client: Any) -> None:
    for answer in (client.ask(), client.ask(stream=True)):
        for kind in ("requests", "input-tokens", "output-tokens", "tokens"):
            for part in ("limit", "remaining", "reset"):
                assert f"anthropic-ratelimit-{kind}-{part}" in answer.headers
