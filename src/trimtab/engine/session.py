"""Which conversation a request belongs to.

In order: the `x-trimtab-session` header, `metadata.user_id`, a hash of what stays the same in a conversation
(system and the first user turn). All are apart for each caller's key. The three kinds cannot collide: each has its own
prefix.
"""

import hashlib

from trimtab.errors import RequestError
from trimtab.messages import MessagesBody

MAX_HEADER_CHARS = 256


def session_of(body: MessagesBody, header: str | None, key: str) -> str:
    """The session id. Raises `RequestError` for a header that cannot be kept."""
    if header is not None:
        if not 0 < len(header) <= MAX_HEADER_CHARS or not header.isprintable():
            raise RequestError(f"x-trimtab-session: must be 1 to {MAX_HEADER_CHARS} printable characters")
        return _by_header(header, key)
    user_id = body.user_id()
    if user_id is not None:
        return _by_user(user_id, key)
    return _by_prefix(body, key)


def sessions_sent(text: str, key: str) -> tuple[str, str]:
    """What records call the sessions for which a client of this key sent this text: as header, and as user id."""
    return _by_header(text, key), _by_user(text, key)


def conversation_of(body: MessagesBody, session: str, key: str) -> str:
    """Tells one conversation from the others of its session: a caller's sub-agents may share the session's name."""
    return session if session.startswith("p:") else _by_prefix(body, key)


def _by_header(header: str, key: str) -> str:
    return f"h:{key}:{header}" if key else f"h:{header}"


def _by_user(user_id: str, key: str) -> str:
    # User ids can be long and personal: the hash is enough to tell conversations apart.
    return "u:" + hashlib.sha256(f"{key}\0{user_id}".encode()).hexdigest()[:32]


def _by_prefix(body: MessagesBody, key: str) -> str:
    digest = body.prefix_digest()
    digest.update(key.encode())
    return "p:" + digest.hexdigest()[:32]
