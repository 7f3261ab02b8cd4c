"""The practice target: a server on uvloop that answers each request the way its URL asks for."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
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

from heyfleet.lab.behaviour import Asked, Behaviour, from_target, listing
from heyfleet.lab.http2 import PREFACE_BEGIN, Http2Session, Ways
from heyfleet.lab.request import BadRequestError, Head, RequestReader
from heyfleet.lab.response import End, Step, script

BACKLOG = 65535
_understood = lru_cache(1024)(from_target)
_hello = lru_cache(16)(lambda size: (b"hello" * (size // 5 + 1))[:size])


class Target:
    """What all connections share: the settings, the counters and the one source of chance.

    Beyond `max_connections` at a time (0: no limit) a connection is treated as `overflow` says: `reset`,
    `close`, or `stall`, which leaves it unanswered until another one ends, as a full accept queue does.
    """

    def __init__(self, default: Behaviour | None, max_connections: int, overflow: str, seed: int) -> None:
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
        """All counters; `connections` by the behaviour of their first request."""
        named = {"requests": self.requests, "connections": self.connections, "abandoned": self.abandoned}
        return named | {"accepted": self.accepted, "open": self._open, "overflowed": self.overflowed}

    def summary(self) -> str:
        """The counters in one line."""
        each = ", ".join(f"{name} {count}" for name, count in sorted(self.requests.items()))
        return f"{self.requests.total()} requests on {self.accepted} connections: {each or 'none'}"

    def admit(self, connection: Connection) -> None:
        """Lets a new connection in, or treats it as one too many."""
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
        """Forgets a connection, and lets the one that has waited longest take its place."""
        self._waiting.pop(connection, None)
        if was_started:
            self._open -= 1
            if self._waiting:
                self._start(next(iter(self._waiting)))

    def _start(self, connection: Connection) -> None:
        self._waiting.pop(connection, None)
        self._open += 1
        connection.start()

    def answer(self, head: Head, body: bytes, *, is_first: bool) -> tuple[Asked, Iterator[Step]]:
        """Counts a request and says how to answer it; `is_first` is whether it is its connection's first."""
        asked, behaviour, content = self.understand(head, body, is_first=is_first)
        return asked, script(behaviour, content, self.random, head.method, head.connection)

    def understand(self, head: Head, body: bytes, *, is_first: bool) -> tuple[Asked, Behaviour, bytes]:
        """Counts a request: what it asks for, what it gets, and the body of that."""
        content = None
        try:
            asked = _understood(head.target, self._default)
        except LookupError as error:
            asked, content = Asked("unknown-url", Behaviour(status=404)), f"{error}\n".encode()
        except ValueError as error:
            asked, content = Asked("bad-url", Behaviour(status=400)), f"{error}\n".encode()
        self._count(asked.name, is_first)
        behaviour = asked.behaviour
        if behaviour.share < 1 and self.random.random() >= behaviour.share:
            behaviour = Behaviour()
        if content is None:
            content = self._page(asked.page, head, body) if asked.page else _hello(behaviour.size)
        return asked, behaviour, content

    def refuse(self, error: BadRequestError, *, is_first: bool) -> tuple[Asked, Iterator[Step]]:
        """Counts what is no request and says how to answer it, the last time on its connection."""
        asked = Asked("bad-request", Behaviour(status=400))
        self._count(asked.name, is_first)
        return asked, script(asked.behaviour, f"{error}\n".encode(), self.random, "GET", "close")

    def _count(self, name: str, is_first: bool) -> None:
        self.requests[name] += 1
        if is_first:
            self.connections[name] += 1

    def _page(self, page: str, head: Head, body: bytes) -> bytes:
        if page == "help":
            return listing().encode()
        return json.dumps(self.stats() if page == "stats" else echo(head, body)).encode()


def echo(head: Head, body: bytes) -> dict[str, object]:
    """The request as received; text is latin-1, so that every byte of it is one character."""
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
    """One connection: reads requests and plays the script of each, one after the other."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._reader = RequestReader()
        self._steps: Iterator[Step] = iter(())
        self._timer: asyncio.TimerHandle | None = None
        self._asked: Asked | None = None
        self._requests = 0
        self._is_started = False
        self._is_busy = True  # until started, while a script waits, and once it has ended the connection
        self._is_ended = False
        self._is_full = False
        self._is_http2 = False
        self._http2: Http2Session | None = None
        self._early = b""  # of HTTP/2, until started

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._target.admit(self)

    def start(self) -> None:
        """Begins to answer, also what came while the connection had to wait."""
        self._is_started = True
        if self._is_http2:
            self._speak_http2()
        else:
            self._advance()

    def _speak_http2(self) -> None:
        if self._http2 is None:
            ways = Ways(self._understand, self._abandon, self.end, self._target.random)
            self._http2 = Http2Session(self._transport.write, ways)
        data, self._early = self._early, b""
        self._http2.feed(data)

    def data_received(self, data: bytes) -> None:
        if self._is_http2 or (self._asked is None and data.startswith(PREFACE_BEGIN)):
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
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        if self._timer is None and not self._is_ended:
            self._advance()

    def _understand(self, head: Head, body: bytes) -> tuple[Asked, Behaviour, bytes]:
        asked, behaviour, content = self._target.understand(head, body, is_first=self._asked is None)
        self._asked = asked
        return asked, behaviour, content

    def _abandon(self, asked: Asked) -> None:
        self._target.abandoned[asked.name] += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timer()
        if self._http2 is not None:
            self._http2.lost()
            self._asked = None
        if self._asked and self._is_busy and not self._is_ended:
            self._target.abandoned[self._asked.name] += 1
        self._is_busy = self._is_ended = True
        self._target.leave(self, was_started=self._is_started)

    def end(self, how: End) -> None:
        """Ends the connection, or for HANG leaves it as it is for ever."""
        self._is_ended = how is not End.HANG
        if how is End.CLOSE:
            self._transport.close()
        elif how is End.RESET and self._transport.get_write_buffer_size():
            # A reset throws away what is not yet out.
            self._timer = asyncio.get_running_loop().call_later(0.001, self.end, how)
        elif how is End.RESET:
            linger = struct.pack("ii", 1, 0)
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._transport.abort()

    def _advance(self) -> None:
        """Plays on until a script waits, ends the connection, or no whole request is left."""
        self._is_busy = True
        while self._play():
            is_first = self._asked is None
            try:
                request = self._reader.next()
                if request is None:
                    self._is_busy = False
                    self._wait_idle()
                    return
                self._asked, self._steps = self._target.answer(*request, is_first=is_first)
            except BadRequestError as error:
                self._asked, self._steps = self._target.refuse(error, is_first=is_first)
            self._requests += 1
            if 0 < self._asked.behaviour.keepalive <= self._requests:
                self._steps = chain(self._steps, (End.CLOSE,))

    def _play(self) -> bool:
        """Plays the current script; whether it is through and the next request may be answered."""
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
        # A pause is never shorter than asked for. Timers count whole milliseconds and may be early, so the
        # rest is waited for again; of less than half a millisecond uvloop makes the loop's next round.
        left_s = until_s - time.monotonic()
        if left_s > 0:
            self._pause(left_s, until_s)
        else:
            self._timer = None
            self._advance()

    def _wait_idle(self) -> None:
        if self._asked and self._asked.behaviour.idle_close is not None:
            after_s = self._asked.behaviour.idle_close
            self._timer = asyncio.get_running_loop().call_later(after_s, self.end, End.CLOSE)

    def _cancel_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None


def _stall(length_s: float, period_s: float) -> None:
    asyncio.get_running_loop().call_later(period_s, _stall, length_s, period_s)
    time.sleep(length_s)  # holds up every connection, which is the point


async def serve(
    target: Target,
    host: str,
    port: int,
    announce: Callable[[str], None],
    *,
    stall: tuple[float, float] | None,
    tls: ssl.SSLContext | None,
) -> None:
    """Serves until SIGINT or SIGTERM; tells `announce` its URL once it listens. Raises OSError if it can't.

    `stall` is the length and the period, in seconds, of a standstill of the whole server.
    """
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    server = await loop.create_server(lambda: Connection(target), host, port, backlog=BACKLOG, ssl=tls)
    name, bound_port = server.sockets[0].getsockname()[:2]
    name = f"[{name}]" if ":" in name else name
    announce(f"http{'s' if tls else ''}://{name}:{bound_port}")
    if stall:
        loop.call_later(stall[1], _stall, *stall)
    await stopped.wait()
    server.close()
