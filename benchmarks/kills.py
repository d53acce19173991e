"""Workers and supervisors killed at random under load: is every call that went out in the books, once?

    python benchmarks/kills.py [--smoke] [--kills N] [--workers N] [--seed N]

On SQLite and on PostgreSQL. `tests/chaos/killing.py` says what is checked: the platform here writes down every call
before it answers, so what went out is known without asking Trimtab.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "chaos"), str(ROOT / "tests" / "support")]
from killing import kill_under_load  # noqa: E402 - it is beside the tests
from postgres_server import available, running  # noqa: E402


def main() -> None:
    """Run and print; exit status 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="2 kills instead of 50, on SQLite only")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    given = parser.parse_args()
    kills, cap_usd = (2, 0.02) if given.smoke else (given.kills, 0.1)
    missed = []
    with tempfile.TemporaryDirectory(prefix="trimtab-kills-") as folder:
        found = kill_under_load(
            Path(folder),
            f"sqlite:///{folder}/t.db",
            kills=kills,
            workers=given.workers,
            cap_usd=cap_usd,
            seed=given.seed,
        )
    print(found)
    missed += found.missed
    if given.smoke:
        sys.exit(bool(missed))
    if not available():
        print("PostgreSQL is not installed here (apt-get install postgresql): not tried on it")
        sys.exit(bool(missed))
    with tempfile.TemporaryDirectory(prefix="trimtab-kills-") as folder, running(durable=True) as server:
        found = kill_under_load(
            Path(folder),
            server.new_database(),
            kills=kills,
            workers=given.workers,
            cap_usd=cap_usd,
            seed=given.seed,
        )
    print(found)
    sys.exit(bool(missed + found.missed))


if __name__ == "__main__":
    main()
