"""Measured token densities; data only, used by `tokens`.

Source: measured in November 2026 with ctok 1.3.0, an offline reconstruction of the vendor's token counts (its author
reports exact counts on the rows it was built from). Nothing here was checked against a live API.
"""

from typing import Literal

ContentClass = Literal[
    "english_docs",
    "english_article",
    "markdown_tables",
    "python_code",
    "python_types_docstrings",
    "json_pretty",
    "json_minified",
    "hex",
    "chinese_traditional_mixed",
    "chinese_simplified",
    "digits_csv",
]

DENSITY: dict[ContentClass, tuple[float, float]] = {
    "english_docs": (4.36, 1.421),
    "english_article": (4.38, 1.559),
    "markdown_tables": (4.32, 1.39),
    "python_code": (3.66, 1.277),
    "python_types_docstrings": (3.66, 1.315),
    "json_pretty": (2.37, 1.131),
    "json_minified": (2.51, 1.212),
    "hex": (1.7, 1.117),
    "chinese_traditional_mixed": (1.21, 1.072),
    "chinese_simplified": (1.21, 1.066),
    "digits_csv": (1.7, 1.0),
}
"""Characters per token on v3, and tokens on v4.7 over tokens on v3, by content class. One sample of each class was
measured, so expect 10 to 15 % on other text of the class. `python_types_docstrings`: density taken from
`python_code`; `chinese_simplified`: density taken from the traditional sample (its error figures agree)."""

WEIGHTS: dict[str, dict[str, int]] = {
    "v3": {
        "lower": 322,
        "upper": 473,
        "digit": 777,
        "space": 121,
        "line_end": 1201,
        "punctuation": 521,
        "latin": 2317,
        "two_byte": 505,
        "symbol": 1106,
        "cjk": 1092,
        "hangul": 1585,
        "astral": 2720,
        "english_lower": -78,
    },
    "v4.7": {
        "lower": 441,
        "upper": 1002,
        "digit": 794,
        "space": 51,
        "line_end": 982,
        "punctuation": 680,
        "latin": 2308,
        "two_byte": 538,
        "symbol": 942,
        "cjk": 1058,
        "hangul": 1546,
        "astral": 2720,
        "english_lower": -92,
    },
}
"""Thousandths of a token for each character of a kind, fitted to the relative error of 162 texts: prose, manuals and
messages in 20 languages, source code in 8, JSON, HTML, CSS, SVG, SQL, hex. Mean absolute error 7 % (v3) and 6 %
(v4.7), nine texts in ten within 16 % and 12 %. `space`: runs count as half their length at most. `english_lower` is
added to every lower-case letter of English prose. `astral` is from random emoji alone."""

NUMBER_WEIGHTS = {"digit": 400, "punctuation": 1000, "line_end": 800}
"""The same for tables of numbers, on every tokenizer: three digits make a token, each separator one."""

BASE64_TOKENS_PER_1000_BYTES = {"v3": 868, "v4.7": 952}
"""Base64 has the letters of text but none of its words; random data, measured apart."""
