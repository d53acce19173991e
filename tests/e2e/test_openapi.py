"""The HTTP surface keeps to its own OpenAPI description, whatever is thrown at it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

import trimtab.gateway

DESCRIPTION = Path(trimtab.gateway.__file__).with_name("openapi.yaml")
OPERATIONS = [
    (path, method)
    for path, item in yaml.safe_load(DESCRIPTION.read_text())["paths"].items()
    for method in item
    if method in ("get", "put", "post", "delete", "head", "patch")
]


ADMIN: list[str] = []
"""The secret of a key that may do everything, so that the paths for keys are more than a 403."""


@pytest.fixture(scope="module")
def described(serve: Callable[..., Any]) -> Any:
    def make_key(config: Path) -> None:
        command = ("keys", "add", "boss", "--admin", "--quiet", "--config", str(config))
        ADMIN[:] = [run(command, config.parent)]

    server = serve('[platforms.sim]\nkind = "simulator"\nlatency_scale = 0.0\n', before=make_key)
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


def run(command: tuple[str, ...], folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "trimtab", *command],
        capture_output=True,
        text=True,
        cwd=folder,
        check=True,
        timeout=60,
    )
    return done.stdout.strip()


WITH_QUERIES = (
    "/v1/models",
    "/trimtab/v1/requests",
    "/trimtab/v1/content",
    "/trimtab/v1/overview",
    "/trimtab/v1/live",
)
CONTENT_PART = ("/trimtab/v1/requests/{request_id}/content", "get")
HAS_INPUT = [
    (path, method)
    for path, method in OPERATIONS
    if method in ("post", "put") or path in WITH_QUERIES or (path, method) == CONTENT_PART
]
"""Operations that can be called wrongly at all: a body, or a parameter that is not free text."""

# What a description cannot say: names of things that exist, and what only the platform can judge.
NOT_PROMISED = [schemathesis.checks.positive_data_acceptance]


def attack(described: Any, path: str, method: str, mode: GenerationMode) -> None:
    operation = described[path][method]

    @settings(max_examples=60, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def hold(case: schemathesis.Case) -> None:
        key = {"x-api-key": ADMIN[0]}
        for _ in range(20):
            response = case.call(timeout=60, headers=key)
            if response.status_code != 503:  # the store could not be asked in time
                break
        case.validate_response(response, excluded_checks=NOT_PROMISED, headers=key)

    hold()


@pytest.mark.parametrize(
    ("path", "method"), OPERATIONS, ids=[f"{method} {path}" for path, method in OPERATIONS]
)
def test_valid_requests_get_what_the_description_promises(described: Any, path: str, method: str) -> None:
    attack(described, path, method, GenerationMode.POSITIVE)


@pytest.mark.parametrize(
    ("path", "method"), HAS_INPUT, ids=[f"{method} {path}" for path, method in HAS_INPUT]
)
def test_invalid_requests_get_an_error_of_the_described_shape(described: Any, path: str, method: str) -> None:
    attack(described, path, method, GenerationMode.NEGATIVE)
