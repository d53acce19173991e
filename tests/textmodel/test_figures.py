"""What texts measure, as people would count it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from searches import examples

from trimtab.textmodel import Fence, Heading, figures_of

PAGE = """# Title

Dr. Smith said e.g. this. It cost $3.50! Really?
And 2 more... lines

1. one
2. two
- three **bold** `x` [a](b)

| a | b |
|---|---|
| 1 | 2 |

```python
# not a heading. Nor a sentence!
x = 1
```
## Second part ##
~~~
open
"""


def test_a_page_is_measured_as_a_person_would() -> None:
    of = figures_of(PAGE)
    assert of.headings == (Heading(1, "Title"), Heading(2, "Second part"))
    assert of.fences == (Fence("python", 2, True), Fence("", 1, False))
    assert (of.list_items, of.tables, of.paragraphs, of.lines) == (3, 1, 5, 20)
    assert of.sentences == 7
    assert of.words == 28
    assert of.characters == len(PAGE)
    assert of.markdown == 2 + 3 + 1 + 2 + 3


@pytest.mark.parametrize(
    ("text", "words", "sentences", "emojis", "markdown"),
    [
        ("", 0, 0, 0, 0),
        ("Hello", 1, 1, 0, 0),
        ("One sentence\nover two lines. Another one", 7, 2, 0, 0),
        ("你好。世界!ok", 5, 2, 0, 0),
        ("Family 👨‍👩‍👧, flag 🇩🇪, thumb 👍🏽, heart ❤️", 4, 1, 4, 0),
        ("✓ done © 2026 → next", 3, 1, 0, 0),
        ("2 * 3 * 4 and a_b_c and #tag", 7, 1, 0, 0),
        ("**bold** and `code`", 3, 1, 0, 2),
        ("3.5 is a number. 2026 was a year.", 8, 2, 0, 0),
        ("```inline``` only", 2, 1, 0, 3),
        ("x\n---\ny", 2, 1, 0, 0),
    ],
)
def test_words_sentences_emojis_and_markdown(
    text: str, words: int, sentences: int, emojis: int, markdown: int
) -> None:
    of = figures_of(text)
    assert (of.words, of.sentences, of.emojis, of.markdown) == (words, sentences, emojis, markdown)


MARKS = st.lists(
    st.sampled_from([*"#*`~-|>1.)!? \n\u2028\ud800好👍", "```", "~~~", "- ", "1. ", "word"]), max_size=60
)


@given(st.one_of(st.text(max_size=100), MARKS.map("".join)))
@settings(max_examples=examples(200, 10_000), deadline=None)
def test_no_text_raises_and_no_figure_exceeds_the_text(text: str) -> None:
    of = figures_of(text)
    assert of.characters == len(text)
    for count in (
        of.words,
        of.lines,
        of.paragraphs,
        of.list_items,
        of.tables,
        of.emojis,
        of.marks,
        of.sentences,
    ):
        assert 0 <= count <= len(text)
    assert sum(fence.lines + 1 for fence in of.fences) <= of.lines


@pytest.mark.parametrize("piece", ["#", "`", "```\n", "- ", "|-", "a. ", "👍", "好", "\u200d", "1.", "\n"])
def test_time_is_linear_in_any_text(piece: str) -> None:
    """The square of this length would keep the test for hours."""
    assert figures_of(piece * (1_000_000 // len(piece))).characters > 900_000
