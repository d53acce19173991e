"""Hundreds of tasks at once while workers are killed, callers leave and tasks are cancelled: does every budget hold?

    python benchmarks/tasks_chaos.py [--smoke] [--tasks N] [--kills N] [--workers N] [--seed N]

On SQLite and on PostgreSQL. `tests/chaos/tasking.py` says what is checked: limits of tasks and of their team, and every
sum, to the nano-dollar, between tasks, records, accounts and what the platform saw.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "chaos"), str(ROOT / "tests" / "support")]
from postgres_server import available, running  # noqa: E402 - it is beside the tests
from tasking import tasks_under_fire  # noqa: E402

USD_A_TASK = 0.06
"""Of the team's limit: less than the tasks together would spend."""


def main() -> None:
    """Run and print; exit status 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="20 tasks and 1 kill, on SQLite only")
    parser.add_argument("--tasks", type=int, default=500)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    given = parser.parse_args()
    tasks, kills = (20, 1) if given.smoke else (given.tasks, given.kills)

    def run(folder: str, store_url: str) -> list[str]:
        found = tasks_under_fire(
            Path(folder),
            store_url,
            tasks=tasks,
            workers=given.workers,
            kills=kills,
            seed=given.seed,
            usd=round(tasks * USD_A_TASK, 2),
        )
        print(found)
        return found.missed

    with tempfile.TemporaryDirectory(prefix="trimtab-tasks-") as folder:
        missed = run(folder, f"sqlite:///{folder}/t.db")
    if given.smoke:
        sys.exit(bool(missed))
    if not available():
        print("PostgreSQL is not installed here (apt-get install postgresql): not tried on it")
        sys.exit(bool(missed))
    with tempfile.TemporaryDirectory(prefix="trimtab-tasks-") as folder, running(durable=True) as server:
        missed += run(folder, server.new_database())
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
