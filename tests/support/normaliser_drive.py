"""Runs requests through the normaliser and the simulator's checks, for tests that compare the two."""

import json
from typing import Any

from trimtab.catalogue import Catalogue, Model
from trimtab.errors import RuleRefused
from trimtab.messages import MessagesBody
from trimtab.normaliser import Asked, Mode, Normalised, Normaliser, NormaliserSettings, shipped_rules
from trimtab.providers.simulator import Simulator, SimulatorSettings

CATALOGUE = Catalogue.load()
NORMALISER = Normaliser(NormaliserSettings(), shipped_rules(), CATALOGUE.platforms)
SIMULATOR = Simulator(SimulatorSettings(serve_retired=True, latency_scale=0), CATALOGUE)
OLD, NEW = "2023-06-01", "2026-10-21"
Headers = list[tuple[bytes, bytes]]


def model_of(name: str) -> Model:
    """A catalogue row."""
    model = CATALOGUE.find(name)
    assert model is not None
    return model


def body_of(model: str, **fields: Any) -> bytes:
    """A body with a question; a field of `None` leaves out what it would hold."""
    whole: dict[str, Any] = {
        "model": model, "max_tokens": 4000, "messages": [{"role": "user", "content": "hi"}], **fields,
    }  # fmt: skip
    return json.dumps({name: value for name, value in whole.items() if value is not None}).encode()


def headers_of(version: str = OLD, *betas: str) -> Headers:
    """What a client sends."""
    headers = [(b"anthropic-version", version.encode()), (b"x-api-key", b"k")]
    return headers + ([(b"anthropic-beta", ",".join(betas).encode())] if betas else [])


def normalised(
    body: bytes, headers: Headers, mode: Mode = "adapt", *, tier: str | None = "default", versions: tuple[str, ...] = (OLD, NEW), foreign: int = 0,
    **decided: Any,
) -> Normalised:  # fmt: skip
    """What the normaliser makes of a request for the model that it names."""
    read = MessagesBody(body)
    version = next(value for name, value in headers if name == b"anthropic-version").decode()
    asked = Asked(
        body=read, headers=headers, model=model_of(read.model), send_model=read.model, version=version,
        versions=versions, foreign=foreign, **decided,
    )  # fmt: skip
    return NORMALISER.normalise(asked, mode, tier=tier)


def adapted(body: bytes, headers: Headers, **more: Any) -> tuple[bytes, Headers, Normalised]:
    """The request as it goes out in mode `adapt`."""
    result = normalised(body, headers, **more)
    if result.body is None:
        return body, headers, result
    assert result.headers is not None
    return result.body, result.headers, result


def refusal(body: bytes, headers: Headers, **more: Any) -> str | None:
    """What mode `strict` says in the vendor's words; `None` where it lets the request pass."""
    try:
        normalised(body, headers, "strict", **more)
    except RuleRefused as problem:
        return str(problem).removesuffix(f" ({problem.note})")
    return None


def simulated(body: bytes, headers: Headers) -> tuple[int, str]:
    """Status and error message of the simulator."""
    response = SIMULATOR.handle("POST", "/v1/messages", b"", headers, body)
    if response.status == 200:
        return 200, ""
    whole = b"".join(step for step in response.steps if isinstance(step, bytes))
    return response.status, json.loads(whole)["error"]["message"]
