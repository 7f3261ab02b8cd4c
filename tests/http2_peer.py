"""An HTTP/2 server that sends exactly the frames of a test, valid or not, and records those it receives (RFC 9113)."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITIES = 0x20
OK = b"\x88"  # :status 200, of the static table
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@dataclass(frozen=True)
class Frame:
    """A frame that the client sent."""

    type: int
    flags: int
    stream: int
    payload: bytes


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Encode a frame (RFC 9113, 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def settings(**values: int) -> bytes:
    """Encode SETTINGS (RFC 9113, 6.5); names are table, push, streams, window and frame."""
    names = {"table": 1, "push": 2, "streams": 3, "window": 4, "frame": 5}
    pairs = [names[name].to_bytes(2, "big") + value.to_bytes(4, "big") for name, value in values.items()]
    return frame(SETTINGS, 0, 0, b"".join(pairs))


def reset(stream: int, code: int) -> bytes:
    """Encode RST_STREAM (RFC 9113, 6.4)."""
    return frame(RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def goaway(last: int, code: int = 0) -> bytes:
    """Encode GOAWAY (RFC 9113, 6.8)."""
    return frame(GOAWAY, 0, 0, last.to_bytes(4, "big") + code.to_bytes(4, "big"))


def window_update(stream: int, by: int) -> bytes:
    """Encode WINDOW_UPDATE (RFC 9113, 6.9)."""
    return frame(WINDOW_UPDATE, 0, stream, by.to_bytes(4, "big"))


def hello(stream: int) -> bytes:
    """Encode a whole response of five bytes."""
    return frame(HEADERS, END_HEADERS, stream, OK) + frame(DATA, END_STREAM, stream, b"hello")


class Connection:
    """A connection of one client: its frames, and a way to respond."""

    def __init__(self, server: Http2Peer, client: socket.socket) -> None:
        self._server = server
        self._client = client
        self.frames: list[Frame] = []
        self.requests = 0

    def send(self, data: bytes) -> None:
        """Send bytes, in pieces if the server is set so."""
        step = self._server.piece_bytes or len(data) or 1
        for at in range(0, len(data), step):
            self._client.sendall(data[at : at + step])

    def close(self) -> None:
        """Close the connection."""
        self._client.shutdown(socket.SHUT_RDWR)

    def serve(self) -> None:
        """Handle frames until the client closes the connection."""
        with suppress(OSError), self._client, self._client.makefile("rb") as stream:
            self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            assert stream.read(len(_PREFACE)) == _PREFACE
            self.send(self._server.greeting)
            while len(head := stream.read(9)) == 9:
                payload = stream.read(int.from_bytes(head[:3], "big"))
                heard = Frame(head[3], head[4], int.from_bytes(head[5:], "big"), payload)
                self.frames.append(heard)
                if self._server.heard is not None:
                    self._server.heard(self, heard)
                if heard.type in (DATA, HEADERS) and heard.flags & END_STREAM:
                    self.requests += 1
                    self.send(self._server.answer(self, heard.stream))


class Http2Peer:
    """A server that sends what `answer` returns for the stream of a request; `heard` is called for each frame before."""

    def __init__(
        self,
        answer: Callable[[Connection, int], bytes],
        greeting: bytes = settings(),
        piece_bytes: int = 0,
        heard: Callable[[Connection, Frame], None] | None = None,
    ) -> None:
        self.answer = answer
        self.greeting = greeting
        self.piece_bytes = piece_bytes
        self.heard = heard
        self.connections: list[Connection] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    @property
    def frames(self) -> list[Frame]:
        """Frames received, by connection."""
        return [each for connection in self.connections for each in connection.frames]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                connection = Connection(self, client)
                self.connections.append(connection)
                thread = threading.Thread(target=connection.serve, daemon=True)
                self._threads.append(thread)
                thread.start()
