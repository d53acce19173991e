"""Request ids."""

import random
import uuid

from hypothesis import given
from hypothesis import strategies as st

from trimtab.records import new_request_id


@given(st.integers(0, 2**48 - 1), st.integers())
def test_ids_are_uuids_of_version_7_that_carry_their_time(unix_ms: int, seed: int) -> None:
    name = new_request_id(unix_ms, random.Random(seed).getrandbits)
    parsed = uuid.UUID(hex=name)
    assert (parsed.version, parsed.variant, len(name)) == (7, uuid.RFC_4122, 32)
    assert parsed.int >> 80 == unix_ms


def test_later_ids_sort_later() -> None:
    bits = random.Random(1).getrandbits
    ids = [new_request_id(ms, bits) for ms in range(1_000_000, 1_001_000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
