"""What a load balancer is told: alive, ready, and in trouble are three things."""

import asyncio
import json
from pathlib import Path

import apsw
from serving_harness import ASK, Site, run, site


async def until_store(s: Site, ok: bool) -> dict[str, object]:
    """Wait until `/readyz` says that the store is well, or is not."""
    while True:
        status, _, body = await s.get("/readyz")
        said: dict[str, object] = json.loads(body)
        assert status == 200, "a store that is behind must not take the server out of service"
        if (said["store"] == "ok") == ok:
            return said
        await asyncio.sleep(0.02)


def value(s: Site, name: str) -> str:
    text = s.application.metrics.render().decode()
    return next(line.split()[1] for line in text.splitlines() if line.startswith(f"{name} "))


def test_a_well_server_is_ready_and_nothing_is_degraded(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            status, _, body = await s.get("/readyz")
            said = json.loads(body)
            assert status == 200
            parts = dict.fromkeys(("store", "journal", "limits", "tasks"), "ok")
            assert said == {"status": "ready", "degraded": [], **parts, "config": said["config"]}
            assert value(s, "trimtab_store_writable") == "1.0"
            assert json.loads((await s.get("/healthz"))[2]) == {"status": "alive"}

    run(work)


def test_while_the_store_cannot_be_written_the_server_stays_ready_and_says_so(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            holder = apsw.Connection(str(tmp_path / "t.db"))
            holder.set_busy_timeout(5_000)
            await asyncio.to_thread(holder.execute, "BEGIN IMMEDIATE")
            try:
                assert (await s.post(ASK))[0] == 200
                said = await until_store(s, ok=False)
                assert said["status"] == "ready"
                assert "store" in said["degraded"]  # type: ignore[operator]
                assert value(s, "trimtab_store_writable") == "0.0"
                assert (await s.post(ASK))[0] == 200, "requests are answered meanwhile"
                assert (await s.get("/healthz"))[0] == 200
            finally:
                holder.execute("ROLLBACK")
                holder.close()
            assert "store" not in (await until_store(s, ok=True))["degraded"]  # type: ignore[operator]
            assert value(s, "trimtab_store_writable") == "1.0"

    run(work)
