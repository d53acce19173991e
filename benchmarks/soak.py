"""Does a server that has answered a million requests hold more memory than one that has answered a few?

    python benchmarks/soak.py [--smoke]

One `trimtab serve` process with the simulated platform at latency 0 and its SQLite store; `tests/chaos/flood.py` asks
it over 24 connections: JSON answers and streams, with and without a key that has limits, one in a hundred refused.
Resident memory is read every 20,000 requests; after a warm-up of 100,000 a line is fitted through what was read (least
squares). Bar: less than 1 MB more for each 100,000 requests.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "chaos"), str(ROOT / "tests" / "support")]
from drive import Site, rss_mib  # noqa: E402 - it is beside the tests
from findings import Findings  # noqa: E402

BAR_MB = 1.0


def slope(points: list[tuple[float, float]]) -> float:
    """Of the line with the least squares."""
    n = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    over = sum((x - mean_x) * (y - mean_y) for x, y in points)
    return over / sum((x - mean_x) ** 2 for x, _ in points)


def soak(folder: Path, requests: int, step: int, warm_up: int) -> Findings:
    """Ask so often, and read the memory meanwhile."""
    site = Site(folder, None, f"sqlite:///{folder}/t.db", 1)
    try:
        key = site.key("limited", concurrency=64, usd=100_000)
        site.start()
        flood = subprocess.Popen(
            [
                sys.executable,
                str(ROOT / "tests" / "chaos" / "flood.py"),
                *map(str, (site.port, requests, step, key.secret)),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert flood.stdout is not None
        points: list[tuple[float, float]] = []
        times: list[float] = []
        statuses = "{}"
        for line in flood.stdout:
            if line.startswith("{"):
                statuses = line
                continue
            done, at = line.split()
            points.append((float(done), rss_mib([site.process.pid]) * 2**20 / 1e6))
            times.append(float(at))
            print(f"{done:>9} requests, {points[-1][1]:6.1f} MB", file=sys.stderr)
        failed = flood.wait()
        site.process.send_signal(signal.SIGTERM)
        status = site.process.wait(60)
    finally:
        site.destroy()
    findings = Findings(f"{requests:,} requests to one process")
    findings.check("the flood's exit status", failed == 0, failed)
    findings.note("answers by status", json.loads(statuses))
    findings.note("requests a second", (points[-1][0] - points[0][0]) / (times[-1] - times[0]))
    kept = [(done, rss) for done, rss in points if done >= warm_up]
    findings.note(
        "resident memory after the warm-up / at the end, MB", f"{kept[0][1]:.1f} / {kept[-1][1]:.1f}"
    )
    grows = slope(kept) * 100_000
    if requests >= 1_000_000:
        findings.check("growth, MB per 100,000 requests", grows < BAR_MB, grows)
    else:
        findings.note("growth, MB per 100,000 requests (too few to judge)", grows)
    findings.check("exit status after the stop", status == 0, status)
    return findings


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="20,000 requests instead of 1,000,000")
    requests, step, warm_up = (
        (20_000, 1_000, 5_000) if parser.parse_args().smoke else (1_000_000, 20_000, 100_000)
    )
    with tempfile.TemporaryDirectory() as folder:
        findings = soak(Path(folder), requests, step, warm_up)
    print(findings)
    sys.exit(bool(findings.missed))


if __name__ == "__main__":
    main()
