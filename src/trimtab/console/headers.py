"""The headers of every answer of the console: what a browser may do with it.

What it is not: escaping, which templates do. Invariant: no answer of the console goes out without `GUARDS`.
"""

from trimtab.providers import Headers

CSP = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "font-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
"""Nothing inline and nothing from elsewhere. Scripts may still set styles through the CSSOM, which charts do."""

_UNUSED = (
    "accelerometer",
    "autoplay",
    "camera",
    "clipboard-read",
    "display-capture",
    "encrypted-media",
    "fullscreen",
    "geolocation",
    "gyroscope",
    "hid",
    "magnetometer",
    "microphone",
    "midi",
    "payment",
    "picture-in-picture",
    "publickey-credentials-get",
    "screen-wake-lock",
    "serial",
    "usb",
    "xr-spatial-tracking",
)

GUARDS: Headers = [
    (b"content-security-policy", CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # Not `no-referrer`: with that, browsers send `origin: null` with forms (Source: Fetch standard, "append a request
    # Origin header"), which is what forms of sandboxed foreign pages send too.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", ", ".join(f"{name}=()" for name in _UNUSED).encode()),
]

FILE_S = 365 * 86_400
"""A file's name changes with its content, so that browsers need never ask again."""


def page_headers(content_type: str, *more: tuple[bytes, bytes]) -> Headers:
    """Headers of a page or of JSON: kept by nobody."""
    return [(b"content-type", content_type.encode()), (b"cache-control", b"no-store"), *GUARDS, *more]


def file_headers(content_type: str, etag: str) -> Headers:
    """Headers of a script, a style or an icon of ours, which holds nothing that was recorded."""
    return [
        (b"content-type", content_type.encode()),
        (b"cache-control", b"public, max-age=%d, immutable" % FILE_S),
        (b"etag", f'"{etag}"'.encode()),
        *GUARDS,
    ]
