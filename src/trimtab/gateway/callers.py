"""Who may come in: where the request comes from, and which key it shows.

What it is not: what the caller may then do (routing, budgets). Invariants: a credential is read here and goes nowhere
else; no message repeats any of it; reading a known key waits for nothing.
"""

from collections.abc import Mapping

from trimtab.errors import AuthenticationFailed, PermissionDenied, shortened
from trimtab.gateway.access import OPEN_PATHS, Access, is_page
from trimtab.gateway.http import check_local, values_of
from trimtab.identity import MARK
from trimtab.providers import Headers
from trimtab.records import NOBODY, Caller

_MARK = MARK.encode()
_HOW = "send it in the x-api-key header, or as 'authorization: Bearer tt-...'"


async def admit(headers: Headers, named: Mapping[bytes, bytes], path: str, access: Access) -> Caller:
    """Who sends these headers (`named` are they by name); `NOBODY` where no key is needed and none of ours is shown.

    Raises `PermissionDenied` for a foreign web page, `AuthenticationFailed`, and `Unavailable` where a key cannot be
    judged now.
    """
    origins = values_of(headers, named, b"origin")
    if access.local:
        check_local(values_of(headers, named, b"host"), origins, access.origins)
    else:
        for origin in origins:
            if origin not in access.origins and not (is_page(path) and _own(origin, named)):
                raise PermissionDenied(
                    f"Origin {shortened(origin.decode('latin-1'))!r} may not call this server; server.allowed_origins "
                    "lists those that may"
                )
    if path in OPEN_PATHS or is_page(path):
        return NOBODY
    shown, scheme = _credentials(headers, named)
    if not access.required:
        # SDKs always send something; what cannot be a key of ours is not looked at.
        shown = [one for one in shown if one.startswith(_MARK)]
        if not shown:
            return NOBODY
    if len(shown) > 1:
        raise AuthenticationFailed(
            "two different keys are shown, in x-api-key and authorization or in one of them twice; send one"
        )
    if not shown:
        if scheme:
            raise AuthenticationFailed(f"authorization: this server reads the Bearer scheme only; {_HOW}")
        raise AuthenticationFailed(f"no key is shown and this server needs one; {_HOW}")
    return await access.keys.caller(shown[0].decode("latin-1"))


def _own(origin: bytes, named: Mapping[bytes, bytes]) -> bool:
    """Whether a browser says that the page which sends this came from here: a form of the pages for people."""
    host = named.get(b"host", b"")
    return bool(host) and origin.partition(b"://")[2] == host


def _credentials(headers: Headers, named: Mapping[bytes, bytes]) -> tuple[list[bytes], bool]:
    """The different credentials shown, and whether there is an Authorization header of another scheme."""
    shown = [value.strip() for value in values_of(headers, named, b"x-api-key")]
    other_scheme = False
    for value in values_of(headers, named, b"authorization"):
        scheme, _, rest = value.strip().partition(b" ")
        if scheme.lower() == b"bearer":
            shown.append(rest.strip())
        else:
            other_scheme = other_scheme or bool(scheme)
    return list(dict.fromkeys(filter(None, shown))), other_scheme


def may_read(record: dict[str, object], caller: Caller) -> bool:
    """Whether a record is the caller's to read: its organisation's (admin), its team's, or its own."""
    if caller is NOBODY:
        return True  # on this machine, where no key is required
    if record.get("organisation", "") != caller.organisation:
        return False
    if caller.admin:
        return True
    if caller.team:
        return record.get("team", "") == caller.team
    return record.get("key", "") == caller.key
