"""The faulty server: an HTTP server on uvloop that misbehaves as the URL of each request says."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import ssl
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import chain
from random import Random
from typing import cast

from heyfleet.lab.behavior import Behavior, ParsedTarget, help_text, parse_target
from heyfleet.lab.http2 import PREFACE_BEGIN, Callbacks, Http2Connection
from heyfleet.lab.request import BadRequestError, Head, RequestReader
from heyfleet.lab.response import End, Step, script
from heyfleet.surroundings import end_signals

BACKLOG = 65535
_parse_target = lru_cache(1024)(parse_target)
_hello = lru_cache(16)(lambda size: (b"hello" * (size // 5 + 1))[:size])


class Target:
    """What all connections share: the settings, the counters and the random numbers.

    Connections beyond `max_connections` (0: no limit) are handled as `overflow` says: `reset`, `close`, or `stall`,
    which leaves them unanswered until another one ends, as a full accept queue does.
    """

    def __init__(self, default: Behavior | None, max_connections: int, overflow: str, seed: int) -> None:
        self._default = default
        self._max_connections = max_connections
        self._overflow = overflow
        self.random = Random(seed)  # noqa: S311 - repeatable on purpose
        self._waiting: dict[Connection, None] = {}
        self._open = 0
        self.accepted = self.overflowed = 0
        self.requests: Counter[str] = Counter()
        self.connections: Counter[str] = Counter()
        self.abandoned: Counter[str] = Counter()

    def stats(self) -> dict[str, object]:
        """Return all counters; connections are counted by the behavior of their first request."""
        counters = {"requests": self.requests, "connections": self.connections, "abandoned": self.abandoned}
        return counters | {"accepted": self.accepted, "open": self._open, "overflowed": self.overflowed}

    def summary(self) -> str:
        """Return the counters as one line."""
        each = ", ".join(f"{name} {count}" for name, count in sorted(self.requests.items()))
        return f"{self.requests.total()} requests on {self.accepted} connections: {each or 'none'}"

    def admit(self, connection: Connection) -> None:
        """Start a new connection, or apply `overflow` to it."""
        self.accepted += 1
        if not self._max_connections or self._open < self._max_connections:
            self._start(connection)
            return
        self.overflowed += 1
        if self._overflow == "stall":
            self._waiting[connection] = None
        else:
            connection.end(End(self._overflow))

    def leave(self, connection: Connection, *, was_started: bool) -> None:
        """Remove a connection, and start the one that has waited longest."""
        self._waiting.pop(connection, None)
        if was_started:
            self._open -= 1
            if self._waiting:
                self._start(next(iter(self._waiting)))

    def _start(self, connection: Connection) -> None:
        self._waiting.pop(connection, None)
        self._open += 1
        connection.start()

    def answer(self, head: Head, body: bytes, *, is_first: bool) -> tuple[ParsedTarget, Iterator[Step]]:
        """Count a request and return its target and script; `is_first`: it is the first on its connection."""
        target, behavior, content = self.interpret(head, body, is_first=is_first)
        return target, script(behavior, content, self.random, head.method, head.connection)

    def interpret(self, head: Head, body: bytes, *, is_first: bool) -> tuple[ParsedTarget, Behavior, bytes]:
        """Count a request, and return its target, the behavior that it gets, and the content of the response."""
        content = None
        try:
            target = _parse_target(head.target, self._default)
        except LookupError as error:
            target, content = ParsedTarget("unknown-url", Behavior(status=404)), f"{error}\n".encode()
        except ValueError as error:
            target, content = ParsedTarget("bad-url", Behavior(status=400)), f"{error}\n".encode()
        self._count(target.name, is_first)
        behavior = target.behavior
        if behavior.share < 1 and self.random.random() >= behavior.share:
            behavior = Behavior()
        if content is None:
            content = self._page(target.page, head, body) if target.page else _hello(behavior.size)
        return target, behavior, content

    def refuse(self, error: BadRequestError, *, is_first: bool) -> tuple[ParsedTarget, Iterator[Step]]:
        """Count an invalid request, and return the script of its response, the last on its connection."""
        target = ParsedTarget("bad-request", Behavior(status=400))
        self._count(target.name, is_first)
        return target, script(target.behavior, f"{error}\n".encode(), self.random, "GET", "close")

    def _count(self, name: str, is_first: bool) -> None:
        self.requests[name] += 1
        if is_first:
            self.connections[name] += 1

    def _page(self, page: str, head: Head, body: bytes) -> bytes:
        if page == "help":
            return help_text().encode()
        return json.dumps(self.stats() if page == "stats" else echo(head, body)).encode()


def echo(head: Head, body: bytes) -> dict[str, object]:
    """Return the request as received; text is decoded as Latin-1, one character per byte."""
    return {
        "method": head.method,
        "target": head.target,
        "version": head.version,
        "headers": head.headers,
        "is_chunked": head.body_bytes is None,
        "body_bytes": len(body),
        "body_sha256": hashlib.sha256(body).hexdigest(),
        "body_first_kib": body[:1024].decode("latin-1"),
    }


class Connection(asyncio.Protocol):
    """One connection: reads requests and plays the script of each, one after another."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._reader = RequestReader()
        self._steps: Iterator[Step] = iter(())
        self._timer: asyncio.TimerHandle | None = None
        self._current: ParsedTarget | None = None
        self._requests = 0
        self._is_started = False
        self._is_busy = True  # until started, while a script waits, and once it has ended the connection
        self._is_ended = False
        self._is_full = False
        self._is_http2 = False
        self._http2: Http2Connection | None = None
        self._early = b""  # bytes of HTTP/2 received before the start

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask to be admitted."""
        self._transport = cast(asyncio.Transport, transport)
        self._target.admit(self)

    def start(self) -> None:
        """Begin to respond, including to what was received while waiting to be admitted."""
        self._is_started = True
        if self._is_http2:
            self._speak_http2()
        else:
            self._advance()

    def _speak_http2(self) -> None:
        if self._http2 is None:
            callbacks = Callbacks(self._interpret, self._abandon, self.end, self._target.random)
            self._http2 = Http2Connection(self._transport.write, callbacks)
        data, self._early = self._early, b""
        self._http2.feed(data)

    def data_received(self, data: bytes) -> None:
        """Read requests; a connection that begins with the HTTP/2 preface speaks HTTP/2."""
        if self._is_http2 or (self._current is None and data.startswith(PREFACE_BEGIN)):
            self._is_http2 = True
            self._early += data
            if self._is_started:
                self._speak_http2()
            return
        self._reader.feed(data)
        if not self._is_busy:
            self._cancel_timer()
            self._advance()

    def pause_writing(self) -> None:
        """Pause the script until the client reads."""
        self._is_full = True

    def resume_writing(self) -> None:
        """Continue the script."""
        self._is_full = False
        if self._timer is None and not self._is_ended:
            self._advance()

    def _interpret(self, head: Head, body: bytes) -> tuple[ParsedTarget, Behavior, bytes]:
        current, behavior, content = self._target.interpret(head, body, is_first=self._current is None)
        self._current = current
        return current, behavior, content

    def _abandon(self, target: ParsedTarget) -> None:
        self._target.abandoned[target.name] += 1

    def connection_lost(self, exc: Exception | None) -> None:
        """Count an unfinished response as abandoned."""
        self._cancel_timer()
        if self._http2 is not None:
            self._http2.connection_lost()
            self._current = None
        if self._current and self._is_busy and not self._is_ended:
            self._target.abandoned[self._current.name] += 1
        self._is_busy = self._is_ended = True
        self._target.leave(self, was_started=self._is_started)

    def end(self, how: End) -> None:
        """End the connection; HANG leaves it open and silent."""
        self._is_ended = how is not End.HANG
        if how is End.CLOSE:
            self._transport.close()
        elif how is End.RESET and self._transport.get_write_buffer_size():
            # A reset would discard what is not sent yet.
            self._timer = asyncio.get_running_loop().call_later(0.001, self.end, how)
        elif how is End.RESET:
            linger = struct.pack("ii", 1, 0)
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._transport.abort()

    def _advance(self) -> None:
        """Play scripts until one waits or ends the connection, or no complete request is left."""
        self._is_busy = True
        while self._play():
            is_first = self._current is None
            try:
                request = self._reader.next()
                if request is None:
                    self._is_busy = False
                    self._wait_idle()
                    return
                self._current, self._steps = self._target.answer(*request, is_first=is_first)
            except BadRequestError as error:
                self._current, self._steps = self._target.refuse(error, is_first=is_first)
            self._requests += 1
            if 0 < self._current.behavior.keepalive <= self._requests:
                self._steps = chain(self._steps, (End.CLOSE,))

    def _play(self) -> bool:
        """Play the current script; return whether it has finished and left the connection open."""
        for step in self._steps:
            if isinstance(step, bytes):
                self._transport.write(step)
                if self._is_full:
                    return False
            elif isinstance(step, float):
                self._pause(step, time.monotonic() + step)
                return False
            else:
                self.end(step)
                return False
        return True

    def _pause(self, left_s: float, until_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(left_s, self._wake, until_s)

    def _wake(self, until_s: float) -> None:
        # A pause must not be shorter than requested. Timers have whole milliseconds and may fire early, so wait for the
        # rest again; uvloop turns less than half a millisecond into the next turn of the loop.
        left_s = until_s - time.monotonic()
        if left_s > 0:
            self._pause(left_s, until_s)
        else:
            self._timer = None
            self._advance()

    def _wait_idle(self) -> None:
        if self._current and self._current.behavior.idle_close is not None:
            after_s = self._current.behavior.idle_close
            self._timer = asyncio.get_running_loop().call_later(after_s, self.end, End.CLOSE)

    def _cancel_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None


def _stall(length_s: float, period_s: float) -> None:
    asyncio.get_running_loop().call_later(period_s, _stall, length_s, period_s)
    time.sleep(length_s)  # blocks every connection, on purpose


async def serve(
    target: Target,
    host: str,
    port: int,
    announce: Callable[[str], None],
    *,
    stall: tuple[float, float] | None,
    tls: ssl.SSLContext | None,
) -> None:
    """Serve until SIGINT or SIGTERM; call `announce` with the URL when it listens. OSError if it can't.

    `stall` is the length and the period, in seconds, of pauses of the whole server.
    """
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in end_signals():
        loop.add_signal_handler(number, stopped.set)
    server = await loop.create_server(lambda: Connection(target), host, port, backlog=BACKLOG, ssl=tls)
    name, bound_port = server.sockets[0].getsockname()[:2]
    name = f"[{name}]" if ":" in name else name
    announce(f"http{'s' if tls else ''}://{name}:{bound_port}")
    if stall:
        loop.call_later(stall[1], _stall, *stall)
    await stopped.wait()
    server.close()
