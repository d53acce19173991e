"""Rate limits as the vendor keeps them: token buckets per group of models, shown in headers.

Source: vendor rate limit page (2026-11): buckets refill steadily; cache reads do not count as input;
`anthropic-ratelimit-{requests,input-tokens,output-tokens,tokens}-{limit,remaining,reset}`, reset in RFC 3339.
"""

import datetime
import math
from collections.abc import Callable

from trimtab.providers.seam import Headers
from trimtab.providers.simulator.behaviour import ShownLimits
from trimtab.providers.simulator.settings import SimulatorSettings

_PER_S = 60.0


class RateLimited(Exception):
    """A bucket is empty; `retry_after_s` says when it will do."""

    def __init__(self, message: str, retry_after_s: int, headers: Headers) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.headers = headers


class _Bucket:
    """Fills at `per_minute` / 60 a second, holds one minute's worth."""

    __slots__ = ("at", "level", "per_minute")

    def __init__(self, per_minute: int, now: float) -> None:
        self.per_minute = per_minute
        self.level = float(per_minute)
        self.at = now

    def refill(self, now: float) -> None:
        gained = max(now - self.at, 0.0) * self.per_minute / _PER_S
        self.level = min(float(self.per_minute), self.level + gained)
        self.at = now

    def seconds_until(self, amount: float) -> float:
        return max(0.0, (amount - self.level) * _PER_S / self.per_minute)


class RateLimits:
    """All buckets of one simulated organisation. Limits that are not set are shown full and never enforced."""

    def __init__(self, settings: SimulatorSettings, shown: ShownLimits, clock: Callable[[], float]) -> None:
        self._rpm = settings.rate_limit_rpm
        self._itpm = settings.rate_limit_itpm
        self._shown = shown
        self._clock = clock
        self._requests: dict[str, _Bucket] = {}
        self._inputs: dict[str, _Bucket] = {}
        self._stamps: dict[int, bytes] = {}

    def admit(self, bucket: str, input_tokens: int) -> Headers:
        """Take one request and its tokens; returns the headers to show. Raises `RateLimited`, taking nothing."""
        now = self._clock()
        requests = self._of(self._requests, bucket, self._rpm or self._shown.requests, now)
        inputs = self._of(self._inputs, bucket, self._itpm or self._shown.input_tokens, now)
        if self._rpm is not None and requests.level < 1.0:
            self._refuse(
                "requests", self._rpm, requests.seconds_until(1.0), self._headers(requests, inputs, now)
            )
        if self._itpm is not None and inputs.level < min(input_tokens, inputs.per_minute):
            wait = inputs.seconds_until(min(input_tokens, inputs.per_minute))
            self._refuse("input tokens", self._itpm, wait, self._headers(requests, inputs, now))
        if self._rpm is not None:
            requests.level -= 1.0
        if self._itpm is not None:
            inputs.level = max(0.0, inputs.level - input_tokens)
        return self._headers(requests, inputs, now)

    @staticmethod
    def _refuse(kind: str, limit: int, wait_s: float, headers: Headers) -> None:
        raise RateLimited(
            f"This request would exceed the simulated rate limit of {limit} {kind} per minute.",
            max(1, math.ceil(wait_s)),
            headers,
        )

    @staticmethod
    def _of(buckets: dict[str, _Bucket], name: str, per_minute: int, now: float) -> _Bucket:
        bucket = buckets.get(name)
        if bucket is None:
            bucket = buckets[name] = _Bucket(per_minute, now)
        bucket.refill(now)
        return bucket

    def _headers(self, requests: _Bucket, inputs: _Bucket, now: float) -> Headers:
        output = self._shown.output_tokens
        stamp = self._stamp(now)
        full_at = self._stamp(now + inputs.seconds_until(inputs.per_minute))
        return [
            (b"anthropic-ratelimit-requests-limit", b"%d" % requests.per_minute),
            (b"anthropic-ratelimit-requests-remaining", b"%d" % int(requests.level)),
            (
                b"anthropic-ratelimit-requests-reset",
                self._stamp(now + requests.seconds_until(requests.per_minute)),
            ),
            (b"anthropic-ratelimit-input-tokens-limit", b"%d" % inputs.per_minute),
            (b"anthropic-ratelimit-input-tokens-remaining", b"%d" % int(inputs.level)),
            (b"anthropic-ratelimit-input-tokens-reset", full_at),
            (b"anthropic-ratelimit-output-tokens-limit", b"%d" % output),
            (b"anthropic-ratelimit-output-tokens-remaining", b"%d" % output),
            (b"anthropic-ratelimit-output-tokens-reset", stamp),
            (b"anthropic-ratelimit-tokens-limit", b"%d" % (inputs.per_minute + output)),
            (b"anthropic-ratelimit-tokens-remaining", b"%d" % (int(inputs.level) + output)),
            (b"anthropic-ratelimit-tokens-reset", full_at),
        ]

    def _stamp(self, at: float) -> bytes:
        """RFC 3339, whole seconds; the last few are kept."""
        second = math.ceil(at)
        stamp = self._stamps.get(second)
        if stamp is None:
            if len(self._stamps) > 128:
                self._stamps.clear()
            text = datetime.datetime.fromtimestamp(second, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            stamp = self._stamps[second] = text.encode()
        return stamp
