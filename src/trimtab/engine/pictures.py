"""What the engine needs of whoever prepares the images of a request, and changes its answer to match.

What it is not: that (`vision`). Invariant: a request for which nothing is wanted costs a comparison or two.
"""

from collections.abc import Iterable, Mapping
from typing import Protocol

from trimtab.catalogue import Model
from trimtab.messages import MessagesBody

IMAGE_HEADERS = ("x-trimtab-images", "x-trimtab-coordinates")


class StreamChange(Protocol):
    """Changes one event stream on its way to the client."""

    def feed(self, chunk: bytes) -> bytes:
        """What goes on; may be empty. Raises `UpstreamBroken` for what cannot be held."""
        ...

    def rest(self) -> bytes:
        """What is left at the proper end."""
        ...


class AnswerChange(Protocol):
    """Changes the answer of one request, of whichever attempt it is."""

    def whole(self, body: bytes) -> bytes:
        """A JSON answer."""
        ...

    def stream(self) -> StreamChange:
        """For one event stream."""
        ...


class PreparedImages(Protocol):
    """What became of a request."""

    @property
    def body(self) -> MessagesBody: ...
    @property
    def adaptations(self) -> tuple[str, ...]: ...
    @property
    def observations(self) -> tuple[str, ...]: ...
    @property
    def back(self) -> AnswerChange | None: ...


class PrepareImages(Protocol):
    """Measures and resizes the images of requests."""

    def wanted(self, own: Mapping[str, str], body: MessagesBody) -> bool:
        """Whether it has anything to do for this request."""
        ...

    async def prepare(
        self,
        body: MessagesBody,
        own: Mapping[str, str],
        model: Model,
        platforms: Iterable[str],
        tier: str | None,
        route: str,
    ) -> PreparedImages | None:
        """The request as it goes to any of these platforms; `None`: no policy holds for it.

        Waits. Raises `RequestError`.
        """
        ...
