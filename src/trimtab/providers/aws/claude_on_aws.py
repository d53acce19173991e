"""Claude Platform on AWS: the vendor's API behind AWS's authentication; bodies go through untouched.

What it is not: Bedrock. Every path and beta of the vendor's API goes here. Invariant: the workspace is the operator's,
never one that a caller names.

Source: vendor page on Claude Platform on AWS (2026-11); wire output of the vendor's SDK 2.11, which tests compare with.
"""

from collections.abc import Callable

import msgspec

from trimtab.config import fail
from trimtab.errors import ConfigError
from trimtab.providers.aws.credentials import open_credentials, region_of
from trimtab.providers.aws.replies import vendors_reply
from trimtab.providers.aws.settings import AwsSettings
from trimtab.providers.aws.signing import SignedPlatform
from trimtab.providers.aws.sigv4 import Scope
from trimtab.providers.connecting import open_client, parse_target
from trimtab.providers.machine import Machine
from trimtab.providers.seam import Call, Reply

SERVICE = "aws-external-anthropic"
KEY_VARIABLES = ("ANTHROPIC_AWS_API_KEY",)
WORKSPACE_VARIABLE = "ANTHROPIC_AWS_WORKSPACE_ID"

WORKSPACE = b"anthropic-workspace-id"


class ClaudeOnAwsSettings(AwsSettings, frozen=True, kw_only=True):
    """`[platforms.NAME]` with `kind = "anthropic_on_aws"`."""

    workspace: str | None = None
    """The workspace's id (`wrkspc_...`); `None`: `ANTHROPIC_AWS_WORKSPACE_ID`."""


class ClaudeOnAws:
    """See `providers.platform.Dialect`."""

    def __init__(self, workspace: str) -> None:
        self._workspace = (WORKSPACE, workspace.encode("ascii"))

    def request(self, call: Call) -> Call:
        """See the seam."""
        headers = [
            (name, value)
            for name, value in call.headers
            if name != WORKSPACE and not name.startswith(b"x-amz-")
        ]
        return msgspec.structs.replace(call, headers=[*headers, self._workspace])

    def reply(self, call: Call, reply: Reply) -> Reply:
        """See the seam."""
        return vendors_reply(reply)


def open_claude_on_aws(
    name: str,
    settings: ClaudeOnAwsSettings,
    where: Callable[[str], str],
    machine: Machine | None = None,
) -> SignedPlatform:
    """Build the provider; opens no connection yet. Raises `ConfigError` named by `where(key)`."""
    around = machine or Machine.here()
    workspace = settings.workspace or around.environment.get(WORKSPACE_VARIABLE, "")
    if not workspace:
        raise ConfigError(
            where("workspace"),
            f"missing; set it to the workspace's id (wrkspc_...), or {WORKSPACE_VARIABLE} in the environment",
        )
    if not workspace.isascii() or not workspace.isprintable() or " " in workspace:
        fail(where("workspace"), workspace, "must be the id of a workspace, as 'wrkspc_01AbCdEf23GhIj'")
    region = region_of(settings, where, around)
    target = parse_target(settings.base_url or f"https://{SERVICE}.{region}.api.aws", where)
    return SignedPlatform(
        name,
        "anthropic_on_aws",
        client=open_client(target, settings, where),
        dialect=ClaudeOnAws(workspace),
        credentials=open_credentials(
            settings, where, around, Scope(SERVICE, region), target, bearer_variables=KEY_VARIABLES
        ),
        api_versions=("2023-06-01", "2026-10-21"),
        discount=settings.discount,
    )
