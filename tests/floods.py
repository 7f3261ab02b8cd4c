"""Servers that keep a client busy: content that unpacks without end, TLS keys that change all the time, endless frames."""

from __future__ import annotations

import ctypes
import ctypes.util
import gzip
import socket
import threading
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

Serve = Callable[[socket.socket], None]


def bomb(mebibytes: int) -> bytes:
    """Pack zeros three times with gzip: a few hundred bytes, whatever they unpack to."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    start = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    piece = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    crc = 0
    for _ in range(mebibytes):
        crc = zlib.crc32(bytes(1 << 20), crc)
    end = b"\x03\x00" + crc.to_bytes(4, "little") + (mebibytes << 20 & 0xFFFFFFFF).to_bytes(4, "little")
    return gzip.compress(gzip.compress(start + piece * (mebibytes - 1) + end))


class Flood:
    """A server that runs `serve` for each connection, in a thread of its own. `begun`: a connection has got a flood."""

    def __init__(self, serve: Callable[[Flood, socket.socket], None]) -> None:
        self._serve = serve
        self.begun = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._clients: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *exception: object) -> None:
        for each in (self._listener, *self._clients):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(30)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._clients.append(client)
                thread = threading.Thread(target=self._run, args=(client,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _run(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            self._serve(self, client)


class TlsServer:
    """TLS 1.3 by the system's OpenSSL, which can change its keys at will, as Python's ssl module can't."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._ssl = ctypes.CDLL(ctypes.util.find_library("ssl"))
        for name in ("TLS_server_method", "SSL_CTX_new", "SSL_new"):
            getattr(self._ssl, name).restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(self._ssl.SSL_CTX_new(ctypes.c_void_p(self._ssl.TLS_server_method())))
        assert self._ssl.SSL_CTX_use_certificate_file(self._context, bytes(certificate), 1) == 1
        assert self._ssl.SSL_CTX_use_PrivateKey_file(self._context, bytes(key), 1) == 1

    def accept(self, client: socket.socket) -> TlsConnection:
        """Shake hands."""
        ssl = ctypes.c_void_p(self._ssl.SSL_new(self._context))
        self._ssl.SSL_set_fd(ssl, client.fileno())
        if self._ssl.SSL_accept(ssl) != 1:
            raise OSError("no handshake")
        return TlsConnection(self._ssl, ssl)


class TlsConnection:
    """One connection of a TlsServer."""

    def __init__(self, library: ctypes.CDLL, ssl: ctypes.c_void_p) -> None:
        self._library = library
        self._ssl = ssl

    def read(self) -> bytes:
        """Read what has come."""
        buffer = ctypes.create_string_buffer(65536)
        return buffer.raw[: max(self._library.SSL_read(self._ssl, buffer, len(buffer)), 0)]

    def write(self, data: bytes) -> None:
        """Write all of `data`."""
        if self._library.SSL_write(self._ssl, data, len(data)) != len(data):
            raise OSError("not written")

    def change_keys(self) -> None:
        """Change the keys of this end, and ask for the same at the other (RFC 8446, 4.6.3)."""
        self._library.SSL_key_update(self._ssl, 1)
        if self._library.SSL_do_handshake(self._ssl) != 1:
            raise OSError("no new keys")
