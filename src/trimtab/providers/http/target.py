"""Where requests go: an origin, the way there (direct or through a proxy), and the TLS to verify."""

import base64
import ipaddress
import ssl
import urllib.request
from urllib.parse import unquote, urlsplit

import msgspec


class Target(msgspec.Struct, frozen=True):
    """One origin. `base_path` is put before every request path."""

    scheme: str
    host: str
    port: int
    base_path: str = ""

    @property
    def authority(self) -> str:
        """`host`, with the port where it is not the scheme's own, for the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        return host if self.port == default else f"{host}:{self.port}"

    @classmethod
    def parse(cls, url: str) -> "Target":
        """From `https://host[:port][/path]`. Raises `ValueError` with the remedy and nothing of the URL: it may
        hold a secret in the wrong place."""
        try:
            parts = urlsplit(url)
        except ValueError:
            raise ValueError("must be a URL such as 'https://api.example.com'") from None
        try:
            port = parts.port
        except ValueError:
            raise ValueError("must have a number from 1 to 65535 as its port") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be a URL such as 'https://api.example.com'")
        if parts.username or parts.password:
            raise ValueError("must not hold a user name or password; give secrets as api_key references")
        if parts.query or parts.fragment:
            raise ValueError("must not have a query or fragment")
        if not url.isascii() or not url.isprintable() or " " in url:
            raise ValueError("must be plain ASCII without spaces")
        if not _is_resolvable(parts.hostname):
            raise ValueError(
                "must name a host with 1 to 63 characters between two dots and at most 253 in all"
            )
        if parts.scheme == "http" and not _is_loopback(parts.hostname):
            raise ValueError("must be https: keys do not travel in the clear (http is for loopback only)")
        return cls(
            scheme=parts.scheme,
            host=parts.hostname,
            port=port or (443 if parts.scheme == "https" else 80),
            base_path=parts.path.rstrip("/"),
        )


class Proxy(msgspec.Struct, frozen=True):
    """A forward proxy that tunnels with CONNECT."""

    host: str
    port: int
    authorization: str | None = None
    """`Basic ...` for the Proxy-Authorization header."""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_resolvable(host: str) -> bool:
    """Whether DNS can carry the name, or it is an address. Source: RFC 1035, 2.3.4; one dot may end the name."""
    if ":" in host:
        return True
    name = host.removesuffix(".")
    return len(name) <= 253 and all(0 < len(label) <= 63 for label in name.split("."))


def shown_origin(url: str) -> str | None:
    """`https://host` of a URL for a message, never a user, password, port, path or query; None if that is unsure."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    host = parts.hostname or ""
    # An @ outside the authority: a password with a slash has cut it short, and the "host" is the user's name.
    misread = url.count("@") != parts.netloc.count("@")
    if parts.scheme not in ("http", "https") or not host or misread or host.startswith("sk-"):
        return None
    return f"{parts.scheme}://{host}"


def proxy_from_environment(target: Target) -> Proxy | None:
    """The proxy that HTTPS_PROXY / HTTP_PROXY / ALL_PROXY / NO_PROXY name for this target, if any.

    Loopback is never proxied. Raises `ValueError` for a proxy we cannot speak to.
    """
    if _is_loopback(target.host):
        return None
    proxies = urllib.request.getproxies_environment()
    url = proxies.get(target.scheme) or proxies.get("all")
    if not url or urllib.request.proxy_bypass(f"{target.host}:{target.port}"):
        return None
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port or 8080
    except ValueError:  # its text may quote a part of the password
        raise ValueError("the proxy from the environment is not a URL such as 'http://proxy:3128'") from None
    shown = f"{parts.scheme}://{parts.hostname}"  # never the credentials
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"the proxy {shown!r} from the environment: only http:// proxies are supported")
    authorization = None
    if parts.username is not None:
        token = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + _base64(token)
    return Proxy(parts.hostname, port, authorization)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """A verifying client context; `ca_file` replaces the system's trust store. Raises `OSError`, `ssl.SSLError`."""
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
