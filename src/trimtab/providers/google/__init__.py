"""Google's platform: Claude on Vertex AI.

What it is not: a Google library. Credentials and errors are here as far as this platform needs them. Invariant: a
secret leaves the process only as a signature, or as the token of the service that it is for.
"""

from trimtab.providers.google.vertex import VertexSettings, open_vertex

__all__ = ["VertexSettings", "open_vertex"]
