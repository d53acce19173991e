"""A pool of keys behind a real socket: every key is one entry to callers, permits, records, metrics and pages."""

import asyncio
import json
from pathlib import Path

import pytest
from serving_harness import run, site, take_request, upstream
from test_keys import keyed

from trimtab.app.platforms import one_of_each, open_providers, places_of

KEYS = ("sk-pool-one", "sk-pool-two")
ANSWER = (
    b'{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":"end_turn",'
    b'"usage":{"input_tokens":1000,"output_tokens":100}}'
)
LIMITED = b'{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}'
ASK = {"model": "claude-opus-4-7", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}


class Platform:
    """Keeps the heads of what it is sent."""

    def __init__(self, *, limits_one: bool = False) -> None:
        """`limits_one`: the key that comes first gets a 429, whenever it comes."""
        self.heads: list[bytes] = []
        self.limits_one = limits_one

    @property
    def keys(self) -> list[str]:
        """Those that came, in order."""
        return [head.lower().split(b"x-api-key: ")[1].split(b"\r\n")[0].decode() for head in self.heads]

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, _ = await take_request(reader)
            self.heads.append(head)
            answer, status = ANSWER, b"200 OK"
            if self.limits_one and self.keys[-1] == self.keys[0]:
                answer, status = LIMITED, b"429 Too Many Requests\r\nretry-after: 60"
            writer.write(
                b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
                % (status, len(answer))
            )
            writer.write(answer)


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for number, key in enumerate(KEYS, 1):
        monkeypatch.setenv(f"POOL_{number}", key)


def pooled(entry: str) -> str:
    address = entry.partition('base_url = "')[2].partition('"')[0]
    return (
        "[platforms.claude]\nkind = 'anthropic'\napi_keys = ['env:POOL_1', 'env:POOL_2']\n"
        f"base_url = '{address}'\nweight = 2\nhardware = 'tpu'\ndiscount_percent = 12.5\n"
    )


def test_callers_see_one_entry_whichever_key_serves_them(tmp_path: Path) -> None:
    async def work() -> None:
        platform = Platform()
        async with upstream(platform) as entry, site(tmp_path, pooled(entry)) as s:
            status, named, _ = await s.post(ASK)
            assert status == 200
            assert named["x-trimtab-platform"] == "claude"
            record = await s.record(named["x-trimtab-request"])
            assert record["plan"]["platform"] == "claude"
            assert record["attempts"][0]["platform"] == "claude"
            _, _, listed = await s.get("/v1/models?limit=1000")
            ids = [model["id"] for model in json.loads(listed)["data"]]
            assert len(ids) == len(set(ids))
            assert "claude-opus-4-7" in ids
            metrics = (await s.get("/metrics"))[2].decode()
            assert 'platform="claude"' in metrics
            assert "claude#" not in metrics
            for text in (metrics, listed.decode(), json.dumps(record), json.dumps(named)):
                assert "sk-pool" not in text

    run(work)


def test_a_limited_key_does_not_stop_the_others_and_is_left_alone(tmp_path: Path) -> None:
    async def work() -> None:
        platform = Platform(limits_one=True)
        async with upstream(platform) as entry, site(tmp_path, pooled(entry)) as s:
            status, named, _ = await s.post(ASK)
            assert (status, named["x-trimtab-platform"]) == (200, "claude")
            limited, other = platform.keys
            assert {limited, other} == set(KEYS)
            record = await s.record(named["x-trimtab-request"])
            assert [(one["platform"], one["account"], one["status"]) for one in record["attempts"]] == [
                ("claude", str(KEYS.index(limited) + 1), 429),
                ("claude", str(KEYS.index(other) + 1), 200),
            ]
            assert "sk-pool" not in json.dumps(record)
            for _ in range(3):
                assert (await s.post(ASK))[0] == 200
            assert platform.keys == [limited, other, other, other, other], "its minute is not over"
            assert "claude#" not in (await s.get("/metrics"))[2].decode()

    run(work)


def test_conversations_are_shared_out_among_the_keys_and_each_stays_with_one(tmp_path: Path) -> None:
    async def work() -> None:
        platform = Platform()
        async with upstream(platform) as entry, site(tmp_path, pooled(entry)) as s:
            for number in range(20):
                asked = {**ASK, "messages": [{"role": "user", "content": f"conversation {number}"}]}
                for _ in range(2):
                    assert (await s.post(asked))[0] == 200
            assert set(platform.keys) == set(KEYS)
            assert platform.keys[::2] == platform.keys[1::2]

    run(work)


def test_other_paths_always_go_by_the_first_key(tmp_path: Path) -> None:
    """Files and batches belong to the workspace of a key."""

    async def work() -> None:
        platform = Platform()
        async with upstream(platform) as entry, site(tmp_path, pooled(entry)) as s:
            for _ in range(3):
                status, named, _ = await s.post({}, "/v1/files")
                assert (status, named["x-trimtab-platform"]) == (200, "claude")
            assert [b"x-api-key: sk-pool-one\r\n" in head for head in platform.heads] == [True] * 3

    run(work)


def test_a_permit_of_a_key_of_ours_names_the_entry(tmp_path: Path) -> None:
    async def work() -> None:
        async with upstream(Platform()) as entry, keyed(tmp_path, pooled(entry)) as k:
            _, permitted = k.make(platforms=("claude",))
            assert (await k.ask(permitted, "claude-opus-4-7"))[0] == 200
            status, _, _ = await k.send("POST", "/v1/files", permitted, {})
            assert status == 200
            status, _, body = await k.send("GET", "/v1/models?limit=1000", permitted)
            assert "claude-opus-4-7" in [model["id"] for model in body["data"]]

    run(work)


def test_each_key_is_a_place_with_the_entrys_terms(tmp_path: Path) -> None:
    async def work() -> None:
        async with upstream(Platform()) as entry, site(tmp_path, pooled(entry)) as s:
            settings = s.application.settings
            providers = open_providers(settings)
            places = places_of(settings, providers)
            assert [place.key for place in places] == list(providers) == ["claude#1", "claude#2"]
            assert {place.name for place in places} == {provider.name for provider in providers.values()}
            assert {(place.weight, place.hardware, str(place.discount)) for place in places} == {
                (2.0, "tpu", "0.125")
            }
            assert list(one_of_each(providers)) == ["claude"]
            for provider in providers.values():
                await provider.aclose()

    run(work)
