"""What tests of Amazon's platforms share: keys, and what tests of all platforms share.

What it is not: a check of signatures (`aws_verify`), or frames of an event stream (`aws_event_frames`).
"""

from typing import Any

from platform_calls import Answer, call, sent

from trimtab.config import Secret

__all__ = ["ACCESS", "NOW", "SECRET", "TOKEN", "Answer", "call", "keys", "sent", "where"]

ACCESS, SECRET, TOKEN = (
    "AKIDEXAMPLE",
    "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "IQoJb3JpZ2luX2VjE//token==",
)
NOW = 1_795_000_000.0


def where(key: str) -> str:
    return f"trimtab.toml: platforms.aws.{key}"


def keys(**more: Any) -> dict[str, Any]:
    return {
        "access_key_id": Secret(ACCESS, "env:A"),
        "secret_access_key": Secret(SECRET, "env:B"),
        "session_token": Secret(TOKEN, "env:C"),
        **more,
    }
