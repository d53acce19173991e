"""Turns what a page shows into HTML: one set of templates for the process, escaped always.

What it is not: a place for facts; a template is given all it shows. Invariants: every value is escaped unless it is
markup that was made here; a name that a template misspells is an error, not an empty place.
"""

import importlib.resources
from collections.abc import Callable, Mapping
from urllib.parse import urlencode

import jinja2

import trimtab.console.words as words
from trimtab import __version__
from trimtab.console.files import Files
from trimtab.console.visit import Visit


def with_query(visit: Visit, path: str | None = None, **changes: str | None) -> str:
    """The address of this page, or of another, with the same query but for some fields; `None` leaves one out."""
    asked = {**visit.asked, **changes}
    query = urlencode({name: value for name, value in asked.items() if value})
    return (path or visit.path) + (f"?{query}" if query else "")


class Templates:
    """Compiled when first used, so that a server whose pages nobody opens pays nothing for them."""

    def __init__(self, files: Files) -> None:
        folder = importlib.resources.files("trimtab.console") / "templates"
        self._environment = jinja2.Environment(
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            loader=jinja2.FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8")),
        )
        self._environment.filters["with_query"] = with_query
        filters: Mapping[str, Callable[..., object]] = words.FILTERS
        self._environment.filters.update(filters)
        self._environment.globals.update(static=files.url, version=__version__)

    def render(self, name: str, values: Mapping[str, object]) -> bytes:
        """One page, or its changing part. Takes milliseconds; safe to call from any thread."""
        return self._environment.get_template(name).render(values).encode()
