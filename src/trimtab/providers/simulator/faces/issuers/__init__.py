"""The servers beside the platforms that give out their credentials: AWS's STS, Google's and Entra's tokens, metadata.

What they are not: a check of who may have what. Invariant: no answer of theirs opens anything but the simulator.
"""

from trimtab.providers.simulator.faces.issuers.amazon import Container, Instance, Sts
from trimtab.providers.simulator.faces.issuers.entra import Entra, ManagedIdentity
from trimtab.providers.simulator.faces.issuers.google import GoogleMetadata, GoogleTokens
from trimtab.providers.simulator.faces.issuers.issuer import Issuer, issued_answer

ISSUERS: tuple[type[Issuer], ...] = (
    Sts,
    Container,
    Instance,
    GoogleTokens,
    GoogleMetadata,
    Entra,
    ManagedIdentity,
)

__all__ = ["ISSUERS", "Issuer", "issued_answer"]
