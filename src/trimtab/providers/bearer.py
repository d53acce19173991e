"""Bearer keys and tokens: what they are, and the header that carries them.

What it is not: where they come from, which each vendor has its own of, or when they are renewed (`renewing`).
Invariant: a token is shown in no message, whatever it is printed by.
"""

import msgspec

from trimtab.errors import UpstreamRefused
from trimtab.providers.renewing import Source
from trimtab.providers.seam import Call


class Token(msgspec.Struct, frozen=True):
    """A bearer token."""

    value: str
    expires: float | None = None
    """Unix seconds; `None`: it does not end by itself."""

    def __repr__(self) -> str:
        return "Token(***)"


def granted(answer: dict[str, object], now_s: float, what: str) -> Token:
    """The token in an answer of an OAuth 2.0 service. Raises `UpstreamRefused`, `what` first.

    Source: RFC 6749 section 5.1; `expires_in` may be a number in quotes, and `expires_on` (Azure) is Unix seconds.
    """
    value = answer.get("access_token")
    if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable():
        raise UpstreamRefused(f"{what}: the answer holds no access token that a header can carry")
    for name, since in (("expires_on", 0.0), ("expires_in", now_s)):
        if (until := answer.get(name)) is None:
            continue
        try:
            seconds = float(str(until))
        except ValueError:
            seconds = float("nan")
        if not 0 <= seconds < 1e11:
            raise UpstreamRefused(f"{what}: {name} of the answer is not a number of seconds")
        return Token(value, since + seconds)
    return Token(value, now_s + UNSAID_S)


UNSAID_S = 300.0
"""How long a token is used whose answer does not say how long it is good for; those of Google and Azure are for an
hour."""


class BearerTokens:
    """See `providers.platform.Credentials`."""

    def __init__(self, source: Source[Token]) -> None:
        self._source = source
        self._token: Token | None = None
        self._lines = b""

    async def lines(self, call: Call) -> bytes:
        """See the seam."""
        token = self._source.ready()
        if token is None:
            token = await self._source.keys()
        if token is not self._token:
            self._lines = b"authorization: Bearer %b\r\n" % token.value.encode("ascii")
            self._token = token
        return self._lines

    def refused(self) -> None:
        """See the seam."""
        self._source.refused()

    async def aclose(self) -> None:
        """See the seam."""
        await self._source.aclose()


class BearerKey:
    """See `providers.platform.Credentials`."""

    def __init__(self, key: str) -> None:
        self._lines = b"authorization: Bearer %b\r\n" % key.encode("ascii")

    async def lines(self, call: Call) -> bytes:
        """See the seam."""
        return self._lines

    def refused(self) -> None:
        """See the seam."""

    async def aclose(self) -> None:
        """See the seam."""
