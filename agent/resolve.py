"""From the target's name to the addresses that connections are made to."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass

# How long one address may take to accept the connection that tries it out.
_TRIAL_S = 3.0


class ResolveError(Exception):
    """The name has no address; the text says why."""


@dataclass(frozen=True)
class Resolved:
    """Literal addresses with ports, in the order of use, and what the lookup took."""

    addresses: list[tuple[str, int]]
    lookup_ns: int


def resolve(host: str, port: int) -> Resolved:
    """Look the host up once, before the run; raises ResolveError.

    Where a name has several addresses, the first that accepts a connection is used, as browsers and hey do; if none does,
    the first, so that its refusal is what the report shows.
    """
    begin_ns = time.monotonic_ns()
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ResolveError(
            f"can't resolve the host {host!r}: {reason}; check the URL and the name server"
        ) from error
    lookup_ns = time.monotonic_ns() - begin_ns
    addresses = list(dict.fromkeys((str(entry[4][0]), port) for entry in found))
    return Resolved([_first_that_accepts(addresses)], lookup_ns)


def _first_that_accepts(addresses: list[tuple[str, int]]) -> tuple[str, int]:
    if len(addresses) > 1:
        for address in addresses:
            try:
                socket.create_connection(address, timeout=_TRIAL_S).close()
            except OSError:
                continue
            return address
    return addresses[0]
