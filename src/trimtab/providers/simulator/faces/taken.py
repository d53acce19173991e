"""What a platform takes of a request, checked against its profile in the catalogue, as the platform would check it.

What it is not: what the vendor's own API checks, which the core does for all platforms. Wording is made up but for
"invalid beta flag". Invariant: what `catalogue/platforms.yaml` says that a platform lacks is a 400 or 413 here.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from trimtab.catalogue.model import Model
from trimtab.catalogue.platforms import PlatformProfile
from trimtab.errors import NotFound, RequestError, RequestTooLarge
from trimtab.providers.simulator.checks.shapes import Raw

_WITH_SOURCE = ("image", "document")


def check_size(profile: PlatformProfile, body: bytes) -> None:
    """Raises `RequestTooLarge`."""
    limit = profile.max_request_bytes
    if limit is not None and len(body) > limit:
        raise RequestTooLarge(f"Request exceeds the maximum size of {limit} bytes")


def check_operation(profile: PlatformProfile, *, counting: bool) -> None:
    """Raises `NotFound` for an operation that the platform does not have."""
    if ("count_tokens" if counting else "messages") not in profile.endpoints:
        raise NotFound("Not found")


def check_taken(profile: PlatformProfile, raw: Raw, betas: Iterable[str], model: Model | None) -> None:
    """Raises `RequestError` for the first thing that the platform does not take, of this model where it is known."""
    known = profile.betas
    if known is not None and any(beta not in known for beta in betas):
        raise RequestError("invalid beta flag")
    for path in profile.no_fields:
        if _stands(raw, path.split(".")):
            raise RequestError(f"{path}: Extra inputs are not permitted")
    if model is not None:
        _check_output(profile, raw.get("output_config"), model)
    tools = raw.get("tools")
    for index, tool in enumerate(tools if isinstance(tools, list) else ()):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if isinstance(kind, str) and kind.startswith(profile.no_tools):
            raise RequestError(f"tools.{index}.type: {kind!r:.80} is not supported")
    for where, source in _sources(raw):
        _check_source(profile, where, source)


def _check_output(profile: PlatformProfile, output: object, model: Model) -> None:
    if not isinstance(output, dict):
        return
    having = profile.structured_outputs
    if having is not None and model.id not in having and output.get("format") is not None:
        raise RequestError(f"output_config.format: structured outputs are not supported for {model.id}")
    levels = profile.efforts.get(model.id)
    if levels is not None and output.get("effort") is not None and output["effort"] not in levels:
        raise RequestError(f"output_config.effort: {output['effort']!r:.40} is not supported for {model.id}")


def _check_source(profile: PlatformProfile, where: str, source: Raw) -> None:
    kind = source.get("type")
    if profile.sources is not None and kind not in profile.sources:
        allowed = ", ".join(profile.sources)
        raise RequestError(
            f"{where}.source.type: {kind!r:.40} sources are not supported; use one of {allowed}"
        )
    data = source.get("data")
    limit = profile.max_image_bytes
    if (
        limit is not None
        and kind == "base64"
        and "image" in where
        and isinstance(data, str)
        and len(data) > limit
    ):
        raise RequestError(f"{where}.source.base64: image exceeds {limit} bytes")


def _stands(raw: object, path: list[str]) -> bool:
    for name in path:
        if not isinstance(raw, dict) or raw.get(name) is None:
            return False
        raw = raw[name]
    return True


def _sources(raw: Raw) -> Iterator[tuple[str, dict[str, Any]]]:
    messages = raw.get("messages")
    for index, message in enumerate(messages if isinstance(messages, list) else ()):
        if isinstance(message, dict):
            yield from _in_blocks(message.get("content"), f"messages.{index}.content")
    yield from _in_blocks(raw.get("system"), "system")


def _in_blocks(blocks: object, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for index, block in enumerate(blocks if isinstance(blocks, list) else ()):
        if not isinstance(block, dict):
            continue
        kind = block.get("type")
        if kind in _WITH_SOURCE and isinstance(block.get("source"), dict):
            yield f"{where}.{index}.{kind}", block["source"]
        elif kind == "tool_result":  # one level: a result holds no results
            yield from _in_blocks(block.get("content"), f"{where}.{index}.content")
