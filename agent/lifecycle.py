"""An agent's life: joined, attached, attached again, and gone when it is dismissed, denied, or told to end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from heyfleet.agent.credentials import Token
from heyfleet.agent.grpc_client import Backoff, Certificate, Denied, Unreachable, attach, join
from heyfleet.agent.policy import HostPolicy
from heyfleet.agent.service import AgentService
from heyfleet.proto.protocol import LOCAL_PREFIX

EXIT_OK = 0
EXIT_UNREACHABLE = 1
EXIT_DENIED = 2
_DRAIN_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Options:
    """How an agent was started."""

    address: str
    ca_pem: bytes = b""
    token: Token | None = None
    name: str = ""
    folder: Path
    keep_results: bool = False
    rejoin_timeout_s: float = 600.0
    owner: HostPolicy = field(default_factory=HostPolicy)


class AgentProcess:
    """Lives once; `say` gets a line for what its owner should know, `complain` for what ended it."""

    def __init__(self, options: Options, say: Callable[[str], None], complain: Callable[[str], None]) -> None:
        self._options = options
        self._say = say
        self._complain = complain
        self._carrier: AgentService | None = None
        self._signum = 0
        self._leaving: asyncio.Future[None] | None = None

    async def live(self) -> int:
        """To the end; the exit code."""
        loop = asyncio.get_running_loop()
        work = asyncio.ensure_future(self._attached_again_and_again())
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal, number, work)
        try:
            code = await work
        except asyncio.CancelledError:
            code = 0
        return 128 + self._signum if self._signum else code

    def _on_signal(self, number: int, work: asyncio.Future[int]) -> None:
        if self._signum:
            os._exit(128 + number)  # threads that still send load must not hold up the end
        self._signum = number
        self._leaving = asyncio.ensure_future(self._leave(number, work))

    async def _leave(self, number: int, work: asyncio.Future[int]) -> None:
        if self._carrier is not None:
            await self._carrier.drain(f"ended by {signal.Signals(number).name}", _DRAIN_S)
            await asyncio.sleep(0.1)  # for the goodbye to go out
        work.cancel()

    async def _attached_again_and_again(self) -> int:
        options = self._options
        patience = Backoff(options.rejoin_timeout_s, self._say)
        try:
            agent, certificate = await self._joined(patience)
            if certificate is not None:
                self._say(f"joined {options.address} as {agent}")
            carrier = self._carrier = AgentService(
                agent, options.folder, owner=options.owner, keep_results=options.keep_results, say=self._say
            )
            watch = asyncio.create_task(carrier.watch_lease())
            try:
                return await self._attach(carrier, certificate, patience)
            finally:
                watch.cancel()
        except Denied as denied:
            self._complain(str(denied))
            return EXIT_DENIED
        except Unreachable as why:
            self._complain(
                f"gave up: the controller at {options.address} was not reached for {options.rejoin_timeout_s:g} s ({why})"
                + self._what_is_kept()
            )
            return EXIT_UNREACHABLE

    async def _joined(self, patience: Backoff) -> tuple[str, Certificate | None]:
        options = self._options
        host = socket.gethostname()
        if options.address.startswith(LOCAL_PREFIX):
            return options.name or f"{host}-{os.getpid()}", None
        assert options.token is not None
        while True:
            try:
                return await join(options.address, options.ca_pem, options.token, options.name or host)
            except Unreachable as why:
                await patience.wait(options.address, why)

    async def _attach(self, carrier: AgentService, certificate: Certificate | None, patience: Backoff) -> int:
        address = self._options.address
        while True:
            heard_ns = carrier.heard_ns
            try:
                await attach(address, certificate, carrier)
            except Unreachable as why:
                if carrier.heard_ns != heard_ns:
                    patience.renew()
                await patience.wait(address, why)
            else:
                self._say(f"dismissed: {carrier.dismissed}{self._what_is_kept()}")
                return EXIT_OK

    def _what_is_kept(self) -> str:
        kept = self._carrier.kept if self._carrier else []
        return f"; results are kept in {', '.join(map(str, kept))}" if kept else ""
