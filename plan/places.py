"""Texts that name a place: hosts, addresses, ports, Unix sockets, agents.

Each place is checked once, strictly, before anything looks it up. What passes means the same to whoever reads it next: the
resolver, the kernel, a proxy, a policy. Each function returns its argument, or raises ValueError with one line.
"""

from __future__ import annotations

import re

# RFC 1123, section 2.1; service names with underscores are common in clusters.
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
# The resolver reads 127.1, 0x7f000001 and 2130706433 as IPv4 addresses (inet_aton), so they are no names.
_NUMBER = re.compile(r"\d+|0[xX][0-9A-Fa-f]*")
_ZONE = re.compile(r"[A-Za-z0-9._-]{1,15}")  # the name of an interface, or its number
_AGENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_MAX_NAME_CHARACTERS = 253
_MAX_LABEL_CHARACTERS = 63
_MAX_PORT = 65535
_MAX_UNIX_PATH_BYTES = 107  # unix(7): sun_path, less its final NUL
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def check_host(text: str) -> str:
    """Check a host: a name in ASCII, or an address without brackets."""
    if ":" in text and _is_address(text):
        return text
    name = text.removesuffix(".")
    labels = name.split(".", _MAX_NAME_CHARACTERS)
    if (
        len(name) > _MAX_NAME_CHARACTERS
        or not _NAME.fullmatch(text)
        or max(map(len, labels)) > _MAX_LABEL_CHARACTERS
    ):
        raise ValueError(f"{_shown(text)} is not a host name or address")
    return check_address(text) if _NUMBER.fullmatch(labels[-1]) else text


def check_address(text: str) -> str:
    """Check an IPv4 address, or an IPv6 address without brackets, perhaps with a zone."""
    if not _is_address(text):
        raise ValueError(f"{_shown(text)} is not an IPv4 or IPv6 address")
    return text


def _is_address(text: str) -> bool:
    from ipaddress import ip_address

    address, percent, zone = text.partition("%")
    try:
        ip_address(address)
    except ValueError:
        return False
    return not percent or (":" in address and _ZONE.fullmatch(zone) is not None)


def check_port(port: int, minimum: int = 1) -> int:
    """Check the number of a port; a minimum of 0 allows 0 for any port."""
    if not minimum <= port <= _MAX_PORT:
        raise ValueError(f"{port} is not a port; it must be from {minimum} to {_MAX_PORT}")
    return port


def check_unix_path(path: str) -> str:
    """Check the path of a Unix socket, or the name of an abstract one behind an @."""
    try:
        size_bytes = len(path.encode())
    except UnicodeEncodeError:
        raise ValueError(f"{_shown(path)} is not UTF-8; link the socket to a path that is") from None
    if not 0 < size_bytes <= _MAX_UNIX_PATH_BYTES:
        raise ValueError(
            f"the path of a Unix socket has 1 to {_MAX_UNIX_PATH_BYTES} bytes; link the socket to a shorter path"
        )
    if _CONTROL.search(path):
        raise ValueError(f"{_shown(path)}: the path of a Unix socket can't have control characters")
    return path


def check_host_header(value: str) -> str:
    """Check the value of a Host header (RFC 9110, section 7.2); it may be empty, or have placeholders."""
    if re.search(r"[\s/@?#\\]", value) or _CONTROL.search(value):
        raise ValueError(f"{_shown(value)} is not a host; write a name, or name:port")
    return value


def check_agent_name(name: str) -> str:
    """Check the name of an agent, which is part of file names, certificates and log lines."""
    if not _AGENT.fullmatch(name):
        raise ValueError(
            f"{_shown(name)} is not an agent's name, which has 1 to 64 letters, digits, dots, - and _"
        )
    return name


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:80]}...")
