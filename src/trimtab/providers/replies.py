"""Headers of a platform's answers as the vendor's clients read them.

What it is not: bodies (`translated`, `failures`). Invariant: what the platform sent passes, but for what describes a
body that is another one now.
"""

from collections.abc import Collection

from trimtab.providers.seam import Headers

JSON = b"application/json"


def value_of(headers: Headers, name: bytes) -> bytes:
    """The first header of this name, or empty."""
    return next((value for key, value in headers if key == name), b"")


def request_id(headers: Headers, names: Collection[bytes]) -> bytes:
    """What the platform calls the request: the vendor's header, else the first of the platform's own `names`."""
    for name in (b"request-id", *names):
        if found := value_of(headers, name):
            return found
    return b""


def named(
    headers: Headers, ids: Collection[bytes], *, without: Collection[bytes] = (), content_type: bytes = b""
) -> Headers:
    """The headers with the request's id as the vendor names it. A `content_type` is another body's: length and type
    are replaced then."""
    if content_type:
        without = (*without, b"content-type", b"content-length")
    made = [(name, value) for name, value in headers if name not in without]
    if content_type:
        made.append((b"content-type", content_type))
    found = request_id(headers, ids)
    if found and not value_of(headers, b"request-id"):
        made.append((b"request-id", found))
    return made
