"""Every provider against its platform's face of the simulator, over real HTTP, one suite for all."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from simulated_platforms import KINDS, House, Kind, Said, asked, call_to, loop_of, said_to, simulated

from trimtab.catalogue import Catalogue
from trimtab.providers import Provider

Say = Callable[..., Said]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.platform)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture(scope="module")
def house(request: pytest.FixtureRequest, catalogue: Catalogue) -> Iterator[House]:
    """The simulator, with the module's `SCRIPT`."""
    with simulated(getattr(request.module, "SCRIPT", None), catalogue=catalogue) as made:
        yield made


class Caller:
    """A provider, and a loop that its connections live on."""

    def __init__(self, provider: Provider, catalogue: Catalogue, run: Callable[[Any], Any]) -> None:
        self.provider = provider
        self.run = run
        self._catalogue = catalogue

    def call(self, content: Any = "Hello there", *, betas: str = "", **fields: Any) -> Any:
        counting = bool(fields.get("counting"))
        body = asked(content, **fields)
        return call_to(self.provider, self._catalogue, body, counting=counting, betas=betas)

    def __call__(self, content: Any = "Hello there", **fields: Any) -> Said:
        said: Said = self.run(said_to(self.provider, self.call(content, **fields)))
        return said


@pytest.fixture(scope="module")
def caller(kind: Kind, catalogue: Catalogue) -> Iterator[Callable[..., Caller]]:
    """`caller(house, **settings)` opens the provider of this kind against a simulator."""
    opened: list[Any] = []

    def opening(house: House, **settings: Any) -> Caller:
        provider = kind.open(house.url, catalogue, **settings)
        loop = loop_of(provider)
        opened.append(loop)
        return Caller(provider, catalogue, loop.__enter__())

    yield opening
    for loop in opened:
        loop.__exit__(None, None, None)


@pytest.fixture(scope="module")
def ask(house: House, caller: Callable[..., Caller]) -> Caller:
    """One call to the module's simulator, by the provider of this kind."""
    return caller(house)
