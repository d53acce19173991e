"""What must come of a setting, and the script and configuration that make it so."""

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cascade_expected import (
    BROKEN,
    Cascade,
    Expected,
    Judged,
    World,
    apart,
    opinion_of,
    readable,
    together,
    verifier,
)
from known_verifier import KIND

from cascade_model.settings import Known, Opinion, Refusing, Rung, Schema, Setting
from trimtab.catalogue import Catalogue
from trimtab.records import Says

ANSWER = "Answer: 42"
MALFORMED = '{"answer": "Answ'
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"answer": {"type": "string"}},
    "required": ["answer"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Must:
    """What must come of a setting; money in nano-dollars."""

    begun: Expected
    """As the policy must begin it."""
    top: Expected
    """The last rung alone, without a cascade."""
    begins_at: int
    """Where it must begin: in mode `cost` where the fewest dollars are expected."""
    margin: float
    """By how much beginning there is expected to cost less than the next best beginning; 0 where there is no choice."""


def question(setting: Setting, number: int) -> str:
    """What is asked; each number is another draw."""
    return f"Question {number} of setting {setting.name}."


def must(setting: Setting, catalogue: Catalogue) -> Must:
    """Worked out from the setting and the catalogue's prices."""
    calls = [_cost(one, catalogue) for one in setting.rungs]
    voice = _cost(setting.check.voice, catalogue) if isinstance(setting.check, Opinion) else 0
    worlds = _worlds(setting)

    def beginning(at: int) -> Expected:
        chosen = range(at, min(at + setting.steps, len(calls)))
        # Of its own answer no arm is asked.
        checks = tuple(0.0 if n == _own(setting) else float(voice) for n in chosen)
        cascade = Cascade(
            tuple(float(calls[n]) for n in chosen),
            checks,
            unsure_goes_on=not setting.releases_unsure,
            broken_is_free=isinstance(setting.check, Refusing),
        )
        own = [(p, (*(answers[n] for n in chosen), *answers[len(calls) :])) for p, answers in worlds]
        return cascade.expected(own, _judged(setting, len(chosen), at))

    last = min(setting.steps, len(calls)) - 1
    ways = [beginning(at) for at in range(last + 1)]
    begins, margin = 0, 0.0
    if setting.mode == "cost":
        order = sorted(range(len(ways)), key=lambda n: ways[n].cost)
        begins, margin = order[0], ways[order[1]].cost / ways[order[0]].cost - 1
    return Must(ways[begins], ways[last], begins, margin)


def _cost(rung: Rung, catalogue: Catalogue) -> int:
    """Nano-dollars of one call: a dollar a million tokens is 1,000 nano-dollars a token."""
    model = catalogue.find(rung.arm.partition("@")[0])
    assert model is not None
    price = catalogue.price_row(model, datetime.datetime.now(datetime.UTC).date())
    cost = rung.tokens[0] * price.input * 1000 + rung.tokens[1] * price.output * 1000
    assert cost == int(cost)
    return int(cost)


def _arms(setting: Setting) -> tuple[Rung, ...]:
    voice = (setting.check.voice,) if isinstance(setting.check, Opinion) else ()
    return (*setting.rungs, *(one for one in voice if one not in setting.rungs))


def _worlds(setting: Setting) -> list[World]:
    arms = _arms(setting)
    rights = [one.right for one in arms]
    worlds = (
        together(rights) if setting.together else apart(rights, setting.wrong, [one.broken for one in arms])
    )
    same = _own(setting)
    if same >= 0:  # the same arm, asked the same, answers the same
        return [(p, (*answers, answers[same])) for p, answers in worlds]
    return worlds


def _own(setting: Setting) -> int:
    """The rung that would be asked for an opinion on its own answer; -1 where none is."""
    voice = setting.check.voice if isinstance(setting.check, Opinion) else None
    return next((n for n, rung in enumerate(setting.rungs) if rung == voice), -1)


def _judged(setting: Setting, chosen: int, at: int) -> Judged:
    """How answers are judged where so many rungs are called from `at` on; behind their answers is the voice's."""
    check = setting.check
    if isinstance(check, Known):
        return verifier(check.miss, check.false_alarm, check.unsure)
    if not isinstance(check, Opinion):
        return readable
    other = opinion_of(chosen)

    def judged(answers: tuple[int, ...], rung: int) -> Mapping[Says, float]:
        return {"unsure": 1.0} if rung + at == _own(setting) else other(answers, rung)

    return judged


def script(settings: tuple[Setting, ...]) -> str:
    """For the simulator: what each model answers in each setting, how often, and at which count of tokens."""
    rules: list[dict[str, Any]] = []
    cases: list[dict[str, Any]] = []
    for setting in settings:
        contains = f"of setting {setting.name}."
        # Arms with an effort first: the first rule that matches is used.
        arms = sorted(_arms(setting), key=lambda one: "@" not in one.arm)
        for rung in arms:
            model, _, effort = rung.arm.partition("@")
            match: dict[str, Any] = {"contains": contains, "model": model}
            if effort:
                match["effort"] = effort
            usage = {"input_tokens": rung.tokens[0], "output_tokens": rung.tokens[1]}
            if rung.broken:
                fault: dict[str, Any] = (
                    {"refusal": {}} if isinstance(setting.check, Refusing) else {"text": MALFORMED}
                )
                rules.append({"match": {**match, "share": rung.broken}, "reply": {**fault, "usage": usage}})
            rules.append({"match": match, "reply": {"usage": usage}})
        cases.append(
            {
                "contains": contains,
                "answer": ANSWER,
                "wrong": [f"Answer: {42 + n}" for n in range(1, setting.wrong + 1)],
                "chance": {**{rung.arm: rung.right for rung in arms}, "*": 0.0},
                "together": setting.together,
            }
        )
    return json.dumps({"version": 1, "rules": rules, "cases": cases}, indent=1)  # JSON is YAML


def routes(settings: tuple[Setting, ...]) -> str:
    """For the gateway: a route and its check for each setting."""
    lines: list[str] = []
    for setting in settings:
        check = setting.check
        name = {Schema: "json_schema", Refusing: "not_refused"}.get(type(check), setting.name)
        if isinstance(check, Known):
            lines += [f"[verifiers.{name}]", f'kind = "{KIND}"', f'right = "{ANSWER}"']
            lines += [
                f"miss = {check.miss}",
                f"false_alarm = {check.false_alarm}",
                f"unsure = {check.unsure}",
            ]
        elif isinstance(check, Opinion):
            lines += [f"[verifiers.{name}]", 'kind = "second_opinion"', f'arm = "{check.voice.arm}"']
        lines += [
            f"[routes.{setting.name}]",
            f"ladder = {json.dumps([rung.arm for rung in setting.rungs])}",
            f'verify = ["{name}"]',
            f'mode = "{setting.mode}"',
            f"steps = {min(setting.steps, len(setting.rungs))}",
            *(['unsure = "release"'] if setting.releases_unsure else []),
            "",
        ]
    return "\n".join(lines)


def is_right(setting: Setting, text: str) -> bool:
    """Whether what a client got is the right answer."""
    if not isinstance(setting.check, Schema):
        return text == ANSWER
    try:
        return bool(json.loads(text) == {"answer": ANSWER})
    except ValueError:
        return False


__all__ = ["BROKEN", "SCHEMA", "Must", "is_right", "must", "question", "routes", "script"]
