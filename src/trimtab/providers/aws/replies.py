"""What answers of AWS have in common: the request's id under the vendor's name, and errors in the vendor's words."""

from collections.abc import Collection

from trimtab.providers.aws.failures import failure, said
from trimtab.providers.seam import Headers, Reply
from trimtab.providers.translated import ErrorReply

JSON = b"application/json"


def value_of(headers: Headers, name: bytes) -> bytes:
    """The first header of this name, or empty."""
    return next((value for key, value in headers if key == name), b"")


def request_id(headers: Headers) -> bytes:
    """What the platform calls the request."""
    return value_of(headers, b"request-id") or value_of(headers, b"x-amzn-requestid")


def named(headers: Headers, *, without: Collection[bytes] = (), content_type: bytes = b"") -> Headers:
    """The headers with the request's id as the vendor names it. A `content_type` is another body's: length and type
    are replaced then. Everything else passes, usage of InvokeModel (`x-amzn-bedrock-*`) included."""
    if content_type:
        without = (*without, b"content-type", b"content-length")
    made = [(name, value) for name, value in headers if name not in without]
    if content_type:
        made.append((b"content-type", content_type))
    found = request_id(headers)
    if found and not value_of(headers, b"request-id"):
        made.append((b"request-id", found))
    return made


def error_reply(reply: Reply) -> Reply:
    """An error answer in the vendor's words. The body is read when it is asked for."""
    kind = value_of(reply.headers, b"x-amzn-errortype").decode("latin-1")
    status = reply.status
    identifier = request_id(reply.headers).decode("latin-1")

    def say(body: bytes) -> bytes:
        return said(failure(status, kind, body), body, identifier)

    return ErrorReply(reply, failure(status, kind, b"").status, named(reply.headers, content_type=JSON), say)


def vendors_reply(reply: Reply) -> Reply:
    """An answer of an endpoint that is the vendor's API behind AWS: only what AWS itself refuses is in other words."""
    if value_of(reply.headers, b"x-amzn-errortype"):
        return error_reply(reply)
    reply.headers = named(reply.headers)
    return reply
