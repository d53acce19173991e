"""Processor time that the normaliser adds to a request, by mode and size of the body.

    python benchmarks/normaliser.py [--smoke]

Times `Normaliser.normalise` alone, on a body that was read already, where no rule has anything to do: that is what
every request pays. Best of 9 rounds, in processor time of the thread. The bar is for what is on by default for
pinned requests, `observe`: 3 us at 0.6 KB and 10 us at 53 KB.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from trimtab.catalogue import Catalogue
from trimtab.messages import MessagesBody
from trimtab.normaliser import Asked, Mode, Normaliser, NormaliserSettings, shipped_rules

MODELS = ("claude-sonnet-4-6", "claude-opus-4-7", "claude-opus-5-5")
VERSION = "2023-06-01"
MODES: tuple[Mode, ...] = ("observe", "strict", "adapt")
SMALL_US, LARGE_US = 3.0, 10.0
SMALL_BYTES = 2000
ROUNDS = 9

TEXT = 'The quick brown fox jumps over the lazy dog, "quoted" and so on. ' * 40


def bodies() -> dict[str, dict[str, Any]]:
    """Requests as programs send them."""
    tools = [
        {
            "name": f"tool_{number}",
            "description": "What it does, and when to use it. " * 6,
            "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}},
        }
        for number in range(20)
    ]
    turns = [
        {"role": ("user", "assistant")[number % 2], "content": [{"type": "text", "text": TEXT}]}
        for number in range(17)
    ]
    return {
        "0.6 KB, one question": {
            "max_tokens": 1024,
            "stream": True,
            "system": "You help.",
            "messages": [{"role": "user", "content": "x" * 450}],
        },
        "53 KB, one question": {
            "max_tokens": 8000,
            "messages": [{"role": "user", "content": "word " * 10_600}],
        },
        "53 KB, 17 turns and 20 tools": {
            "max_tokens": 8000,
            "stream": True,
            "metadata": {"user_id": "u"},
            "system": TEXT,
            "tools": tools,
            "messages": turns,
        },
    }


def best_us(work: Callable[[], object], times: int) -> float:
    """Microseconds of processor time for one call."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.thread_time_ns()
        for _ in range(times):
            work()
        best = min(best, (time.thread_time_ns() - start) / times / 1000)
    return best


def main() -> int:
    """Print the table; 1 where the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="fewer rounds, and the bar is not judged")
    smoke = parser.parse_args().smoke
    catalogue = Catalogue.load()
    normaliser = Normaliser(NormaliserSettings(), shipped_rules(), catalogue.platforms)
    missed = False
    for name, fields in bodies().items():
        for model_id in MODELS:
            model = catalogue.find(model_id)
            assert model is not None
            raw = json.dumps({"model": model_id, **fields}).encode()
            asked = Asked(
                body=MessagesBody(raw),
                headers=[(b"anthropic-version", VERSION.encode())],
                model=model,
                send_model=model_id,
                version=VERSION,
                versions=(VERSION,),
            )
            times = 20 if smoke else 4000 if len(raw) < SMALL_BYTES else 500
            spent = {
                mode: best_us(
                    partial(normaliser.normalise, asked, mode, tier=None if mode == "observe" else "default"),
                    times,
                )
                for mode in MODES
            }
            there = msgspec.structs.replace(asked, platform="bedrock")
            held = best_us(partial(normaliser.normalise, there, "off", tier=None), times)
            shown = f"rules of Bedrock alone {held:.1f} us, " + ", ".join(
                f"{mode} {us:.1f} us" for mode, us in spent.items()
            )
            print(f"{name:30} {len(raw):6} bytes  {model_id:18} {shown}")
            missed = missed or spent["observe"] > (SMALL_US if len(raw) < SMALL_BYTES else LARGE_US)
    if smoke:
        print("a smoke run is not judged")
        return 0
    print(f"observe within {SMALL_US:.0f} us and {LARGE_US:.0f} us: {'MISSED' if missed else 'met'}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
