"""How `trimtab explain` shows a request.

What it is not: the layout (`tables`), or what is known (`admin`). Invariant: every figure has its unit, and an id is
never cut or wrapped.
"""

from trimtab.admin.request_explained import RequestExplained
from trimtab.admin.request_steps import Step
from trimtab.catalogue.money import about_dollars, dollars
from trimtab.cli.keys_shown import shown
from trimtab.cli.tables import Rows, card, console, say_sentences
from trimtab.cli.term import counted, say
from trimtab.records import Attempt, Fact, Verdict
from trimtab.store.feedback import Feedback

SAYS = {"accept": "accepted", "escalate": "not accepted", "unsure": "unsure"}
"""What verdicts are called for people."""

ABOUT = {"request": "this answer", "session": "the whole session", "task": "the whole task"}


def print_request(found: RequestExplained) -> None:
    """From the decision to what became of it."""
    _print_head(found)
    _print_decision(found)
    if found.record.attempts:
        _print_attempts(found)
    else:
        say()
        say("No call went out.")
    if found.tried.judged:
        _print_verdicts(found)
    if len(found.tried.steps) > 1 or found.tried.judged:
        _say_steps(found)
    _print_money(found)
    _print_beside(found)
    _say_told(found)


def _print_head(found: RequestExplained) -> None:
    record = found.record
    named = f"{record.key} ({found.key_name})" if found.key_name else record.key
    rows = {
        "request": record.id,
        "simulated": "yes: no real model answered" if record.simulated else "",
        "at": f"{shown(record.at_ms)} UTC",
        "asked for": record.requested_model or "no model",
        "by": " / ".join(
            filter(
                None, (f"key {named}" if named else "no key", record.organisation, record.team, record.user)
            )
        ),
        "purpose": record.purpose,
        "made for": record.parent or "",
        "result": f"{record.result} ({record.status}), after {took(record.total_ms)}",
        "error": record.error or "",
        "given again": f"the earlier answer of {record.cached}" if record.cached else "",
    }
    console().print(card(rows.items()))


def _print_decision(found: RequestExplained) -> None:
    plan = found.record.plan
    say()
    if plan is None:
        say("It was refused before there was a decision.")
        return
    steps = found.tried.steps
    rows = {
        "decided": "" if len(steps) > 1 else f"{plan.arm} on {plan.platform}",
        "began with": steps[0].arm if len(steps) > 1 else "",
        "answered": _answered(found),
        "by": ", ".join(
            filter(
                None, (f"route {plan.route}" if plan.route else "", f"tier {plan.tier}" if plan.tier else "")
            )
        ),
        "chance": "" if plan.propensity == 1 else f"{plan.propensity:.2%} of such requests, at random",
        "expected": _expected(plan.expected_cost_nanousd),
    }
    console().print(card(rows.items()))
    for reason in plan.reasons:
        say_sentences(reason, 2)
    for change in found.record.adaptations:
        say_sentences(f"changed: {change}", 2)


def _answered(found: RequestExplained) -> str:
    """By which arm and where, where that is not as decided."""
    plan, given = found.record.plan, found.tried.given
    if plan is None or given is None:
        return ""
    attempt = found.record.attempts[given]
    arm = plan.arm if attempt.arm is None else attempt.arm
    if len(found.tried.steps) == 1 and (arm, attempt.platform) == (plan.arm, plan.platform):
        return ""
    return f"{arm} on {attempt.platform}"


def _expected(nanousd: int | None) -> str:
    return "" if nanousd is None else about_dollars(nanousd)


def _print_attempts(found: RequestExplained) -> None:
    tried = found.tried
    say()
    table = Rows(
        ("attempt", "step"), ("arm", "platform"), ("result", "because"), ("in", "out"), ("cost", "took"),
        wraps={"platform": 14, "result": 14, "because": 22}, right=("in", "cost"),
    )  # fmt: skip
    of = {place: step for step in tried.steps for place in step.attempts}
    for place, attempt in enumerate(found.record.attempts):
        usage = attempt.usage
        table.add(
            f"{place + 1}{' <' if place == tried.given else ''}",
            f"step {of[place].number}",
            str(attempt.arm) if attempt.arm is not None else of[place].arm,
            f"{attempt.platform}{f', key {attempt.account}' if attempt.account else ''}",
            _came_to(attempt),
            tried.whys[place],
            "" if usage is None else f"{_tokens_in(attempt):,}",
            "" if usage is None else f"{usage.output_tokens or 0:,}",
            about_dollars(attempt.cost_nanousd),
            took(attempt.total_ms),
        )
    console().print(table)
    if tried.given is not None:
        say("< is the one that the client was given")


def _tokens_in(attempt: Attempt) -> int:
    usage = attempt.usage
    assert usage is not None
    return (
        (usage.input_tokens or 0)
        + (usage.cache_creation_input_tokens or 0)
        + (usage.cache_read_input_tokens or 0)
    )


def _came_to(attempt: Attempt) -> str:
    status = "" if attempt.status in (None, 200) else f" ({attempt.status})"
    return ", ".join(filter(None, (f"{attempt.result}{status}", attempt.stop_reason, attempt.error)))


def _print_verdicts(found: RequestExplained) -> None:
    say()
    table = Rows(
        ("step", "verifier"), "says", ("why", "evidence"), ("cost", "took"),
        wraps={"says": 8, "why": 26, "evidence": 26}, right=("cost",),
    )  # fmt: skip
    for step in found.tried.steps:
        for one in step.verdicts:
            table.add(
                f"step {step.number}",
                one.verifier,
                SAYS[one.says] + (" (it failed)" if one.failed else ""),
                one.reason,
                _evidence(one),
                about_dollars(one.cost_nanousd),
                took(one.ms),
            )
    console().print(table)


def _evidence(one: Verdict) -> str:
    facts = [f"{name}: {_fact(value)}" for name, value in one.evidence.items()]
    if one.confidence is not None:
        facts.append(f"right with probability {one.confidence:.2f}, as measured")
    return "; ".join(facts)


def _fact(value: Fact) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _say_steps(found: RequestExplained) -> None:
    say()
    steps = found.tried.steps
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        say_sentences(f"step {step.number}, {step.arm}: {_followed(step, following)}")


def _followed(step: Step, following: Step | None) -> str:
    said = "no answer was judged" if step.says is None else SAYS[step.says]
    given = "; the client was given this answer" if step.given else ""
    if following is not None:
        return f"{said}; escalated: {following.because}{given}"
    return f"{said}{f'; no further step: {step.stopped}' if step.stopped else ''}{given}"


def _print_money(found: RequestExplained) -> None:
    record, plan = found.record, found.record.plan
    calls = sum(len(verdict.calls) for step in found.tried.steps for verdict in step.verdicts)
    direct = None if plan is None else plan.direct_cost_nanousd
    rows = {"the request": f"{dollars(record.cost_nanousd)} for {counted(len(record.attempts), 'attempt')}"}
    if record.checks_nanousd or found.tried.judged:
        rows["its checks"] = (
            f"{dollars(record.checks_nanousd)} for {counted(calls, 'call')} of verifiers"
            if calls
            else "$0: they called no model"
        )
        rows["together"] = dollars(found.tried.whole_nanousd)
    if direct is not None:
        more = found.tried.whole_nanousd - direct
        rows["directly"] = (
            f"{about_dollars(direct)} expected for one call of the rung that would be called without a cascade; this "
            f"came to {about_dollars(abs(more))} {'more' if more > 0 else 'less'}"
        )
    say()
    console().print(card(rows.items()))


def _print_beside(found: RequestExplained) -> None:
    if not found.beside:
        return
    say()
    table = Rows(("called for it", "purpose"), ("arm", "by"), "result", "cost", right=("cost",))
    for one in found.beside:
        table.add(one.id, one.purpose, one.arm, one.verifier, one.result, about_dollars(one.cost_nanousd))
    console().print(table)


def _say_told(found: RequestExplained) -> None:
    say()
    if not found.told:
        say("Nobody has told what became of it.")
    for one in found.told:
        say_sentences(_word(one))


def _word(one: Feedback) -> str:
    score = {1.0: "succeeded", 0.0: "failed"}.get(one.score, f"{one.score:g} of 1")
    who = one.teller or "someone on this machine without a key"
    label = f" ({one.label})" if one.label else ""
    note = f": {one.note}" if one.note else ""
    edited = {None: "", False: "; the edited answer is not kept", True: "; --json shows the edited answer"}
    return (
        f"told by {who} as {one.source}, {shown(one.at_ms)} UTC: {ABOUT[one.covers]} {score}{label}{note}"
        f"{edited[one.edited_kept]}"
    )


def took(ms: float) -> str:
    """A time for people: `0.4 ms`, `812 ms`, `2.31 s`."""
    if ms < 1000:
        return f"{ms:.0f} ms" if ms >= 10 or ms == 0 else f"{ms:.2g} ms"
    return f"{ms / 1000:.2f} s" if ms < 100_000 else f"{ms / 1000:,.0f} s"
