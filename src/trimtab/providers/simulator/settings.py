"""What an operator may set on the simulator."""

from typing import Annotated

import msgspec

from trimtab.providers.terms import Terms

_Positive = Annotated[int, msgspec.Meta(ge=1)]


class SimulatorSettings(Terms, frozen=True, forbid_unknown_fields=True):
    """`[platforms.<name>] kind = "simulator"`. The defaults suit a first look on a laptop."""

    seed: int = 0
    """Same seed, same request: same answer."""
    script: str | None = None
    """Path of a script file (docs/simulator.md) with scripted replies, faults and cases."""
    latency_scale: Annotated[float, msgspec.Meta(ge=0.0, le=100.0)] = 1.0
    """Factor on the made-up latencies of `behaviour.yaml`; 0 answers at once. Scripted waits are not scaled."""
    deadline_s: Annotated[float, msgspec.Meta(gt=0.0)] = 60.0
    """In process only: a single wait longer than this becomes the `UpstreamTimeout` that a socket would give."""
    rate_limit_rpm: _Positive | None = None
    """Requests per minute for each rate-limit bucket; over it, 429 with `retry-after`. `None`: no limit."""
    rate_limit_itpm: _Positive | None = None
    """Uncached input tokens per minute for each bucket."""
    require_key: bool = False
    """Refuse HTTP requests that carry neither `x-api-key` nor a bearer token. Any value passes."""
    serve_retired: bool = False
    """Answer for retired models too, instead of the vendor's 404."""
    prompt_cache_entries: _Positive = 4096
    """Prefixes remembered for simulated prompt caching, oldest forgotten first (about 100 bytes each)."""
