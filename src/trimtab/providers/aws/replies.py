"""What answers of AWS have in common: the request's id under the vendor's name, and errors in the vendor's words."""

from functools import partial

import trimtab.providers.failures as failures
from trimtab.providers.aws.failures import failure
from trimtab.providers.replies import named, value_of
from trimtab.providers.seam import Reply

REQUEST_IDS = (b"x-amzn-requestid",)


def error_reply(reply: Reply) -> Reply:
    """An error answer in the vendor's words. The body is read when it is asked for."""
    kind = value_of(reply.headers, b"x-amzn-errortype").decode("latin-1")
    return failures.error_reply(reply, REQUEST_IDS, partial(failure, reply.status, kind))


def vendors_reply(reply: Reply) -> Reply:
    """An answer of an endpoint that is the vendor's API behind AWS: only what AWS itself refuses is in other words."""
    if value_of(reply.headers, b"x-amzn-errortype"):
        return error_reply(reply)
    reply.headers = named(reply.headers, REQUEST_IDS)
    return reply
