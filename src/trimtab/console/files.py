"""The files that pages bring with them: style, scripts and the icon, all of them ours or vendored.

What it is not: a way to the file system. What there is was read when this was built; a name is looked up in a table,
and nothing that a browser sends becomes part of a path.
"""

import gzip
import hashlib
import importlib.resources

import msgspec

PACK_LEVEL = 9
PREFIX = "/console/static/"

_SCRIPT = "text/javascript; charset=utf-8"
_STYLE = "text/css; charset=utf-8"
TYPES = {
    "console.css": _STYLE,
    "console.js": _SCRIPT,
    "htmx.min.js": _SCRIPT,
    "icon.svg": "image/svg+xml",
    "uplot.min.css": _STYLE,
    "uplot.min.js": _SCRIPT,
}


class StaticFile(msgspec.Struct, frozen=True):
    """One file as it is sent."""

    content_type: str
    etag: str
    body: bytes

    def packed(self) -> bytes:
        """The file in gzip, a third as long. Blocks, for milliseconds, so `Files.packed` keeps it."""
        return gzip.compress(self.body, PACK_LEVEL, mtime=0)


class Files:
    """Every file under a name that changes with its content, so that browsers keep it for good."""

    def __init__(self) -> None:
        """Read them all. Blocks, for about a millisecond."""
        self._urls: dict[str, str] = {}
        self._files: dict[str, StaticFile] = {}
        self._packed: dict[str, bytes] = {}
        folder = importlib.resources.files("trimtab.console") / "static"
        for name, content_type in TYPES.items():
            body = (folder / name).read_bytes()
            digest = hashlib.sha256(body).hexdigest()[:16]
            stem, dot, ending = name.partition(".")
            url = f"{PREFIX}{stem}-{digest}{dot}{ending}"
            self._urls[name] = url
            self._files[url] = StaticFile(content_type, digest, body)

    def url(self, name: str) -> str:
        """Where a file is found. Raises `KeyError` for one that there is not."""
        return self._urls[name]

    def find(self, path: str) -> StaticFile | None:
        """The file at a path."""
        return self._files.get(path)

    def packed(self, path: str) -> bytes:
        """The file at a path in gzip; packed when first asked for. Blocks then. Raises `KeyError`."""
        packed = self._packed.get(path)
        if packed is None:
            packed = self._packed[path] = self._files[path].packed()
        return packed
