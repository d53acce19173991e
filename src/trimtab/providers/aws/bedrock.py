"""Amazon Bedrock: InvokeModel (its event stream becomes the vendor's), its Messages endpoint, called mantle, Converse.

What it is not: what Bedrock takes of a request (`catalogue/platforms.yaml`), or Converse's schema (`converse`).
Invariant: but for Converse, a body changes only where the address or a header of the vendor's API has its place in
Bedrock's body; every other byte stays.

Source: Amazon Bedrock API reference (2026-11); wire output of the vendor's SDK 2.11, which tests compare with.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from trimtab.catalogue import Catalogue, Platform
from trimtab.config import fail
from trimtab.errors import UpstreamBroken
from trimtab.messages import MessagesBody
from trimtab.providers.aws.betas import joined_betas
from trimtab.providers.aws.converse import Converse
from trimtab.providers.aws.credentials import open_credentials, region_of
from trimtab.providers.aws.event_stream import InvokeStream
from trimtab.providers.aws.operations import runtime_call
from trimtab.providers.aws.replies import REQUEST_IDS, error_reply, vendors_reply
from trimtab.providers.aws.settings import AwsSettings, own_ids
from trimtab.providers.aws.signing import SignedPlatform
from trimtab.providers.aws.sigv4 import Scope
from trimtab.providers.carried import version_member, without_model
from trimtab.providers.connecting import open_client, parse_target
from trimtab.providers.machine import Machine
from trimtab.providers.platform import Dialect, messages_content
from trimtab.providers.replies import JSON, named, request_id, value_of
from trimtab.providers.seam import Call, Headers, Reply
from trimtab.providers.translated import ErrorReply, Head, TranslatedReply

HTTP_OK = 200

InferenceProfile = Literal["us", "eu", "jp", "au", "apac", "global", ""]

OLD_VERSION = "bedrock-2023-05-31"
"""What Bedrock calls the API version 2023-06-01; later ones have the vendor's names."""

EVENT_STREAM = b"application/vnd.amazon.eventstream"


class BedrockSettings(AwsSettings, frozen=True, kw_only=True):
    """`[platforms.NAME]` with `kind = "bedrock"`."""

    endpoint: Literal["invoke", "mantle", "converse"] = "invoke"
    inference_profile: InferenceProfile | None = None
    """Stands before model ids on `invoke` and `converse`; "" is none. `None`: that of the region's part of the world,
    so that data stays there (`eu` in eu-west-1), or none where it has no such profile."""
    models: Mapping[str, str] = msgspec.field(default_factory=dict)
    """The operator's own ids or ARNs, by catalogue id; they are sent as they stand."""


class InvokeModel:
    """See `providers.platform.Dialect`."""

    def __init__(self, foundation: Mapping[str, str]) -> None:
        """`foundation` has the id of the bare model for each id that calls name: CountTokens takes no profile."""
        self._foundation = foundation

    def request(self, call: Call) -> Call:
        """See the seam. Raises `NotFound` for what is neither messages nor count_tokens."""
        counting = call.endpoint == "count_tokens"
        body = MessagesBody(messages_content(call, "Amazon Bedrock (InvokeModel)"), max_tokens_required=False)
        if counting:
            model, operation = self._foundation.get(call.model, call.model), "count-tokens"
            content = invoke_body(body, call.headers, _count_bound(body))
            content = msgspec.json.encode({"input": {"invokeModel": {"body": content}}})
        else:
            model = call.model
            operation = "invoke-with-response-stream" if call.stream else "invoke"
            content = invoke_body(body, call.headers)
        return runtime_call(call, model, operation, content)

    def reply(self, call: Call, reply: Reply) -> Reply:
        """See the seam."""
        headers = reply.headers
        if reply.status != HTTP_OK:
            return error_reply(reply)
        if call.endpoint == "count_tokens":
            return ErrorReply(reply, Head(HTTP_OK, named(headers, REQUEST_IDS, content_type=JSON)), _counted)
        if value_of(headers, b"content-type").lower().startswith(EVENT_STREAM):
            made = named(
                headers,
                REQUEST_IDS,
                without=(b"x-amzn-bedrock-content-type",),
                content_type=b"text/event-stream",
            )
            return TranslatedReply(
                reply, InvokeStream(request_id(headers, REQUEST_IDS).decode("latin-1")), made
            )
        reply.headers = named(headers, REQUEST_IDS)
        return reply


def invoke_body(body: MessagesBody, headers: Headers, more: Mapping[str, object] | None = None) -> bytes:
    """A body of the Messages API as InvokeModel takes it: no `model` and `stream`, version and betas in the body.

    What the caller wrote there of these two stays, as with the vendor's own client; betas are joined.
    """
    members = version_member(body, headers, OLD_VERSION)
    gone = {"stream"}
    betas = joined_betas(body, headers)
    if betas is not None:
        members["anthropic_beta"] = betas
        if "anthropic_beta" in body.fields:
            gone.add("anthropic_beta")
    return without_model(body, {**members, **(more or {})}, gone)


def _count_bound(body: MessagesBody) -> dict[str, int]:
    """The `max_tokens` that a body to be counted may lack, and InvokeModel's schema wants: over any thinking budget."""
    if "max_tokens" in body.fields:
        return {}
    budget = 0
    if body.thinking_type == "enabled":
        try:
            budget = _THINKING.decode(body.fields["thinking"]).budget_tokens
        except msgspec.DecodeError:
            pass  # the platform judges it
    return {"max_tokens": budget + 1}


def _counted(body: bytes) -> bytes:
    try:
        return msgspec.json.encode({"input_tokens": _COUNT.decode(body).tokens})
    except msgspec.DecodeError as problem:
        raise UpstreamBroken(f"the platform's count of tokens cannot be read: {problem}") from None


class _Thinking(msgspec.Struct):
    budget_tokens: int = 0


class _Count(msgspec.Struct):
    tokens: int = msgspec.field(name="inputTokens")


_THINKING = msgspec.json.Decoder(_Thinking)
_COUNT = msgspec.json.Decoder(_Count)


class Mantle:
    """Bedrock's Messages endpoint: the vendor's API but for a few headers. See `providers.platform.Dialect`."""

    def request(self, call: Call) -> Call:
        """See the seam. Raises `NotFound` for what is neither messages nor count_tokens."""
        content = messages_content(call, "Amazon Bedrock (Messages endpoint)")
        profile = value_of(call.headers, b"anthropic-user-profile-id")
        if profile:  # the endpoint reads it in the body only
            body = MessagesBody(content, max_tokens_required=False)
            if "user_profile_id" not in body.fields:
                content = body.changed({"user_profile_id": profile.decode("latin-1")})
        return msgspec.structs.replace(
            call,
            headers=[
                (name, value)
                for name, value in call.headers
                if name != b"anthropic-user-profile-id" and not name.startswith(b"x-amz-")
            ],
            body=content,
        )

    def reply(self, call: Call, reply: Reply) -> Reply:
        """See the seam."""
        return vendors_reply(reply)


class _Way(msgspec.Struct, frozen=True):
    """A way into Bedrock."""

    platform: Platform
    service: str
    """The signing name."""
    address: str
    bearer_variables: tuple[str, ...]
    """Where a bearer key may be, first found wins. Source: the vendor's SDK 2.11."""
    profiles: bool
    """Whether ids have inference profiles before them."""
    api_versions: tuple[str, ...] = ("2023-06-01", "2026-10-21")


_RUNTIME = "https://bedrock-runtime.{region}.amazonaws.com{cn}"

_WAYS = {
    "invoke": _Way("bedrock", "bedrock", _RUNTIME, ("AWS_BEARER_TOKEN_BEDROCK",), True),
    "mantle": _Way(
        "bedrock_mantle",
        "bedrock-mantle",
        "https://bedrock-mantle.{region}.api.aws/anthropic",
        ("AWS_BEARER_TOKEN_BEDROCK", "ANTHROPIC_AWS_API_KEY"),
        False,
    ),
    # Converse has no place for a version: its schema is its own, of the time of the first one.
    "converse": _Way(
        "bedrock_converse", "bedrock", _RUNTIME, ("AWS_BEARER_TOKEN_BEDROCK",), True, ("2023-06-01",)
    ),
}


def open_bedrock(
    name: str,
    settings: BedrockSettings,
    where: Callable[[str], str],
    catalogue: Catalogue,
    machine: Machine | None = None,
) -> SignedPlatform:
    """Build the provider; opens no connection yet. Raises `ConfigError` named by `where(key)`."""
    around = machine or Machine.here()
    way = _WAYS[settings.endpoint]
    own = own_ids(settings.models, catalogue, where)
    region = region_of(settings, where, around)
    profile = settings.inference_profile
    if profile and not way.profiles:
        fail(where("inference_profile"), profile, f"is not for endpoint = {settings.endpoint!r}; remove it")
    if profile is None:
        profile = home_profile(region)
    public = way.address.format(region=region, cn=".cn" if region.startswith("cn-") else "")
    target = parse_target(settings.base_url or public, where)
    scope = Scope(way.service, region)
    foundation: dict[str, str] = {}
    names: dict[str, str] = {}
    invoke = InvokeModel(foundation)
    dialect: Dialect = invoke
    if settings.endpoint == "mantle":
        dialect = Mantle()
    elif settings.endpoint == "converse":
        dialect = Converse(names, counting=invoke)
    platform = SignedPlatform(
        name,
        way.platform,
        client=open_client(target, settings, where),
        dialect=dialect,
        credentials=open_credentials(
            settings, where, around, scope, target, bearer_variables=way.bearer_variables
        ),
        api_versions=way.api_versions,
        ids=own,
        prefix=f"{profile}." if profile and way.profiles else "",
        regional=not (way.profiles and profile == "global" and all(map(_is_global, own.values()))),
        discount=settings.discount,
    )
    for model in catalogue.models:
        sent = platform.model_id(model)
        if sent is None:
            continue
        names[sent] = model.id
        if model.ids.bedrock is not None:
            foundation[sent] = model.ids.bedrock
    return platform


def _is_global(name: str) -> bool:
    """Whether the global endpoint serves this id of the operator's. Of an ARN without the word that is not known."""
    return name.startswith("global.") or "inference-profile/global." in name


def home_profile(region: str) -> InferenceProfile:
    """The inference profile that keeps data in a region's part of the world; "" where there is none.

    Source: vendor page on Amazon Bedrock, table of regions (2026-08).
    """
    if region.startswith("eu-"):
        return "eu"
    if region.startswith("us-") and not region.startswith("us-gov-"):
        return "us"
    known: dict[str, InferenceProfile] = {
        "ap-northeast-1": "jp",
        "ap-northeast-3": "jp",
        "ap-southeast-2": "au",
        "ap-southeast-4": "au",
        "ca-central-1": "us",
    }
    return known.get(region, "")
