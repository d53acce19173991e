"""Estimates against counts measured with an offline reconstruction of the vendor's tokenizers (ctok 1.3.0)."""

import base64
import random
import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.catalogue import ContentClass, estimate_tokens, token_ratio, upper_bound_tokens
from trimtab.catalogue.token_tables import DENSITY

# --- the reference's measured characters per token: class, v3, v4.7 ---
MEASURED: list[tuple[ContentClass, float, float]] = [
    ("english_docs", 4.36, 3.06),
    ("english_article", 4.38, 2.81),
    ("markdown_tables", 4.32, 3.11),
    ("python_code", 3.66, 2.86),
    ("json_minified", 2.51, 2.07),
    ("json_pretty", 2.37, 2.10),
    ("chinese_traditional_mixed", 1.21, 1.13),
]


@pytest.mark.parametrize(("content_class", "v3", "v47"), MEASURED)
def test_a_known_content_class_estimates_what_was_measured(
    content_class: ContentClass, v3: float, v47: float
) -> None:
    text = "x" * 100_000
    assert estimate_tokens(text, "v3", content_class) == pytest.approx(100_000 / v3, rel=0.01)
    for tokenizer in ("v4.7", "v4.7-family", "v4.8"):
        assert estimate_tokens(text, tokenizer, content_class) == pytest.approx(100_000 / v47, rel=0.01)


ENGLISH = (
    "The harbour master wrote to the owners of the ship in the spring, and asked them to send the papers that the "
    "insurers had wanted since the accident. Nobody answered for a month. When a reply came at last, it was short: "
    "the papers had been lost in a fire, and the owners did not think that anyone could be blamed for it. He read "
    "the letter twice, put it in the drawer with the others, and went out to look at the weather.\n"
)
PYTHON = '''
def moving_average(values: list[float], window: int) -> list[float]:
    """Average of each run of `window` values."""
    if window < 1:
        raise ValueError("window must be at least 1")
    total = sum(values[:window])
    averages = [total / window]
    for index in range(window, len(values)):
        total += values[index] - values[index - window]
        averages.append(total / window)
    return averages
'''
GERMAN = (
    "Der Hafenmeister schrieb im Frühling an die Eigentümer des Schiffes und bat um die Unterlagen, welche die "
    "Versicherung seit dem Unfall verlangte. Einen Monat lang antwortete niemand. Als endlich ein Brief kam, war er "
    "kurz: Die Papiere seien bei einem Brand verloren gegangen, und niemand könne dafür verantwortlich gemacht werden.\n"
)
RUSSIAN = (
    "Весной начальник порта написал владельцам судна и попросил прислать бумаги, которые страховщики требовали "
    "после аварии. Целый месяц никто не отвечал. Когда наконец пришло письмо, оно оказалось коротким: бумаги сгорели "
    "при пожаре, и владельцы не считают, что кого-то можно в этом обвинить.\n"
)
CHINESE = (
    "春天的时候，港务长写信给船东，请他们寄来保险公司自事故以来一直要求的文件。整整一个月没有人回信。"
    "终于来了一封短信，说文件在火灾中遗失了，船东认为没有人应当为此负责。\n"
)
JSON = (
    '{"order":{"id":48213,"customer":{"name":"Aylin Demir","city":"Izmir"},"lines":[{"sku":"BX-2201","quantity":3,'
    '"price":12.5},{"sku":"KL-0087","quantity":1,"price":240.0}],"paid":true,"notes":null}}\n'
)
NUMBERS = "".join(f"{i * 7919 % 100003},{i * 104729 % 99991},{i * 31 % 997}\n" for i in range(40))
BASE64 = base64.b64encode(random.Random(7).randbytes(1500)).decode()

COUNTED = [
    ("english", ENGLISH, 102, 137, 0.15),
    ("python", PYTHON, 127, 143, 0.15),
    ("german", GERMAN, 113, 156, 0.15),
    ("russian", RUSSIAN, 124, 128, 0.15),
    ("chinese", CHINESE, 93, 97, 0.15),
    ("json", JSON, 88, 117, 0.15),
    ("numbers", NUMBERS, 324, 328, 0.15),
    ("base64", BASE64, 1755, 1929, 0.15),
]


@pytest.mark.parametrize(("name", "text", "v3", "v47", "within"), COUNTED, ids=[case[0] for case in COUNTED])
def test_without_a_class_the_estimate_is_within_its_stated_error(
    name: str, text: str, v3: int, v47: int, within: float
) -> None:
    assert estimate_tokens(text, "v3") == pytest.approx(v3, rel=within)
    assert estimate_tokens(text, "v4.7") == pytest.approx(v47, rel=within)


def test_text_and_its_bytes_have_the_same_estimate() -> None:
    for text in (ENGLISH, RUSSIAN, CHINESE):
        assert estimate_tokens(text, "v3") == estimate_tokens(text.encode(), "v3")
        assert estimate_tokens(text, "v3", "chinese_simplified") == estimate_tokens(
            text.encode(), "v3", "chinese_simplified"
        )


def test_a_long_text_is_sampled_without_losing_its_size() -> None:
    short = estimate_tokens(ENGLISH * 10, "v3")
    assert estimate_tokens(ENGLISH * 1000, "v3") == pytest.approx(100 * short, rel=0.02)


@given(st.text(), st.sampled_from(["v3", "v4.7", "v4.7-family", "v4.8"]))
def test_an_estimate_is_positive_for_any_text_and_never_over_the_bound(text: str, tokenizer: str) -> None:
    tokens = estimate_tokens(text, tokenizer)
    size = len(text.encode("utf-8", "surrogatepass"))
    assert (tokens == 0) == (size == 0)
    assert 0 <= tokens <= upper_bound_tokens(size)


@given(st.binary())
def test_bytes_that_are_no_text_have_an_estimate_too(data: bytes) -> None:
    assert 0 <= estimate_tokens(data, "v3") <= len(data)


def test_the_bound_covers_the_densest_text_that_was_measured() -> None:
    # Tokens per byte on v4.7: random printable ASCII 1.002 with the frame of its message, base64 0.952, hex 0.664.
    assert upper_bound_tokens(4000) >= 4000 * 0.999
    assert upper_bound_tokens(0) == 0
    assert upper_bound_tokens(-3) == 0
    for text, _, v47 in [(case[1], case[2], case[3]) for case in COUNTED]:
        assert upper_bound_tokens(len(text.encode())) >= v47


def test_ratios_between_tokenizers() -> None:
    assert token_ratio("v3", "v4.7", "english_docs") == 1.421
    assert token_ratio("v3", "v4.8", "english_article") == 1.559
    assert token_ratio("v4.7", "v3", "digits_csv") == 1.0
    assert token_ratio("v4.7", "v4.8", "english_docs") == 1.0
    assert token_ratio("v3", "v3", "hex") == 1.0
    for content_class in DENSITY:
        there, back = token_ratio("v3", "v4.8", content_class), token_ratio("v4.8", "v3", content_class)
        assert there * back == pytest.approx(1.0)
        assert 1.0 <= there < 1.6


def test_an_unknown_tokenizer_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"'v9': tokenizer must be one of v3, v4\.7, v4\.7-family, v4\.8"):
        estimate_tokens("a", "v9")


def test_an_estimate_of_100_kb_takes_about_a_millisecond() -> None:
    letters = random.Random(1)
    text = "".join(letters.choice(string.ascii_letters + "    \n") for _ in range(100_000))
    best = min(_seconds(text) for _ in range(7))
    assert best < 0.005  # 0.7 ms alone on a quiet core; the machines that test it are shared


def _seconds(text: str) -> float:
    start = time.process_time()
    estimate_tokens(text, "v4.7")
    return time.process_time() - start
