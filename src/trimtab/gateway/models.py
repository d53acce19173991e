"""`GET /v1/models`: the virtual models, then what the configured platforms serve, in the vendor's shape."""

import datetime
from collections.abc import Mapping
from urllib.parse import parse_qs

import msgspec

from trimtab.catalogue import Catalogue, Tiers, model_info
from trimtab.errors import NotFound, RequestError

DEFAULT_LIMIT = 20
MAX_LIMIT = 1000
_FIRST_RELEASE = "2026-11-21T00:00:00Z"


class ModelList:
    """The list of one configuration version."""

    def __init__(
        self, catalogue: Catalogue, tiers: Tiers, virtual: tuple[str, ...], platforms: frozenset[str]
    ) -> None:
        self._virtual = {name: _virtual_entry(name, tiers) for name in virtual}
        self._models = [
            model
            for model in catalogue.models
            if any(model.platform_id(platform) is not None for platform in platforms)
        ]
        self._catalogue = catalogue

    def page(self, query: bytes, now_ms: int) -> bytes:
        """One page as JSON. Source: vendor models page (limit 1 to 1000, after_id, before_id)."""
        asked = parse_qs(query.decode("latin-1"), keep_blank_values=True)
        limit = _limit(asked)
        now = _moment(now_ms)
        entries: list[Mapping[str, object]] = [
            *self._virtual.values(),
            *(model_info(model, now) for model in self._models if not model.retired_on(now.date())),
        ]
        ids = [str(entry["id"]) for entry in entries]
        start, end = 0, len(entries)
        if "after_id" in asked:
            start = _place(ids, "after_id", asked["after_id"][0]) + 1
        if "before_id" in asked:
            end = _place(ids, "before_id", asked["before_id"][0])
            start = max(start, end - limit) if "after_id" not in asked else start
        shown = entries[start:end][:limit]
        more = start > 0 if "before_id" in asked else start + len(shown) < end
        return msgspec.json.encode(
            {
                "data": shown,
                "has_more": more,
                "first_id": shown[0]["id"] if shown else None,
                "last_id": shown[-1]["id"] if shown else None,
            }
        )

    def one(self, name: str, now_ms: int) -> bytes:
        """One model by id or alias as JSON. Raises `NotFound`."""
        if name in self._virtual:
            return msgspec.json.encode(self._virtual[name])
        model = self._catalogue.find(name)
        if model is None or model not in self._models:
            raise NotFound(f"model: {name!r} is not known here; GET /v1/models lists what is served")
        return msgspec.json.encode(model_info(model, _moment(now_ms)))


def _virtual_entry(name: str, tiers: Tiers) -> dict[str, object]:
    tier = name.partition("/")[2]
    arm = tiers.by_name("default" if tier == "auto" else tier)
    what = "the router's choice, for now" if tier == "auto" else "the tier"
    return {
        "type": "model",
        "id": name,
        "display_name": f"Trimtab: {what} {'default' if tier == 'auto' else tier} ({arm})",
        "created_at": _FIRST_RELEASE,
    }


def _moment(now_ms: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(now_ms / 1000, datetime.UTC)


def _limit(asked: dict[str, list[str]]) -> int:
    text = asked.get("limit", [str(DEFAULT_LIMIT)])[0]
    if not text.isascii() or not text.isdigit() or len(text) > 4 or not 1 <= int(text) <= MAX_LIMIT:
        raise RequestError(f"limit: {text!r}: Input should be 1 to {MAX_LIMIT}")
    return int(text)


def _place(ids: list[str], name: str, wanted: str) -> int:
    try:
        return ids.index(wanted)
    except ValueError:
        raise RequestError(f"{name}: {wanted!r} is not a model of this list") from None
