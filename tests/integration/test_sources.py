"""`--source`: connections come evenly from all addresses, in one process and in a fleet."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from .command import heyfleet, measure

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Peers:
    """A server that counts its connections by source address."""

    def __init__(self, address: str = "127.0.0.1", port: int = 0) -> None:
        self._server = socket.create_server((address, port), backlog=1000)
        self.port: int = self._server.getsockname()[1]
        self.url = f"http://{address}:{self.port}/"
        self.seen: Counter[str] = Counter()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, address = self._server.accept()
            except OSError:
                return
            self.seen[address[0]] += 1
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    @staticmethod
    def _answer(connection: socket.socket) -> None:
        with connection:
            while connection.recv(65536):
                connection.sendall(ANSWER)

    def stop(self) -> None:
        self._server.close()


@pytest.fixture
def peers() -> Iterator[Peers]:
    peers = Peers()
    yield peers
    peers.stop()


@pytest.mark.parametrize("who", [(), ("--io", "epoll"), ("--local-agents", "2")])
def test_connections_use_each_source_in_turn(peers: Peers, who: tuple[str, ...]) -> None:
    report = measure(*who, "--source", "127.0.0.2-127.0.0.4", "-n", "300", "-c", "30", peers.url)
    assert report["statuses"] == {"200": 300}
    assert peers.seen == {"127.0.0.2": 10, "127.0.0.3": 10, "127.0.0.4": 10}
    assert report["plan"]["sources"] == ["127.0.0.2", "127.0.0.3", "127.0.0.4"]


def test_an_address_of_another_host_is_refused(peers: Peers) -> None:
    run = heyfleet("run", "--source", "192.0.2.1", "-n", "1", peers.url)
    assert run.exit_code == 2
    assert "--source 192.0.2.1 can't be used on" in run.stderr
    assert not peers.seen


def test_an_address_of_another_family_is_refused(peers: Peers) -> None:
    run = heyfleet("run", "--source", "::1", "-n", "1", peers.url)
    assert run.exit_code == 2
    assert "--source ::1 can't reach the target" in run.stderr
