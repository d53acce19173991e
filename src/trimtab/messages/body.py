"""A Messages request body: read as far as a gateway needs, changed only by splicing.

The body is scanned once by msgspec into raw values; their places in the original bytes are then found by
walking the top level, value lengths known. That walk also proves that no top-level key stands twice, which
a JSON decoder would hide: a gateway and a platform must not read two different models from one body.

Errors are `RequestError` with the field first, as the vendor writes them ("max_tokens: Field required").
"""

import codecs
import hashlib
import json
from collections.abc import Collection, Mapping
from typing import TypeVar

import msgspec

from trimtab.errors import RequestError
from trimtab.messages.splice import apply_edits, key_at, skip_blank, swap_edits, top_level_edits
from trimtab.messages.tolerant import given

MAX_TOP_LEVEL_FIELDS = 256
"""The vendor knows about 30; the bound keeps a hostile body from costing a walk over millions of keys."""

MAX_KEY_CHARS = 256
"""The longest field of the vendor has about 20."""

MAX_MODEL_CHARS = 256

MAX_MAX_TOKENS = 1_000_000_000
"""Far over any model's output; the bound keeps money arithmetic in numbers that mean something."""

MAX_SHOWN_CHARS = 80
"""What an error text repeats of the client's own data, at most: texts go to records, logs and headers."""

SHORT_BYTES = 64 * 1024
"""Bodies up to here are read before their keys are counted: they hold 16,000 at the most, which costs 2 ms and 3 MB."""

PREFIX_WINDOW = 64 * 1024
"""Bytes of `system` and of `messages` that tell conversations apart. Real ones differ long before that."""

FIRST_WINDOW = 8 * 1024
"""Bytes of `messages` in which the first user turn is looked for at first: it mostly ends there, and to read 64 KB of
text beyond ASCII takes 24 us."""

CHECKED_BYTES = 16 * 1024
"""So much of a body is made into text at a time to see that it is UTF-8. Parts that are ASCII, as images are, cost a
tenth of others."""

MAX_PREFIX_TURNS = 16
"""Turns in which the first user turn is looked for; it is nearly always the first."""

MAX_BLANK = 1024
"""Characters of white space before a turn; behind more of it no turn is looked for."""

_STR = msgspec.json.Decoder(str)
_BOOL = msgspec.json.Decoder(bool)
_NUMBER: msgspec.json.Decoder[int | float] = msgspec.json.Decoder(int | float)
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_BRACKET, _BRACE = ord("["), ord("{")
_TURN = json.JSONDecoder(parse_int=str, parse_float=str, strict=False)
"""Only finds where a turn ends and who speaks: numbers stay text, as Python refuses to read very long ones."""
_T = TypeVar("_T")


class _OnceOnly(str):
    """A top-level key. While a dictionary is filled with such keys, it compares two of them only where their hashes
    are the same: for a key that stands twice, and in nobody's lifetime for another one."""

    __slots__ = ()

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        if str.__eq__(self, other):
            raise _StandsTwice(self)
        return False


class _StandsTwice(Exception):
    """A key does; whether the rest is JSON is not known yet."""


class _Config(msgspec.Struct):
    effort: msgspec.Raw = msgspec.Raw()


class _Thinking(msgspec.Struct):
    type: msgspec.Raw = msgspec.Raw()


class _Metadata(msgspec.Struct):
    user_id: msgspec.Raw = msgspec.Raw()


class _Role(msgspec.Struct):
    role: object = None


class _Named(msgspec.Struct):
    model: msgspec.Raw = msgspec.Raw()


_TURNS_ROLE = msgspec.json.Decoder(_Role)
_NAMED = msgspec.json.Decoder(_Named)
_CONFIG = msgspec.json.Decoder(_Config)
_THINKING = msgspec.json.Decoder(_Thinking)
_METADATA = msgspec.json.Decoder(_Metadata)


class MessagesBody:
    """One parsed request body. Immutable; `spliced` makes the changed bytes.

    Cost: one scan of the body and, per top-level key, about a microsecond.
    """

    __slots__ = ("_spans", "effort", "fields", "has_effort", "max_tokens", "model", "raw", "stream")

    def __init__(self, raw: bytes, *, max_tokens_required: bool = True) -> None:
        """Parse and check the fields that routing and money depend on. Raises `RequestError`."""
        self.raw = raw
        self.fields = _scan(raw)
        self._spans: dict[str, tuple[int, int]] | None = None
        self.model = self._model()
        self.stream: bool = self._typed("stream", _BOOL, "boolean") or False
        self.max_tokens = self._max_tokens()
        if self.max_tokens is None and max_tokens_required:
            raise RequestError("max_tokens: Field required")
        messages = self.fields.get("messages")
        if messages is None:
            raise RequestError("messages: Field required")
        if memoryview(messages)[0] != _BRACKET:
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
        field = self.fields.get("max_tokens")
        if field is None or not given(field):
            return None
        raw = memoryview(field)
        if raw[0] not in b"-0123456789":
            raise RequestError("max_tokens: Input should be a valid integer")
        shown = bytes(raw[:MAX_SHOWN_CHARS]).decode()
        try:
            number = _NUMBER.decode(raw)
        except msgspec.DecodeError:
            # Valid JSON that begins as a number and cannot be decoded: too large for any number type.
            number = -1 if raw[0] == b"-"[0] else MAX_MAX_TOKENS + 1
        if number < 0:
            raise RequestError(f"max_tokens: {shown}: Input should be greater than or equal to 0")
        if number > MAX_MAX_TOKENS:
            raise RequestError(f"max_tokens: {shown}: Input should be less than or equal to {MAX_MAX_TOKENS}")
        if number != int(number):  # JSON has one kind of number: 1024.0 is an integer too
            raise RequestError("max_tokens: Input should be a valid integer")
        return int(number)

    def _effort(self) -> str | None:
        config = self._typed("output_config", _CONFIG, "dictionary")
        self.has_effort = config is not None and len(memoryview(config.effort)) > 0
        """Whether `output_config` has an effort, be it null: what the client wrote is never replaced."""
        if config is None or not given(config.effort):
            return None
        try:
            return _STR.decode(config.effort)
        except (msgspec.DecodeError, RecursionError):
            raise RequestError("output_config.effort: Input should be a valid string") from None

    def _typed(self, name: str, decoder: msgspec.json.Decoder[_T], kind: str) -> _T | None:
        raw = self.fields.get(name)
        if raw is None or not given(raw):
            return None
        try:
            return decoder.decode(raw)
        except msgspec.DecodeError:
            raise RequestError(f"{name}: Input should be a valid {kind}") from None
        except RecursionError:
            # The scan accepted it from a shallower stack: how deep is too deep depends on who calls.
            raise _too_deep() from None

    @property
    def thinking_type(self) -> str | None:
        """`thinking.type`; `None` when `thinking` is absent or null, "" when it has no type that is a string.

        Raises `RequestError` where `thinking` is not an object.
        """
        thinking = self._typed("thinking", _THINKING, "dictionary")
        return None if thinking is None else _text(thinking.type) or ""

    def user_id(self) -> str | None:
        """`metadata.user_id`, where it is a non-empty string. Whatever else stands there, the platform judges."""
        raw = self.fields.get("metadata")
        if raw is None:
            return None
        try:
            return _text(_METADATA.decode(raw).user_id) or None
        except (msgspec.DecodeError, RecursionError):
            return None

    def text_field(self, name: str) -> str | None:
        """A top-level string, where it is one."""
        raw = self.fields.get(name)
        return None if raw is None else _text(raw)

    def count_messages(self) -> int:
        """How many messages there are. Cost: a scan of them, 20-45 us at 53 KB."""
        try:
            return len(_LIST.decode(self.fields["messages"]))
        except (msgspec.DecodeError, RecursionError):
            return 0

    def prefix_digest(self) -> "hashlib._Hash":
        """SHA-256 over the part of a conversation that stays the same: system and the first user turn.

        Invariant: equal for every body of one growing conversation, so nothing of what is hashed may depend on
        what stands behind the first user turn. Cost: bounded by `PREFIX_WINDOW`, about 0.3 ms at most; 7 us where
        they are 6 KB together.
        """
        digest = hashlib.sha256()
        if (system := self.fields.get("system")) is not None:
            view = memoryview(system)
            digest.update(b"%d:" % len(view))
            digest.update(view[:PREFIX_WINDOW])
        messages = memoryview(self.fields["messages"])
        turns = _turns_of_a_few(messages) if len(messages) <= MAX_BLANK else None
        if turns is None:
            turns = _first_turns(messages[:FIRST_WINDOW], whole=len(messages) <= FIRST_WINDOW)
        if turns is None:
            turns = _first_turns(messages[:PREFIX_WINDOW], whole=True)
        for turn in turns or ():
            digest.update(b"\0" + turn)
        return digest

    def spliced(
        self, *, model: str | None = None, effort: str | None = None, adaptive_thinking: bool = False
    ) -> bytes:
        """The body with these values put in place; every other byte stays. No change gives `raw` itself.

        `effort` becomes `output_config.effort` and `adaptive_thinking` a `thinking` field, each only meant for
        requests that do not carry them (null counts as not carried). Insertions go right behind the model, far
        from the cached prefix.
        """
        if (model is None or model == self.model) and effort is None and not adaptive_thinking:
            return self.raw
        edits: list[tuple[int, int, bytes]] = []
        spans = self._places()
        start, end = spans["model"]
        if model is not None and model != self.model:
            edits.append((start, end, msgspec.json.encode(model)))
        inserted = b""
        if effort is not None:
            if "output_config" in spans:
                edits.append(self._effort_edit(effort))
            else:
                inserted += b',"output_config":{"effort":' + msgspec.json.encode(effort) + b"}"
        if adaptive_thinking:
            if "thinking" in spans:
                edits.append((*spans["thinking"], b'{"type":"adaptive"}'))
            else:
                inserted += b',"thinking":{"type":"adaptive"}'
        if inserted:
            edits.append((end, end, inserted))
        return apply_edits(self.raw, edits)

    def changed(self, values: Mapping[str, object]) -> bytes:
        """The body with these top-level fields at these values; `GONE` removes one, and inside a list an element.

        Where a value, or a part of one, stays the same, so do its bytes. Raises `RequestError` where an object that
        must change holds a key twice. Cost: decodes the fields named.
        """
        return apply_edits(self.raw, top_level_edits(self.raw, self.fields, values, "model"))

    def without_model(self, members: Mapping[str, object], gone: Collection[str] = ()) -> bytes:
        """The body with members (at least one) in the place of its `model`, for platforms that have the model in the
        address; top-level fields in `gone` are removed. Every other byte stays."""
        return apply_edits(self.raw, swap_edits(self.raw, self.fields, "model", members, gone))

    def place(self, name: str) -> tuple[int, int]:
        """Where the value of a top-level field that is there begins and ends in `raw`."""
        return self._places()[name]

    def _places(self) -> dict[str, tuple[int, int]]:
        """Where each top-level value stands: name -> (start, end)."""
        if self._spans is None:
            self._spans = _locate(self.raw, self.fields)
        return self._spans

    def _effort_edit(self, effort: str) -> tuple[int, int, bytes]:
        """The edit that sets the effort in an `output_config` that is there."""
        if self.has_effort:
            raise ValueError("the client's effort is never replaced")
        start, end = self._places()["output_config"]
        value = b'"effort":' + msgspec.json.encode(effort)
        config = self._typed("output_config", _CONFIG, "dictionary")
        if config is None:
            return start, end, b"{" + value + b"}"
        empty = self.raw[skip_blank(self.raw, start + 1)] == b"}"[0]
        return start + 1, start + 1, value + (b"" if empty else b",")


def _text(raw: msgspec.Raw) -> str | None:
    try:
        return _STR.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _turns_of_a_few(messages: memoryview) -> list[bytes] | None:
    """What `_first_turns` finds in a list so short that no blank in it is too long; `None` where it must be asked.

    1 us, where that takes 3: of a short request's processor time in its thread the difference is 2 %.
    """
    turns: list[bytes] = []
    try:
        for turn in _LIST.decode(messages)[:MAX_PREFIX_TURNS]:
            written = bytes(turn)
            if written[0] != _BRACE:
                break
            turns.append(written)
            if _TURNS_ROLE.decode(turn).role == "user":
                break
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return turns


def _first_turns(window: memoryview, *, whole: bool) -> list[bytes] | None:
    """The turns up to the first user's, as they are written. `None` where that depends on what is behind the window.

    With `whole` nothing is: a turn that does not end in the window is then taken as far as it goes.
    """
    # The window may cut a character in two; what is left of it is the same as the conversation grows.
    text = bytes(window).decode(errors="ignore")
    turns: list[bytes] = []
    at = 1  # past the opening bracket
    for _ in range(MAX_PREFIX_TURNS):
        if not whole and at + MAX_BLANK > len(text):
            return None
        start = _after(text, at)
        if not text.startswith("{", start):
            break
        try:
            turn, at = _TURN.raw_decode(text, start)
        except RecursionError:
            break
        except ValueError:
            if not whole:
                return None
            # The turn does not end inside the window, so the window is full and never changes.
            turns.append(text[start:].encode())
            break
        turns.append(text[start:at].encode())
        if turn.get("role") == "user":
            break
    return turns


def _after(text: str, at: int) -> int:
    """Where the next turn starts."""
    rest = text[at : at + MAX_BLANK].lstrip(" \t\r\n,")
    return at + min(len(text) - at, MAX_BLANK) - len(rest)


def _too_deep() -> RequestError:
    return RequestError("The request body is not valid JSON: it is nested too deeply")


def named_model(raw: bytes) -> str:
    """The model that a refused body names, for its record, cut to a model's length; "" where none is found.

    Never raises: what is asked here has been refused already, for a reason that may be any.
    """
    try:
        return (_text(_NAMED.decode(raw).model) or "")[:MAX_MODEL_CHARS]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def _scan(raw: bytes) -> dict[str, msgspec.Raw]:
    if not raw.isascii():
        _check_utf8(raw)
    is_short = len(raw) <= SHORT_BYTES
    try:
        # Keys of a long body are counted while it is read, by a decoder of its own.
        decoder = _SHORT if is_short else msgspec.json.Decoder(_FIELDS, dec_hook=_Keys())
        try:
            fields = {str(key): value for key, value in decoder.decode(raw).items()}
        except _StandsTwice as twice:
            _WHOLE.decode(raw)  # bad JSON is said first
            raise _duplicate(str(twice)) from None
    except msgspec.ValidationError:
        raise RequestError("The request body should be a JSON object") from None
    except msgspec.DecodeError as problem:
        raise RequestError(f"The request body is not valid JSON: {problem}") from None
    except RecursionError:
        raise _too_deep() from None
    if is_short and (len(fields) > MAX_TOP_LEVEL_FIELDS or max(map(len, fields), default=0) > MAX_KEY_CHARS):
        check = _Keys()
        for key in fields:
            check(_OnceOnly, key)
    return fields


def _check_utf8(raw: bytes) -> None:
    """Raises `RequestError`. Cost: 22 us for 53 KB of which a little is not ASCII."""
    view = memoryview(raw)
    at = 0
    while at < len(raw):
        try:
            _, read = codecs.utf_8_decode(
                view[at : at + CHECKED_BYTES], "strict", at + CHECKED_BYTES >= len(raw)
            )
        except UnicodeDecodeError as problem:
            place = at + problem.start
            raise RequestError(f"The request body is not valid JSON: invalid UTF-8 at byte {place}") from None
        at += read


class _Keys:
    """Refuses bodies by their keys while they are read: the scan ends at the first key that is too much."""

    __slots__ = ("_count",)

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, kind: type, key: str) -> str:
        """The hook that msgspec calls with each key."""
        self._count += 1
        if self._count > MAX_TOP_LEVEL_FIELDS:
            raise RequestError(f"The request body has more than {MAX_TOP_LEVEL_FIELDS} top-level fields")
        if len(key) > MAX_KEY_CHARS:
            raise RequestError(
                f"{key[:MAX_SHOWN_CHARS]}: Top-level keys should have at most {MAX_KEY_CHARS} characters"
            )
        return _OnceOnly(key)


_WHOLE = msgspec.json.Decoder(msgspec.Raw)
_FIELDS = dict[_OnceOnly, msgspec.Raw]
_SHORT = msgspec.json.Decoder(_FIELDS, dec_hook=str.__new__)


def _locate(raw: bytes, fields: dict[str, msgspec.Raw]) -> dict[str, tuple[int, int]]:
    """Where each top-level value stands: name -> (start, end). Raises on a key that stands twice."""
    spans: dict[str, tuple[int, int]] = {}
    at = skip_blank(raw, 0) + 1  # past the opening brace
    for name, value in fields.items():
        found, at = key_at(raw, at)
        text = bytes(value)
        end = at + len(text)
        if found != name or not raw.startswith(text, at):
            # The decoder keeps a repeated key's first place and last value: one of the two shows here.
            raise _duplicate(found)
        spans[name] = (at, end)
        at = skip_blank(raw, end) + 1  # past the comma or the closing brace
    if fields and raw[at - 1 : at] != b"}":
        raise _duplicate(key_at(raw, at)[0])
    return spans


def _duplicate(name: str) -> RequestError:
    return RequestError(f"{name[:MAX_SHOWN_CHARS]}: Duplicate top-level key; send each field once")
