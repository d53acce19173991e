"""The store goes away for a minute under load: does anybody notice who should not, and are the books whole afterwards?

    python benchmarks/store_away.py [--smoke] [WAY ...]

Ways: locked and full (SQLite: another process holds the file; its disk is full, which needs root), fast, immediate
and frozen (PostgreSQL stopped in order, as by a crash, or answering nothing). `tests/chaos/taking_away.py` says what is
checked.
"""

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "chaos"), str(ROOT / "tests" / "support")]
import taking_away  # noqa: E402 - it is beside the tests
from findings import Findings  # noqa: E402
from postgres_server import available, running  # noqa: E402

WAYS = ("locked", "full", "fast", "immediate", "frozen")


def once(way: str, away_s: float) -> Findings | None:
    """One way; `None` where it cannot be tried."""
    with tempfile.TemporaryDirectory(prefix="trimtab-away-") as folder:
        if way == "locked":
            return taking_away.sqlite_locked(Path(folder), away_s=away_s)
        if way == "full":
            if not taking_away.may_mount():
                print("SQLite's disk full: not tried, mounting a small disk needs root")
                return None
            return taking_away.sqlite_disk_full(Path(folder), away_s=away_s)
        if not available():
            print(
                f"PostgreSQL stopped ({way}): not tried, it is not installed here (apt-get install postgresql)"
            )
            return None
        with running(durable=True) as server:
            return taking_away.postgres_stopped(Path(folder), server, mode=way, away_s=away_s)


def main() -> None:
    """Run and print; exit status 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="3 seconds instead of 60, SQLite locked only")
    parser.add_argument("ways", metavar="WAY", nargs="*", help=f"of {', '.join(WAYS)}; all by default")
    given = parser.parse_args()
    missed = 0
    for way in given.ways or (WAYS[:1] if given.smoke else WAYS):
        found = once(way, 3 if given.smoke else 60)
        if found is not None:
            print(found, flush=True)
            missed += len(found.missed)
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
