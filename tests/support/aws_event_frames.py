"""Frames of an event stream, written by the specification alone, for tests."""

import base64
import json
import struct
import zlib
from typing import Any


def header(name: str, value: str) -> bytes:
    raw = value.encode()
    return bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(raw)) + raw


def frame(headers: bytes, payload: bytes) -> bytes:
    prelude = struct.pack(">II", len(headers) + len(payload) + 16, len(headers))
    checked = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return checked + struct.pack(">I", zlib.crc32(checked))


def chunk(event: bytes | dict[str, Any]) -> bytes:
    data = event if isinstance(event, bytes) else json.dumps(event, separators=(",", ":")).encode()
    payload = json.dumps({"bytes": base64.b64encode(data).decode(), "p": "abcd"}).encode()
    headers = (
        header(":event-type", "chunk")
        + header(":content-type", "application/json")
        + header(":message-type", "event")
    )
    return frame(headers, payload)


def exception(name: str, message: str = "no", **more: Any) -> bytes:
    headers = (
        header(":exception-type", name)
        + header(":content-type", "application/json")
        + header(":message-type", "exception")
    )
    return frame(headers, json.dumps({"message": message, **more}).encode())
