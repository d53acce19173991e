"""A text of each content class, and its tokens as counted with ctok 1.3.0 (numbers only; the texts are our own).

What it is not: the texts that the tables were fitted to.
"""

import base64
import json
import random
from pathlib import Path
from typing import NamedTuple

from trimtab.catalogue import ContentClass

CONTENT = Path(__file__).parent / "content_classes"


class Sample(NamedTuple):
    text: str
    v3: int
    v47: int


def _orders() -> list[dict[str, object]]:
    letters = random.Random(3)
    return [
        {
            "id": letters.randrange(10**6),
            "customer": {"name": letters.choice(["Aylin Demir", "Jonas Berg", "Mary Adams"]), "city": letters.choice(["Izmir", "Oslo", "Leeds"])},
            "lines": [
                {"sku": f"BX-{letters.randrange(10**4)}", "quantity": letters.randrange(1, 9), "price": round(letters.random() * 300, 2)}
                for _ in range(letters.randrange(1, 4))
            ],
            "paid": letters.random() < 0.7,
            "shipped_at": None,
        }
        for _ in range(14)
    ]  # fmt: skip


def _schema() -> list[dict[str, object]]:
    def tool(name: str, about: str, **fields: tuple[str, str]) -> dict[str, object]:
        properties = {field: {"type": kind, "description": what} for field, (kind, what) in fields.items()}
        return {
            "name": name,
            "description": about,
            "input_schema": {"type": "object", "properties": properties, "required": list(fields)[:1]},
        }

    return [
        tool("search_orders", "Find the orders of a customer, the newest first.", customer=("string", "Name or number of the customer."), since=("string", "First day, as 2026-01-31."), limit=("integer", "How many orders to return at most.")),
        tool("refund", "Pay back an order, whole or in part. Ask the customer before you call this.", order_id=("integer", "Number of the order."), amount=("number", "In euros; the whole order where it is left out."), reason=("string", "One sentence that the customer will read.")),
        tool("send_message", "Send a message to the customer by e-mail.", customer=("string", "Name or number of the customer."), subject=("string", "Subject line, at most 80 characters."), body=("string", "The text of the message, without greeting and signature.")),
    ]  # fmt: skip


def _text(name: str) -> str:
    drawn = random.Random(11)
    match name:
        case "json_pretty":
            return json.dumps(_orders()[:6], indent=2)
        case "json_minified":
            return json.dumps(_orders(), separators=(",", ":"))
        case "json_schema":
            return json.dumps(_schema(), separators=(",", ":"))
        case "hex":
            return drawn.randbytes(800).hex()
        case "base64":
            return base64.b64encode(drawn.randbytes(1200)).decode()
        case "digits_csv":
            return "".join(",".join(str(drawn.randrange(10**6)) for _ in range(5)) + "\n" for _ in range(50))
        case "records":
            return "".join(
                f"2026-11-{drawn.randrange(1, 29):02} {drawn.randrange(24):02}:{drawn.randrange(60):02} INFO "
                f"worker-{drawn.randrange(9)} request {drawn.randbytes(4).hex()} finished with status "
                f"{drawn.choice([200, 400, 529])} in {drawn.randrange(9000)} ms, {drawn.randrange(5000)} tokens\n"
                for _ in range(25)
            )
    return (CONTENT / f"{name}.txt").read_text(encoding="utf-8")


COUNTED: dict[ContentClass, tuple[int, int]] = {
    "english_docs": (442, 557),
    "english_article": (457, 608),
    "markdown_tables": (473, 598),
    "python_code": (549, 689),
    "python_types_docstrings": (470, 593),
    "json_pretty": (760, 855),
    "json_minified": (1011, 1400),
    "hex": (933, 1036),
    "chinese_traditional_mixed": (358, 381),
    "chinese_simplified": (380, 380),
    "digits_csv": (748, 748),
    "json_schema": (310, 409),
    "base64": (1404, 1531),
    "code": (370, 425),
    "markup": (442, 509),
    "records": (1055, 1243),
    "latin_prose": (225, 307),
    "cyrillic": (233, 233),
    "japanese_korean": (233, 233),
    "arabic_greek": (288, 288),
    "indic_thai": (361, 361),
}


def samples() -> dict[ContentClass, Sample]:
    """By class."""
    return {name: Sample(_text(name), v3, v47) for name, (v3, v47) in COUNTED.items()}
