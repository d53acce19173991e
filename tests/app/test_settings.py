"""The whole configuration: what is checked against what, and with which words."""

import re
import textwrap
from pathlib import Path

import pytest

from trimtab.app import config_path, load_settings
from trimtab.errors import ConfigError
from trimtab.providers.anthropic import AnthropicSettings
from trimtab.providers.simulator import SimulatorSettings, load_script


def settings(text: str, folder: Path, **more: str):  # type: ignore[no-untyped-def]
    file = folder / "trimtab.toml"
    file.write_text("version = 1\n" + text)
    return load_settings(file, **more)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tiers]\nescalation = 'claude-opus-4-7@hihg'", "trimtab.toml: tiers.escalation: 'claude-opus-4-7@hihg': effort must be one of low, medium, high, xhigh, max"),
        ("[normaliser]\ntiers = 'strict'\n[tiers]\nfast = 'claude-haiku-4-5@low'", "trimtab.toml: tiers.fast: 'claude-haiku-4-5@low': claude-haiku-4-5-20251001 takes no effort, and normaliser.tiers = \"strict\" makes no other of it"),
        ("[tiers]\nfast = {arm = 'claude-haiku-4-5', scenario = 'codng'}", "trimtab.toml: tiers.fast.scenario: 'codng': no such scenario; there are quick, general, coding, agent, research"),
        ("[effort]\nmost = 'huge'", "trimtab.toml: effort.most: 'huge': must be one of low, medium, high, xhigh, max"),
        ("[scenarios]\nreview = 'hihg'", "trimtab.toml: scenarios.review: 'hihg'"),
        ("[scenarios.review]\nefort = 'high'", "trimtab.toml: scenarios.review.efort: nothing in this version reads this setting"),
        ("[scenarios]\n'a b' = 'high'", "trimtab.toml: scenarios: 'a b': a name has 1 to 64 of a-z"),
        ("[routes.fast]\neffort = 'low'", "trimtab.toml: routes: 'fast': trimtab/fast is a tier; give the route another name"),
        ("[routes.r]\ntier = 'fast'\nmodel = 'claude-opus-4-7'", "trimtab.toml: routes.r.model: stands beside tier"),
        ("[routes.r]\nmodel = 'claude-opus-4-7@hihg'", "trimtab.toml: routes.r.model: 'claude-opus-4-7@hihg': effort must be one of"),
        ("[routes.r]\nscenario = 'codng'", "trimtab.toml: routes.r.scenario: 'codng': no such scenario"),
        ("[routes.r.match]\nteams = []", "trimtab.toml: routes.r.match.teams: holds nothing"),
        ("[routes.r.match]\nmodels = ['trimtab/x']", "trimtab.toml: routes.r.match.models: 'trimtab/x': no such model; there are trimtab/auto"),
        ("[routes.r]\nthinking = 'on'", "trimtab.toml: routes.r.thinking: 'on': must be one of as_sent, off, adaptive, summarized"),
        ("[tiers]\ndefault = 'claude-sonet-4-6'", "claude-sonnet-4-6"),
        ("[tiers]\nlineup = 'modern'", "trimtab.toml: tiers.lineup: 'modern'"),
        ("[verifiers.v]\nkind = 'rubric'\narm = 'claude-opus-4-77'", "trimtab.toml: verifiers.v.arm: 'claude-opus-4-77': no such model in the catalogue; did you mean"),
        ("[verifiers.v]\nkind = 'second_opinion'\narm = 'claude-haiku-4-5@hihg'", "trimtab.toml: verifiers.v.arm: 'claude-haiku-4-5@hihg': effort must be one of"),
        ("[verifiers.v]\nkind = 'rubric'\nrubric_file = 'rubric.txt'", "rubric.txt: cannot read the file"),
        ("[routes.auto]\nmode = 'cost'", "trimtab.toml: routes.auto.mode: has no effect without verify or ladder"),
        ("[server]\nlisten = 'a b:8787'", "trimtab.toml: server.listen: 'a b:8787': the host must be a name or an address"),
        ("[server]\nlisten = 'nowhere'", "trimtab.toml: server.listen: 'nowhere': must be host:port"),
        ("[server]\nlisten = '127.0.0.1:99999'", "the port must be 0 to 65535"),
        ("[server]\nlisten = '1:2:80'", "the host must be a name or an address"),
        ("[server]\nlisten = 'http://example.com:80'", "the host must be a name or an address"),
        ("[server]\nallowed_origins = ['*']", "trimtab.toml: server.allowed_origins: '*': must be an origin as browsers send it"),
        ("[server]\nallowed_origins = ['https://a.example/']", "must be an origin as browsers send it"),
        ("[server]\nrequire_keys = 'yes'", "***: must be true or false"),
        ("[server]\nlisten = '127.0.0.1:" + "9" * 5000 + "'", "the port must be 0 to 65535"),
        ("[server]\ndrain_s = nan", "server.drain_s: nan: must be greater than 0 and at most 2592000 (30 days in seconds)"),
        ("[server]\nbody_timeout_s = inf", "server.body_timeout_s: inf: must be greater than 0 and at most"),
        ("[server]\nheader_timeout_s = 1e300", "server.header_timeout_s: 1e+300: must be greater than 0 and at most"),
        ("[server]\nmax_header_bytes = 1048577", "must be greater than 0 and at most 1048576"),
        ("[server]\nmax_body_bytes = 1073741825", "must be greater than 0 and at most 1073741824"),
        ("[server]\nmax_connections = 1000001", "must be greater than 0 and at most 1000000"),
        ("[catalogue]\noverlay = \"a\\u0000b\"", "trimtab.toml: catalogue.overlay: 'a\\x00b': no file name holds a NUL"),
        ("[platforms.s]\nkind = 'simulator'\nscript = \"\\u0000\"", "trimtab.toml: platforms.s.script: '\\x00': no file name"),
        ("[platform.claude]\nkind = 'anthropic'", "trimtab.toml: platform: nothing in this version reads this section; remove it; did you mean 'platforms'?"),
        ("[platforms.x]\ntype = 'anthropic'", "platforms.x.kind: missing; must be one of anthropic, anthropic_on_aws, bedrock,"),
        ("[tiers]\nlineup = 'sk-ant-1'", "tiers.lineup: ***: must be one of classic, current"),
        ("[server]\nmax_body_bytes = 0", "trimtab.toml: server.max_body_bytes: 0: must be greater than 0"),
        ("[platforms]", "trimtab.toml: platforms: is empty"),
        ("[platforms.x]\nkind = 'bedrok'", "trimtab.toml: platforms.x.kind: ***: must be one of anthropic, anthropic_on_aws, bedrock,"),
        ("[platforms.x]\nkind = 'anthropic'", "trimtab.toml: platforms.x.api_key: missing"),
        ("[platforms.x]\nkind = 'anthropic'\napi_key = 'sk-ant-1'", "a secret is given by reference"),
        ("[platforms.x]\nkind = 'simulator'\nlatency_scale = -1", "trimtab.toml: platforms.x.latency_scale: -1"),
        ("[platforms.'a,b']\nkind = 'simulator'", "'a,b': a name has"),
        ("[catalogue]\noverlay = 'none.yaml'", "none.yaml: cannot read the file: No such file or directory; correct the path of the overlay"),
        ("[catalogue]\noverlay = '/dev/zero'", "trimtab.toml: catalogue.overlay: /dev/zero: cannot read the file: not a regular file"),
        ("[store]\nqueue_max = 0", "trimtab.toml: store.queue_max: 0"),
        ("[store]\nkeep_days = 90\nkeep_rollups_days = 30", "store.keep_rollups_days: 30: must not be shorter than records are kept, 90 days"),
        ("[store]\nkeep_rollups_days = 30", "must not be shorter than records are kept, for ever (store.keep_days = 0)"),
    ],
)  # fmt: skip
def test_each_mistake_is_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as problem:
        settings(text, tmp_path)
    assert message in str(problem.value)
    assert "sk-ant-1" not in str(problem.value)
    assert len(str(problem.value)) < 400
    assert "\n" not in str(problem.value)


def test_platforms_are_the_files_else_the_environments_else_the_simulator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    assert list(load_settings(None).platforms) == ["simulator"]
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    found = load_settings(None).platforms["claude"]
    assert isinstance(found, AnthropicSettings)
    assert found.api_key.reveal() == "k"
    assert "ANTHROPIC_API_KEY" in load_settings(None).platforms_from
    only_sim = settings("[platforms.s]\nkind = 'simulator'", tmp_path)
    assert list(only_sim.platforms) == ["s"]


def test_files_named_in_the_configuration_lie_beside_it(tmp_path: Path) -> None:
    found = settings("[platforms.s]\nkind = 'simulator'\nscript = 'x/script.yaml'", tmp_path).platforms["s"]
    assert isinstance(found, SimulatorSettings)
    assert found.script == str(tmp_path / "x" / "script.yaml")


def test_the_command_lines_address_wins_and_localhost_is_loopback(tmp_path: Path) -> None:
    found = settings("[server]\nlisten = '127.0.0.1:1'", tmp_path, listen="localhost:2")
    assert found.listen.url == "http://127.0.0.1:2"
    assert settings("[server]\nlisten = '[::1]:5'", tmp_path).listen.url == "http://[::1]:5"
    with pytest.raises(ConfigError, match="--listen: '8787': must be host:port"):
        settings("", tmp_path, listen="8787")


def test_the_shipped_lineup_is_classic_without_effort(tmp_path: Path) -> None:
    tiers = load_settings(None).tiers
    assert [str(tiers.default), str(tiers.escalation), str(tiers.control), str(tiers.fast)] == [
        "claude-sonnet-4-6", "claude-opus-4-7", "claude-opus-4-6", "claude-haiku-4-5",
    ]  # fmt: skip
    current = settings("[tiers]\nlineup = 'current'\nfast = 'claude-haiku-4-5'", tmp_path).tiers
    assert (str(current.default), str(current.fast)) == ("claude-sonnet-5-5", "claude-haiku-4-5")


def test_trimtab_toml_here_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert config_path(None) is None
    (tmp_path / "trimtab.toml").write_text("version = 1")
    assert config_path(None) == Path("trimtab.toml")
    assert config_path(Path("other.toml")) == Path("other.toml")


DOCS = Path(__file__).resolve().parents[2] / "docs"
SNIPPETS = [
    (page.name, textwrap.dedent(text), page.read_text(encoding="utf-8"))
    for page in sorted(DOCS.glob("*.md"))
    for text in re.findall(
        r"^ *```toml\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
]


@pytest.mark.parametrize(("page", "text", "whole"), SNIPPETS, ids=[page for page, _, _ in SNIPPETS])
def test_every_snippet_of_the_documentation_loads_when_copied(
    page: str, text: str, whole: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in re.findall(r"env:(\w+)", text):
        monkeypatch.setenv(variable, f"key-of-{variable}")
    for name in re.findall(r'^(?:overlay|script) = "(.*?)"', text, re.MULTILINE):
        example = re.search(r"^```yaml\n(.*?)^```", whole, re.DOTALL | re.MULTILINE)
        assert example is not None, "a page that names a file shows one"
        (tmp_path / name).write_text(example.group(1))
    for name in re.findall(r'^schema_file = "(.*?)"', text, re.MULTILINE):
        schema = tmp_path / "schema.json"
        schema.write_text("{}")
        text = text.replace(name, str(schema))
    file = tmp_path / "trimtab.toml"
    file.write_text(text)
    for entry in load_settings(file).platforms.values():
        if isinstance(entry, SimulatorSettings) and entry.script is not None:
            load_script(Path(entry.script))


def test_the_documentation_has_snippets() -> None:
    assert {page for page, _, _ in SNIPPETS} >= {
        "catalogue.md",
        "configuration.md",
        "simulator.md",
        "store.md",
    }


def test_files_of_verifiers_are_found_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "given.py").write_text("assert add(1, 2) == 3\n")
    read = settings("[verifiers.v]\nkind = 'code_tests'\ntests_file = 'given.py'", tmp_path)
    assert read.verifiers.check("v", "here").verifier.spends == "processor"
