"""Azure's platform: Claude in Microsoft Foundry.

What it is not: an Azure library. Credentials and errors are here as far as this platform needs them. Invariant: a
secret leaves the process only to the service that it is for.
"""

from trimtab.providers.azure.foundry import FoundrySettings, open_foundry

__all__ = ["FoundrySettings", "open_foundry"]
