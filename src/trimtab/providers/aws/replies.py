"""What answers of AWS have in common: the request's id under the vendor's name, and errors in the vendor's words."""

from trimtab.providers.aws.failures import failure
from trimtab.providers.failures import said
from trimtab.providers.replies import JSON, named, request_id, value_of
from trimtab.providers.seam import Reply
from trimtab.providers.translated import ErrorReply

REQUEST_IDS = (b"x-amzn-requestid",)


def error_reply(reply: Reply) -> Reply:
    """An error answer in the vendor's words. The body is read when it is asked for."""
    kind = value_of(reply.headers, b"x-amzn-errortype").decode("latin-1")
    status = reply.status
    identifier = request_id(reply.headers, REQUEST_IDS).decode("latin-1")

    def say(body: bytes) -> bytes:
        return said(failure(status, kind, body), body, identifier)

    headers = named(reply.headers, REQUEST_IDS, content_type=JSON)
    return ErrorReply(reply, failure(status, kind, b"").status, headers, say)


def vendors_reply(reply: Reply) -> Reply:
    """An answer of an endpoint that is the vendor's API behind AWS: only what AWS itself refuses is in other words."""
    if value_of(reply.headers, b"x-amzn-errortype"):
        return error_reply(reply)
    reply.headers = named(reply.headers, REQUEST_IDS)
    return reply
