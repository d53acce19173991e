"""What a measured request comes to on one model, with an interval, and where the figure comes from.

What it is not: the measuring. Invariant: the parts and the classes each add up to the whole.
"""

import math
from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from trimtab.catalogue.estimating.measuring import Measured, Part, Prefix
from trimtab.catalogue.images import image_tokens
from trimtab.catalogue.model import Model, ToolTokens
from trimtab.catalogue.token_tables import ABOUT, FITS, ContentClass
from trimtab.catalogue.tokens import Generation, generation_of

Item: TypeAlias = ContentClass | Literal["images", "pdf", "frame", "tool_prompt"]
"""What an estimate is broken down into: classes of text, and what is not text."""

ITEMS: tuple[Item, ...] = (*FITS, "images", "pdf", "frame", "tool_prompt")

ABOUT_ITEMS: Mapping[str, str] = {
    **{str(name): about for name, about in ABOUT.items()},
    "images": "images, by the vendor's rule",
    "pdf": "PDF documents (guessed)",
    "frame": "frames of messages",
    "tool_prompt": "what the vendor adds for tools",
}
"""For people."""

PartOrItem: TypeAlias = Part | Literal["images", "frame", "tool_prompt"]

_FRAME: dict[str, tuple[int, int]] = {"v3": (7, 4), "v4.7": (11, 4), "v4.7-family": (6, 4), "v4.8": (6, 4)}
"""Tokens of the frame of a single message (source: ctok 1.3.0), and of each further message (not measured)."""

_TOOL_TOKENS = ToolTokens(auto_none=497, any_tool=589)
"""Where a model has no figure of its own: that of 4.6."""

_VENDOR_TOOLS: tuple[tuple[str, int, int], ...] = (
    ("bash_", 244, 325),
    ("text_editor_", 700, 700),
    ("computer_toolset_", 4500, 4500),
    ("computer_", 735 + 466, 735 + 499),
    ("", 300, 300),
)
"""Tokens of tools that the vendor defines, by the beginning of their type, up to 4.6 and from 4.7 on. Source: vendor
pricing page (2026-11); that of other tools is a guess."""

_UNKNOWN_IMAGE = {"none": 0, "standard": 1400, "high": 2700}
"""An image of unknown size: about what a screen of 1920 x 1080 costs."""

_PDF_CHARS_PER_TOKEN = 40
"""Base64 of a document per token: a guess, pages are text and a picture each."""

ERROR_IMAGE_GUESSED = 0.5
ERROR_PDF = 0.7
ERROR_FRAME = 0.2
"""Relative standard deviations, for what is guessed."""

ERROR_COUNTED = 0.01
"""Of a plugged-in tokenizer, which does not know how the vendor frames texts."""

ERROR_COMMON = 0.02
"""What all texts of one body share beside their classes: measured between sets of texts of one class."""

WITHIN = 0.7
"""Of a class's error, what is between its texts and stays when the class as a whole is corrected."""

Z = 1.96


class Corrections(msgspec.Struct, frozen=True):
    """What was learnt from usage for one model or tokenizer: factors on items, with their relative errors."""

    factors: dict[Item, float]
    errors: dict[Item, float]
    """Of the factor, not of a single text."""
    usages: int
    """From how many."""


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """Input tokens of one request on one model."""

    tokens: int
    low: int
    high: int
    """Between these in 19 of 20 requests, as far as the errors of the tables are known."""
    by_item: dict[Item, float]
    by_part: dict[PartOrItem, float]
    source: str
    """`table`, `table+learnt`, `tokenizer:NAME`."""
    marked: int | None
    """Tokens before the last cache mark; `None`: nothing is marked."""
    guessed_images: int
    """Images whose size is not known."""


def estimate(measured: Measured, model: Model, corrections: Corrections | None = None) -> Estimate:
    """Estimate a measured request. Corrections are used where no plugged-in tokenizer counted. Cost: 20 us."""
    generation = generation_of(model.tokenizer)
    by_item = items(measured, model)
    counted = generation in measured.counted_by
    learnt = corrections if corrections is not None and not counted else None
    if learnt is not None:
        by_item = {item: tokens * learnt.factors.get(item, 1.0) for item, tokens in by_item.items()}
    tokens = sum(by_item.values())
    spread = _spread(measured, by_item, generation, counted=counted, learnt=learnt)
    text = sum([share.on(generation) for share in measured.shares])
    scale = sum([by_item[item] for item in by_item if item in FITS]) / text if text else 1.0
    return Estimate(
        tokens=round(tokens),
        low=max(0, round(tokens - Z * spread)),
        high=round(tokens + Z * spread),
        by_item=by_item,
        by_part=_parts(measured, model, learnt.factors if learnt is not None else {}),
        source=_source(measured, generation, learnt),
        marked=None if measured.marked is None else round(_before(measured.marked, measured, model, scale)),
        guessed_images=sum([size == (0, 0) for size in measured.images]),
    )


def items(measured: Measured, model: Model) -> dict[Item, float]:
    """Tokens of each class and of what is not text, before any correction; items without tokens are left out."""
    generation = generation_of(model.tokenizer)
    found: dict[Item, float] = {}
    for share in measured.shares:
        found[share.content_class] = found.get(share.content_class, 0.0) + share.on(generation)
    found |= _not_text(measured, model)
    return {item: tokens for item, tokens in found.items() if tokens}


def _not_text(measured: Measured, model: Model) -> dict[Item, float]:
    first, further = _FRAME[model.tokenizer]
    return {
        "images": float(_images(measured.images, model)),
        "pdf": measured.pdf_chars / _PDF_CHARS_PER_TOKEN,
        "frame": float(first + further * max(measured.messages - 1, 0)),
        "tool_prompt": float(_tool_prompt(measured, model)),
    }


def _images(sizes: tuple[tuple[int, int], ...], model: Model) -> int:
    known = [size for size in sizes if size != (0, 0)]
    guessed = len(sizes) - len(known)
    if model.vision == "none":
        return 0
    return sum([image_tokens(*size, model.vision) for size in known]) + guessed * _UNKNOWN_IMAGE[model.vision]


def _tool_prompt(measured: Measured, model: Model) -> int:
    if not measured.has_tools:
        return 0
    recorded = model.features.tool_tokens or _TOOL_TOKENS
    tokens = recorded.any_tool if measured.forced else recorded.auto_none
    newer = generation_of(model.tokenizer) == "v4.7"
    for kind in measured.tool_types:
        prefix = next(tool for tool in _VENDOR_TOOLS if kind.startswith(tool[0]))
        tokens += prefix[2] if newer else prefix[1]
    return tokens


def _parts(measured: Measured, model: Model, factors: Mapping[Item, float]) -> dict[PartOrItem, float]:
    generation = generation_of(model.tokenizer)
    found: dict[PartOrItem, float] = {}
    for share in measured.shares:
        tokens = share.on(generation) * factors.get(share.content_class, 1.0)
        found[share.part] = found.get(share.part, 0.0) + tokens
    rest = {item: tokens * factors.get(item, 1.0) for item, tokens in _not_text(measured, model).items()}
    found["documents"] = found.get("documents", 0.0) + rest["pdf"]
    found["images"], found["frame"], found["tool_prompt"] = rest["images"], rest["frame"], rest["tool_prompt"]
    return {part: tokens for part, tokens in found.items() if tokens}


def _before(marked: Prefix, measured: Measured, model: Model, scale: float) -> float:
    """Tokens before the last cache mark."""
    first, further = _FRAME[model.tokenizer]
    frame = first + further * (marked.messages - 1) if marked.messages else 0
    tools = _tool_prompt(measured, model) if marked.tools else 0
    images = _images(measured.images[: marked.images], model)
    return marked.on(generation_of(model.tokenizer)) * scale + frame + tools + images


def _spread(
    measured: Measured,
    by_item: Mapping[Item, float],
    generation: Generation,
    *,
    counted: bool,
    learnt: Corrections | None,
) -> float:
    """Standard deviation in tokens. Errors of classes are taken as independent, one error as common to all texts."""
    squares, text = 0.0, 0.0
    guessed = sum([size == (0, 0) for size in measured.images])
    for item, tokens in by_item.items():
        if item == "images":
            error = ERROR_IMAGE_GUESSED * guessed / len(measured.images)
        elif item == "pdf":
            error = ERROR_PDF
        elif item == "frame" or item == "tool_prompt":
            error = ERROR_FRAME
        else:
            text += tokens
            fit = FITS[item]
            error = ERROR_COUNTED if counted else fit.error_v3 if generation == "v3" else fit.error_v47
        if learnt is not None and item in learnt.errors:
            error = math.hypot(learnt.errors[item], WITHIN * error)
        squares += (tokens * error) ** 2
    common = 0.0 if counted else ERROR_COMMON * text
    return math.sqrt(squares + common**2)


def _source(measured: Measured, generation: Generation, learnt: Corrections | None) -> str:
    if generation in measured.counted_by:
        return f"tokenizer:{measured.counted_by[generation]}"
    return "table" if learnt is None else "table+learnt"
