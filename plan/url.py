"""URLs of targets and redirects, parsed into what a request needs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from heyfleet.plan.mask import mask_url

# RFC 3986, appendix B; scheme and authority are required here
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^?#]*)(\?[^#]*)?(?:#.*)?", re.DOTALL)
_AUTHORITY = re.compile(
    r"(?:(?P<user>.*)@)?(?:\[(?P<ip6>[^\]]*)\]|(?P<host>[^:\[\]@]*))(?::(?P<port>[^:]*))?"
)
_HOST = re.compile(
    r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?"
)
DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Url:
    """The parts of an http or https URL that a request needs."""

    scheme: str
    host: str  # a name in ASCII, or an address without brackets
    port: int
    request_target: str  # origin-form (RFC 9112, 3.2.1)
    credentials: str | None  # user:password

    @property
    def authority(self) -> str:
        """Host and port as a Host header has them, without the default port."""
        # RFC 6874, section 4: a zone means something on this host only.
        host = f"[{self.host.partition('%')[0]}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def parse(text: str) -> Url:
    """Return the parts of an absolute http or https URL. Raises ValueError with one line for people."""
    shown = mask_url(text)
    blank = re.search(r"[\x00-\x20\x7f]", text)
    if blank:
        code = f"%{ord(blank[0]):02X}"
        raise ValueError(f"URL {shown!r} has a space or control character; write it as {code}, or remove it")
    parts = _URL.fullmatch(text)
    if parts is None:
        raise ValueError(_no_scheme(shown))
    scheme, authority, path, query = parts[1].lower(), parts[2], parts[3], parts[4]
    if scheme not in DEFAULT_PORTS:
        raise ValueError(f"URL {shown!r}: the scheme {scheme!r} is not supported; use http:// or https://")
    pieces = _AUTHORITY.fullmatch(authority)
    if pieces is None:
        raise ValueError(f"URL {shown!r} needs a host or host:port, with [...] around an IPv6 address")
    host = _address6(pieces["ip6"]) if pieces["ip6"] is not None else _host(pieces["host"], shown)
    return Url(
        scheme=scheme,
        host=host,
        port=_port(pieces["port"], shown, DEFAULT_PORTS[scheme]),
        request_target=percent_encoded((path or "/") + (query or "")),
        credentials=_credentials(pieces["user"]),
    )


def _no_scheme(url: str) -> str:
    if not url:
        return "the URL is empty; write it like http://localhost:8080/"
    rest = re.sub(r"^(https?:/{0,2}|/+|:)", "", url)
    return f"URL {url!r} has no scheme; try http://{rest or 'localhost:8080/'}"


def _host(host: str, url: str) -> str:
    if not host:
        raise ValueError(f"URL {url!r} has no host; write it like http://localhost:8080/")
    if not host.isascii():
        try:
            host = host.encode("idna").decode()
        except UnicodeError:
            raise ValueError(f"URL {url!r}: the host {host!r} is not a name that IDNA can encode") from None
    labels = host.rstrip(".").split(".")
    if not _HOST.fullmatch(host) or len(host) > 253 or max(map(len, labels)) > 63:
        raise ValueError(f"URL {url!r}: {host!r} is not a host name or address")
    return host.lower()


def _address6(text: str) -> str:
    from ipaddress import IPv6Address

    try:
        return str(IPv6Address(text.replace("%25", "%")))
    except ValueError:
        raise ValueError(f"[{text}] is not an IPv6 address") from None


def _port(text: str | None, url: str, default: int) -> int:
    if not text:
        return default
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or not 1 <= int(text) <= 65535:
        raise ValueError(f"URL {url!r}: {text!r} is not a port; it must be from 1 to 65535")
    return int(text)


def basic(credentials: str) -> str:
    """Return the value of Authorization for user:password (RFC 7617)."""
    from base64 import b64encode

    return "Basic " + b64encode(credentials.encode("utf-8", "surrogateescape")).decode()


def percent_encoded(text: str) -> str:
    """Return the text with everything outside ASCII as percent-encoded UTF-8 (RFC 3986, section 2.5)."""
    if text.isascii():
        return text
    octets = text.encode("utf-8", "surrogateescape")
    return "".join(chr(octet) if octet < 0x80 else f"%{octet:02X}" for octet in octets)


def _credentials(userinfo: str | None) -> str | None:
    if not userinfo:
        return None
    from urllib.parse import unquote

    user, _, password = userinfo.partition(":")
    return f"{unquote(user)}:{unquote(password)}"
