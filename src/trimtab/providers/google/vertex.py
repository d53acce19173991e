"""Claude on Vertex AI: the vendor's API, with the model in the address and Google's tokens.

What it is not: what Vertex takes of a request (`catalogue/platforms.yaml`). Invariant: a body changes only where the
address or a header of the vendor's API has its place in Vertex's body; every other byte stays, of answers too.

Source: vendor page on Vertex AI (2026-11); wire output of the vendor's SDK 2.11, which tests compare with.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from urllib.parse import quote

import msgspec

from trimtab.catalogue import Catalogue
from trimtab.config import Secret, fail
from trimtab.errors import ConfigError, UpstreamRefused
from trimtab.messages import MessagesBody
from trimtab.providers.bearer import BearerTokens
from trimtab.providers.carried import version_member, without_model
from trimtab.providers.connecting import Connecting, ids_of, open_client, parse_target
from trimtab.providers.google.credentials import FindProject, find_credentials, project_around
from trimtab.providers.google.failures import vertex_reply
from trimtab.providers.http import HttpClient
from trimtab.providers.machine import Machine
from trimtab.providers.platform import Credentials, HttpPlatform, messages_content
from trimtab.providers.seam import Call, Reply

REGION_VARIABLE = "CLOUD_ML_REGION"
"""As the vendor's SDK 2.11 has it."""

OLD_VERSION = "vertex-2023-10-16"
"""What Vertex calls the API version 2023-06-01; later ones have the vendor's names."""

MAX_MODEL_ID = 255

_MODEL_ID = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@")
_REGION = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
_PROJECT = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-.:")


class VertexSettings(Connecting, frozen=True, kw_only=True):
    """`[platforms.NAME]` with `kind = "vertex"`."""

    project: str | None = None
    """`None`: that of the environment, else of the credentials."""
    region: str | None = None
    """`global`, `us`, `eu` or a region; `None`: `CLOUD_ML_REGION`."""
    credentials_file: str | None = None
    """A key or another file of Google's, in place of the usual places."""
    access_token: Secret | None = None
    """A token that something else renews."""
    base_url: str | None = None
    """A private endpoint, in place of the region's public one; without `/v1`."""
    models: Mapping[str, str] = msgspec.field(default_factory=dict)
    """The operator's own ids, by catalogue id; they are sent as they stand."""


class RawPredict:
    """See `providers.platform.Dialect`."""

    def __init__(self, project: str, region: str) -> None:
        place = f"/v1/projects/{quote(project, safe=':')}/locations/{region}"
        self._models = f"{place}/publishers/anthropic/models/"

    def request(self, call: Call) -> Call:
        """See the seam. Raises `NotFound` for what is neither messages nor count_tokens."""
        sent = messages_content(call, "Vertex AI")
        body = MessagesBody(sent, max_tokens_required=False)
        members = version_member(body, call.headers, OLD_VERSION)
        if call.endpoint == "count_tokens":  # one address for all models: this body keeps its own
            name, operation = "count-tokens", "rawPredict"
            content = body.changed(members) if members else sent
        else:
            name, operation = quote(call.model, safe="@"), "streamRawPredict" if call.stream else "rawPredict"
            content = without_model(body, members)
        return msgspec.structs.replace(
            call,
            path=f"{self._models}{name}:{operation}",
            query=b"",
            headers=[
                (name, value)
                for name, value in call.headers
                if name != b"anthropic-version" and not name.startswith(b"x-goog-")
            ],
            body=content,
        )

    def reply(self, call: Call, reply: Reply) -> Reply:
        """See the seam."""
        return vertex_reply(reply)


class Vertex(HttpPlatform):
    """A platform whose project may be known only by the machine's metadata, which the first call asks. See the seam."""

    def __init__(
        self,
        name: str,
        *,
        client: HttpClient,
        credentials: Credentials,
        ids: Mapping[str, str],
        region: str,
        project: str | None,
        find_project: FindProject | None,
        discount: Decimal,
    ) -> None:
        """One of `project` and `find_project` is there."""
        super().__init__(
            name,
            "vertex",
            client=client,
            dialect=RawPredict(project or "", region),
            credentials=credentials,
            api_versions=("2023-06-01", "2026-10-21"),
            ids=ids,
            regional=region != "global",
            discount=discount,
        )
        self._region = region
        self._find_project = find_project if project is None else None

    async def send(self, call: Call) -> Reply:
        """See the seam."""
        if self._find_project is not None:
            self._dialect.request(call)  # what Vertex does not have is refused without asking anybody
            # First, because where there are no credentials it says so at once, and not after a wait for each call.
            await self._credentials.lines(call)
            project = await self._find_project()
            try:
                self._dialect = RawPredict(_checked_project(project, "the machine's metadata"), self._region)
            except ConfigError as problem:
                raise UpstreamRefused(f"{problem}; set project") from None
            self._find_project = None
        return await super().send(call)


def open_vertex(
    name: str,
    settings: VertexSettings,
    where: Callable[[str], str],
    catalogue: Catalogue,
    machine: Machine | None = None,
) -> Vertex:
    """Build the provider; opens no connection yet. Raises `ConfigError` named by `where(key)`."""
    around = machine or Machine.here()
    region = _region(settings, where, around)
    if (settings.base_url or "").rstrip("/").endswith("/v1"):
        fail(where("base_url"), settings.base_url, "leave /v1 out; it is a part of each call's own path")
    own = ids_of(
        settings.models, catalogue, where, _is_model_id, "an id of Vertex AI, as 'claude-opus-4-5@20251101'"
    )
    found = find_credentials(settings.access_token, settings.credentials_file, where, around)
    project = settings.project
    if project is not None:
        _checked_project(project, where("project"))
    else:
        project = project_around(around) or found.project
        if project is not None:
            _checked_project(project, "the project of the environment or the credentials")
        elif found.find_project is None:
            raise ConfigError(
                where("project"),
                "missing, and neither the environment nor the credentials name one; set it to the project's id",
            )
    target = parse_target(settings.base_url or public_address(region), where)
    return Vertex(
        name,
        client=open_client(target, settings, where),
        credentials=BearerTokens(found.source),
        ids=own,
        region=region,
        project=project,
        find_project=found.find_project,
        discount=settings.discount,
    )


def public_address(region: str) -> str:
    """Where a region is served. Source: vendor's SDK 2.11."""
    if region == "global":
        return "https://aiplatform.googleapis.com"
    if region in ("us", "eu"):
        return f"https://aiplatform.{region}.rep.googleapis.com"
    return f"https://{region}-aiplatform.googleapis.com"


def _region(settings: VertexSettings, where: Callable[[str], str], machine: Machine) -> str:
    region, place = settings.region, where("region")
    if region is None:
        region = machine.environment.get(REGION_VARIABLE)
        if not region:
            raise ConfigError(
                place,
                f"missing; set it, as 'global' or 'europe-west1', or {REGION_VARIABLE} in the environment",
            )
        place = f"environment: {REGION_VARIABLE}"
    if not region or len(region) > 40 or not _REGION.issuperset(region):
        fail(place, region, "must be 'global', 'us', 'eu' or the name of a region, as 'europe-west1'")
    return region


def _checked_project(project: str, place: str) -> str:
    """The project. Raises `ConfigError` for what can be no part of an address."""
    if not project or len(project) > 100 or not _PROJECT.issuperset(project) or set(project) <= {"."}:
        fail(place, project, "must be the id or the number of a project, as 'my-project-123'")
    return project


def _is_model_id(name: str) -> bool:
    return 0 < len(name) <= MAX_MODEL_ID and _MODEL_ID.issuperset(name) and not set(name) <= {"."}
