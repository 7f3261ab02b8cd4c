"""How agents on other hosts come to be part of a fleet: credentials, addresses, names, and the words that say so."""

from __future__ import annotations

import os
import re
import secrets
import socket
from collections.abc import Iterator

from heyfleet import __version__
from heyfleet.controller.fleet.grpc_server import JoinRefused
from heyfleet.controller.fleet.registry import AgentRegistry
from heyfleet.controller.security.folder import Credentials, CredentialsError
from heyfleet.controller.security.tokens import TokenError
from heyfleet.errors import InputError
from heyfleet.proto.control_pb2 import JoinReply, JoinRequest
from heyfleet.proto.protocol import DEFAULT_PORT, PROTOCOL

_NAME = re.compile(r"[^A-Za-z0-9._-]+")
_NAME_LENGTH = 40


def credentials(folder: str) -> Credentials:
    """Those of a folder, or new ones in memory for this run. InputError with the cure."""
    try:
        return Credentials.load(folder) if folder else Credentials.in_memory()
    except CredentialsError as error:
        raise InputError(f"--credentials: {error}") from None


def listen_address(text: str) -> tuple[str, int]:
    """Host and port of HOST:PORT, HOST, :PORT or nothing: all addresses, and the port that agents expect."""
    host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        host, port = text, ""
    host = host.removeprefix("[").removesuffix("]")
    if port and (not port.isdecimal() or int(port) > 65535):
        raise InputError(f"--listen: {text!r} has no port between 0 and 65535; write HOST:PORT")
    return host or "0.0.0.0", int(port) if port else DEFAULT_PORT  # noqa: S104


def join_address(host: str, port: int) -> str:
    """HOST:PORT, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def how_to_join(host: str, port: int, folder: str, agents: int) -> Iterator[str]:
    """What to do on the agents' hosts, in lines."""
    reachable = socket.gethostname() if host in ("0.0.0.0", "::") else host  # noqa: S104
    yield f"waiting for {agents} agent{'s' if agents != 1 else ''} on port {port}"
    yield f"copy {os.path.join(folder, 'ca.pem')} and join.token beside it to each host, and start there:"
    yield f"  heyfleet agent --join {join_address(reachable, port)} --ca ca.pem --token-file join.token"


class Enrollment:
    """Turns a token and a request for a certificate into an agent with a name of its own."""

    def __init__(self, credentials: Credentials, fleet: AgentRegistry) -> None:
        self._credentials = credentials
        self._fleet = fleet

    def join(self, request: JoinRequest) -> JoinReply:
        """A certificate for an agent; JoinRefused, and no use of the token lost where it is not the token's fault."""
        if request.protocol != PROTOCOL:
            raise JoinRefused(
                f"it speaks protocol {request.protocol} (heyfleet {request.version}), this controller {PROTOCOL} "
                f"(heyfleet {__version__}): install the same version on both"
            )
        wished = _NAME.sub("-", request.name).strip("-")[:_NAME_LENGTH] or "agent"
        agent = f"{wished}-{secrets.token_hex(2)}"
        while agent in self._fleet.sessions:
            agent = f"{wished}-{secrets.token_hex(2)}"
        try:
            certificate = self._credentials.authority.sign_agent(request.signing_request_pem, agent)
            self._credentials.tokens.redeem(request.token_id, request.secret)
        except (TokenError, ValueError) as error:
            raise JoinRefused(str(error)) from None
        return JoinReply(agent=agent, certificate_pem=certificate)


def with_port(address: str) -> str:
    """HOST:PORT, with the usual port where there is none."""
    return (
        join_address(*listen_address(address)) if not address.endswith("]") else f"{address}:{DEFAULT_PORT}"
    )
