"""How agents on other hosts join a fleet: credentials, addresses, instructions and certificates."""

from __future__ import annotations

import os
import re
import secrets
import socket
from collections.abc import Iterator

from heyfleet import __version__
from heyfleet.controller.fleet.receipt import InvalidMessageError, bound
from heyfleet.controller.fleet.registry import AgentRegistry
from heyfleet.controller.security.folder import Credentials, CredentialsError
from heyfleet.controller.security.tokens import TokenError
from heyfleet.errors import HeyfleetError, InputError
from heyfleet.proto.control_pb2 import JoinReply, JoinRequest
from heyfleet.proto.protocol import DEFAULT_PORT, PROTOCOL

_ANY_ADDRESSES = ("0.0.0.0", "::")  # noqa: S104
_ADDRESS = re.compile(r"(?:\[([^\[\]]+)\]|([^:\[\]\s/]*))(?::([^:]*))?")
_INVALID_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")
_MAX_NAME_LENGTH = 40


class JoinRefusedError(HeyfleetError):
    """A request to join the fleet was refused."""


def load_credentials(folder: str) -> Credentials:
    """Load the credentials in a folder, or make some in memory if `folder` is empty. Raises InputError."""
    try:
        return Credentials.load(folder) if folder else Credentials.in_memory()
    except CredentialsError as error:
        raise InputError(f"--credentials: {error.cause}", error.cure) from None


def parse_listen_address(text: str, flag: str = "--listen") -> tuple[str, int]:
    """Split HOST:PORT, HOST, :PORT or "" into host and port; the defaults are all addresses and port 7700.

    Raises InputError, which begins with `flag`.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise InputError(
            f"{flag}: {text!r} has no host name or address", "write HOST:PORT, or [ADDRESS]:PORT for IPv6"
        )
    host, port = match[1] or match[2], match[3]
    if port and (not re.fullmatch(r"\d{1,9}", port, re.ASCII) or int(port) > 65535):
        raise InputError(f"{flag}: {text!r} has no port between 0 and 65535", "write HOST:PORT")
    return host or _ANY_ADDRESSES[0], int(port) if port else DEFAULT_PORT


def format_address(host: str, port: int) -> str:
    """Return HOST:PORT, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def with_default_port(address: str) -> str:
    """Return HOST:PORT, with port 7700 if `address` has none. Raises InputError."""
    if address.endswith("]"):
        return f"{address}:{DEFAULT_PORT}"
    return format_address(*parse_listen_address(address, "--controller"))


def join_instructions(host: str, port: int, folder: str, agents: int) -> Iterator[str]:
    """Yield lines that tell how to start the agents by hand. `folder` holds ca.pem and join.token."""
    reachable = socket.gethostname() if host in _ANY_ADDRESSES else host
    yield f"waiting for {agents} agent{'s' if agents != 1 else ''} on port {port}"
    yield f"copy {os.path.join(folder, 'ca.pem')} and join.token beside it to each host, then run there:"
    yield f"  heyfleet agent --join {format_address(reachable, port)} --ca ca.pem --token-file join.token"


class Enrollment:
    """Exchanges a join token and a certificate signing request for a unique name and a certificate."""

    def __init__(self, credentials: Credentials, registry: AgentRegistry) -> None:
        self._credentials = credentials
        self._registry = registry

    def join(self, request: JoinRequest) -> JoinReply:
        """Sign an agent's certificate. Raises JoinRefusedError; a bad signing request does not use up the token."""
        try:
            bound(request)
        except InvalidMessageError as error:
            raise JoinRefusedError(f"the request to join is invalid: {error}") from None
        if request.protocol != PROTOCOL:
            raise JoinRefusedError(
                f"the agent speaks protocol {request.protocol} (heyfleet {request.version}),"
                f" this controller {PROTOCOL} (heyfleet {__version__})",
                "install the same version on both",
            )
        agent = self._unique_name(request.name)
        try:
            certificate = self._credentials.authority.sign_agent(request.signing_request_pem, agent)
            self._credentials.tokens.redeem(request.token_id, request.secret)
        except (TokenError, ValueError) as error:
            raise JoinRefusedError(str(error)) from None
        return JoinReply(agent=agent, certificate_pem=certificate)

    def _unique_name(self, requested_name: str) -> str:
        base = _INVALID_IN_NAMES.sub("-", requested_name).strip("-.")[:_MAX_NAME_LENGTH] or "agent"
        while (name := f"{base}-{secrets.token_hex(2)}") in self._registry.connections:
            pass
        return name
