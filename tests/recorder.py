"""An HTTP/1.1 server that records every request verbatim."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self


class Recorder:
    """A server that responds to every request with 200 and `ok`.

    `requests` are (head, body) in the order of their ends, `clients` the ports that sent them.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.requests: list[tuple[bytes, bytes]] = []
        self.clients: set[int] = set()
        self._listener = socket.create_server((host, 0), backlog=128)
        self._host = host
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def url(self, path: str) -> str:
        return f"http://{self._host}:{self.port}{path}"

    @property
    def targets(self) -> list[str]:
        """Request targets, in order."""
        return [head.split(b" ", 2)[1].decode("latin-1") for head, _ in self.requests]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, address = self._listener.accept()
                threading.Thread(target=self._serve, args=(client, address[1]), daemon=True).start()

    def _serve(self, client: socket.socket, port: int) -> None:
        with suppress(OSError), client, client.makefile("rb") as stream:
            while line := stream.readline():
                lines = [line]
                while (line := stream.readline()) not in {b"\r\n", b""}:
                    lines.append(line)
                lengths = [
                    each.split(b":")[1] for each in lines if each.lower().startswith(b"content-length:")
                ]
                body = stream.read(int(lengths[0])) if lengths else b""
                self.requests.append((b"".join(lines), body))
                self.clients.add(port)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
