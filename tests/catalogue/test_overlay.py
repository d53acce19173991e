import datetime
import os
from pathlib import Path

import pytest

from trimtab.catalogue import Catalogue
from trimtab.catalogue.reading import read_yaml
from trimtab.errors import ConfigError
from trimtab.messages import Usage

ROW = "{effective_from: 2026-06-01, input: 4, output: 20, cache_write_5m: 5, cache_write_1h: 8, cache_read: 0.4}"
OWN_MODEL = f"""
models:
- id: llama-4-70b
  limits: {{context: 131072, max_output: 8192}}
  prices:
  - {ROW}
"""


def load(tmp_path: Path, text: str) -> Catalogue:
    path = tmp_path / "overlay.yaml"
    path.write_text(text, encoding="utf-8")
    return Catalogue.load(path)


def cost(catalogue: Catalogue, model: str, day: str, platform: str = "anthropic") -> int:
    row = catalogue.find(model)
    assert row is not None
    at = datetime.datetime.fromisoformat(day).replace(tzinfo=datetime.UTC)
    return catalogue.price(row, Usage(input_tokens=1000), at, platform=platform)


def test_a_negotiated_price_holds_from_its_first_day(tmp_path: Path) -> None:
    catalogue = load(tmp_path, f"prices:\n- model: claude-opus-4-7\n  rows:\n  - {ROW}\n")
    assert cost(catalogue, "claude-opus-4-7", "2026-05-31") == 5_000_000
    assert cost(catalogue, "claude-opus-4-7", "2026-06-01") == 4_000_000
    assert cost(catalogue, "claude-opus-4-6", "2026-06-01") == 5_000_000
    model = catalogue.find("claude-opus-4-7")
    assert model is not None
    assert catalogue.price_row(model, datetime.date(2026, 6, 1)).input == 4
    # 1000 * 8 (1-hour writes) + 100 * 20
    at = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)
    assert catalogue.worst_case(model, 1000, 100, at) == 10_000_000


def test_a_negotiated_price_stands_above_list_prices_that_begin_later(tmp_path: Path) -> None:
    row = ROW.replace("2026-06-01", "2026-03-01")
    catalogue = load(tmp_path, f"prices:\n- model: claude-sonnet-4-6\n  rows:\n  - {row}\n")
    assert cost(catalogue, "claude-sonnet-4-6", "2026-02-28") == 3_000_000
    assert cost(catalogue, "claude-sonnet-4-6", "2026-11-20") == 4_000_000


def test_a_price_for_one_platform_leaves_the_others_alone(tmp_path: Path) -> None:
    catalogue = load(
        tmp_path, f"prices:\n- model: claude-haiku-4-5\n  platform: bedrock\n  rows:\n  - {ROW}\n"
    )
    assert cost(catalogue, "claude-haiku-4-5", "2026-11-20", "bedrock") == 4_000_000
    assert cost(catalogue, "claude-haiku-4-5", "2026-11-20", "vertex") == 1_000_000
    assert cost(catalogue, "claude-haiku-4-5", "2026-11-20") == 1_000_000


def test_a_price_for_the_claude_api_is_not_that_of_an_unknown_platform(tmp_path: Path) -> None:
    catalogue = load(
        tmp_path, f"prices:\n- model: claude-haiku-4-5\n  platform: anthropic\n  rows:\n  - {ROW}\n"
    )
    assert cost(catalogue, "claude-haiku-4-5", "2026-11-20") == 4_000_000
    assert cost(catalogue, "claude-haiku-4-5", "2026-11-20", "elsewhere") == 1_000_000


def test_without_batch_prices_a_batch_costs_half(tmp_path: Path) -> None:
    catalogue = load(tmp_path, OWN_MODEL)
    model = catalogue.find("llama-4-70b")
    assert model is not None
    at = datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC)
    assert catalogue.price(model, Usage(input_tokens=1000), at, batch=True) == 2_000_000


def test_a_model_of_ones_own_is_found_and_priced(tmp_path: Path) -> None:
    catalogue = load(tmp_path, OWN_MODEL)
    assert len(catalogue.models) == 22
    assert cost(catalogue, "llama-4-70b", "2026-11-20") == 4_000_000
    model = catalogue.find("llama-4-70b")
    assert model is not None
    assert model.display_name == "llama-4-70b"
    assert model.effort_levels == ()


def test_an_empty_overlay_changes_no_price(tmp_path: Path) -> None:
    assert cost(load(tmp_path, ""), "claude-opus-4-7", "2026-11-20") == 5_000_000
    assert cost(load(tmp_path, "# nothing yet\n"), "claude-opus-4-7", "2026-11-20") == 5_000_000


def test_a_price_finer_than_a_billionth_is_rounded_up_never_down(tmp_path: Path) -> None:
    row = ROW.replace("input: 4,", "input: 3, fast: {input: 7, output: 70},").replace("0.4}", "0.000001}")
    catalogue = load(tmp_path, f"prices:\n- model: claude-opus-4-7\n  rows:\n  - {row}\n")
    model = catalogue.find("claude-opus-4-7")
    assert model is not None
    at = datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC)
    # A fast read is 0.000001 * 7 / 3 dollars a million tokens: 2,333,333.33 nano for a billion of them.
    usage = Usage(cache_read_input_tokens=1_000_000_000, speed="fast")
    assert catalogue.price(model, usage, at) == 2_333_334


PRICES = "prices:\n- model: claude-opus-4-7\n  rows:\n  - "
BAD = [
    (
        "unknown key",
        PRICES + ROW.replace("cache_read:", "cache_reads:"),
        "overlay.yaml: prices[0].rows[0].cache_reads: nothing reads this key; remove it; did you mean 'cache_read'?",
    ),
    (
        "unknown section",
        "model: []",
        "overlay.yaml: model: nothing reads this key; remove it; did you mean 'models'?",
    ),
    (
        "missing key",
        PRICES + ROW.replace(", cache_read: 0.4", ""),
        "overlay.yaml: prices[0].rows[0].cache_read: missing; it is required here",
    ),
    (
        "negative price",
        PRICES + ROW.replace("input: 4", "input: -4"),
        "overlay.yaml: prices[0].rows[0].input: -4: must be from 0 to 100000 US dollars per million tokens",
    ),
    (
        "a price in the wrong unit",
        PRICES + ROW.replace("input: 4", "input: 4000000"),
        "overlay.yaml: prices[0].rows[0].input: 4000000: must be from 0 to 100000 US dollars per million tokens",
    ),
    (
        "a price per token",
        PRICES + ROW.replace("input: 4", "input: 0.0000004"),
        "overlay.yaml: prices[0].rows[0].input: 4E-7: at most 6 decimals",
    ),
    (
        "no number",
        PRICES + ROW.replace("input: 4", "input: NaN"),
        "overlay.yaml: prices[0].rows[0].input: NaN: must be a number",
    ),
    (
        "infinity",
        PRICES + ROW.replace("input: 4", "input: Infinity"),
        "overlay.yaml: prices[0].rows[0].input: Infinity: must be a number",
    ),
    (
        "bad date",
        PRICES + ROW.replace("2026-06-01", "2026-13-01"),
        "overlay.yaml: prices[0].rows[0].effective_from: '2026-13-01': must be a date, as 2026-01-31",
    ),
    (
        "wrong type",
        PRICES + ROW.replace("input: 4", "input: [4]"),
        "overlay.yaml: prices[0].rows[0].input: [4]: expected a number, got a list",
    ),
    (
        "a truth for a price",
        PRICES + ROW.replace("input: 4", "input: true"),
        "overlay.yaml: prices[0].rows[0].input: True: expected a number, got true or false",
    ),
    (
        "unknown model",
        PRICES.replace("opus-4-7", "opus-9") + ROW,
        "overlay.yaml: prices[0].model: 'claude-opus-9': no such model; add it under `models` or correct the id",
    ),
    (
        "unknown platform",
        PRICES.replace("  rows", "  platform: azure\n  rows") + ROW,
        "overlay.yaml: prices[0].platform: 'azure': must be one of anthropic, anthropic_on_aws, "
        "bedrock, vertex, foundry, openai, simulator",
    ),
    (
        "one day twice",
        PRICES + ROW + "\n  - " + ROW,
        "overlay.yaml: prices[0].rows[1].effective_from: '2026-06-01': another row starts on the same day; keep one",
    ),
    (
        "one day twice in two entries",
        PRICES + ROW + "\n- model: claude-opus-4-7\n  rows:\n  - " + ROW,
        "overlay.yaml: prices[1].rows: '2026-06-01': another row starts on the same day; keep one",
    ),
    (
        "a long-prompt factor below one",
        PRICES + ROW.replace("}", ", long_prompt: {above_tokens: 1, input_factor: 0.5, output_factor: 1}}"),
        "overlay.yaml: prices[0].rows[0].long_prompt.input_factor: 0.5: a long-prompt factor must be from 1 to 1000",
    ),
    (
        "a shipped model again",
        OWN_MODEL.replace("llama-4-70b", "claude-opus-4-7"),
        "overlay.yaml: models[0].id: 'claude-opus-4-7': claude-opus-4-7 already has this name; "
        "to change the prices of a model, list it under `prices`",
    ),
    (
        "an alias that is taken",
        OWN_MODEL.replace("  limits", "  aliases: [claude-haiku-4-5]\n  limits"),
        "overlay.yaml: models[0].aliases[0]: 'claude-haiku-4-5': claude-haiku-4-5-20251001 already has this name; "
        "to change the prices of a model, list it under `prices`",
    ),
    (
        "a default effort that is no level",
        OWN_MODEL.replace("  limits", "  effort: {levels: [low], default: high}\n  limits"),
        "overlay.yaml: models[0].effort.default: 'high': must be one of the levels low",
    ),
    (
        "a model priced on one platform only",
        OWN_MODEL.replace("0.4}", "0.4, platform: bedrock}"),
        "overlay.yaml: models[0].prices: every row names a platform; one row must hold on all platforms",
    ),
    (
        "a model without prices",
        "models:\n- {id: a, limits: {context: 1, max_output: 1}, prices: []}",
        "overlay.yaml: models[0].prices: []: expected a list of length >= 1",
    ),
    (
        "a huge integer",
        OWN_MODEL.replace("131072", "9" * 40),
        "overlay.yaml: models[0].limits.context: 9999999999999999999999999999999999999999: "
        "expected a whole number <= 1000000000",
    ),
    (
        "a huge price",
        PRICES + ROW.replace("input: 4", "input: " + "9" * 300),
        "overlay.yaml: prices[0].rows[0].input: " + "9" * 80 + ": must be from 0 to 100000 US dollars per "
        "million tokens",
    ),
    (
        "a key twice",
        PRICES + ROW.replace("{", "{input: 3, "),
        "overlay.yaml: line 4: cannot be read: the key 'input' is given twice; keep one",
    ),
    ("not a mapping", "- a\n- b", "overlay.yaml: ['a', 'b']: expected a mapping, got a list"),
    ("a scalar", "hello", "overlay.yaml: 'hello': expected a mapping, got text"),
]


@pytest.mark.parametrize(("name", "text", "message"), BAD, ids=[case[0] for case in BAD])
def test_a_bad_overlay_names_file_key_value_and_remedy(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "text", "start"),
    [
        ("syntax", "models: ]", "overlay.yaml: line 1: cannot be read: "),
        ("tabs", "models:\n\t- id: a", "overlay.yaml: line 2: cannot be read: "),
        (
            "a tag",
            "models: !!python/object/apply:os.system ['true']",
            "overlay.yaml: line 1: cannot be read: ",
        ),
        ("a local tag", "models: !mine []", "overlay.yaml: line 1: cannot be read: "),
        ("two documents", "models: []\n---\nmodels: []", "overlay.yaml: line 2: cannot be read: "),
        ("a list as a key", "{[a]: b}", "overlay.yaml: line 1: cannot be read: "),
        ("an integer of 5000 digits", "models: " + "9" * 5000, "overlay.yaml: line 1: cannot be read: 9999"),
        ("control characters", "models: \x07", "overlay.yaml: cannot be read: "),
        ("an unknown alias", "models: *gone", "overlay.yaml: line 1: cannot be read: "),
    ],
)
def test_what_is_not_plain_yaml_is_refused(tmp_path: Path, name: str, text: str, start: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert str(caught.value).startswith(start)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("100 kB of brackets", "[" * 100_000, "nested over 50 deep"),
        ("100 kB of dashes", "- " * 100_000, "nested over 50 deep"),
        ("as deep as Python's stack", "models: " + "[" * 900 + "]" * 900, "nested over 50 deep"),
        ("aliases of aliases", "a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]", "the anchor &a is not read here; remove it"),
        ("merges of merges", "<<: {a: 1}", "the merge key << is not read here; write the keys out"),
        ("a list within itself", "models: &a\n- *a", "the anchor &a"),
        ("an alias", "models: *gone", "the alias *gone is not read here; write the value out"),
        ("no time", "models: !!timestamp x", "the tag tag:yaml.org,2002:timestamp is not read here; remove it"),
        ("no whole number", 'models: !!int ""', "the tag tag:yaml.org,2002:int"),
        ("no fraction", "models: !!float abc", "the tag tag:yaml.org,2002:float"),
        ("no truth", "models: !!bool abc", "the tag tag:yaml.org,2002:bool"),
        ("the empty tag", "models: ! abc", "the tag ! is not read here"),
        ("an exponent without end", "models: 1.0e999999999999999999999", "out of range; write a smaller number"),
        ("an exponent of a million", "models: 1.0e1000000", "out of range; write a smaller number"),
        ("many values", "models: [" + "1," * 200_001 + "]", "more than 200000 keys and values"),
    ],
)  # fmt: skip
def test_yaml_that_would_exhaust_something_is_refused_before_it_is_built(
    tmp_path: Path, name: str, text: str, problem: str
) -> None:
    with pytest.raises(ConfigError, match=r"^overlay\.yaml: line [12]: cannot be read: ") as caught:
        load(tmp_path, text)
    assert problem in str(caught.value)


def test_fifty_levels_and_a_quoted_merge_sign_are_read() -> None:
    assert read_yaml(b"{'<<': " + b"[" * 49 + b"]" * 49 + b"}", "a.yaml")


def test_a_pipe_or_a_device_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    for path in (tmp_path / "pipe.yaml", Path("/dev/zero")):
        with pytest.raises(ConfigError, match="not a regular file; correct the path of the overlay"):
            Catalogue.load(path)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "overlay.yaml"
    path.write_bytes(b"models: \xff\xfe\xfa")
    with pytest.raises(ConfigError, match=r"^overlay\.yaml: cannot be read: "):
        Catalogue.load(path)


def test_a_list_within_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^overlay\.yaml"):
        load(tmp_path, "models: &a\n- *a")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nowhere.yaml"
    with pytest.raises(ConfigError) as caught:
        Catalogue.load(path)
    assert str(caught.value) == (
        f"{path}: cannot read the file: No such file or directory; correct the path of the overlay"
    )


def test_a_directory_is_no_overlay(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the file: Is a directory"):
        Catalogue.load(tmp_path)


def test_a_file_of_the_wrong_size_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is it the right file"):
        load(tmp_path, "#" * (4 * 1024 * 1024 + 1))


def test_the_example_of_the_user_page_works(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "catalogue.md").read_text(encoding="utf-8")
    catalogue = load(tmp_path, page.partition("```yaml\n")[2].partition("```")[0])
    assert cost(catalogue, "claude-opus-4-7", "2026-11-20", "bedrock") == 4_250_000
    assert cost(catalogue, "claude-opus-4-7", "2026-11-20") == 5_000_000
    assert cost(catalogue, "llama-4-70b", "2026-11-20") == 200_000


def test_models_of_an_overlay_may_share_a_rate_limit(tmp_path: Path) -> None:
    row = "{effective_from: 2026-01-01, input: 1, output: 1, cache_write_5m: 1, cache_write_1h: 1, cache_read: 1}"
    file = tmp_path / "overlay.yaml"
    file.write_text(
        "models:\n"
        + "".join(
            f"- {{id: {name}, limits: {{context: 1, max_output: 1}}, rate_bucket: ours, prices: [{row}]}}\n"
            for name in ("one", "two")
        )
    )
    catalogue = Catalogue.load(file)
    assert [model.rate_bucket for model in catalogue.models[-2:]] == ["ours", "ours"]
    file.write_text(file.read_text().replace("rate_bucket", "rate_buckets", 1))
    with pytest.raises(ConfigError, match="did you mean 'rate_bucket'"):
        Catalogue.load(file)
