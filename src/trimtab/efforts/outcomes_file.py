"""Outcomes in a file, as test runs, reviews and ticket systems have them: JSON lines or CSV.

What it is not: looking up what they are of. Invariant: a file is read whole or refused with the line and what to do;
nothing in it is guessed.
"""

import csv
import io
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec

from trimtab.errors import ConfigError, printable, shortened
from trimtab.store.edited_answers import EDITED_BYTES_MAX, written
from trimtab.store.feedback import LABEL_CHARS_MAX, NOTE_CHARS_MAX, SOURCE_CHARS_MAX, Covers, Told

LINES_MAX = 1_000_000
BYTES_MAX = 256 * 1024 * 1024

SUBJECTS: tuple[Covers, ...] = ("request", "session", "task")

_WORDS = {
    **dict.fromkeys(("true", "yes", "1", "pass", "passed", "success", "ok"), True),
    **dict.fromkeys(("false", "no", "0", "fail", "failed", "failure"), False),
}
"""What spreadsheets and test runs write for success."""


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    request: str | None = None
    session: str | None = None
    task: str | None = None
    success: bool | None = None
    score: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    note: Annotated[str, msgspec.Meta(max_length=NOTE_CHARS_MAX)] = ""
    source: (
        Annotated[
            str,
            msgspec.Meta(min_length=1, max_length=SOURCE_CHARS_MAX, pattern=r"^[A-Za-z0-9._:-]+\Z"),
        ]
        | None
    ) = None
    label: Annotated[str, msgspec.Meta(max_length=LABEL_CHARS_MAX, pattern=r"^[A-Za-z0-9._:-]*\Z")] = ""
    edited: Any = None
    """The answer as it should have been: text, or in JSON lines any JSON."""


def read_outcomes(name: str, content: bytes, *, source: str, teller: str) -> list[Told]:
    """The outcomes of a file; `request` of each is the id or name of what it `covers`. Raises `ConfigError`.

    A file whose first character is `{` is JSON lines, any other one CSV with a line of names.
    """
    if len(content) > BYTES_MAX:
        raise ConfigError(
            name, f"has more than {BYTES_MAX >> 20} MiB, which is all that is read; split it by lines"
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise ConfigError(name, f"invalid UTF-8 at byte {problem.start}; save it as UTF-8") from None
    lines = _json_lines(name, text) if text.lstrip().startswith("{") else _csv_lines(name, text)
    found: list[Told] = []
    for number, line in lines:
        if len(found) == LINES_MAX:
            raise ConfigError(name, f"has more than {LINES_MAX:,} outcomes; split it")
        found.append(_told(f"{name} line {number}", line, source, teller))
    if not found:
        raise ConfigError(name, 'holds no outcome; write lines as {"request": "ID", "success": true}')
    return found


def _json_lines(name: str, text: str) -> Iterator[tuple[int, _Line]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield number, _DECODER.decode(line)
        except (msgspec.DecodeError, RecursionError) as problem:
            raise ConfigError(
                f"{name} line {number}", f"{printable(str(problem), 200)}{_permitted(problem)}"
            ) from None


def _csv_lines(name: str, text: str) -> Iterator[tuple[int, _Line]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, restkey="", restval="")
    try:
        names = [column.strip().lower() for column in reader.fieldnames or ()]
        known = _Line.__struct_encode_fields__
        for column in names:
            if column not in known or names.count(column) > 1:
                raise ConfigError(
                    f"{name} line 1",
                    f"column {shortened(column, 60)!r}: must be one of {', '.join(known)}, each at most once",
                )
        reader.fieldnames = names
        for row in reader:
            if "" in row:
                raise ConfigError(f"{name} line {reader.line_num}", "has more values than there are columns")
            yield reader.line_num, _from_csv(f"{name} line {reader.line_num}", row)
    except csv.Error as problem:
        raise ConfigError(
            f"{name} line {reader.line_num}", f"is not CSV: {printable(str(problem), 200)}"
        ) from None


def _from_csv(where: str, row: dict[str, str]) -> _Line:
    raw: dict[str, Any] = {key: value.strip() for key, value in row.items() if value and value.strip()}
    if (word := raw.get("success")) is not None:
        if word.lower() not in _WORDS:
            raise ConfigError(where, f"success: {shortened(word, 60)!r}: must be true or false")
        raw["success"] = _WORDS[word.lower()]
    if (number := raw.get("score")) is not None:
        try:
            raw["score"] = float(number)
        except ValueError:
            raise ConfigError(
                where, f"score: {shortened(number, 60)!r}: must be a number from 0 to 1"
            ) from None
    try:
        return msgspec.convert(raw, _Line)
    except msgspec.ValidationError as problem:
        raise ConfigError(where, printable(str(problem), 200)) from None


def _told(where: str, line: _Line, source: str, teller: str) -> Told:
    named = [(covers, value) for covers in SUBJECTS if (value := getattr(line, covers)) is not None]
    if len(named) != 1:
        raise ConfigError(where, "must name one of request, session and task")
    score = line.score if line.success is None else float(line.success)
    if score is None or None not in (line.success, line.score):
        raise ConfigError(where, "must say success (true or false) or score (0 to 1), one of them")
    covers, value = named[0]
    return Told(
        request=value,
        source=line.source or source,
        score=score + 0.0,
        covers=covers,
        note=line.note.replace("\0", "\ufffd"),
        label=line.label,
        teller=teller,
        edited=_edited(where, line.edited),
    )


def _edited(where: str, value: Any) -> bytes | None:
    if value is None:
        return None
    try:
        found = written(value)
    except RecursionError:
        raise ConfigError(where, "edited: is nested too deeply to be shown") from None
    if len(found) > EDITED_BYTES_MAX:
        raise ConfigError(where, f"edited: has {len(found):,} bytes; at most {EDITED_BYTES_MAX:,} are taken")
    return found


def _permitted(problem: Exception) -> str:
    if "unknown field" not in str(problem):
        return ""
    return f"; permitted are {', '.join(_Line.__struct_encode_fields__)}"


_DECODER: msgspec.json.Decoder[_Line] = msgspec.json.Decoder(_Line)
