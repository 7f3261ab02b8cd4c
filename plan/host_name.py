"""Host names in the form that DNS, TLS and HTTP know: ASCII, with other letters encoded (IDNA, RFC 3490)."""

from __future__ import annotations

import re

from heyfleet.plan.places import check_address

_DOT = re.compile("[.\u3002\uff0e\uff61]")  # RFC 3490, section 3.1
_LABEL = re.compile(r"[A-Za-z0-9_-]+")
# IDNA 2003 and 2008 take these for different names, which can belong to different owners.
_AMBIGUOUS = re.compile("[\u00df\u1e9e\u03c2\u200c\u200d]")


def to_ascii(name: str) -> str:
    """Return a host name, or a pattern of names such as *.example.com, in ASCII. Raises ValueError."""
    if name.isascii():
        return name
    return ".".join(label if label.isascii() else _encode_label(label, name) for label in _DOT.split(name))


def parse_address6(text: str) -> str:
    """Return an IPv6 address, written without brackets, in its shortest form. Raises ValueError."""
    from ipaddress import IPv6Address

    try:
        return str(IPv6Address(check_address(text.replace("%25", "%"))))
    except ValueError:
        raise ValueError(f"[{text}] is not an IPv6 address") from None


def _encode_label(label: str, name: str) -> str:
    if ambiguous := _AMBIGUOUS.search(label):
        raise ValueError(
            f"the host {name!r} has {ambiguous[0]!r}, which old and new rules encode differently; write it as xn--..."
        )
    try:
        encoded = label.encode("idna").decode()
    except UnicodeError:
        encoded = ""
    if not _LABEL.fullmatch(encoded):  # some letters decompose to a slash or a colon
        raise ValueError(f"the host {name!r} is not a name that IDNA can encode")
    return encoded
