"""Finds fenced code in Markdown.

What it is not: a Markdown parser, or a judge of the code. Invariant: linear in the text, and never raises; a fence that
nobody closed goes on to the end, as renderers have it.
"""

import msgspec

ALIASES: dict[str, tuple[str, ...]] = {
    "python": ("python", "py", "python3", "py3"),
    "javascript": ("javascript", "js", "mjs", "node"),
    "typescript": ("typescript", "ts"),
    "bash": ("bash", "sh", "shell"),
    "c++": ("c++", "cpp", "cc"),
    "go": ("go", "golang"),
    "rust": ("rust", "rs"),
    "ruby": ("ruby", "rb"),
}
"""What people write behind a fence for one language."""


class Block(msgspec.Struct, frozen=True):
    """One fenced block."""

    marks: tuple[str, ...]
    """The words behind its opening fence, in lower case: `("python", "tests")`."""
    text: str
    """What it holds, with a line end behind each line."""


def blocks(text: str) -> tuple[Block, ...]:
    """The fenced blocks of a text, in order. Source: CommonMark 0.31, section 4.5 (without its containers)."""
    found: list[Block] = []
    fence, indent = "", 0
    marks: tuple[str, ...] = ()
    lines: list[str] = []
    for line in text.splitlines():
        bare = line.lstrip(" \t")
        if not fence:
            opening = _fence(bare)
            info = bare[len(opening) :]
            if opening and not (opening[0] == "`" and "`" in info):
                fence, indent = opening, len(line) - len(bare)
                marks = tuple(info.lower().replace(",", " ").replace("{", " ").replace("}", " ").split())
                lines = []
        elif (
            _fence(bare)[:1] == fence[0]
            and len(_fence(bare)) >= len(fence)
            and not bare.strip(fence[0] + " \t")
        ):
            found.append(Block(marks, "".join(lines)))
            fence = ""
        else:
            lines.append(_outdented(line, indent) + "\n")
    if fence:
        found.append(Block(marks, "".join(lines)))
    return tuple(found)


def _fence(bare: str) -> str:
    for char in ("`", "~"):
        rest = bare.lstrip(char)
        if len(bare) - len(rest) >= 3:
            return bare[: len(bare) - len(rest)]
    return ""


def _outdented(line: str, indent: int) -> str:
    """Without as many spaces as stand before the fence: blocks in lists are moved in."""
    kept = line.lstrip(" ") if indent else line
    return line[min(indent, len(line) - len(kept)) :]


def written_in(found: tuple[Block, ...], language: str) -> tuple[str, ...]:
    """The texts of those blocks that are in this language; where none says so, of those that name no language.

    Blocks that are marked `tests` are left out.
    """
    names = ALIASES.get(language, (language,))
    code = [block for block in found if "tests" not in block.marks]
    named = tuple(block.text for block in code if block.marks and block.marks[0].lstrip(".") in names)
    return named or tuple(block.text for block in code if not block.marks)
