"""`kind = "openai"`: the address and the credentials of a server of the OpenAI API; bodies go through untouched.

What it is not: what such a server takes of a request, which each says itself. Invariant: a caller's choice of an
account (organisation, project) never goes out beside the operator's key.

Source: OpenAI API reference, authentication (2026-11); servers' own pages on the address: vLLM and llama.cpp serve
`/v1`, Ollama serves `/v1` beside its own API. Tests use servers of our own: none of these could be run here.
"""

from collections.abc import Callable, Mapping

import msgspec

from trimtab.catalogue import Catalogue
from trimtab.config import fail
from trimtab.errors import ConfigError, NotFound, shortened
from trimtab.providers.connecting import ids_of, open_client, parse_target
from trimtab.providers.key_pool import Keyed
from trimtab.providers.platform import HttpPlatform
from trimtab.providers.seam import Call, Reply

MAX_NAME = 256
"""Characters of a server's own name of a model, such as a path of a file of weights."""

_ACCOUNTS = (b"openai-organization", b"openai-project")
_VENDORS = (b"anthropic-",)


class OpenAISettings(Keyed, frozen=True, kw_only=True):
    """`[platforms.NAME]` with `kind = "openai"`. Without a key the server asks for none."""

    base_url: str
    """As its clients write it, with the version: `https://api.openai.com/v1`, `http://127.0.0.1:8000/v1`."""
    models: Mapping[str, str]
    """The server's own names of models, by catalogue id. Only these are served."""
    organization: str | None = None
    project: str | None = None
    reasoning_effort: bool = True
    """Whether the server takes that field for the models whose catalogue rows have effort levels. Where not, an effort
    that is not the client's own is said in words."""


class OpenAI:
    """See `providers.platform.Dialect`."""

    def request(self, call: Call) -> Call:
        """See the seam. Raises `NotFound` for all but chat completions and the list of models."""
        listing = call.method == "GET" and call.path == "/v1/models"
        if call.endpoint != "chat" and not listing:
            raise NotFound(
                f"{call.method} {shortened(call.path)}: a platform of kind 'openai' has no such operation; send it to "
                "another platform"
            )
        kept = [
            (name, value)
            for name, value in call.headers
            if name not in _ACCOUNTS and not name.startswith(_VENDORS)
        ]
        if listing:
            return msgspec.structs.replace(call, path="/models", query=b"", headers=kept)
        return msgspec.structs.replace(call, path="/chat/completions", headers=kept)

    def reply(self, call: Call, reply: Reply) -> Reply:
        """See the seam."""
        return reply


class OpenAIKey:
    """See `providers.platform.Credentials`."""

    def __init__(self, settings: OpenAISettings) -> None:
        lines = b""
        if settings.api_key is not None:
            lines += b"authorization: Bearer %b\r\n" % settings.api_key.reveal().encode("ascii")
        for name, value in (
            (b"openai-organization", settings.organization),
            (b"openai-project", settings.project),
        ):
            if value is not None:
                lines += b"%b: %b\r\n" % (name, value.encode("ascii"))
        self._lines = lines

    async def lines(self, call: Call) -> bytes:
        """See the seam."""
        return self._lines

    def refused(self) -> None:
        """See the seam."""

    async def aclose(self) -> None:
        """See the seam."""


def open_openai(
    name: str, settings: OpenAISettings, where: Callable[[str], str], catalogue: Catalogue
) -> HttpPlatform:
    """Build the provider; opens no connection yet. Raises `ConfigError` named by `where(key)`."""
    if not settings.models:
        raise ConfigError(
            where("models"), 'is empty; name each model that it serves, as {"qwen3-32b" = "Qwen/Qwen3-32B"}'
        )
    for model in settings.models:
        if catalogue.find(model) is None:
            fail(
                where("models"),
                model,
                "is no model of the catalogue; add it, with its prices, to the overlay that catalogue.overlay names",
            )
    own = ids_of(settings.models, catalogue, where, _is_name, f"1 to {MAX_NAME} printable characters")
    for key in ("organization", "project"):
        value: str | None = getattr(settings, key)
        if value is not None and not _is_header_value(value):
            fail(where(key), value, f"must be 1 to {MAX_NAME} plain ASCII characters without spaces")
    return HttpPlatform(
        name,
        "openai",
        client=open_client(parse_target(settings.base_url, where), settings, where),
        dialect=OpenAI(),
        credentials=OpenAIKey(settings),
        api_versions=("2023-06-01",),  # nobody is told; the headers of the vendor's API do not go out
        ids=own,
        discount=settings.discount,
    )


def _is_name(name: str) -> bool:
    return 0 < len(name) <= MAX_NAME and name.isprintable()


def _is_header_value(value: str) -> bool:
    return 0 < len(value) <= MAX_NAME and value.isascii() and value.isprintable() and " " not in value
