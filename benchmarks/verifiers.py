"""Processor time of one check, for every verifier that is shipped, by the size of the answer.

    python benchmarks/verifiers.py [--smoke]

Each verifier is made as a configuration makes it, by its entry point, and let at answers that it accepts: 0.2 KB (an
answer of two sentences), 2 KB (a page) and 50 KB (the longest that agents write). Processor time of the thread, median
of 9 rounds. Those that run code or call models are measured without that: what is left is what they cost the gateway
itself. The bars are for those that spend nothing, because they run on the event loop: 1 ms for a page, 10 ms for 50 KB.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from trimtab.messages.exchange import Answered, Question, Tool, ToolCall, Turn
from trimtab.records import RequestId
from trimtab.sandbox import Ran, Run
from trimtab.verification import (
    Case,
    Check,
    Heard,
    Judged,
    Means,
    Prompt,
    VerificationSettings,
    Verifiers,
    judge,
)

ROUNDS = 9
SIZES = {"0.2 KB": 200, "2 KB": 2_000, "50 KB": 50_000}
PAGE, LARGE = "2 KB", "50 KB"
BARS_US = {PAGE: 1_000, LARGE: 10_000}

SCHEMA = {
    "type": "object",
    "required": ["total", "lines"],
    "properties": {
        "total": {"type": "number"},
        "lines": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "price"],
                "properties": {"name": {"type": "string"}, "price": {"type": "number", "minimum": 0}},
            },
        },
    },
}
TOOL = Tool("write", {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]})
SENTENCE = "The order of May 3rd was sent, and its 12 parts should arrive by Friday. "
CHINESE = "订单已于五月三日寄出，十二个部件应在周五之前到达。"


def rules(count: int) -> dict[str, Any]:
    """Texts, words and patterns that no answer here holds, a third of each."""
    words = [
        f"{first}{second}zq{number}"
        for number in range(3)
        for first in "abcdefghijklmnop"
        for second in "abcdefghijklmno"
    ]
    third = max(1, count // 3)
    return {
        "kind": "forbidden_text",
        "texts": [f"{one} only" for one in words[:third]],
        "words": words[:third],
        "patterns": [rf"{one}-\d{{4,}}" for one in words[: count - 2 * third]],
    }


CONFIGURED: dict[str, tuple[str, dict[str, Any]]] = {
    # how it is called here: what its answers are, and its configuration
    "json": ("json", {"kind": "json"}),
    "json_schema": ("json", {"kind": "json_schema"}),
    "tool_calls": ("call", {"kind": "tool_calls"}),
    "not_truncated": ("prose", {"kind": "not_truncated"}),
    "not_refused": ("prose", {"kind": "not_refused"}),
    "style, lengths and words": ("prose", {"kind": "style", "max_words": 20_000, "must_contain": "friday"}),
    "style, on Chinese": ("chinese", {"kind": "style", "max_words": 50_000, "max_emojis": 0}),
    "forbidden_text, 3 rules": ("prose", rules(3)),
    "forbidden_text, 500 rules": ("prose", rules(500)),
    "forbidden_text, 2000 rules": ("prose", rules(2_000)),
    "forbidden_text, 3 rules on Chinese": ("chinese", rules(3)),
    "regular_answer, number": ("prose", {"kind": "regular_answer", "answer": "number", "max": 100}),
    "code_tests, without the sandbox": ("code", {"kind": "code_tests", "tests": "assert f0() == 0"}),
    "second_opinion, without the call": ("prose", {"kind": "second_opinion"}),
    "rubric, without the call": ("prose", {"kind": "rubric", "most_chars": 200_000}),
}


def answer(kind: str, size: int) -> Answered:
    """One that its verifiers accept."""
    if kind == "json":
        lines = [{"name": f"part {number}", "price": number / 4} for number in range(max(1, size // 36))]
        return Answered(text=json.dumps({"total": 7.5, "lines": lines}), stop="end")
    if kind == "call":
        given = {"text": SENTENCE * (size // len(SENTENCE))}
        call = ToolCall("toolu_1", "write", json.dumps(given).encode(), given)
        return Answered(tool_calls=(call,), stop="tool_use")
    if kind == "code":
        code = "".join(f"def f{number}():\n    return {number}\n\n" for number in range(max(1, size // 28)))
        return Answered(text=f"Here it is:\n\n```python\n{code}```\n", stop="end")
    sentence = CHINESE if kind == "chinese" else SENTENCE
    paragraph = sentence * 4 + "\n\n"
    return Answered(
        text=(paragraph * (size // len(paragraph) + 1))[:size] + "\n\nThe answer is 12.", stop="end"
    )


QUESTION = Question(
    surface="messages", turns=(Turn("user", "Where is my order? " * 20),), tools=(TOOL,), schema=SCHEMA
)


async def run(order: Run) -> Ran:
    """What the sandbox gives when all tests pass."""
    nonce = msgspec.json.decode(order.stdin)["nonce"]
    lines = [
        {"nonce": nonce, "at": "begun"},
        {"nonce": nonce, "at": "end", "outcome": "passed", "ran": 1, "checks": 1},
    ]
    return Ran(ended="exited", status=0, stdout=b"\n".join(map(msgspec.json.encode, lines)))


async def ask(arm: str, prompt: Prompt | None = None) -> Heard:
    """The same answer, or the judgement of a judge who is content."""
    text = "So the answer is 12."
    if prompt is not None:
        ticket = prompt.user.rpartition("ticket of your reply is ")[2].rstrip(".")
        grade = {"name": "overall", "score": 9, "why": "It says what was asked."}
        text = json.dumps({"ticket": ticket, "criteria": [grade]})
    return Heard((Answered(text=text, stop="end"),), arm, RequestId("r-1"), 0, True)


MEANS = Means(ask, run, time.monotonic)


async def spent_us(work: Callable[[], Any], smoke: bool) -> float:
    """Processor time of the thread for one, median of the rounds."""
    begin = time.thread_time_ns()
    await work()
    one_us = max(1.0, (time.thread_time_ns() - begin) / 1000)
    times = 1 if smoke else max(3, min(2_000, int(20_000 / one_us)))
    rounds = []
    for _ in range(2 if smoke else ROUNDS):
        begin = time.thread_time_ns()
        for _ in range(times):
            await work()
        rounds.append((time.thread_time_ns() - begin) / times / 1000)
    return statistics.median(rounds)


async def measured(check: Check, kind: str, smoke: bool) -> dict[str, float]:
    """By size. Raises where an answer is not accepted: then something else was measured."""
    found = {}
    for name, size in SIZES.items():
        case = Case(
            question=QUESTION if kind in ("json", "call") else msgspec.structs.replace(QUESTION, tools=()),
            answer=answer(kind, size),
            arm="claude-sonnet-4-6",
            means=MEANS,
            deadline=time.monotonic() + 3_600,
        )
        finding = await check.verifier.check(case)
        if finding.says != "accept":
            raise RuntimeError(f"{check.name} at {name}: {finding}")
        found[name] = await spent_us(partial(check.verifier.check, case), smoke)
    return found


async def panel_us(check: Check, smoke: bool) -> float:
    """What running a check adds to it: deadline, verdict, evidence."""
    judged = Judged(question=QUESTION, answers=(answer("prose", 200),), arm="claude-sonnet-4-6")
    return await spent_us(lambda: judge([check], judged, lambda name, spent: MEANS), smoke)


async def table(smoke: bool) -> bool:
    """Print it; whether the bars are met."""
    named = {name: options for name, (_, options) in CONFIGURED.items()}
    begin = time.perf_counter()
    verifiers = Verifiers(VerificationSettings(), named, str)
    print(
        f"{len(named)} verifiers made in {(time.perf_counter() - begin) * 1000:.0f} ms, their modules loaded\n"
    )
    print(f"{'processor time of a check (us)':36}" + "".join(f"{name:>10}" for name in SIZES))
    met = True
    for name, (kind, _) in CONFIGURED.items():
        check = verifiers.check(name, name)
        found = await measured(check, kind, smoke)
        print(f"{name:36}" + "".join(f"{found[size]:10.1f}" for size in SIZES))
        if check.verifier.spends == "nothing":
            met = met and all(found[size] <= bar for size, bar in BARS_US.items())
    whole = verifiers.check("not_truncated", "x")
    alone = (await measured(whole, "prose", smoke))["0.2 KB"]
    print(f"\na check's frame (deadline, verdict, evidence): {await panel_us(whole, smoke) - alone:.1f} us")
    return met


def main() -> int:
    """1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="few rounds, and the bars are not judged")
    smoke = parser.parse_args().smoke
    met = asyncio.run(table(smoke))
    if smoke:
        print("smoke run: not judged")
        return 0
    print(
        f"checks that spend nothing within 1 ms for a page and 10 ms for 50 KB: {'met' if met else 'MISSED'}"
    )
    return int(not met)


if __name__ == "__main__":
    sys.exit(main())
