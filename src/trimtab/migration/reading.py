"""Reads requests from files: one body, a list or lines of them, batches, with or without headers and usage.

What it is not: a check of the bodies (the normaliser and the vendor do that). Invariants: what cannot be read is told
with its file and place, never left out in silence; a body keeps its bytes.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from trimtab.errors import ConfigError, RequestError, printable
from trimtab.messages import MessagesBody, Usage
from trimtab.messages.tolerant import given

MAX_REQUESTS = 10_000
"""More tell nothing new, and are estimated at 2 ms each."""

MAX_FILE_BYTES = 256 * 1024 * 1024
"""The vendor's largest batch."""

VERSION = b"anthropic-version"
BETA = b"anthropic-beta"

Headers = list[tuple[bytes, bytes]]

_ANY = msgspec.json.Decoder(msgspec.Raw)
_LIST = msgspec.json.Decoder(list[msgspec.Raw])


_ABSENT = msgspec.Raw()


class _Wrapped(msgspec.Struct):
    """What may stand around a body: an entry of a batch, or a log of one's own."""

    requests: list[msgspec.Raw] | None = None
    params: msgspec.Raw = _ABSENT
    body: msgspec.Raw = _ABSENT
    request: msgspec.Raw = _ABSENT
    headers: dict[str, str] | None = None
    usage: Usage | None = None
    custom_id: str | None = None
    messages: msgspec.Raw = _ABSENT
    model: msgspec.Raw = _ABSENT


_WRAPPED = msgspec.json.Decoder(_Wrapped)


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request to judge."""

    name: str
    """File and place."""
    body: MessagesBody
    headers: Headers
    usage: Usage | None = None
    """What the platform billed for it on the model that it comes from."""
    at_ms: int = 0
    """When it was made, where that is known."""
    session: str = ""
    headers_known: bool = True
    """Whether `headers` are what was sent."""


class Unreadable(msgspec.Struct, frozen=True):
    """Something that should be a request and is not."""

    name: str
    problem: str


class Spoken(msgspec.Struct, frozen=True):
    """What a request is taken to have said where its file holds only a body."""

    model: str
    version: str = "2023-06-01"
    betas: tuple[str, ...] = ()


def read_requests(paths: list[Path], spoken: Spoken) -> tuple[list[Request], list[Unreadable]]:
    """All requests of these files, and of the `.json` and `.jsonl` files of these folders, in order of their names.

    Raises `ConfigError` for a path that cannot be read, and for more than `MAX_REQUESTS`.
    """
    found: list[Request] = []
    bad: list[Unreadable] = []
    for path in _files(paths):
        for name, raw in _entries(path):
            for one in _read(name, raw, spoken):
                if len(found) + len(bad) >= MAX_REQUESTS:
                    raise ConfigError(
                        str(path), f"holds more than {MAX_REQUESTS:,} requests together with the files before"
                    )
                if isinstance(one, Request):
                    found.append(one)
                else:
                    bad.append(one)
    return found, bad


def _files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            inside = sorted(
                one for one in path.rglob("*") if one.suffix in (".json", ".jsonl") and one.is_file()
            )
            if not inside:
                raise ConfigError(str(path), "holds no .json or .jsonl file")
            yield from inside
        else:
            yield path


def _entries(path: Path) -> Iterator[tuple[str, bytes]]:
    """Each JSON value of a file with its name: the file, or file and line."""
    try:
        with path.open("rb") as file:  # a pipe or device has no size that could be asked for
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as problem:
        raise ConfigError(str(path), f"cannot be read: {problem.strerror or problem}") from None
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(str(path), f"is larger than {MAX_FILE_BYTES >> 20} MB; split it")
    try:
        _ANY.decode(content)
    except (msgspec.DecodeError, RecursionError):
        lines = [(place, line) for place, line in enumerate(content.splitlines(), 1) if line.strip()]
        if len(lines) > 1:
            yield from ((f"{path}:{place}", line) for place, line in lines)
            return
    yield str(path), content


def _read(name: str, raw: bytes | msgspec.Raw, spoken: Spoken) -> Iterator[Request | Unreadable]:
    """What a value holds. One entry that cannot be read takes no other with it."""
    try:
        yield from _requests(name, raw, spoken)
    except RequestError as problem:
        yield Unreadable(name, str(problem))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        yield Unreadable(name, f"no request can be read: {printable(str(problem), 120)}")


def _requests(name: str, raw: bytes | msgspec.Raw, spoken: Spoken) -> Iterator[Request | Unreadable]:
    text = bytes(raw).strip()
    if text[:1] == b"[":
        for place, one in enumerate(_LIST.decode(text)):
            yield from _read(f"{name}[{place}]", one, spoken)
        return
    wrapped = _WRAPPED.decode(text)
    if wrapped.requests is not None and not given(wrapped.messages):
        for place, one in enumerate(wrapped.requests):
            yield from _read(f"{name}[{place}]", one, spoken)
        return
    inner = next((one for one in (wrapped.body, wrapped.params, wrapped.request) if given(one)), None)
    if inner is None or given(wrapped.messages):
        inner, wrapped = msgspec.Raw(text), _Wrapped()
    if wrapped.custom_id is not None:
        name = f"{name}#{printable(wrapped.custom_id, 60)}"
    yield Request(
        name=name,
        body=_body(bytes(inner).strip(), spoken),
        headers=_headers(wrapped.headers or {}, spoken),
        usage=wrapped.usage,
    )


def _body(raw: bytes, spoken: Spoken) -> MessagesBody:
    """The body; one without a model, as Bedrock's and Vertex's are, gets that which it comes from."""
    if raw[:1] == b"{" and not given(_WRAPPED.decode(raw).model):
        comma = b"" if raw[1:].lstrip()[:1] == b"}" else b","
        raw = b'{"model":' + msgspec.json.encode(spoken.model) + comma + raw[1:]
    return MessagesBody(raw)


def _headers(given: dict[str, str], spoken: Spoken) -> Headers:
    """Version and betas; nothing else of a request's headers is looked at, or written anywhere."""
    lower = {name.lower(): value for name, value in given.items()}
    version = lower.get(VERSION.decode(), spoken.version)
    betas = lower.get(BETA.decode(), ",".join(spoken.betas))
    headers = [(VERSION, version.encode("latin-1", "replace"))]
    return [*headers, (BETA, betas.encode("latin-1", "replace"))] if betas else headers
