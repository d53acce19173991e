"""Code in Markdown: what a reader would copy is what is found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.verification.code_blocks import blocks, written_in


@pytest.mark.parametrize(
    ("text", "language", "code"),
    [
        ("```python\nx = 1\n```", "python", ["x = 1\n"]),
        ("Here:\n\n```py\nx\n```\nand\n```python3\ny\n```\n", "python", ["x\n", "y\n"]),
        ("```\nx = 1\n```", "python", ["x = 1\n"]),
        ("```bash\npip install x\n```\n```\nx = 1\n```", "python", ["x = 1\n"]),
        ("```bash\nls\n```", "python", []),
        ("```json\n{}\n```\n```py\nx\n```\n```\nplain\n```", "python", ["x\n"]),
        ("~~~python\nx = '```'\n```\n~~~", "python", ["x = '```'\n```\n"]),
        ("````python\n```\n````", "python", ["```\n"]),
        ("```python\ncut off", "python", ["cut off\n"]),
        ("1. Do\n   ```python\n   if x:\n       y\n   ```", "python", ["if x:\n    y\n"]),
        ("```python\nx\n``` trailing words\n```", "python", ["x\n``` trailing words\n"]),
        ("``` `not a fence` ```\nx", "python", []),
        ("``not a fence``", "python", []),
        ("```Python title=a.py\nx\n```", "python", ["x\n"]),
        ("```{python}\nx\n```", "python", ["x\n"]),
        ("```python tests\nassert x\n```\n```python\nx\n```", "python", ["x\n"]),
        ("```js\nx\n```\n```ts\ny\n```", "javascript", ["x\n"]),
        ("```haskell\nx\n```", "haskell", ["x\n"]),
    ],
)
def test_blocks_of_a_language_are_found_as_a_renderer_shows_them(
    text: str, language: str, code: list[str]
) -> None:
    assert list(written_in(blocks(text), language)) == code


@given(st.lists(st.sampled_from(["```", "```python", "~~~", "````", "x", "", "  ```", "`"]), max_size=12))
def test_no_text_is_lost_or_found_twice(lines: list[str]) -> None:
    found = blocks("\n".join(lines))
    held = [line for block in found for line in block.text.split("\n")[:-1]]
    assert len(held) <= len(lines)
    assert held.count("x") <= lines.count("x")


@given(st.text(alphabet="`~ \nabc", max_size=200))
def test_what_was_fenced_well_comes_back(code: str) -> None:
    fence = "`" * (max(3, len(code)) + 1)
    assert [block.text for block in blocks(f"{fence}python\n{code}\n{fence}")] == [
        "".join(f"{line}\n" for line in f"{code}\n".splitlines())
    ]
