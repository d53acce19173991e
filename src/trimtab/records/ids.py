"""Request ids: UUID version 7 as 32 hex digits, so that they sort by time in an index.

Source: RFC 9562 section 5.7.
"""

from collections.abc import Callable
from typing import NewType

RequestId = NewType("RequestId", str)


def new_request_id(unix_ms: int, random_bits: Callable[[int], int]) -> RequestId:
    """An id for this moment. `random_bits(n)` gives n random bits (ids are names, not secrets)."""
    high = (unix_ms & 0xFFFF_FFFF_FFFF) << 16 | 0x7000 | random_bits(12)
    low = 0x8000_0000_0000_0000 | random_bits(62)
    return RequestId(f"{high:016x}{low:016x}")
