"""What callers invent is not remembered for ever: names, texts and headers of all kinds, and none leads to a file."""

import gc
import json
import tracemalloc
from pathlib import Path

import pytest
from serving_harness import VERSION, head, parsed, run, site

ROUND = 150
FILLER = "x" * 6_000
MOST_BYTES = 3_000
"""For each request: what is remembered of a conversation and an idempotency key, until those are full, takes about 1 KB.
One of the fillers would be 6 KB."""


def asked(n: int) -> bytes:
    """Everything that a caller can choose, different each time."""
    long = f"{n}-{FILLER}"
    body = {
        "model": "trimtab/default" if n % 3 else f"no-model-{long}"[:250],
        "max_tokens": 1,
        "metadata": {"user_id": long[:250]},
        "system": long,
        "messages": [{"role": "user", "content": long}],
    }
    if n % 5 == 0:
        body[f"field-{n}"] = long
    raw = json.dumps(body).encode()
    headers = VERSION + b"".join(
        f"{name}: {value}\r\n".encode()
        for name, value in {
            f"x-header-{n}": long,
            "user-agent": f"agent-{long}",
            "anthropic-beta": f"beta-{long}",
            "x-api-key": f"key-{long}",
            "x-trimtab-session": f"session-{long}"[:250],
            "x-trimtab-tags": ",".join(f"tag-{n}-{m}" for m in range(15)),
            **({"idempotency-key": f"once-{n}-" + "k" * 200} if n % 10 == 1 else {}),
        }.items()
    )
    return head("POST", f"/v1/messages?n={n}", headers, len(raw)) + raw


def test_what_callers_invent_does_not_fill_memory(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as place:
            statuses: set[int] = set()

            async def some(first: int) -> int:
                for n in range(first, first + ROUND):
                    statuses.add(parsed(await place.raw(asked(n)))[0])
                gc.collect()
                return tracemalloc.get_traced_memory()[0]

            await some(0)
            tracemalloc.start()
            try:
                before = await some(ROUND)
                grown = await some(2 * ROUND) - before
            finally:
                tracemalloc.stop()
            assert {200, 404} <= statuses
            assert grown < ROUND * MOST_BYTES, grown

    run(work)


@pytest.mark.parametrize(
    "name",
    ["../../t.db", "..%2f..%2ft.db", "%2e%2e/%2e%2e/t.db", "..%5ct.db", "/etc/passwd", "%00", "t.db%00", "x" * 4000, "%ff%fe",
     "' OR 1=1 --".replace(" ", "%20"), "."],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_no_name_of_kept_content_leads_anywhere_else(tmp_path: Path, name: str, method: str) -> None:
    async def work() -> None:
        async with site(tmp_path) as place:
            for part in ("", "?part=request", "?part=answer"):
                answer = await place.raw(head(method, f"/trimtab/v1/requests/{name}/content{part}"))
                status, _, body = parsed(answer)
                assert status in (400, 403, 404)
                assert json.loads(body)["type"] == "error"
                assert b"SQLite format" not in answer
                assert b"root:" not in answer
            assert (tmp_path / "t.db").exists()

    run(work)
