"""Verifiers are found by name, everybody's by the same door, and whatever is wrong with one is a single clear error."""

import json
import re
import subprocess
import sys
import textwrap
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from trimtab.errors import ConfigError, RequestError
from trimtab.verification import Finding, VerificationSettings, Verifiers
from trimtab.verification.code_blocks import blocks
from trimtab.verification.panel import ORDER

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "verification.md").read_text(encoding="utf-8")

SHIPPED = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["trimtab.verifiers"]


class Fine:
    spends = "nothing"

    async def check(self, case: Any) -> Finding:
        return Finding("accept")


class Waits(Fine):
    def check(self, case: Any) -> Any:  # type: ignore[override]
        return Finding("accept")


class Spends(Fine):
    spends = "time"


def fine(options: Any, where: Any) -> Any:
    for name in options:
        if name != "size":
            raise ConfigError(where(name), "there is only 'size'")
    return Fine()


def no_check(options: Any, where: Any) -> Any:
    return object()


def waits(options: Any, where: Any) -> Any:
    return Waits()


def spends(options: Any, where: Any) -> Any:
    return Spends()


def crashes(options: Any, where: Any) -> Any:
    raise KeyError("size")


def exits(options: Any, where: Any) -> Any:
    sys.exit(1)


NUMBER = 3


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, "trimtab.verifiers")


def found(*names: str) -> list[EntryPoint]:
    return [entry(name, f"{__name__}:{name}") for name in names]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the module that entry points of these tests name."""
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or sys.modules[fine.__module__])


def verifiers(named: dict[str, Any] | None = None, *entries: EntryPoint, **settings: Any) -> Verifiers:
    return Verifiers(VerificationSettings(**settings), named or {}, lambda key: f"t.toml: {key}", entries)


def test_every_kind_that_is_shipped_loads_and_can_be_named() -> None:
    shipped = [entry(name, value) for name, value in SHIPPED.items()]
    there = Verifiers(VerificationSettings(), {}, str, shipped)
    assert there.kinds == tuple(sorted(SHIPPED))
    needs = {}
    for name in there.kinds:
        try:
            assert there.check(name, "x").verifier.spends in ORDER
        except ConfigError as problem:
            needs[name] = problem.problem.split(": ")[2]
    assert needs == {
        "style": "max_words",
        "forbidden_text": "texts",
        "regular_answer": "answer",
    }, "all others suit as they are"


@pytest.mark.parametrize(
    ("one", "problem"),
    [
        (
            entry("odd", "nowhere.at.all:odd"),
            "'odd': nowhere.at.all:odd cannot be loaded: ModuleNotFoundError: No module",
        ),
        (entry("odd", f"{__name__}:missing"), "cannot be loaded: AttributeError"),
        (entry("odd", __name__), "is no function that makes a verifier; name one as MODULE:FUNCTION"),
        (entry("odd", f"{__name__}:NUMBER"), "is no function that makes a verifier"),
        (
            entry("odd", f"{__name__}:no_check"),
            "'odd': makes no verifier: needs `spends` (nothing, processor, money)",
        ),
        (entry("odd", f"{__name__}:waits"), "and a method `async def check(self, case)`"),
        (entry("odd", f"{__name__}:spends"), "makes no verifier"),
        (entry("odd", f"{__name__}:crashes"), "'odd': cannot be made: KeyError: 'size'"),
        (entry("odd", f"{__name__}:exits"), "cannot be made: SystemExit: 1"),
    ],
)
def test_an_entry_point_that_gives_no_verifier_is_one_error_that_names_it(
    one: EntryPoint, problem: str
) -> None:
    for named in ({"mine": {"kind": "odd"}}, {"odd": {}}):
        with pytest.raises(ConfigError, match=re.escape(problem)) as caught:
            verifiers(named, one)
        assert str(caught.value).startswith(f"t.toml: verifiers.{next(iter(named))}")
    there = verifiers(None, one)
    for _ in range(2):
        with pytest.raises(
            RequestError, match=r"x-trimtab-verify: 'odd' cannot be used as it is .*there are none"
        ):
            there.wanted("odd")


def test_a_name_that_two_packages_offer_is_refused_and_one_offered_twice_is_not() -> None:
    there = verifiers(None, entry("twice", f"{__name__}:fine"), entry("twice", f"{__name__}:waits"))
    with pytest.raises(
        ConfigError, match=r"'twice': is the name of several verifiers: .*:fine, .*:waits; remove"
    ):
        there.check("twice", "x")
    assert verifiers(None, *found("fine", "fine")).check("fine", "x").name == "fine"


@pytest.mark.parametrize(
    ("named", "problem"),
    [
        (
            {"mine": {"kind": "fime"}},
            "t.toml: verifiers.mine.kind: 'fime': no such verifier; did you mean 'fine'? there are fine",
        ),
        ({"all": {"kind": "fine"}}, "verifiers.all: 'all': is what records say where nothing judged"),
        ({"mine": {}}, "verifiers.mine.kind: 'mine': no such verifier"),
        ({"mine": {"kind": 3}}, "verifiers.mine.kind: 3: no such verifier"),
        ({"mine": {"kind": "fine", "sise": 3}}, "t.toml: verifiers.mine.sise: there is only 'size'"),
        (
            {"mine": {"kind": "fine", "timeout_s": 0}},
            "verifiers.mine.timeout_s: 0: must be from 0.001 to 3600",
        ),
        ({"mine": {"kind": "fine", "timeout_s": True}}, "verifiers.mine.timeout_s: true: must be a number"),
        ({"mine": {"kind": "fine", "timeout_s": float("nan")}}, "must be from 0.001 to 3600"),
    ],
)
def test_options_that_are_wrong_are_refused_at_the_start(named: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(problem)):
        verifiers(named, *found("fine"))


def test_a_verifier_is_made_once_and_keeps_its_time() -> None:
    there = verifiers({"mine": {"kind": "fine", "size": 3, "timeout_s": 2}}, *found("fine"), timeout_s=7.0)
    assert (there.check("mine", "x").timeout_s, there.check("fine", "x").timeout_s) == (2.0, 7.0)
    assert there.check("fine", "x") is there.check("fine", "y")
    assert [one.name for one in there.wanted(" mine, fine,mine ,")] == ["mine", "fine"]


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ("", "names no verifier"),
        (" , ", "names no verifier"),
        ("mine", "'mine' may not be asked for here; there are fine"),
        ("x" * 500, "may not be asked for here"),
    ],
)
def test_a_request_names_what_it_may_or_is_told_what_it_may(header: str, problem: str) -> None:
    there = verifiers({"mine": {"kind": "fine"}}, *found("fine"), per_request=("fine",))
    with pytest.raises(RequestError, match=re.escape(problem)):
        there.wanted(header)
    with pytest.raises(RequestError, match="no such verifier; did you mean 'fine'"):
        verifiers(None, *found("fine")).wanted("fin")


def test_a_kind_that_needs_options_is_refused_to_a_request_in_words_that_it_can_use() -> None:
    style = entry("style", SHIPPED["style"])
    there = verifiers({"short": {"kind": "style", "max_words": 3}}, style)
    with pytest.raises(RequestError) as caught:
        there.wanted("style")
    assert str(caught.value) == (
        "x-trimtab-verify: 'style' cannot be used as it is (nothing is asked for; name a rule, as max_words = 200); "
        "its options are the operator's to name, in a [verifiers.NAME] of this kind; there are short"
    )


def test_a_kind_that_needs_options_is_refused_to_a_route_at_its_own_place() -> None:
    there = verifiers(None, entry("style", SHIPPED["style"]))
    for _ in range(2):
        with pytest.raises(ConfigError) as caught:
            there.check("style", "t.toml: routes.r.verify")
        assert caught.value.where == "t.toml: routes.r.verify"
        assert re.fullmatch(
            r"'style': cannot be used as it is: max_words: .*nothing is asked for; name a rule, as max_words = 200; "
            r"write a \[verifiers.NAME\] with kind = 'style' and its options, and name that",
            caught.value.problem,
        )


def test_what_requests_may_name_must_be_there() -> None:
    with pytest.raises(ConfigError, match=r"t.toml: verification.per_request: 'x': no such verifier"):
        verifiers(None, *found("fine"), per_request=("x",))


DRIVE = """
import asyncio, json, sys, time
from trimtab.messages.exchange import Answered, Question
from trimtab.verification import Judged, Means, VerificationSettings, Verifiers, judge

named = json.loads(sys.argv[1])
loaded = "acme_checks" in sys.modules
verifiers = Verifiers(VerificationSettings(), named, lambda key: f"trimtab.toml: {key}")
checks = [verifiers.check(name, "x") for name in named]

def says(text):
    judged = Judged(question=Question(surface="messages"), answers=(Answered(text=text),), arm="m")
    verdicts = asyncio.run(judge(checks, judged, lambda name, spent: Means(None, None, time.monotonic)))
    return [[one.verifier, one.says, one.reason, one.evidence] for one in verdicts]

print(json.dumps([loaded, "citations" in verifiers.kinds, "style" in verifiers.kinds, *map(says, sys.argv[2:])]))
"""


def own_package(folder: Path) -> dict[str, Any]:
    """The example of the page, installed as pip would; gives the configuration that it shows."""
    section = PAGE.split("\n## Your own verifiers")[1].partition("\n## ")[0]
    shown = {block.marks: [] for block in blocks(section)}
    for block in blocks(section):
        shown[block.marks].append(block.text)
    (code,) = shown["python",]
    package, config = (tomllib.loads(text) for text in shown["text",])
    (folder / "acme_checks.py").write_text(code)
    info = folder / "acme_checks-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-checks\nVersion: 1.0\n")
    points = package["project"]["entry-points"]["trimtab.verifiers"]
    lines = "".join(f"{name} = {value}\n" for name, value in points.items())
    (info / "entry_points.txt").write_text(f"[trimtab.verifiers]\n{lines}")
    named: dict[str, Any] = config["verifiers"]
    return named


def run_beside(folder: Path, named: dict[str, Any], *texts: str) -> subprocess.CompletedProcess[str]:
    path = f"import sys; sys.path[:0] = {[str(folder), str(ROOT / 'src')]!r}\n"
    command = [sys.executable, "-c", path + textwrap.dedent(DRIVE), json.dumps(named), *texts]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_the_verifier_of_the_page_comes_in_by_the_same_door_as_the_shipped_ones(tmp_path: Path) -> None:
    named = own_package(tmp_path)
    page = "https://docs.acme.example/"
    ran = run_beside(tmp_path, named, f"See {page}a and {page}b.", f"See {page}a.")
    assert ran.returncode == 0, ran.stderr
    loaded, own, shipped, good, bad = json.loads(ran.stdout)
    assert not loaded, "it is loaded when it is named"
    assert own
    assert shipped
    assert good == [["two-sources", "accept", "", {"citations": 2}]]
    assert bad == [["two-sources", "escalate", "it cites 1 pages, and needs 2", {"citations": 1}]]


def test_an_option_that_the_verifier_of_the_page_does_not_know_is_named(tmp_path: Path) -> None:
    own_package(tmp_path)
    ran = run_beside(tmp_path, {"two-sources": {"kind": "citations", "lest": 2}})
    assert "ConfigError: trimtab.toml: verifiers.two-sources.lest: 2: there is only 'least'" in ran.stderr
