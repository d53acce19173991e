"""Every platform, asked by the official SDK through a whole server that is pointed at `trimtab simulate`."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from sdk_programs import E2E, python_of, run_program
from simulate_program import simulating

AWS = 'region = "eu-west-1"\naccess_key_id = "env:THE_ID"\nsecret_access_key = "env:THE_KEY"\n'
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


class Place(NamedTuple):
    """A kind of platform, as an operator has it."""

    platform: str
    config: str
    model: str
    """What the platform calls Opus 4.7."""
    premium: float = 1.0
    """What a regional endpoint costs, as a factor."""


PLACES = [
    Place("anthropic", 'kind = "anthropic"\napi_key = "env:THE_KEY"\n', "claude-opus-4-7"),
    Place(
        "anthropic_on_aws",
        f'kind = "anthropic_on_aws"\nworkspace = "wrkspc_1"\n{AWS}',
        "claude-opus-4-7",
    ),
    Place("bedrock", f'kind = "bedrock"\n{AWS}', "eu.anthropic.claude-opus-4-7", 1.1),
    Place(
        "bedrock_converse",
        f'kind = "bedrock"\nendpoint = "converse"\n{AWS}',
        "eu.anthropic.claude-opus-4-7",
        1.1,
    ),
    Place(
        "bedrock_mantle", f'kind = "bedrock"\nendpoint = "mantle"\n{AWS}', "anthropic.claude-opus-4-7", 1.1
    ),
    Place(
        "vertex",
        'kind = "vertex"\nproject = "my-project"\nregion = "europe-west1"\naccess_token = "env:THE_KEY"\n',
        "claude-opus-4-7",
        1.1,
    ),
    Place("foundry", 'kind = "foundry"\napi_key = "env:THE_KEY"\n', "claude-opus-4-7"),
]


@pytest.fixture(scope="module", params=PLACES, ids=lambda place: place.platform)
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.param
    return found


@pytest.fixture(scope="module")
def address(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL that `trimtab simulate --platform` says."""
    with simulating(
        tmp_path_factory.mktemp("simulate"),
        "--platform",
        place.platform,
        "--aws-key",
        f"AKIDEXAMPLE:{SECRET}",
        lines=2,
    ) as address:
        yield address


def test_the_sdk_is_answered_and_the_record_says_where_and_at_what_price(
    place: Place, address: str, serve: Callable[..., Any]
) -> None:
    server = serve(
        f'[platforms.there]\nbase_url = "{address}"\n{place.config}', THE_ID="AKIDEXAMPLE", THE_KEY=SECRET
    )
    said = run_program(python_of("2.11"), E2E / "platforms.py", server.url, server.folder, server.log)
    assert "391" in said["plain"]["text"]
    assert said["plain"]["model"] == "claude-opus-4-7"
    assert said["streamed"]["blocks"] == ["thinking", "text"]
    assert said["same"]
    assert said["called"]["blocks"] == ["tool_use"]
    assert said["tokens"] > 0
    assert said["headers"]["x-trimtab-simulated"] == "true"
    record = server.record(said["headers"]["x-trimtab-request"])
    [attempt] = record["attempts"]
    assert record["simulated"] is True
    assert (attempt["platform"], attempt["model"]) == ("there", place.model)
    usage = said["plain"]["usage"]
    # Opus 4.7: $5 and $25 per million tokens.
    expected = round((usage["input_tokens"] * 5_000 + usage["output_tokens"] * 25_000) * place.premium)
    assert record["cost_nanousd"] == expected
    assert attempt["cost_source"] == "reported"
