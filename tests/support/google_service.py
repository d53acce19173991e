"""A service account, as Google's files describe it."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Account:
    email: str
    key_id: str
    private: str
    public: bytes

    def file(self, token_uri: str, **more: Any) -> dict[str, Any]:
        """What the console gives out as its key."""
        return {
            "type": "service_account",
            "project_id": "project-of-the-key",
            "private_key_id": self.key_id,
            "private_key": self.private,
            "client_email": self.email,
            "client_id": "123",
            "token_uri": token_uri,
            "universe_domain": "googleapis.com",
            **more,
        }
