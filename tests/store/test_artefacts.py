"""A published version never changes."""

from collections.abc import Callable

from trimtab.store import Database
from trimtab.store.artefacts import ArtefactStore


def test_a_version_is_what_was_published_and_publishing_again_makes_no_other(
    url: str, database_at: Callable[[str], Database]
) -> None:
    store = ArtefactStore(database_at(url))
    first = store.publish("effort", b"\x00one")
    assert store.publish("effort", b"\x00one") == first
    second, other = store.publish("effort", b"two"), store.publish("router", b"\x00one")
    assert len({first.version, second.version, other.version}) == 3
    assert store.content("effort", first.version) == b"\x00one"
    assert store.content("router", first.version) is None
    assert {one.version for one in store.versions("effort")} == {first.version, second.version}
