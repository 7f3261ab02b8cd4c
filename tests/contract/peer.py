"""Real peers on loopback, one port for each way to behave, in a thread of their own."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from typing import Self

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

GREETING = b"bye for now"
FLOOD = bytes(range(256)) * 1024
CLOSE_WITH_RESET = struct.pack("ii", 1, 0)
SLOW_READ_BYTES = 128 * 1024
SLOW_PAUSE_S = 0.002


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(SLOW_READ_BYTES):
        await asyncio.sleep(SLOW_PAUSE_S)
        writer.write(data)
        await writer.drain()


async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(GREETING)


async def half_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(GREETING)
    writer.write_eof()
    while await reader.read(65536):
        pass


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if await reader.read(1):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, CLOSE_WITH_RESET)
        writer.transport.abort()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(65536):
        pass


async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while not writer.is_closing():
        writer.write(FLOOD)
        await writer.drain()
        await asyncio.sleep(0)  # with TLS, what is written to a lost connection is dropped without a pause


HANDLERS: dict[str, Handler] = {
    "echo": echo,
    "slow": slow,
    "close": close,
    "half_close": half_close,
    "reset": reset,
    "silent": silent,
    "flood": flood,
}


class Peers:
    """Speak TLS, if told how. `ports` has all of HANDLERS, `refuse` (nobody listens) and `blackhole` (nobody accepts)."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.ports: dict[str, int] = {}
        self._held = ExitStack()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._connections: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        self.ports["refuse"] = self._bind()
        self.ports["blackhole"] = self._bind(backlog=0)
        self._fill("blackhole")
        return self

    def __exit__(self, *exception: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._held.close()

    def _bind(self, backlog: int | None = None) -> int:
        held = self._held.enter_context(socket.socket())
        held.bind(("127.0.0.1", 0))
        if backlog is not None:
            held.listen(backlog)
        port: int = held.getsockname()[1]
        return port

    def _fill(self, name: str) -> None:
        """Take the places that even a backlog of 0 has: the kernel ignores who comes later."""
        for _ in range(2):
            guest = self._held.enter_context(socket.socket())
            guest.setblocking(False)
            with suppress(BlockingIOError):
                guest.connect(("127.0.0.1", self.ports[name]))

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        servers = [await self._server(name) for name in HANDLERS]
        self._ready.set()
        await self._stop.wait()
        for server in servers:
            server.close()
        for writer in self._connections:
            writer.transport.abort()
        await asyncio.gather(*self._connections.values())

    async def _server(self, name: str) -> asyncio.Server:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            # Clients go whenever they like.
            with suppress(OSError):
                await HANDLERS[name](reader, writer)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            del self._connections[writer]

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._connections[writer] = self._loop.create_task(handle(reader, writer))

        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if name == "slow":
            # Small, so that a large send has to wait for the reader.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        listener.bind(("127.0.0.1", 0))
        self.ports[name] = listener.getsockname()[1]
        return await asyncio.start_server(
            connected,
            sock=listener,
            backlog=1024,
            ssl=self._tls,
            ssl_shutdown_timeout=0.1 if self._tls else None,
        )
