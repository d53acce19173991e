"""A Messages request body: read as far as a gateway needs, changed only by splicing.

The body is scanned once by msgspec into raw values; their places in the original bytes are then found by
walking the top level, value lengths known. That walk also proves that no top-level key stands twice, which
a JSON decoder would hide: a gateway and a platform must not read two different models from one body.

Errors are `RequestError` with the field first, as the vendor writes them ("max_tokens: Field required").
"""

import hashlib
from typing import TypeVar

import msgspec

from trimtab.errors import RequestError

MAX_TOP_LEVEL_FIELDS = 256
"""The vendor knows about 30; the bound keeps a hostile body from costing a walk over millions of keys."""

MAX_MODEL_CHARS = 256

_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_MEMBERS = msgspec.json.Decoder(list[msgspec.Raw])
_STR = msgspec.json.Decoder(str)
_BOOL = msgspec.json.Decoder(bool)
_NUMBER: msgspec.json.Decoder[int | float] = msgspec.json.Decoder(int | float)
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_WHITESPACE = b" \t\r\n"
_T = TypeVar("_T")


class _Role(msgspec.Struct):
    role: object = None


_ROLE = msgspec.json.Decoder(_Role)


class MessagesBody:
    """One parsed request body. Immutable; `spliced` makes the changed bytes.

    Cost: one scan of the body and, per top-level key, about a microsecond.
    """

    __slots__ = ("_spans", "effort", "fields", "max_tokens", "model", "raw", "stream")

    def __init__(self, raw: bytes, *, max_tokens_required: bool = True) -> None:
        """Parse and check the fields that routing and money depend on. Raises `RequestError`."""
        self.raw = raw
        self.fields = _scan(raw)
        self._spans = _locate(raw, self.fields)
        self.model = self._model()
        self.stream: bool = self._typed("stream", _BOOL, "boolean") or False
        self.max_tokens = self._max_tokens()
        if self.max_tokens is None and max_tokens_required:
            raise RequestError("max_tokens: Field required")
        if self.max_tokens is not None and self.max_tokens < 0:
            raise RequestError(f"max_tokens: {self.max_tokens}: Input should be greater than or equal to 0")
        messages = self.fields.get("messages")
        if messages is None:
            raise RequestError("messages: Field required")
        if bytes(memoryview(messages)[:1]) != b"[":
            raise RequestError("messages: Input should be a valid list")
        self.effort: str | None = self._effort()

    def _model(self) -> str:
        if "model" not in self.fields:
            raise RequestError("model: Field required")
        model = self._typed("model", _STR, "string")
        if not model:
            raise RequestError(f"model: {model!r}: String should have at least 1 character")
        if len(model) > MAX_MODEL_CHARS:
            raise RequestError(f"model: String should have at most {MAX_MODEL_CHARS} characters")
        return str(model)

    def _max_tokens(self) -> int | None:
        number = self._typed("max_tokens", _NUMBER, "integer")
        if number is None or isinstance(number, int):
            return number
        if not number.is_integer():  # JSON has one kind of number: 1024.0 is an integer too
            raise RequestError("max_tokens: Input should be a valid integer")
        return int(number)

    def _effort(self) -> str | None:
        config = self.object_field("output_config")
        if config is None or "effort" not in config:
            return None
        try:
            return msgspec.json.decode(config["effort"], type=str | None)
        except msgspec.ValidationError:
            raise RequestError("output_config.effort: Input should be a valid string") from None

    def _typed(self, name: str, decoder: msgspec.json.Decoder[_T], kind: str) -> _T | None:
        raw = self.fields.get(name)
        if raw is None or (len(memoryview(raw)) == 4 and bytes(raw) == b"null"):
            return None
        try:
            return decoder.decode(raw)
        except msgspec.DecodeError:
            raise RequestError(f"{name}: Input should be a valid {kind}") from None

    def object_field(self, name: str) -> dict[str, msgspec.Raw] | None:
        """A top-level object's members, still raw; `None` when absent or null."""
        return self._typed(name, _OBJECT, "dictionary")

    def has(self, name: str) -> bool:
        """Whether the client sent the top-level field with anything but null."""
        raw = self.fields.get(name)
        return raw is not None and bytes(memoryview(raw)[:4]) != b"null"

    def user_id(self) -> str | None:
        """`metadata.user_id`, where it is a non-empty string."""
        metadata = self.object_field("metadata")
        if not metadata or "user_id" not in metadata:
            return None
        try:
            return _STR.decode(metadata["user_id"]) or None
        except msgspec.DecodeError:
            return None

    def text_field(self, name: str) -> str | None:
        """A top-level string, where it is one."""
        raw = self.fields.get(name)
        try:
            return None if raw is None else _STR.decode(raw)
        except msgspec.DecodeError:
            return None

    def prefix_digest(self) -> "hashlib._Hash":
        """SHA-256 over the part of a conversation that stays the same: system and the first user turn.

        Cost: a scan of `messages` and a hash of the prefix (about 1 us per 2 KB).
        """
        digest = hashlib.sha256()
        if (system := self.fields.get("system")) is not None:
            digest.update(system)
        try:
            members = _MEMBERS.decode(self.fields["messages"])
        except (msgspec.DecodeError, RecursionError):
            return digest
        for member in members:
            digest.update(b"\0")
            digest.update(member)
            try:
                if _ROLE.decode(member).role == "user":
                    break
            except msgspec.DecodeError:
                break
        return digest

    def spliced(
        self, *, model: str | None = None, effort: str | None = None, adaptive_thinking: bool = False
    ) -> bytes:
        """The body with these values put in place; every other byte stays. No change gives `raw` itself.

        `effort` becomes `output_config.effort` and `adaptive_thinking` a `thinking` field, each only meant for
        requests that do not carry them. Insertions go right behind the model, far from the cached prefix.
        """
        edits: list[tuple[int, int, bytes]] = []
        start, end = self._spans["model"]
        if model is not None and model != self.model:
            edits.append((start, end, msgspec.json.encode(model)))
        inserted = b""
        if effort is not None:
            value = b'"effort":' + msgspec.json.encode(effort)
            members = self.object_field("output_config")
            if members is None:
                if "output_config" in self._spans:  # present as null
                    edits.append((*self._spans["output_config"], b"{" + value + b"}"))
                else:
                    inserted += b',"output_config":{' + value + b"}"
            elif "effort" in members:
                raise ValueError("the client's effort is never replaced")
            else:
                place = self._spans["output_config"][0] + 1
                edits.append((place, place, value + (b"," if members else b"")))
        if adaptive_thinking:
            if "thinking" in self._spans:
                edits.append((*self._spans["thinking"], b'{"type":"adaptive"}'))
            else:
                inserted += b',"thinking":{"type":"adaptive"}'
        if inserted:
            edits.append((end, end, inserted))
        return _apply(self.raw, edits)


def _apply(raw: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    if not edits:
        return raw
    parts: list[bytes] = []
    at = 0
    for start, end, value in sorted(edits, key=lambda edit: edit[:2]):
        parts += (raw[at:start], value)
        at = end
    parts.append(raw[at:])
    return b"".join(parts)


def _scan(raw: bytes) -> dict[str, msgspec.Raw]:
    if not raw.isascii():
        try:
            raw.decode()
        except UnicodeDecodeError as problem:
            raise RequestError(
                f"The request body is not valid JSON: invalid UTF-8 at byte {problem.start}"
            ) from None
    try:
        return _FIELDS.decode(raw)
    except msgspec.ValidationError:
        raise RequestError("The request body should be a JSON object") from None
    except msgspec.DecodeError as problem:
        raise RequestError(f"The request body is not valid JSON: {problem}") from None
    except RecursionError:
        raise RequestError("The request body is not valid JSON: it is nested too deeply") from None


def _locate(raw: bytes, fields: dict[str, msgspec.Raw]) -> dict[str, tuple[int, int]]:
    """Where each top-level value stands: name -> (start, end). Raises on a key that stands twice."""
    if len(fields) > MAX_TOP_LEVEL_FIELDS:
        raise RequestError(f"The request body has more than {MAX_TOP_LEVEL_FIELDS} top-level fields")
    spans: dict[str, tuple[int, int]] = {}
    at = _skip(raw, 0) + 1  # past the opening brace
    for name, value in fields.items():
        found, at = _key(raw, at)
        text = bytes(value)
        end = at + len(text)
        if found != name or not raw.startswith(text, at):
            # The decoder keeps a repeated key's first place and last value: one of the two shows here.
            raise _duplicate(found)
        spans[name] = (at, end)
        at = _skip(raw, end) + 1  # past the comma or the closing brace
    if fields and raw[at - 1 : at] != b"}":
        raise _duplicate(_key(raw, at)[0])
    return spans


def _duplicate(name: str) -> RequestError:
    return RequestError(f"{name}: Duplicate top-level key; send each field once")


def _key(raw: bytes, at: int) -> tuple[str, int]:
    """The key that starts at or after `at`, and where its value starts. The JSON is known to be valid."""
    start = _skip(raw, at)
    end = raw.index(b'"', start + 1)
    while _escaped(raw, end):
        end = raw.index(b'"', end + 1)
    token = raw[start : end + 1]
    name = _STR.decode(token) if b"\\" in token else token[1:-1].decode()
    return name, _skip(raw, _skip(raw, end + 1) + 1)


def _escaped(raw: bytes, quote: int) -> bool:
    slashes = 0
    while raw[quote - 1 - slashes] == 0x5C:
        slashes += 1
    return slashes % 2 == 1


def _skip(raw: bytes, at: int) -> int:
    """The next place that is not white space. Windows double, so megabytes of blanks cost little."""
    if at < len(raw) and raw[at] > 0x20:
        return at
    window = 64
    while piece := raw[at : at + window]:
        rest = piece.lstrip(_WHITESPACE)
        at += len(piece) - len(rest)
        if rest:
            break
        window *= 2
    return at
