"""Signatures by RSA with SHA-256, verified with a public key: assertions of service accounts.

What it is not: a library of cryptography. It knows one kind of key and one kind of signature, keeps no secret, and
compares with what the signature must be as a whole. Invariant: it shares no code with our provider's signing.

Source: RFC 8017, section 8.2.2 and appendix A; RFC 5280, section 4.1.
"""

import base64
import binascii
import hashlib
import hmac

from trimtab.providers.simulator.faces.face import RsaKey

_SEQUENCE, _INTEGER, _BITS = 0x30, 0x02, 0x03
_RSA = bytes.fromhex("300d06092a864886f70d0101010500")
"""The algorithm of a key: rsaEncryption, no parameters."""
_SHA256 = bytes.fromhex("3031300d060960864801650304020105000420")
"""What stands before the digest."""
_LEAST_BITS = 2048


def read_public_key(pem: bytes) -> RsaKey:
    """A key as `openssl rsa -pubout` writes it. Raises `ValueError`."""
    before, _, rest = pem.partition(b"-----BEGIN PUBLIC KEY-----")
    inside, end, _ = rest.partition(b"-----END PUBLIC KEY-----")
    if not end or before.strip():
        raise ValueError("is no public key in PEM")
    try:
        whole = base64.b64decode(b"".join(inside.split()), validate=True)
        info, _ = _value(whole, _SEQUENCE)
        if not info.startswith(_RSA):
            raise ValueError("is no key of RSA")
        bits, _ = _value(info[len(_RSA) :], _BITS)
        numbers, _ = _value(bits[1:], _SEQUENCE)
        modulus, after = _value(numbers, _INTEGER)
        exponent, _ = _value(after, _INTEGER)
    except (binascii.Error, IndexError):
        raise ValueError("is no public key in PEM") from None
    key = RsaKey(int.from_bytes(modulus), int.from_bytes(exponent))
    if key.modulus.bit_length() < _LEAST_BITS or key.exponent < 3:
        raise ValueError(f"is shorter than {_LEAST_BITS} bits")
    return key


def _value(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """The value of a DER element with this tag, and what is behind it. Raises `ValueError`, `IndexError`."""
    if data[0] != tag:
        raise ValueError("is no public key in PEM")
    size, at = data[1], 2
    if size & 0x80:
        count = size & 0x7F
        size, at = int.from_bytes(data[2 : 2 + count]), 2 + count
    if len(data) < at + size:
        raise ValueError("is no public key in PEM")
    return data[at : at + size], data[at + size :]


def verifies(key: RsaKey, message: bytes, signature: bytes) -> bool:
    """Whether the signature (PKCS #1 v1.5, SHA-256) is of this message and this key. Cost: about 0.1 ms."""
    size = (key.modulus.bit_length() + 7) // 8
    if len(signature) != size:
        return False
    ending = b"\x00" + _SHA256 + hashlib.sha256(message).digest()
    expected = b"\x00\x01" + b"\xff" * (size - 2 - len(ending)) + ending
    found = pow(int.from_bytes(signature), key.exponent, key.modulus).to_bytes(size)
    return hmac.compare_digest(found, expected)
