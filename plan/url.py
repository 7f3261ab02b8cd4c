"""URLs of targets and redirects, parsed into what a request needs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from heyfleet.mask import mask_url
from heyfleet.plan.host_name import parse_address6, to_ascii
from heyfleet.plan.octets import to_octets, to_text
from heyfleet.plan.places import check_host

# RFC 3986, appendix B; scheme and authority are required here
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^?#]*)(\?[^#]*)?(?:#.*)?", re.DOTALL)
_AUTHORITY = re.compile(
    r"(?:(?P<user>.*)@)?(?:\[(?P<ip6>[^\]]*)\]|(?P<host>[^:\[\]@]*))(?::(?P<port>[^:]*))?"
)
DEFAULT_PORTS = {"http": 80, "https": 443}
WHOLE_SERVER = "*"  # the request target of OPTIONS that asks about no path (RFC 9112, 3.2.4)


@dataclass(frozen=True, slots=True)
class Url:
    """The parts of an http or https URL that a request needs."""

    scheme: str
    host: str  # a name in ASCII, or an address without brackets
    port: int
    request_target: str  # origin-form (RFC 9112, 3.2.1), or WHOLE_SERVER
    credentials: str | None  # user:password

    @property
    def authority(self) -> str:
        """Host and port as a Host header has them, without the default port."""
        # RFC 6874, section 4: a zone means something on this host only.
        host = f"[{self.host.partition('%')[0]}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme and authority."""
        return f"{self.scheme}://{self.authority}"

    def __str__(self) -> str:
        """Return the URL without credentials; that of a whole server has no path (RFC 9112, 3.3)."""
        return self.origin + ("" if self.request_target == WHOLE_SERVER else self.request_target)


def parse(text: str) -> Url:
    """Return the parts of an absolute http or https URL. Raises ValueError with one line for people."""
    shown = mask_url(text)
    _check_blanks(text, f"URL {shown!r}")
    parts = _URL.fullmatch(text)
    if parts is None:
        raise ValueError(_no_scheme(shown))
    scheme, authority, path, query = parts[1].lower(), parts[2], parts[3], parts[4]
    if scheme not in DEFAULT_PORTS:
        raise ValueError(f"URL {shown!r}: the scheme {scheme!r} is not supported; use http:// or https://")
    pieces = _AUTHORITY.fullmatch(authority)
    if pieces is None:
        raise ValueError(f"URL {shown!r} needs a host or host:port, with [...] around an IPv6 address")
    host = parse_address6(pieces["ip6"]) if pieces["ip6"] is not None else _host(pieces["host"], shown)
    return Url(
        scheme=scheme,
        host=host,
        port=_port(pieces["port"], shown, DEFAULT_PORTS[scheme]),
        request_target=percent_encoded((path or "/") + (query or "")),
        credentials=_credentials(pieces["user"]),
    )


def parse_request_target(text: str) -> str:
    """Return the request target of a path with its query, or of * for the whole server. Raises ValueError."""
    if text == WHOLE_SERVER:
        return text
    shown = mask_url(text)
    if not text.startswith("/"):
        raise ValueError(f"{shown!r} does not begin with /; the host is the one of url")
    _check_blanks(text, repr(shown))
    return percent_encoded(text.partition("#")[0])


def _check_blanks(text: str, shown: str) -> None:
    if blank := re.search(r"[\x00-\x20\x7f]", text):
        raise ValueError(
            f"{shown} has a space or control character; write it as %{ord(blank[0]):02X}, or remove it"
        )


def _no_scheme(url: str) -> str:
    if not url:
        return "the URL is empty; write it like http://localhost:8080/"
    rest = re.sub(r"^(https?:/{0,2}|/+|:)", "", url)
    return f"URL {url!r} has no scheme; try http://{rest or 'localhost:8080/'}"


def _host(host: str, url: str) -> str:
    if not host:
        raise ValueError(f"URL {url!r} has no host; write it like http://localhost:8080/")
    try:
        return check_host(to_ascii(host)).lower()
    except ValueError as error:
        raise ValueError(f"URL {url!r}: {error}") from None


def _port(text: str | None, url: str, default: int) -> int:
    if not text:
        return default
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or not 1 <= int(text) <= 65535:
        # Not quoted: behind a password with a slash, this is the password.
        raise ValueError(f"URL {url!r}: the port must be a number from 1 to 65535")
    return int(text)


def basic(credentials: str) -> str:
    """Return the value of Authorization for user:password (RFC 7617)."""
    from base64 import b64encode

    return "Basic " + b64encode(to_octets(credentials)).decode()


def percent_encoded(text: str) -> str:
    """Return the text with everything outside ASCII as percent-encoded UTF-8 (RFC 3986, section 2.5)."""
    if text.isascii():
        return text
    return "".join(chr(octet) if octet < 0x80 else f"%{octet:02X}" for octet in to_octets(text))


def _credentials(userinfo: str | None) -> str | None:
    if not userinfo:
        return None
    from urllib.parse import unquote_to_bytes

    user, _, password = userinfo.partition(":")
    return to_text(b":".join(unquote_to_bytes(to_octets(part)) for part in (user, password)))
