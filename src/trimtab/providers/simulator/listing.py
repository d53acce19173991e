"""`GET /v1/models` and `GET /v1/models/{id}`.

Source: anthropic SDK 2.11.0 `types/model_list_params.py`, `types/model_info.py`; newest first, cursors are ids.
"""

import datetime
from urllib.parse import parse_qs

import msgspec

from trimtab.catalogue import Catalogue
from trimtab.catalogue.info import model_info
from trimtab.catalogue.model import Model
from trimtab.errors import NotFound, RequestError

_DEFAULT_LIMIT = 20
_MAX_LIMIT = 1000


def list_models(catalogue: Catalogue, query: bytes, at: datetime.datetime) -> bytes:
    """One page of the models that are not retired. Raises `RequestError`."""
    fields = _fields(query)
    limit = _limit(fields.get("limit"))
    after, before = fields.get("after_id"), fields.get("before_id")
    if after is not None and before is not None:
        raise RequestError("before_id: cannot be combined with after_id")
    models = [model for model in catalogue.models if not model.retired_on(at.date())]
    models.sort(key=lambda model: model.lifecycle.released or datetime.date.min, reverse=True)
    if before is not None:
        end = _place(models, before, "before_id")
        start = max(0, end - limit)
        page, more = models[start:end], start > 0
    else:
        start = _place(models, after, "after_id") + 1 if after is not None else 0
        page, more = models[start : start + limit], len(models) > start + limit
    return msgspec.json.encode(
        {
            "data": [model_info(model, at) for model in page],
            "has_more": more,
            "first_id": page[0].id if page else None,
            "last_id": page[-1].id if page else None,
        }
    )


def one_model(catalogue: Catalogue, name: str, at: datetime.datetime) -> bytes:
    """One model by id or alias, retired ones too. Raises `NotFound`."""
    model = catalogue.find(name)
    if model is None:
        raise NotFound(f"model: {name:.256}")
    return msgspec.json.encode(model_info(model, at))


def _fields(query: bytes) -> dict[str, str]:
    try:
        parsed = parse_qs(query.decode("ascii"), keep_blank_values=True, max_num_fields=50)
    except (UnicodeDecodeError, ValueError):
        raise RequestError("The query string cannot be read") from None
    return {name: values[-1] for name, values in parsed.items()}


def _limit(text: str | None) -> int:
    if text is None:
        return _DEFAULT_LIMIT
    try:
        limit = int(text)
    except ValueError:
        raise RequestError(
            "limit: Input should be a valid integer, unable to parse string as an integer"
        ) from None
    if not 1 <= limit <= _MAX_LIMIT:
        word = f"greater than or equal to {1}" if limit < 1 else f"less than or equal to {_MAX_LIMIT}"
        raise RequestError(f"limit: Input should be {word}")
    return limit


def _place(models: list[Model], name: str, field: str) -> int:
    for index, model in enumerate(models):
        if name == model.id or name in model.aliases:
            return index
    raise RequestError(f"{field}: {name!r:.128} is not a model of this list")
