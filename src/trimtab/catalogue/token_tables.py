"""Measured token densities; data only, used by `tokens`.

Source: measured in November 2026 with ctok 1.3.0, an offline reconstruction of the vendor's token counts (its author
reports exact counts on the rows it was built from). Nothing here was checked against a live API.
"""

from typing import Literal, NamedTuple

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
    "json_schema",
    "base64",
    "code",
    "markup",
    "records",
    "latin_prose",
    "cyrillic",
    "japanese_korean",
    "arabic_greek",
    "indic_thai",
]
"""`json_schema`: also definitions of tools. `code`: but Python. `records`: logs and tables of words and numbers.
`latin_prose`: not English."""

ABOUT: dict[ContentClass, str] = {
    "english_docs": "English with headings, lists and code",
    "english_article": "plain English",
    "markdown_tables": "tables in Markdown",
    "python_code": "Python",
    "python_types_docstrings": "Python of types and docstrings (not told apart from the former)",
    "json_pretty": "JSON on indented lines",
    "json_minified": "JSON without blanks",
    "hex": "hexadecimal data",
    "chinese_traditional_mixed": "Chinese with English words in it",
    "chinese_simplified": "Chinese",
    "digits_csv": "tables of numbers",
    "json_schema": "JSON schemas and tool definitions",
    "base64": "base64",
    "code": "code in other languages",
    "markup": "HTML and XML",
    "records": "log lines, tables of words and numbers",
    "latin_prose": "other languages in Latin letters",
    "cyrillic": "Russian and other languages in Cyrillic letters",
    "japanese_korean": "Japanese and Korean",
    "arabic_greek": "Arabic, Persian, Hebrew and Greek",
    "indic_thai": "Hindi, Bengali, Tamil, Thai and others",
}
"""For people."""

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
    "json_schema": (3.87, 1.444),
    "base64": (1.15, 1.092),
    "code": (2.93, 1.317),
    "markup": (2.88, 1.291),
    "records": (2.17, 1.207),
    "latin_prose": (2.65, 1.293),
    "cyrillic": (2.43, 1.063),
    "japanese_korean": (1.34, 1.060),
    "arabic_greek": (1.60, 1.045),
    "indic_thai": (1.31, 1.026),
}
"""Characters per token on v3, and tokens on v4.7 over tokens on v3, by content class. Of the classes up to `digits_csv`
one sample each was measured, so expect 10 to 15 % on other text of the class; of the others 8 to 48.
`python_types_docstrings`: density taken from `python_code`; `chinese_simplified`: density taken from the traditional
sample (its error figures agree)."""


class ClassFit(NamedTuple):
    """What a count of character kinds must be multiplied by for one class, and how far off it is then."""

    v3: float
    v47: float
    error_v3: float
    """Standard deviation of the logarithm of estimated over counted tokens, about the relative error."""
    error_v47: float
    error_ratio: float
    """The same of the ratio of tokens on v4.7 to tokens on v3."""


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
        "greek_arabic": 715,
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
        "greek_arabic": 725,
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

NUMBER_WEIGHTS = {"digit": 345, "punctuation": 1200, "line_end": 1000}
"""The same for tables of numbers, on every tokenizer: three digits make a token, each separator one."""

BASE64_TOKENS_PER_1000_BYTES = {"v3": 868, "v4.7": 952}
"""Base64 has the letters of text but none of its words; random data, measured apart."""

_ENGLISH = {
    "v3": {"lower": 306, "upper": 428, "digit": 1222, "space": 182, "line_end": 24, "punctuation": 703,
           "english_lower": -75},
    "v4.7": {"lower": 452, "upper": 999, "digit": 1265, "space": 61, "line_end": 129, "punctuation": 814,
             "english_lower": -109},
}  # fmt: skip
_JSON_MINIFIED = {
    "v3": {"lower": 207, "upper": 483, "digit": 603, "space": 101, "punctuation": 501, "english_lower": -33},
    "v4.7": {
        "lower": 317,
        "upper": 1208,
        "digit": 605,
        "space": 41,
        "punctuation": 653,
        "english_lower": -50,
    },
}
_JSON_PRETTY = {
    "v3": {"lower": 223, "upper": 442, "digit": 755, "space": 131, "line_end": 1237, "punctuation": 751,
           "english_lower": -65},
    "v4.7": {"lower": 371, "upper": 1123, "digit": 720, "space": 61, "line_end": 1069, "punctuation": 772,
             "english_lower": -102},
}  # fmt: skip
_LATIN = {
    "v3": {"lower": 322, "latin": 1492, "space": 110, "line_end": 1274, "punctuation": 542},
    "v4.7": {"lower": 455, "latin": 1541, "space": 50, "line_end": 934, "punctuation": 596},
}
OWN_WEIGHTS: dict[ContentClass, dict[str, dict[str, int]]] = {
    "english_docs": _ENGLISH,
    "english_article": _ENGLISH,
    "json_minified": _JSON_MINIFIED,
    "json_schema": _JSON_MINIFIED,
    "json_pretty": _JSON_PRETTY,
    "latin_prose": _LATIN,
    "digits_csv": {"v3": NUMBER_WEIGHTS, "v4.7": NUMBER_WEIGHTS},
}
"""In place of those of `WEIGHTS`; fitted to 187, 74, 79 and 48 texts, with five-fold cross-validation: mean
errors of 5, 5, 3 and 5 % on both tokenizers."""

FITS: dict[ContentClass, ClassFit] = {
    "english_docs": ClassFit(1.009, 1.002, 0.08, 0.07, 0.04),
    "english_article": ClassFit(0.994, 1.011, 0.05, 0.05, 0.03),
    "markdown_tables": ClassFit(1.079, 1.061, 0.07, 0.06, 0.03),
    "python_code": ClassFit(0.979, 0.978, 0.07, 0.06, 0.04),
    "python_types_docstrings": ClassFit(0.979, 0.978, 0.07, 0.06, 0.04),
    "json_pretty": ClassFit(1.004, 0.997, 0.05, 0.05, 0.03),
    "json_minified": ClassFit(1.03, 1.03, 0.10, 0.09, 0.05),
    "hex": ClassFit(0.959, 0.985, 0.03, 0.03, 0.01),
    "chinese_traditional_mixed": ClassFit(1.051, 1.061, 0.04, 0.04, 0.03),
    "chinese_simplified": ClassFit(1.02, 1.05, 0.06, 0.06, 0.03),
    "digits_csv": ClassFit(1.048, 1.048, 0.03, 0.03, 0.01),
    "json_schema": ClassFit(0.993, 0.983, 0.03, 0.05, 0.03),
    "base64": ClassFit(1.0, 1.0, 0.03, 0.03, 0.01),
    "code": ClassFit(0.993, 0.983, 0.08, 0.07, 0.04),
    "markup": ClassFit(1.005, 0.981, 0.08, 0.08, 0.05),
    "records": ClassFit(0.95, 0.97, 0.07, 0.06, 0.05),
    "latin_prose": ClassFit(1.02, 1.03, 0.06, 0.07, 0.03),
    "cyrillic": ClassFit(0.906, 0.877, 0.04, 0.04, 0.03),
    "japanese_korean": ClassFit(0.853, 0.881, 0.05, 0.05, 0.03),
    "arabic_greek": ClassFit(1.077, 1.077, 0.05, 0.05, 0.03),
    "indic_thai": ClassFit(0.82, 0.95, 0.10, 0.10, 0.03),
}
"""Medians over 700 texts of 0.6 to 8 kB: manuals, questions and answers, code of several languages, interfaces in 28
languages, schemas, records, numbers. Measured with ctok 1.3.0 in November 2026, as the rest. Over all of them the mean
error is 4.4 %, nine in ten are within 10 %; `chinese_simplified` lies beside the traditional figures, `json_minified`
between data of an order and of an interface, which differ by 15 %."""
