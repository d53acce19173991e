"""The door to all faces: tells by path and headers which platform a request is for, and has its face answer.

What it is not: a face. The vendor's own API needs none: what is no platform's goes to the core as it came.
Invariant: `handle` never raises.
"""

import time
from collections.abc import Callable, Mapping

from trimtab.catalogue import Catalogue
from trimtab.catalogue.model import Platform
from trimtab.catalogue.platforms import PlatformProfile, load_platforms
from trimtab.errors import NotFound, RequestError
from trimtab.providers.seam import Headers
from trimtab.providers.simulator.core import Simulator
from trimtab.providers.simulator.errors import Failure
from trimtab.providers.simulator.faces.bedrock import BedrockFace
from trimtab.providers.simulator.faces.chat import ChatFace
from trimtab.providers.simulator.faces.claude_on_aws import ClaudeOnAwsFace
from trimtab.providers.simulator.faces.converse import ConverseFace
from trimtab.providers.simulator.faces.face import Asked, Face, FaceOptions, PlatformRefusal
from trimtab.providers.simulator.faces.foundry import FoundryFace
from trimtab.providers.simulator.faces.issuers import ISSUERS, issued_answer
from trimtab.providers.simulator.faces.mantle import MantleFace
from trimtab.providers.simulator.faces.vertex import VertexFace
from trimtab.providers.simulator.response import SimResponse

_FACES = (ConverseFace, BedrockFace, MantleFace, ClaudeOnAwsFace, VertexFace, FoundryFace, ChatFace)
"""In the order in which they are asked whether a request is theirs."""

BASE_PATHS: Mapping[str, str] = {"bedrock_mantle": "/anthropic", "foundry": "/anthropic", "openai": "/v1"}
"""What a `base_url` of each platform has behind its host; others nothing."""

FACES: tuple[Platform, ...] = ("anthropic", *(face.platform for face in _FACES))


class Front:
    """A simulator with the faces of all platforms, or of one."""

    def __init__(
        self,
        simulator: Simulator,
        catalogue: Catalogue,
        options: FaceOptions | None = None,
        *,
        only: Platform | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`only` is the one platform that answers, whatever the headers. `clock` gives Unix seconds. Raises
        `ValueError` for an option that cannot be."""
        profiles = load_platforms()
        options = options or FaceOptions()
        self._simulator = simulator
        self._only = only
        self._clock = clock
        self._faces: list[Face] = [
            face(catalogue, profiles.get(face.platform, _EVERYTHING), options)
            for face in _FACES
            if only in (None, face.platform)
        ]
        self._issuers = [issuer(options) for issuer in ISSUERS if only is None or only in issuer.platforms]

    def handle(self, method: str, target: str, query: bytes, headers: Headers, body: bytes) -> SimResponse:
        """Answer one request; `target` is the path as it came, percent-encoded."""
        asked = Asked(method, target, query, headers, body, self._clock())
        issuer = next((issuer for issuer in self._issuers if issuer.takes(asked)), None)
        if issuer is not None:
            return issued_answer(issuer, asked, self._simulator)
        face = self._face(asked)
        if face is None:
            if self._only in (None, "anthropic"):
                return self._simulator.handle(method, target, query, headers, body)
            return self._simulator.refused(NotFound(f"{asked.path:.200} is no address of this platform"))
        try:
            wanted = face.request(asked)
        except PlatformRefusal as refusal:
            return refusal.answer
        except (RequestError, Failure, RecursionError) as problem:
            return face.reply(asked, self._simulator.refused(problem))
        return face.reply(
            asked,
            self._simulator.handle(wanted.method, wanted.path, wanted.query, wanted.headers, wanted.body),
        )

    def _face(self, asked: Asked) -> Face | None:
        if self._only is not None:
            return self._faces[0] if self._faces else None
        return next((face for face in self._faces if face.takes(asked)), None)


_EVERYTHING = PlatformProfile(name="not described yet", source="none")
