"""Lets a model judge an answer by a rubric.

What it is not: what the judge is told, or how its reply is read (`judge_prompt`). Invariants: a judge that refuses,
cannot be read or cannot tell is unsure; where a score cannot be told, there is a verdict only if no score would change
it.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import msgspec

from trimtab.config import decoded, fail, read_file
from trimtab.errors import TrimtabError, shortened
from trimtab.records import Fact, Says
from trimtab.verification.judge_prompt import DEFAULT_RUBRIC, MOST, Criterion, Grade, asking, grades
from trimtab.verification.seam import Case, Finding, Heard, Spends

MAX_CRITERIA = 8
"""More do not fit into a record, and a judge that is asked for more says less of each."""


class RubricOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of a `[verifiers.NAME]` of kind `rubric`."""

    rubric: str = ""
    """Left out, with `rubric_file`: that the answer is right, complete and keeps to its instructions."""
    rubric_file: str = ""
    criteria: Annotated[tuple[Criterion, ...], msgspec.Meta(max_length=MAX_CRITERIA)] = ()
    """Left out: one, `overall`."""
    arm: str = "escalation"
    pass_score: Annotated[float, msgspec.Meta(gt=0, le=MOST)] = 7.0
    """Of the weighted mean of the criteria's scores, from 0 to 10."""
    runs: Annotated[int, msgspec.Meta(ge=1, le=9)] = 1
    """Judgements; their majority decides. Odd."""
    max_tokens: Annotated[int, msgspec.Meta(ge=64, le=64_000)] = 2048
    most_chars: Annotated[int, msgspec.Meta(ge=1000, le=4_000_000)] = 60_000
    """Of request and answer that the judge is shown, some 15,000 tokens; earlier turns are left out first."""


class Judgement(msgspec.Struct, frozen=True):
    """One judge's."""

    says: Says
    grades: tuple[Grade, ...] = ()
    low: float = 0.0
    """The weighted mean, with 0 for what cannot be told."""
    high: float = float(MOST)
    """The same, with 10."""
    problem: str = ""


def rubric(options: Mapping[str, Any], where: Callable[[str], str]) -> "Rubric":
    """The verifier of these options. Reads `rubric_file`. Raises `ConfigError`."""
    read = decoded(dict(options), RubricOptions, where)
    if read.rubric and read.rubric_file:
        fail(where("rubric"), read.rubric, "there is rubric_file too; name one of them")
    if read.runs % 2 == 0:
        fail(where("runs"), read.runs, "must be odd, so that there is a majority")
    names = [one.name for one in read.criteria]
    if len(set(names)) < len(names):
        fail(where("criteria"), names, "has a name twice")
    if not read.arm.strip():
        fail(where("arm"), read.arm, "must be a tier or an arm, as 'escalation'")
    text = read.rubric
    if read.rubric_file:
        text = read_file(Path(read.rubric_file)).decode("utf-8", "replace")
    if not text.strip() and (read.rubric or read.rubric_file):
        fail(where("rubric_file" if read.rubric_file else "rubric"), text, "is empty")
    return Rubric(read, text if text.strip() else DEFAULT_RUBRIC)


class Rubric:
    """See `rubric`."""

    spends: Spends = "money"

    def __init__(self, options: RubricOptions, text: str) -> None:
        self._options = options
        self._text = text
        self._criteria = options.criteria or (Criterion("overall", "the whole of the rubric"),)

    async def check(self, case: Case) -> Finding:
        """Let it be judged. Costs a call of the judge for each run, though none that could not change the majority."""
        if not case.answer.text.strip() and not case.answer.tool_calls:
            return Finding("escalate", "the answer is empty")
        needed = self._options.runs // 2 + 1
        heard: list[Heard] = []
        failed: list[TrimtabError] = []
        judged = await self._judged(case, needed, heard, failed)
        while judged and _decided(judged, needed) is None and len(judged) < self._options.runs:
            judged += await self._judged(case, 1, heard, failed)
        if not judged:
            return Finding("unsure", "request and answer are longer than most_chars")
        if len(failed) == len(judged):
            raise failed[0]
        says = _decided(judged, needed) or "unsure"
        return self._finding(says, judged, heard, case)

    async def _judged(
        self, case: Case, times: int, heard: list[Heard], failed: list[TrimtabError]
    ) -> list[Judgement]:
        """So many judgements, at once; none where there is no room for what is to be judged."""
        calls = (self._once(case, heard) for _ in range(times))
        found = []
        for call in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(call, TrimtabError):
                failed.append(call)
                found.append(Judgement("unsure", problem=shortened(str(call))))
            elif isinstance(call, BaseException):
                raise call
            elif call is not None:
                found.append(call)
        return found

    async def _once(self, case: Case, heard: list[Heard]) -> Judgement | None:
        options = self._options
        made = asking(
            self._text,
            self._criteria,
            case.question,
            case.answer,
            most_chars=options.most_chars,
            max_tokens=options.max_tokens,
        )
        if made is None:
            return None
        reply = await case.means.ask(options.arm, made.prompt)
        heard.append(reply)
        said = reply.answers[0] if reply.answers else None
        if said is None or said.stop == "refusal":
            return Judgement("unsure", problem="the judge refuses" if said else "the judge says nothing")
        if said.stop not in ("end", "stop_sequence") or not said.complete:
            return Judgement("unsure", problem="the judge did not come to its end; is max_tokens enough?")
        read = grades(said.text, made.ticket, self._criteria)
        if read is None:
            return Judgement("unsure", problem="what the judge says cannot be read")
        return self.judged(read)

    def judged(self, read: tuple[Grade, ...]) -> Judgement:
        """What these scores come to."""
        weights = [one.weight for one in self._criteria]
        whole = sum(weights)
        told = sum(weight * (grade.score or 0) for weight, grade in zip(weights, read, strict=True))
        untold = sum(weight for weight, grade in zip(weights, read, strict=True) if grade.score is None)
        low, high = told / whole, (told + MOST * untold) / whole
        floors = [(one.least, grade.score) for one, grade in zip(self._criteria, read, strict=True)]
        if high < self._options.pass_score or any(
            score is not None and score < least for least, score in floors
        ):
            says: Says = "escalate"
        elif low >= self._options.pass_score and all(
            score is not None or not least for least, score in floors
        ):
            says = "accept"
        else:
            says = "unsure"
        return Judgement(says, read, low, high)

    def _finding(self, says: Says, judged: Sequence[Judgement], heard: list[Heard], case: Case) -> Finding:
        evidence: dict[str, Fact] = {"runs": len(judged)}
        if heard:
            evidence["judge"] = heard[0].arm
            if heard[0].arm == case.arm:
                evidence["judge_is_author"] = True
        told = [one for one in judged if one.grades]
        if told:
            score = round(median(one.low for one in told), 2)
            evidence["score"] = score
            shown = next((one for one in told if one.says == says), told[0])
            for grade in shown.grades:
                points = "?" if grade.score is None else str(grade.score)
                evidence[f"criterion {grade.name}"] = f"{points}: {grade.why}"
            if says == "unsure":
                return Finding(
                    says, "the judge cannot tell" if len(told) == 1 else "the judges disagree", evidence
                )
            least = next((name for name in self._floors(shown)), "")
            reason = f"scored {score:g} of {MOST} where {self._options.pass_score:g} passes"
            return Finding(says, f"{least} {reason}".strip(), evidence)
        return Finding("unsure", judged[0].problem, evidence)

    def _floors(self, judged: Judgement) -> list[str]:
        return [
            f"{one.name} is below {one.least};"
            for one, grade in zip(self._criteria, judged.grades, strict=True)
            if grade.score is not None and grade.score < one.least
        ]


def _decided(judged: Sequence[Judgement], needed: int) -> Says | None:
    """What so many of them say alike, where they do."""
    for says in ("accept", "escalate"):
        if sum(one.says == says for one in judged) >= needed:
            return says
    return None
