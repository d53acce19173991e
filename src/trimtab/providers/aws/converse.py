"""Bedrock's Converse: a Messages request said in its schema, and its answer said as the vendor's API would.

What it is not: the schema itself (`converse_request`, `converse_blocks`, `converse_answer`, `converse_stream`).
Invariant: what Converse has no words for is a `RequestError` that names the field; nothing is left out unsaid.

Source: Amazon Bedrock API reference, Converse and ConverseStream (2026-11); botocore's service model, which tests hold
requests and answers against. Not tried against Bedrock itself.
"""

from collections.abc import Mapping

from trimtab.errors import UpstreamBroken
from trimtab.messages import MessagesBody
from trimtab.providers.aws.converse_answer import message_of
from trimtab.providers.aws.converse_request import converse_body
from trimtab.providers.aws.converse_stream import ConverseStream
from trimtab.providers.aws.operations import runtime_call
from trimtab.providers.aws.replies import REQUEST_IDS, error_reply
from trimtab.providers.platform import Dialect, messages_content
from trimtab.providers.replies import JSON, named, request_id, value_of
from trimtab.providers.seam import Call, Reply
from trimtab.providers.translated import TranslatedReply

HTTP_OK = 200

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""Of a whole answer: it is held until its end. The longest output of a model is under 1 MB."""

EVENT_STREAM = b"application/vnd.amazon.eventstream"


class Converse:
    """See `providers.platform.Dialect`."""

    def __init__(self, names: Mapping[str, str], *, counting: Dialect) -> None:
        """`names` are what models are called in answers, by the ids that they are sent under: Converse's own name no
        model. `counting` asks for counts of tokens: CountTokens takes a body of the model's own schema as it is."""
        self._names = names
        self._counting = counting

    def request(self, call: Call) -> Call:
        """See the seam. Raises `NotFound` for what is neither messages nor count_tokens, `RequestError` for what
        Converse cannot say. Cost: the body is read and written once."""
        sent = messages_content(call, "Amazon Bedrock (Converse)")
        # A count of what could not be sent would mislead, so what is counted is held against the schema too.
        content = converse_body(MessagesBody(sent, max_tokens_required=False), call.headers)
        if call.endpoint == "count_tokens":
            return self._counting.request(call)
        operation = "converse-stream" if call.stream else "converse"
        return runtime_call(call, call.model, operation, content)

    def reply(self, call: Call, reply: Reply) -> Reply:
        """See the seam."""
        if reply.status != HTTP_OK:
            return error_reply(reply)
        if call.endpoint == "count_tokens":
            return self._counting.reply(call, reply)
        headers, model = reply.headers, self._names.get(call.model, call.model)
        identifier = request_id(headers, REQUEST_IDS).decode("latin-1")
        if value_of(headers, b"content-type").lower().startswith(EVENT_STREAM):
            made = named(headers, REQUEST_IDS, content_type=b"text/event-stream")
            return TranslatedReply(reply, ConverseStream(identifier, model), made)
        made = named(headers, REQUEST_IDS, content_type=JSON)
        return TranslatedReply(reply, _Whole(identifier, model), made)


class _Whole:
    """See `providers.translated.Translation`: an answer that is one document."""

    def __init__(self, identifier: str, model: str) -> None:
        self._identifier = identifier
        self._model = model
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> bytes:
        """See the seam."""
        self._size += len(data)
        if self._size > MAX_ANSWER_BYTES:
            raise UpstreamBroken(f"the platform's answer is over {MAX_ANSWER_BYTES} bytes")
        self._parts.append(data)
        return b""

    def finish(self) -> bytes:
        """See the seam."""
        return message_of(b"".join(self._parts), self._identifier, self._model)
