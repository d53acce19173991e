"""`trimtab simulate` as a program of its own, on a free port."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from waiting import PATIENCE_S


@contextmanager
def simulating(folder: Path, *arguments: str, lines: int = 1) -> Iterator[str]:
    """Its address, as it says it in the last of so many lines; it ends well when it is told to."""
    command = [sys.executable, "-m", "trimtab", "simulate", "--port", "0", "--latency-scale", "0"]
    process = subprocess.Popen([*command, *arguments], cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(lines)]
        found = re.search(r"http://127\.0\.0\.1:\d+[/a-z]*", said[-1])
        assert found, said
        yield found.group()
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
