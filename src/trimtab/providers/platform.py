"""A platform that serves Messages in a way of its own: another address, other credentials, another framing.

What it is not: the Claude API itself (`anthropic`), whose calls go out as they come, or a table of what a platform
takes (`catalogue.platforms`): by the time a call is here, the normaliser has made it one that the platform takes.
Invariant: bytes of the body that the platform's dialect has no reason to change reach it as they were.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Protocol

from trimtab.catalogue import Model, Platform
from trimtab.catalogue.pricing import NO_DISCOUNT
from trimtab.errors import NotFound, shortened
from trimtab.providers.http import HttpClient
from trimtab.providers.seam import Call, Reply
from trimtab.providers.translated import ErrorReply

HTTP_OK = 200

REFUSED = 401
"""What a platform says of credentials that it does not take, in the vendor's words; of signatures that are AWS's other
statuses (`aws.failures`)."""


class Dialect(Protocol):
    """How a platform wants a call said, and how its answer is read. Pure: no clock, no sockets, no secrets."""

    def request(self, call: Call) -> Call:
        """The call as the platform wants it: path, query, headers, body. Raises `RequestError` where it has no such
        operation."""
        ...

    def reply(self, call: Call, reply: Reply) -> Reply:
        """The platform's answer to a call (as it came, before `request`) in the framing and with the error bodies of
        the vendor's own API."""
        ...


def messages_content(call: Call, platform: str) -> bytes:
    """The body of a call that makes or counts messages. Raises `NotFound`, which names the platform, for any other."""
    if call.endpoint not in ("messages", "count_tokens") or not isinstance(call.body, bytes):
        raise NotFound(
            f"{call.method} {shortened(call.path)}: {platform} has no such operation; it has /v1/messages and "
            "/v1/messages/count_tokens"
        )
    return call.body


class Credentials(Protocol):
    """Who we are to a platform."""

    async def lines(self, call: Call) -> bytes:
        """Header lines, each ended by CR LF, that authenticate this call; signatures cover its body. Usually at once;
        waits where a token must be fetched first. Raises `UpstreamRefused`: nothing was sent."""
        ...

    def refused(self) -> None:
        """The platform did not take them: what can be fetched anew is, for the next call."""
        ...

    async def aclose(self) -> None:
        """Stop renewing."""
        ...


class HttpPlatform:
    """See `providers.seam.Provider`."""

    simulated = False

    def __init__(
        self,
        name: str,
        platform: Platform,
        *,
        client: HttpClient,
        dialect: Dialect,
        credentials: Credentials,
        api_versions: tuple[str, ...],
        ids: Mapping[str, str] | None = None,
        prefix: str = "",
        regional: bool = False,
        discount: Decimal = NO_DISCOUNT,
    ) -> None:
        """`ids` are the operator's own names of models, by catalogue id; `prefix` stands before the others.

        `regional` and `discount`: see the seam.
        """
        self.name = name
        self.platform: str = platform
        self.api_versions = api_versions
        self.regional = regional
        self.discount = discount
        self._client = client
        self._dialect = dialect
        self._credentials = credentials
        self._ids = ids or {}
        self._prefix = prefix

    def model_id(self, model: Model) -> str | None:
        """See `providers.seam.Provider.model_id`."""
        own = self._ids.get(model.id)
        if own is not None:
            return own
        name = model.platform_id(self.platform)
        return None if name is None else self._prefix + name

    async def send(self, call: Call) -> Reply:
        """Send one call. See `providers.seam.Provider.send`."""
        asked = self._dialect.request(call)
        lines = await self._credentials.lines(asked)
        reply = self._dialect.reply(call, await self._client.send(asked, lines))
        if reply.status != HTTP_OK:
            if isinstance(reply, ErrorReply):
                await reply.arrive()
            if reply.status == REFUSED:
                self._credentials.refused()
        return reply

    async def aclose(self) -> None:
        """Close pooled connections."""
        await self._credentials.aclose()
        await self._client.aclose()
