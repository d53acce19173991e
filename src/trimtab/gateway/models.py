"""`GET /v1/models`: the virtual models, then what the configured platforms serve, in the vendor's shape.

What it is not: the refusal of a request, which is the router's. Invariant: a caller is shown what its key may use, and
nothing else.
"""

import datetime
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qs

import msgspec

from trimtab.catalogue import Catalogue, Model, Tiers, model_info
from trimtab.errors import NotFound, RequestError
from trimtab.records import NOBODY, Caller
from trimtab.routing import Place, Route, is_online, stays_in

DEFAULT_LIMIT = 20
MAX_LIMIT = 1000
_FIRST_RELEASE = "2026-11-21T00:00:00Z"


class ModelList:
    """The list of one configuration version."""

    def __init__(
        self,
        catalogue: Catalogue,
        tiers: Tiers,
        virtual: tuple[str, ...],
        places: tuple[Place, ...],
        data_regions: tuple[str, ...] | None = None,
        routes: tuple[Route, ...] = (),
    ) -> None:
        """`data_regions`: only places that declare one of them are called at all. `routes`: those that `virtual`
        names."""
        self._routes = {route.virtual_model: route for route in routes}
        self._virtual = virtual
        self._tiers = tiers
        self._places = tuple(place for place in places if stays_in(place.data_region, data_regions))
        self._catalogue = catalogue

    def page(self, query: bytes, now_ms: int, caller: Caller = NOBODY) -> bytes:
        """One page as JSON. Source: vendor models page (limit 1 to 1000, after_id, before_id)."""
        asked = parse_qs(query.decode("latin-1"), keep_blank_values=True)
        limit = _limit(asked)
        now = _moment(now_ms)
        entries: list[Mapping[str, object]] = [
            *(
                entry
                for name in self._virtual
                if (entry := self._virtual_entry(name, caller, now.date())) is not None
            ),
            *(
                model_info(model, now)
                for model in self._usable(self._catalogue.models, caller, now.date())
                if not model.retired_on(now.date())
            ),
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

    def one(self, name: str, now_ms: int, caller: Caller = NOBODY) -> bytes:
        """One model by id or alias as JSON. Raises `NotFound`, also for one that the caller may not use."""
        now = _moment(now_ms)
        if name in self._virtual:
            entry = self._virtual_entry(name, caller, now.date())
            if entry is not None:
                return msgspec.json.encode(entry)
        model = self._catalogue.find(name)
        if model is None or not self._usable((model,), caller, now.date()):
            raise NotFound(f"model: {name!r} is not known here; GET /v1/models lists what is served")
        return msgspec.json.encode(model_info(model, now))

    def _usable(
        self,
        models: Iterable[Model],
        caller: Caller,
        today: datetime.date,
        among: tuple[str, ...] | None = None,
    ) -> list[Model]:
        """Those that a platform serves today (UTC), one of those named `among` if any are, and the caller may use
        there."""
        places = [
            place
            for place in self._places
            if (caller.platforms is None or place.name in caller.platforms)
            and (among is None or place.name in among)
            and is_online(place.online_from, today)
        ]
        return [
            model
            for model in models
            if (caller.models is None or model.id in caller.models)
            and any(model.id in place.ids for place in places)
        ]

    def _virtual_entry(self, name: str, caller: Caller, today: datetime.date) -> dict[str, object] | None:
        """A tier or route as a model, `None` where the caller may not use it."""
        route = self._routes.get(name)
        tier = name.partition("/")[2]
        what = f"the tier {tier}"
        if route is not None:
            tier = "" if route.arm is not None else route.tier or caller.default_tier or "default"
            what = f"the route {route.name}{', tier ' if tier else ''}{tier}"
        elif tier == "auto":
            tier = caller.default_tier or "default"
            what = f"the router's choice, for now {tier}"
        arm = route.arm if route is not None and not tier else self._tiers.by_name(tier)
        model = self._catalogue.find(arm.model) if arm is not None else None
        if model is None or (tier and caller.tiers is not None and tier not in caller.tiers):
            return None
        bound = self._tiers.places.get(tier)
        among = bound.platforms if bound else None
        if caller is not NOBODY and not self._usable((model,), caller, today, among):
            return None
        return {
            "type": "model",
            "id": name,
            "display_name": f"Trimtab: {what} ({arm})",
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
