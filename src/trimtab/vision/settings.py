"""The `[images]` section, and the headers by which a request says otherwise."""

import importlib.util
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Literal

import msgspec

from trimtab.catalogue.images import MAX_SIDE_PX
from trimtab.config import fail
from trimtab.errors import ConfigError, RequestError, shortened

IMAGES, COORDINATES = "x-trimtab-images", "x-trimtab-coordinates"

Policy = Literal["as_sent", "fit", "exact"]
"""`as_sent`: images go out as they came. `fit`: an image that the platform would shrink, or refuse, is shrunk here.
`exact`: one that the platform would shrink is refused."""

Coordinates = Literal["as_model", "map_back"]
"""`as_model`: pixels of the image that the model saw. `map_back`: pixels of the image that the client sent."""

_POLICIES: dict[str, Policy] = {"as_sent": "as_sent", "fit": "fit", "exact": "exact"}
_COORDINATES: dict[str, Coordinates] = {"as_model": "as_model", "map_back": "map_back"}

LEAST_PX = 28
MOST_CACHE_MIB = 4096
MEGAPIXEL = 1_000_000

NO_PILLOW = (
    'resizing images needs Pillow, which is not installed; install the extra: pip install "trimtab[vision]"'
)


class ImageRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is said for all requests, or for those of one tier or route; what is not said is as above it."""

    policy: Policy | None = None
    long_edge_px: int | None = None
    """`fit` shrinks to this longest side, where the model would see more."""
    most_megapixels: float | None = None
    """`fit` shrinks to so many pixels, where the model would see more. 3.75 is what 4.7 and later see."""
    coordinates: Coordinates | None = None


class ImageSettings(ImageRules, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[images]`."""

    tiers: dict[str, ImageRules] = {}
    routes: dict[str, ImageRules] = {}
    cache_mib: int = 64
    """Resized images are kept so that a conversation that sends its images again in every turn is not slowed down;
    when it is full the longest unused go, and are made again, into the same bytes. Of each process."""


class Rules(msgspec.Struct, frozen=True):
    """What holds for one request."""

    policy: Policy = "as_sent"
    side_px: int = MAX_SIDE_PX
    pixels: int = MAX_SIDE_PX**2
    maps_back: bool = False


def has_pillow() -> bool:
    """Whether images can be resized here."""
    return importlib.util.find_spec("PIL") is not None


def check_images(
    settings: ImageSettings,
    where: Callable[[str], str],
    *,
    tiers: Collection[str],
    routes: Collection[str],
    can_resize: Callable[[], bool] = has_pillow,
) -> None:
    """Raise `ConfigError` for a figure out of its bounds, a tier or route that there is not, or `fit` without Pillow.

    `can_resize` says whether it is there.
    """
    for name in settings.tiers:
        if name not in tiers:
            fail(where(f"tiers.{name}"), name, f"must be a tier: {', '.join(sorted(tiers))}")
    for name in settings.routes:
        if name not in routes:
            known = f"; there are: {', '.join(sorted(routes))}" if routes else ", and there are none"
            fail(where(f"routes.{name}"), name, f"must be a route of [routes]{known}")
    for path, rules in _all(settings):
        _within(where(f"{path}long_edge_px"), rules.long_edge_px, LEAST_PX, MAX_SIDE_PX)
        _within(where(f"{path}most_megapixels"), rules.most_megapixels, 0.001, MAX_SIDE_PX**2 / MEGAPIXEL)
        if rules.policy == "fit" and not can_resize():
            raise ConfigError(where(f"{path}policy"), f"'fit': {NO_PILLOW}")
    _within(where("cache_mib"), settings.cache_mib, 0, MOST_CACHE_MIB)


def _all(settings: ImageSettings) -> Iterator[tuple[str, ImageRules]]:
    yield "", settings
    for name, rules in settings.tiers.items():
        yield f"tiers.{name}.", rules
    for name, rules in settings.routes.items():
        yield f"routes.{name}.", rules


def _within(where: str, value: float | None, least: float, most: float) -> None:
    if value is not None and not least <= value <= most:  # so written that nan is refused
        fail(where, value, f"must be from {least:g} to {most:g}")


def acts(settings: ImageSettings) -> bool:
    """Whether any request is changed or refused that does not ask for it."""
    return any(rules.policy in ("fit", "exact") for _, rules in _all(settings))


def rules_for(settings: ImageSettings, own: Mapping[str, str], tier: str | None, route: str) -> Rules:
    """What holds for a request: its header, else its route's, else its tier's, else the general settings.

    Raises `RequestError` for a header that says nothing known here.
    """
    said = [settings, settings.tiers.get(tier or ""), settings.routes.get(route), _asked(own)]
    policy: Policy = "as_sent"
    side_px, megapixels, maps_back = MAX_SIDE_PX, float(MAX_SIDE_PX**2 / MEGAPIXEL), False
    for rules in said:
        if rules is None:
            continue
        policy = rules.policy or policy
        side_px = rules.long_edge_px or side_px
        megapixels = rules.most_megapixels or megapixels
        maps_back = rules.coordinates == "map_back" if rules.coordinates is not None else maps_back
    if policy != "fit" and own.get(COORDINATES) == "map_back":
        raise RequestError(
            f"{COORDINATES}: only where images are resized here is there anything to map back; they go out as "
            f"{policy!r}: send {IMAGES}: fit too"
        )
    return Rules(policy, side_px, int(megapixels * MEGAPIXEL), maps_back)


def _asked(own: Mapping[str, str]) -> ImageRules | None:
    images, named = own.get(IMAGES), own.get(COORDINATES)
    if images is None and named is None:
        return None
    policy = _POLICIES.get(images) if images is not None else None
    side_px: int | None = None
    if images is not None and policy is None:
        text = images.removesuffix("px").rstrip()
        side_px = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
        if not LEAST_PX <= side_px <= MAX_SIDE_PX:
            raise RequestError(
                f"{IMAGES}: {shortened(images)!r}: must be fit, exact, as_sent, or the longest side in pixels, "
                f"from {LEAST_PX} to {MAX_SIDE_PX}"
            )
        policy = "fit"
    coordinates = _COORDINATES.get(named) if named is not None else None
    if named is not None and coordinates is None:
        raise RequestError(f"{COORDINATES}: {shortened(named)!r}: must be map_back or as_model")
    if policy == "fit" and not has_pillow():
        raise RequestError(f"{IMAGES}: this server cannot resize images: {NO_PILLOW}")
    return ImageRules(policy=policy, long_edge_px=side_px, coordinates=coordinates)
