"""The HTTP surface: our own connections on asyncio and httptools, the vendor's paths and our own few.

What it is not: policy or money; those are the engine's. Invariant: bytes of requests and answers pass unchanged,
and every failure has the shape that the client's SDK expects.
"""

from trimtab.gateway.access import Access
from trimtab.gateway.application import Gateway
from trimtab.gateway.models import ModelList
from trimtab.gateway.once import Claims, Once
from trimtab.gateway.openapi import openapi_document
from trimtab.gateway.opinion import Opinion
from trimtab.gateway.server import GatewayServer, bind, held_signals
from trimtab.gateway.settings import MAX_WORKERS, Listen, ServerSettings, check_server
from trimtab.gateway.state import ServingState
from trimtab.gateway.surroundings import Surroundings
from trimtab.gateway.tape import Message, Piece

__all__ = [
    "MAX_WORKERS",
    "Access",
    "Claims",
    "Gateway",
    "GatewayServer",
    "Listen",
    "Message",
    "ModelList",
    "Once",
    "Opinion",
    "Piece",
    "ServerSettings",
    "ServingState",
    "Surroundings",
    "bind",
    "check_server",
    "held_signals",
    "openapi_document",
]
