"""200 callers who do not give up, against limits of 10; and keys that are made and revoked while they are in use.

    python benchmarks/limits.py [--smoke]

With 1 and 4 workers, on SQLite and on PostgreSQL. `tests/chaos/limiting.py` and `tests/chaos/revoking.py` say what is
checked. Absolute times suffer where the machine has other work; counts do not.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "chaos"), str(ROOT / "tests" / "support")]
from findings import Findings  # noqa: E402 - it is beside the tests
from limiting import against_concurrency, against_money, against_rate  # noqa: E402
from postgres_server import available, running  # noqa: E402
from revoking import revoke_in_use  # noqa: E402


def main() -> None:
    """Run and print; exit status 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--smoke", action="store_true", help="one limit for 3 seconds, on SQLite with 4 workers"
    )
    missed = 0
    for found in one() if parser.parse_args().smoke else everything():
        print(found, flush=True)
        missed += len(found.missed)
    sys.exit(bool(missed))


def one() -> Iterator[Findings]:
    """The shortest run."""
    with tempfile.TemporaryDirectory(prefix="trimtab-limits-") as folder:
        yield against_money(Path(folder), f"sqlite:///{folder}/t.db", workers=4, hold_s=3)


def everything() -> Iterator[Findings]:
    """All runs, one after the other."""
    yield from on_store(lambda folder: f"sqlite:///{folder}/t.db")
    if not available():
        print("PostgreSQL is not installed here (apt-get install postgresql): not tried on it")
        return
    with running() as server:
        yield from on_store(lambda folder: server.new_database())


def on_store(url: Callable[[str], str]) -> Iterator[Findings]:
    """All runs on one store, each with a database of its own."""
    for workers in (1, 4):
        for run, hold_s in ((against_concurrency, 20), (against_rate, 80), (against_money, 10)):
            with tempfile.TemporaryDirectory(prefix="trimtab-limits-") as folder:
                yield run(Path(folder), url(folder), workers=workers, hold_s=hold_s)
    with tempfile.TemporaryDirectory(prefix="trimtab-limits-") as folder:
        yield revoke_in_use(Path(folder), url(folder), rounds=20)


if __name__ == "__main__":
    main()
