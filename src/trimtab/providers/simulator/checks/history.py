"""Messages: roles, blocks, images, thinking signatures, and tool calls with their results.

Source: anthropic SDK 2.11.0 `types/content_block_param.py`; vendor pages on vision, tool use, extended thinking and
prompt caching (2026-11); public error reports for the wording of messages.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from trimtab.catalogue.model import Model
from trimtab.errors import RequestError
from trimtab.messages.images import ImageHead, image_head
from trimtab.providers.simulator.checks.params import NO_SAMPLING_VERSION, ThinkingPlan
from trimtab.providers.simulator.checks.shapes import (
    Raw,
    as_choice,
    as_list,
    as_object,
    as_text,
    needed,
    only,
    refuse,
    tag,
)
from trimtab.providers.simulator.signatures import Signer

MAX_MESSAGES = 100_000
MAX_BLOCKS = 200_000
"""Of all messages. A walk over so many takes a second and a half; nobody sends a tenth of it."""
_MANY_IMAGES = 20
_MANY_IMAGES_PX = 2000
_MAX_IMAGE_PX = 8000
_MAX_IMAGE_BASE64 = 10 * 1024 * 1024
_MAX_BREAKPOINTS = 4
_MEDIA_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")

_KEYS: dict[str, tuple[str, ...]] = {
    "text": ("type", "text", "cache_control", "citations"),
    "image": ("type", "source", "cache_control"),
    "document": ("type", "source", "title", "context", "citations", "cache_control"),
    "search_result": ("type", "source", "title", "content", "citations", "cache_control"),
    "tool_use": ("type", "id", "name", "input", "cache_control", "caller", "toolset_name"),
    "tool_result": ("type", "tool_use_id", "content", "is_error", "cache_control", "toolset_name"),
    "thinking": ("type", "thinking", "signature"),
    "redacted_thinking": ("type", "data"),
}
_PASSED_THROUGH = (
    "server_tool_use", "web_search_tool_result", "web_fetch_tool_result", "code_execution_tool_result",
    "bash_code_execution_tool_result", "text_editor_code_execution_tool_result", "tool_search_tool_result",
    "container_upload", "mcp_tool_use", "mcp_tool_result", "mcp_tool_listing", "compaction",
    "advisor_tool_result", "fallback", "tool_reference",
)  # fmt: skip
"""Blocks of features that are not simulated: accepted in a history, with only their type looked at."""

_KNOWN = frozenset(_KEYS) | frozenset(_PASSED_THROUGH)
_USER_ONLY = frozenset({"image", "tool_result", "search_result"})
_ASSISTANT_ONLY = frozenset({"tool_use", "thinking", "redacted_thinking", "server_tool_use"})


class History(msgspec.Struct):
    """What the walk over the messages found."""

    images: list[ImageHead | None]
    """In order; `None` where the size is unknown (URL and file sources)."""
    citations: bool = False
    breakpoints: int = 0
    last_ttl_5m: bool = False


class HistoryCheck:
    """One walk over system, tools' cache marks and messages of one request."""

    def __init__(self, model: Model, version: str, thinking: ThinkingPlan, signer: Signer) -> None:
        self._model = model
        self._version = version
        self._thinking = thinking
        self._signer = signer
        self.found = History([])
        self._checks: dict[str, Callable[[Raw, str, str], None]] = {
            "text": self._text,
            "image": self._image,
            "document": self._document,
            "tool_use": self._tool_use,
            "tool_result": self._tool_result,
            "thinking": self._thinking_block,
            "redacted_thinking": self._redacted,
        }

    def check(self, raw: Raw) -> list[Raw]:
        """Refuse what the vendor refuses; returns the messages."""
        for index, value in enumerate(raw.get("tools") or []):
            self._cache_mark(value, f"tools.{index}")
        if raw.get("system") is not None:
            self._system(raw["system"])
        messages = as_list(needed(raw, "messages", ""), "messages")
        if not messages:
            raise RequestError("messages: at least one message is required")
        if len(messages) > MAX_MESSAGES:
            raise refuse("messages", f"List should have at most {MAX_MESSAGES} items")
        blocks = 0
        for message in messages:
            content = message.get("content") if isinstance(message, dict) else None
            blocks += len(content) if isinstance(content, list) else 0
        if blocks > MAX_BLOCKS:
            raise refuse("messages", f"should have at most {MAX_BLOCKS} content blocks")
        for index, value in enumerate(messages):
            self._message(value, f"messages.{index}", last=index == len(messages) - 1)
        if messages[0]["role"] == "assistant":
            raise RequestError('messages: first message must use the "user" role')
        self._many_images()
        if raw.get("cache_control") is not None:
            self._cache_mark(raw, "")
        check_pairs(messages)
        check_ending(messages, self._model, self._thinking)
        return messages

    def _system(self, value: object) -> None:
        if isinstance(value, str):
            return
        for index, block in enumerate(as_list(value, "system")):
            at = f"system.{index}"
            _, text = tag(block, at, ("text",))
            only(text, _KEYS["text"], at)
            as_text(needed(text, "text", at), f"{at}.text")
            self._cache_mark(text, at)

    def _message(self, value: object, at: str, *, last: bool) -> None:
        message = as_object(value, at)
        only(message, ("role", "content"), at)
        role = needed(message, "role", at)
        if role == "system" and self._model.features.mid_conversation_system not in ("accepted", "ignored"):
            raise RequestError(
                'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, '
                'not "system" as an input message role.'
            )
        as_choice(role, f"{at}.role", ("user", "assistant", "system"))
        content = needed(message, "content", at)
        if not content and isinstance(content, str | list):
            if not (last and role == "assistant"):
                raise RequestError(
                    f"{at}: all messages must have non-empty content except for the optional final assistant message"
                )
            return
        if isinstance(content, str):
            return
        for index, block in enumerate(as_list(content, f"{at}.content")):
            self._block(block, f"{at}.content.{index}", role)

    def _block(self, value: object, at: str, role: str) -> None:
        kind, block = tag(value, at, _KNOWN)
        if kind in _USER_ONLY and role != "user":
            raise refuse(at, f"`{kind}` blocks can only be in `user` messages")
        if kind in _ASSISTANT_ONLY and role != "assistant":
            raise refuse(at, f"`{kind}` blocks can only be in `assistant` messages")
        if role == "system" and kind != "text":
            raise refuse(at, "`system` messages can only hold text")
        if (keys := _KEYS.get(kind)) is not None:
            only(block, keys, f"{at}.{kind}")
        self._cache_mark(block, f"{at}.{kind}")
        if (check := self._checks.get(kind)) is not None:
            check(block, f"{at}.{kind}", role)

    def _text(self, block: Raw, at: str, role: str) -> None:
        if not as_text(needed(block, "text", at), f"{at}.text"):
            raise RequestError("messages: text content blocks must be non-empty")
        if block.get("citations"):
            if role == "user" and self._version == NO_SAMPLING_VERSION:
                raise refuse(f"{at}.citations", "must be empty on user text blocks on this anthropic-version")
            as_list(block["citations"], f"{at}.citations")

    def _image(self, block: Raw, at: str, _role: str) -> None:
        at = f"{at}.source"
        kind, source = tag(needed(block, "source", at), at, ("base64", "url", "file"))
        if kind != "base64":
            key = "url" if kind == "url" else "file_id"
            as_text(needed(source, key, f"{at}.{kind}"), f"{at}.{kind}.{key}")
            self.found.images.append(None)
            return
        at = f"{at}.base64"
        media_type = as_choice(needed(source, "media_type", at), f"{at}.media_type", _MEDIA_TYPES)
        data = as_text(needed(source, "data", at), f"{at}.data")
        if len(data) > _MAX_IMAGE_BASE64:
            raise refuse(at, f"image exceeds 10 MB maximum: {len(data)} bytes > {_MAX_IMAGE_BASE64} bytes")
        head = image_head(data)
        if head is None:
            raise RequestError("Could not process image")
        if head.media_type != media_type:
            raise refuse(
                at,
                f"The image was specified using the {media_type} media type, but the image appears to be a "
                f"{head.media_type} image",
            )
        if max(head.width, head.height) > _MAX_IMAGE_PX:
            raise refuse(
                at, f"At least one of the image dimensions exceed max allowed size: {_MAX_IMAGE_PX} pixels"
            )
        self.found.images.append(head)

    def _document(self, block: Raw, at: str, role: str) -> None:
        if role == "assistant" and self._version == NO_SAMPLING_VERSION:
            raise refuse(
                at, "document blocks are not permitted in assistant messages on this anthropic-version"
            )
        tag(needed(block, "source", at), f"{at}.source", ("base64", "text", "content", "url", "file"))
        if (citations := block.get("citations")) is not None:
            self.found.citations |= bool(as_object(citations, f"{at}.citations").get("enabled"))

    def _tool_use(self, block: Raw, at: str, _role: str) -> None:
        as_text(needed(block, "id", at), f"{at}.id")
        as_text(needed(block, "name", at), f"{at}.name")
        as_object(needed(block, "input", at), f"{at}.input")

    def _tool_result(self, block: Raw, at: str, role: str) -> None:
        as_text(needed(block, "tool_use_id", at), f"{at}.tool_use_id")
        content = block.get("content")
        if content is None or isinstance(content, str):
            return
        for index, inner in enumerate(as_list(content, f"{at}.content")):
            kinds = ("text", "image", "document", "search_result", "tool_reference")
            kind, value = tag(inner, f"{at}.content.{index}", kinds)
            if kind in self._checks:
                self._checks[kind](value, f"{at}.content.{index}.{kind}", role)

    def _thinking_block(self, block: Raw, at: str, _role: str) -> None:
        thinking = as_text(needed(block, "thinking", at), f"{at}.thinking")
        signature = as_text(needed(block, "signature", at), f"{at}.signature")
        place = at.rpartition(".")[0]
        match self._signer.verify(self._model.id, thinking, signature):
            case "invalid":
                raise refuse(place, "Invalid `signature` in `thinking` block")
            case "edited":
                raise refuse(
                    place,
                    "`thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified. "
                    "These blocks must remain as they were in the original response.",
                )
            case "other_model" if (
                self._model.features.binds_thinking_blocks == "all_accounts"
                and not self._thinking.drop_unbound
            ):
                raise refuse(
                    place, "Invalid `signature` in `thinking` block. The block is bound to a different model."
                )

    def _redacted(self, block: Raw, at: str, _role: str) -> None:
        if not as_text(needed(block, "data", at), f"{at}.data"):
            raise refuse(at.rpartition(".")[0], "Invalid `data` in `redacted_thinking` block")

    def _cache_mark(self, block: object, at: str) -> None:
        mark = block.get("cache_control") if isinstance(block, dict) else None
        if mark is None:
            return
        at = f"{at}.cache_control" if at else "cache_control"
        _, value = tag(mark, at, ("ephemeral",))
        only(value, ("type", "ttl"), at)
        ttl = as_choice(value.get("ttl") or "5m", f"{at}.ttl", ("5m", "1h"))
        if ttl == "1h" and self.found.last_ttl_5m:
            raise refuse(
                at, "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block"
            )
        self.found.last_ttl_5m = ttl == "5m"
        self.found.breakpoints += 1
        if self.found.breakpoints > _MAX_BREAKPOINTS:
            raise RequestError(
                f"A maximum of {_MAX_BREAKPOINTS} blocks with cache_control may be provided. "
                f"Found {self.found.breakpoints}."
            )

    def _many_images(self) -> None:
        images = self.found.images
        if len(images) > _MANY_IMAGES:
            for image in images:
                if image is not None and max(image.width, image.height) > _MANY_IMAGES_PX:
                    raise RequestError(
                        "messages: At least one of the image dimensions exceed max allowed size for many-image "
                        f"requests: {_MANY_IMAGES_PX} pixels"
                    )


def blocks_of(message: Raw) -> list[Raw]:
    """The blocks of a checked message; a string counts as none."""
    content: Any = message["content"]
    return content if isinstance(content, list) else []


def check_pairs(messages: list[Raw]) -> None:
    """Every tool call is answered in the next message, and every result answers a call of the one before."""
    open_calls: list[str] = []
    called: set[str] = set()
    for index, message in enumerate(messages):
        if message["role"] == "system":
            continue
        blocks = blocks_of(message)
        if message["role"] == "user" or open_calls:
            _check_results(index, blocks, open_calls)
        open_calls = []
        if message["role"] == "assistant":
            for place, block in enumerate(blocks):
                if block["type"] == "tool_use":
                    if block["id"] in called:
                        raise RequestError(f"messages.{index}.content.{place}: `tool_use` ids must be unique")
                    called.add(block["id"])
                    open_calls.append(block["id"])
    if open_calls:
        raise _unanswered(len(messages) - 1, open_calls)


def _check_results(index: int, blocks: list[Raw], open_calls: list[str]) -> None:
    """Results stand first in their message; text before them leaves the calls unanswered."""
    answered: list[str] = []
    leading = True
    for place, block in enumerate(blocks):
        if block["type"] != "tool_result":
            leading = False
            continue
        call = block["tool_use_id"]
        if call not in open_calls:
            raise RequestError(
                f"messages.{index}.content.{place}: unexpected `tool_use_id` found in `tool_result` blocks: "
                f"{call:.128}. Each `tool_result` block must have a corresponding `tool_use` block in the previous "
                "message."
            )
        if call in answered:
            raise RequestError(
                f"messages.{index}.content.{place}: each tool_use must have a single result. Found multiple "
                f"`tool_result` blocks with id: {call:.128}"
            )
        if leading:
            answered.append(call)
    missing = [call for call in open_calls if call not in answered]
    if missing:
        raise _unanswered(index - 1, missing)


def _unanswered(index: int, missing: list[str]) -> RequestError:
    return RequestError(
        f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: "
        f"{', '.join(missing)[:500]}. Each `tool_use` block must have a corresponding `tool_result` block in the "
        "next message."
    )


def check_ending(messages: list[Raw], model: Model, thinking: ThinkingPlan) -> None:
    """Prefill, and thinking in front of an open tool loop."""
    last = messages[-1]
    if last["role"] == "assistant":
        if any(block["type"] == "server_tool_use" for block in blocks_of(last)):
            return  # the continuation of a paused turn
        if not model.accepts.prefill:
            raise RequestError(
                "This model does not support assistant message prefill. The conversation must end with a user message."
            )
        text = ending_text(last)
        if text != text.rstrip():
            raise RequestError("messages: final assistant content cannot end with trailing whitespace")
        if thinking.type == "enabled" and isinstance(last["content"], str) and last["content"]:
            raise _no_thinking_first(len(messages) - 1, "text")
    if thinking.type != "enabled":
        return
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        blocks = blocks_of(message)
        if message["role"] == "assistant":
            if blocks and blocks[0]["type"] not in ("thinking", "redacted_thinking"):
                raise _no_thinking_first(index, blocks[0]["type"])
            return
        if not any(block["type"] == "tool_result" for block in blocks):
            return


def ending_text(message: Raw) -> str:
    """The text a message ends with; empty when it ends with another block."""
    content = message["content"]
    if isinstance(content, str):
        return content
    if content and content[-1]["type"] == "text":
        return str(content[-1]["text"])
    return ""


def _no_thinking_first(index: int, found: str) -> RequestError:
    return RequestError(
        f"messages.{index}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{found}`. When "
        "`thinking` is enabled, a final `assistant` message must start with a thinking block (preceeding the lastmost "
        "set of `tool_use` and `tool_result` blocks)."
    )
