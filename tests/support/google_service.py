"""A service account, as Google's files describe it, with a key that nobody else has."""

from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa


@dataclass(frozen=True)
class Account:
    email: str
    key_id: str
    private: str
    public: bytes

    @classmethod
    def new(cls) -> "Account":
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return cls("gateway@my-project-123.iam.gserviceaccount.com", "key-1", pem.decode(), public)

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
