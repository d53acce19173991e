"""Our own pooled HTTP/1.1 client for the data path: asyncio, httptools, verified TLS, four deadlines.

What it is not: a general client. It follows no redirects, keeps no cookies, decodes no bodies.
Invariant: a connection goes back to the pool only after a complete keep-alive exchange; anything else is cut.
"""

from trimtab.providers.http.connection import Deadlines
from trimtab.providers.http.pool import HttpClient
from trimtab.providers.http.target import Target, proxy_from_environment, shown_origin, tls_context

__all__ = ["Deadlines", "HttpClient", "Target", "proxy_from_environment", "shown_origin", "tls_context"]
