"""The description of this HTTP surface, as served on /openapi.json."""

from importlib import resources

import msgspec
import yaml

from trimtab import __version__


def openapi_document() -> bytes:
    """OpenAPI 3.1 as JSON."""
    text = (resources.files("trimtab.gateway") / "openapi.yaml").read_text(encoding="utf-8")
    document = yaml.safe_load(text)
    document["info"]["version"] = __version__
    return msgspec.json.encode(document)
