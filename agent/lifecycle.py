"""The agent process: join the controller, stay attached to it, and leave when dismissed, denied or signalled."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from heyfleet.agent import grpc_client
from heyfleet.agent.backoff import Backoff
from heyfleet.agent.credentials import Certificate, Token
from heyfleet.agent.errors import DeniedError, UnreachableError
from heyfleet.agent.policy import HostPolicy
from heyfleet.agent.service import AgentService
from heyfleet.durations import format_duration
from heyfleet.errors import InputError
from heyfleet.plan.places import check_agent_name
from heyfleet.proto.protocol import LOCAL_PREFIX
from heyfleet.surroundings import end_signals

# How long the controller may take to close its side of the stream after the agent has said goodbye.
_CLOSE_TIMEOUT_S = 1.5
_STDIN = 0


@dataclass(frozen=True, kw_only=True)
class Options:
    """How an agent was started. A `unix:` address needs neither a CA nor a token."""

    address: str
    ca_pem: bytes = b""
    token: Token | None = None
    name: str = ""  # requested name; the host's by default
    folder: Path  # of spool files
    keep_results: bool = False
    rejoin_timeout_s: float = 600.0
    leave_with_stdin: bool = False  # the end of stdin is then a SIGHUP
    policy: HostPolicy = field(default_factory=HostPolicy)


class ControllerClient(Protocol):
    """The calls of a controller; grpc_client implements them, and tests replace it.

    Both raise DeniedError and UnreachableError.
    """

    async def join(self, address: str, ca_pem: bytes, token: Token, name: str) -> tuple[str, Certificate]:
        """Exchange a token for the agent's name and its own certificate."""
        ...

    async def attach(self, address: str, certificate: Certificate | None, service: AgentService) -> None:
        """Serve one stream; returns when the service has left."""
        ...


ServiceFactory = Callable[..., AgentService]


class AgentProcess:
    """Runs one agent from joining to its end; `log` gets a line for each event that the host's owner may want to see.

    The other arguments are replaced in tests: `exit_now` ends the process at once.
    """

    def __init__(
        self,
        options: Options,
        log: Callable[[str], None],
        *,
        client: ControllerClient = grpc_client,
        new_service: ServiceFactory = AgentService,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        exit_now: Callable[[int], object] = os._exit,
    ) -> None:
        self._options = options
        self._log = log
        self._client = client
        self._new_service = new_service
        self._exit_now = exit_now
        self._backoff = Backoff(options.rejoin_timeout_s, log, clock_ns)
        self._service: AgentService | None = None
        self._signal = 0
        self.stdin_ended = False
        self._leaving: asyncio.Task[None] | None = None

    async def run(self) -> int:
        """Run until the controller dismisses the agent or a signal ends it, and return the exit code.

        Raises DeniedError and UnreachableError, after the load was stopped and its results were written to the spool.
        """
        loop = asyncio.get_running_loop()
        connecting = asyncio.ensure_future(self._join_and_attach())
        for number in end_signals():
            loop.add_signal_handler(number, self._on_signal, number, connecting)
        if self._options.leave_with_stdin:
            loop.add_reader(_STDIN, self._on_stdin, connecting)
        try:
            await connecting
        except (asyncio.CancelledError, DeniedError, UnreachableError):
            if not self._signal:
                raise
        finally:
            if self._leaving is not None:
                await self._leaving
        return 128 + self._signal if self._signal else 0

    def _on_stdin(self, connecting: asyncio.Future[None]) -> None:
        """Leave at the end of stdin: the process that started this one has ended."""
        if not os.read(_STDIN, 4096):
            asyncio.get_running_loop().remove_reader(_STDIN)
            self.stdin_ended = True
            if not self._signal:
                self._on_signal(signal.SIGHUP, connecting)

    def _on_signal(self, number: int, connecting: asyncio.Future[None]) -> None:
        if self._signal:
            self._exit_now(128 + number)  # threads that still send load must not delay the end
            return
        self._signal = number
        self._leaving = asyncio.ensure_future(self._leave(number, connecting))

    async def _leave(self, number: int, connecting: asyncio.Future[None]) -> None:
        if self._service is not None:
            await self._service.drain(f"ended by {signal.Signals(number).name}")
            if self._service.is_attached:
                await asyncio.wait({connecting}, timeout=_CLOSE_TIMEOUT_S)
            if kept := self._kept_files():
                self._log(kept)
        connecting.cancel()

    async def _join_and_attach(self) -> None:
        options = self._options
        agent, certificate = await self._join()
        if certificate is not None:
            self._log(f"joined {options.address} as {agent}")
        service = self._service = self._new_service(
            agent, options.folder, policy=options.policy, keep_results=options.keep_results, log=self._log
        )
        lease = asyncio.create_task(service.enforce_lease())
        try:
            await self._attach_until_left(service, certificate)
        except (DeniedError, UnreachableError) as error:
            await service.drain("the controller is gone")
            cure = "; ".join(filter(None, (error.cure, self._kept_files())))
            raise type(error)(error.cause, cure) from None
        finally:
            lease.cancel()
            service.close()

    async def _join(self) -> tuple[str, Certificate | None]:
        """Return the agent's name, and its certificate unless the controller is on this host."""
        options, host = self._options, socket.gethostname()
        if options.address.startswith(LOCAL_PREFIX):
            try:
                return check_agent_name(options.name or f"{host}-{os.getpid()}"), None
            except ValueError as error:
                raise InputError(f"--name: {error}") from None
        assert options.token is not None
        while True:
            try:
                name = options.name or host
                agent, certificate = await self._client.join(
                    options.address, options.ca_pem, options.token, name
                )
                return check_agent_name(agent), certificate
            except UnreachableError as error:
                await self._wait(error)
            except ValueError as error:
                raise DeniedError(
                    f"the controller at {options.address} gave this agent no name: {error}"
                ) from None

    async def _attach_until_left(self, service: AgentService, certificate: Certificate | None) -> None:
        while True:
            heard_ns = service.heard_ns
            try:
                await self._client.attach(self._options.address, certificate, service)
            except UnreachableError as error:
                if service.left.is_set():
                    return
                if service.heard_ns != heard_ns:
                    self._backoff.reset()
                await self._wait(error)
            else:
                break
        if service.dismissal_reason:
            kept = self._kept_files()
            self._log(f"dismissed: {service.dismissal_reason}{f'; {kept}' if kept else ''}")

    async def _wait(self, error: UnreachableError) -> None:
        """Wait before the next attempt; UnreachableError if it is not worth one."""
        address = self._options.address
        try:
            await self._backoff.wait(address, error)
        except UnreachableError:
            limit = format_duration(round(self._options.rejoin_timeout_s * 1e9))
            raise UnreachableError(
                f"gave up: the controller at {address} was not reached for {limit} ({error})"
            ) from None

    def _kept_files(self) -> str:
        files = self._service.kept_files if self._service is not None else []
        return f"results are kept in {', '.join(map(str, files))}" if files else ""
