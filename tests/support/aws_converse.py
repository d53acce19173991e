"""Converse as botocore's own service model describes it: requests are held against it, and answers made by it."""

import base64
import json
from typing import Any

import botocore.session
from aws_event_frames import frame, header
from botocore.model import Shape
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from botocore.validate import ParamValidator

_SERVICE = botocore.session.get_session().get_service_model("bedrock-runtime")
_CONVERSE = _SERVICE.operation_model("Converse")
_STREAM = _SERVICE.operation_model("ConverseStream")
REASONS = tuple(_CONVERSE.output_shape.members["stopReason"].enum)


def checked(body: bytes) -> dict[str, Any]:
    """The request, if the service model has each of its members, in the right place and of the right type."""
    wire: dict[str, Any] = json.loads(body)
    shape = _CONVERSE.input_shape
    params = {**_from_wire(wire, shape), "modelId": "m"}
    report = ParamValidator().validate(params, shape)
    assert not report.has_errors(), report.generate_report()
    theirs = create_serializer("rest-json").serialize_to_request(params, _CONVERSE)
    assert json.loads(theirs["body"]) == wire, "AWS's own library writes the same request"
    return wire


def answer(content: list[Any], reason: str, usage: dict[str, Any], **more: Any) -> bytes:
    """An answer, if the service model can say it."""
    wire = {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": reason,
        "usage": {"totalTokens": 1, **usage},
        "metrics": {"latencyMs": 12},
        **more,
    }
    _valid(wire, _CONVERSE.output_shape)
    raw = json.dumps(wire).encode()
    parsed = create_parser("rest-json").parse(
        {"body": raw, "headers": {}, "status_code": 200}, _CONVERSE.output_shape
    )
    assert len(parsed["output"]["message"]["content"]) == len(content)
    return raw


def event(kind: str, **payload: Any) -> bytes:
    """An event of the stream, if the service model can say it, with padding as AWS adds."""
    _valid(payload, _STREAM.output_shape.members["stream"].members[kind])
    headers = (
        header(":event-type", kind)
        + header(":content-type", "application/json")
        + header(":message-type", "event")
    )
    return frame(headers, json.dumps({**payload, "p": "abcd"}).encode())


def _valid(wire: Any, shape: Shape) -> None:
    report = ParamValidator().validate(_from_wire(wire, shape), shape)
    assert not report.has_errors(), report.generate_report()


def _from_wire(value: Any, shape: Shape) -> Any:
    """JSON as the library's callers write it: blobs are bytes."""
    if shape.type_name == "blob":
        return base64.b64decode(value, validate=True)
    if shape.type_name == "list":
        return [_from_wire(each, shape.member) for each in value]
    if shape.type_name == "structure" and not getattr(shape, "is_document_type", False):
        return {
            name: _from_wire(each, shape.members[name]) if name in shape.members else each
            for name, each in value.items()
        }
    return value
