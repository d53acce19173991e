"""The files that pages bring with them."""

import hashlib
from pathlib import Path

from trimtab.console.files import TYPES, Files

STATIC = Path(__file__).resolve().parents[2] / "src/trimtab/console/static"
DEPENDENCIES = STATIC.parents[3] / "docs/dependencies.md"


def test_every_file_is_served_or_a_licence() -> None:
    assert {path.name for path in STATIC.iterdir()} - set(TYPES) == {"htmx.LICENSE.txt", "uplot.LICENSE.txt"}


def test_what_is_vendored_is_what_the_list_of_dependencies_says() -> None:
    listed = DEPENDENCIES.read_text()
    for name in ("htmx.min.js", "uplot.min.js", "uplot.min.css"):
        digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()
        assert any(f"`{name}`" in line and digest in line for line in listed.splitlines()), name


def test_a_changed_file_has_another_name() -> None:
    files = Files()
    for name in TYPES:
        digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()
        assert digest[:16] in files.url(name)
        assert files.find(files.url(name)) is not None
        assert files.find(f"/console/static/{name}") is None
