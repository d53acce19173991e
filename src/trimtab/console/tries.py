"""How often somebody may try to log in: by address, by name, and by both together.

What it is not: a lock on an account, with which anybody who knows a name could keep its owner out for good.
Invariants: memory is bounded whatever comes; a try counts when it begins, so many at once gain nothing; a success takes
back its own try and forgives the mistakes of its name from its address, and no others, so that nobody with a password
of his own can try out others' without end; whatever others do, an address from which a name was never mistaken may
try it.

Each process counts for itself: with N workers there may be N times as many tries. With 12 characters or more and these
rates, trying out passwords leads nowhere either way.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable

from trimtab.errors import RateLimited

PAIR_AT_ONCE, PAIR_EVERY_S = 5, 30.0
"""One name from one address: 5 mistakes, then one try in 30 seconds."""

ADDRESS_AT_ONCE, ADDRESS_EVERY_S = 20, 10.0
"""Mistakes with all names from one address. A proxy in front makes everybody one address."""

NAME_AT_ONCE, NAME_EVERY_S = 50, 10.0
"""One name from everywhere but from addresses that made no mistake: its owner has one of those, and an attacker with
many addresses has each of them once."""

SITE_AT_ONCE, SITE_EVERY_S = 20, 10.0
"""Addresses of one site (IPv4: /24, IPv6: /48) that count as such: a customer with IPv6 has 65,536 networks."""

MOST_REMEMBERED = 10_000
"""Of each kind: about 2 MB in all. Whoever tried longest ago is forgotten first."""

NAME_CHARS = 64


class _Buckets:
    """For each key, how many tries are left, and since when."""

    def __init__(self, at_once: int, every_s: float) -> None:
        self._at_once, self._every_s = at_once, every_s
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def left(self, key: str, now: float) -> float:
        left, since = self._left.get(key, (float(self._at_once), now))
        return min(float(self._at_once), left + (now - since) / self._every_s)

    def knows(self, key: str) -> bool:
        return key in self._left

    def wait_s(self, key: str, now: float) -> float:
        return max(0.0, 1 - self.left(key, now)) * self._every_s

    def take(self, key: str, now: float) -> None:
        self._left[key] = (self.left(key, now) - 1, now)
        self._left.move_to_end(key)
        if len(self._left) > MOST_REMEMBERED:
            self._left.popitem(last=False)

    def give_back(self, key: str) -> None:
        if key in self._left:
            left, since = self._left[key]
            self._left[key] = (left + 1, since)

    def forget(self, key: str) -> None:
        self._left.pop(key, None)

    def __len__(self) -> int:
        return len(self._left)


class Tries:
    """Used from one event loop."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._pairs = _Buckets(PAIR_AT_ONCE, PAIR_EVERY_S)
        self._addresses = _Buckets(ADDRESS_AT_ONCE, ADDRESS_EVERY_S)
        self._names = _Buckets(NAME_AT_ONCE, NAME_EVERY_S)
        self._sites = _Buckets(SITE_AT_ONCE, SITE_EVERY_S)

    def __len__(self) -> int:
        """Things remembered."""
        return len(self._pairs) + len(self._addresses) + len(self._names) + len(self._sites)

    def take(self, name: str, client: str) -> None:
        """Count a try that begins. Raises `RateLimited`, and counts nothing then."""
        now = self._monotonic()
        name, address = name[:NAME_CHARS], network_of(client)
        pair = f"{address} {name}"
        site = site_of(client)
        wait_s = max(self._pairs.wait_s(pair, now), self._addresses.wait_s(address, now))
        unmistaken = (
            not self._pairs.knows(pair)
            and self._addresses.left(address, now) >= ADDRESS_AT_ONCE
            and not self._sites.wait_s(site, now)
        )
        if not unmistaken:
            wait_s = max(wait_s, self._names.wait_s(name, now))
        if wait_s > 0:
            seconds = int(wait_s) + 1
            raise RateLimited(f"too many tries to log in; try again in {seconds} seconds", seconds)
        self._pairs.take(pair, now)
        self._addresses.take(address, now)
        self._names.take(name, now)
        self._sites.take(site, now)

    def succeeded(self, name: str, client: str) -> None:
        """The try that was taken was the name's owner."""
        name, address = name[:NAME_CHARS], network_of(client)
        self._pairs.forget(f"{address} {name}")
        self._addresses.give_back(address)
        self._names.give_back(name)
        self._sites.give_back(site_of(client))


def network_of(client: str) -> str:
    """The address, or of IPv6 its /64, which is what one customer has at the least."""
    return _network(client, 32, 64)


def site_of(client: str) -> str:
    """What one customer has at the most, as a rule."""
    return _network(client, 24, 48)


def _network(client: str, bits4: int, bits6: int) -> str:
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return client[:NAME_CHARS]
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    bits = bits6 if isinstance(address, ipaddress.IPv6Address) else bits4
    if bits == address.max_prefixlen:
        return str(address)
    return str(ipaddress.ip_network((address, bits), strict=False))
