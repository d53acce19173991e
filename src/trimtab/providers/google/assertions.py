"""Signed statements of a service account, which Google's token service gives tokens for.

What it is not: needed without such an account's key. It is the one file that imports the extra `google`, inside
functions. Invariant: a statement holds for one hour and for the token service alone.

Source: RFC 7523; Google's page on OAuth 2.0 for servers (2026-11); tests compare with google-auth.
"""
# ruff: noqa: PLC0415 - imports of the optional extra are inside functions

import base64
import json
from typing import TYPE_CHECKING

from trimtab.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

SCOPE = "https://www.googleapis.com/auth/cloud-platform"

AUDIENCE = "https://oauth2.googleapis.com/token"
"""Of assertions, whatever the address of the token service."""

ASSERTED_S = 3600
"""How long an assertion holds; Google takes an hour at most."""


def load_key(pem: str, place: str) -> "RSAPrivateKey":
    """The private key of a service account. Raises `ConfigError`, also where the extra is not installed."""
    try:
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError:
        raise ConfigError(
            place,
            "a key of a service account needs an optional part (cryptography is missing); install it with "
            "pip install 'trimtab[google]', in a clone .venv/bin/pip install --require-hashes -r "
            "requirements/extras.txt",
        ) from None
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise ConfigError(
            place, "its private_key is no RSA key in PEM; create a new key of the service account"
        )
    return key


def assertion(key: "RSAPrivateKey", key_id: str, email: str, now_s: float) -> str:
    """A signed statement of who asks, for a token of the whole cloud platform. Source: RFC 7523. Cost: about 1 ms."""
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    header = {"typ": "JWT", "alg": "RS256", **({"kid": key_id} if key_id else {})}
    issued = int(now_s)
    claims = {"iat": issued, "exp": issued + ASSERTED_S, "iss": email, "aud": AUDIENCE, "scope": SCOPE}
    signed = b".".join(_base64(json.dumps(part).encode()) for part in (header, claims))
    signature = key.sign(signed, PKCS1v15(), SHA256())
    return b".".join((signed, _base64(signature))).decode("ascii")


def _base64(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")
