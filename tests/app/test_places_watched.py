"""An operator sees in the metrics which places calls do not go to, and how much is left of rate limits."""

from trimtab.app.places_watched import watch_places
from trimtab.routing import Standings
from trimtab.telemetry import Metrics
from trimtab.telemetry.exposition import Sum, exposition, families

MODEL = "claude-sonnet-4-6"


def standings() -> Standings:
    """One entry has failed, one key of another is limited, and its other key has told what is left."""
    made = Standings(lambda: 100.0, lambda: 1_800_000_000.0, lambda: 0.0)
    for _ in range(5):
        made.ended("bedrock", MODEL, "failed", started=made.began("bedrock", MODEL))
    made.ended("claude#1", MODEL, "limited", started=made.began("claude#1", MODEL), retry_after_s=9)
    head = {
        b"anthropic-ratelimit-requests-limit": b"100",
        b"anthropic-ratelimit-requests-remaining": b"25",
        b"anthropic-ratelimit-requests-reset": b"2027-01-15T08:01:00Z",
    }
    made.ended("claude#2", MODEL, "ok", started=made.began("claude#2", MODEL), headers=head)
    return made


def read(metrics: str, name: str) -> dict[tuple[str, str], float]:
    found = {}
    for line in metrics.splitlines():
        if line.startswith(name + "{"):
            labels, _, value = line.partition("{")[2].rpartition("} ")
            named = dict(part.split("=", 1) for part in labels.split(","))
            assert named["model"] == f'"{MODEL}"'
            found[named["platform"].strip('"'), named["account"].strip('"')] = float(value)
    return found


def test_breakers_limits_and_what_is_left_are_told_by_entry_and_key() -> None:
    metrics = Metrics()
    watch_places(metrics, standings())
    text = metrics.render().decode()
    assert read(text, "trimtab_breakers_open") == {("bedrock", ""): 1, ("claude", "1"): 0, ("claude", "2"): 0}
    assert read(text, "trimtab_places_limited") == {
        ("bedrock", ""): 0,
        ("claude", "1"): 1,
        ("claude", "2"): 0,
    }
    assert read(text, "trimtab_rate_limit_left_ratio") == {("claude", "2"): 0.25}


def test_over_several_processes_breakers_are_counted_and_of_a_limit_the_least_is_left() -> None:
    parts = []
    for remaining in (b"80", b"60"):
        metrics, made = Metrics(), standings()
        head = {
            b"anthropic-ratelimit-tokens-limit": b"100",
            b"anthropic-ratelimit-tokens-remaining": remaining,
            b"anthropic-ratelimit-tokens-reset": b"2027-01-15T08:01:00Z",
        }
        made.ended("vertex", MODEL, "ok", started=made.began("vertex", MODEL), headers=head)
        watch_places(metrics, made)
        parts.append(families(metrics.registry))
    text = exposition(Sum(parts).families()).decode()
    assert read(text, "trimtab_breakers_open")["bedrock", ""] == 2
    assert read(text, "trimtab_rate_limit_left_ratio")["vertex", ""] == 0.6
