"""Which rule of a script a request meets. Keeps how often each rule was met, for `nth` and `first`."""

from fnmatch import fnmatchcase

import msgspec

from trimtab.catalogue import Effort
from trimtab.providers.seam import Headers
from trimtab.providers.simulator.behaviour import draw, unit
from trimtab.providers.simulator.script import Case, Endpoint, Match, Reply, Rule


class Facts(msgspec.Struct, frozen=True):
    """What rules look at."""

    endpoint: Endpoint
    headers: Headers
    text: str = ""
    """The last user turn, in lower case."""
    models: tuple[str, ...] = ()
    """Its id, the name as sent, and its other names."""
    effort: Effort | None = None
    stream: bool = False


class Rules:
    """The rules of one script. First match wins."""

    def __init__(self, rules: tuple[Rule, ...], seed: int) -> None:
        """`seed`: of the draws for `share`."""
        self._rules = rules
        self._seed = seed
        self._met = [0] * len(rules)

    def __bool__(self) -> bool:
        return bool(self._rules)

    def find(self, facts: Facts) -> Reply | None:
        """The reply of the first rule that holds. Counts the request for each rule up to that one."""
        for index, rule in enumerate(self._rules):
            if not _holds(rule.match, facts) or not self._is_drawn(index, rule.match, facts):
                continue
            self._met[index] += 1
            if _is_turn(rule.match, self._met[index]):
                return rule.reply
        return None

    def _is_drawn(self, index: int, match: Match, facts: Facts) -> bool:
        if match.share is None:
            return True
        arm = () if match.together else (*facts.models[:1], facts.effort or "")
        return unit(draw(self._seed, "share", str(index), facts.text, *arm)) < match.share


def find_case(cases: tuple[Case, ...], text: str) -> Case | None:
    """The first case whose texts all stand in the (lower-case) text."""
    for case in cases:
        if all(part.lower() in text for part in _several(case.contains)):
            return case
    return None


def _several(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value


def _is_turn(match: Match, met: int) -> bool:
    if match.first is not None and met > match.first:
        return False
    if match.nth is None:
        return True
    return met == match.nth if isinstance(match.nth, int) else met in match.nth


def _holds(match: Match, facts: Facts) -> bool:
    if match.endpoint != facts.endpoint:
        return False
    if match.stream is not None and match.stream != facts.stream:
        return False
    if match.effort is not None and facts.effort not in _several(match.effort):
        return False
    if match.model is not None and not any(
        fnmatchcase(model, pattern) for pattern in _several(match.model) for model in facts.models
    ):
        return False
    if match.contains is not None and not all(
        part.lower() in facts.text for part in _several(match.contains)
    ):
        return False
    return all(_has_header(facts.headers, name, part) for name, part in match.header.items())


def _has_header(headers: Headers, name: str, part: str) -> bool:
    wanted, text = name.lower().encode(), part.lower().encode()
    return any(key == wanted and text in value.lower() for key, value in headers)
