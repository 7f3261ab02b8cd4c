"""Where a run goes after a redirect, and what it takes along, as servers see it."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from .command import measure

SECRETS = ("Authorization", "Proxy-Authorization", "Cookie", "X-Api-Key")


class Server(ThreadingHTTPServer):
    """Answers paths that end in /here with a redirect to `location`, and everything else with 204; `seen` are its requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.location = b""
        self.seen: list[tuple[str, dict[str, str]]] = []


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        target = self.requestline.split(" ")[1]  # self.path has lost an empty first segment
        self.server.seen.append((target, dict(self.headers.items())))
        if target.endswith("/here"):
            self.wfile.write(
                b"HTTP/1.1 302 Found\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % self.server.location
            )
        else:
            self.wfile.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("location", "target"),
    [
        (b"x", "/start//x"),
        (b"x//y", "/start//x//y"),
        (b"/x;?y", "/x;?y"),
        (b"/x?", "/x?"),
        (b"/..//x", "//x"),
        ("/ü x".encode(), "/%C3%BC%20x"),
    ],
)
def test_a_location_is_followed_as_rfc_3986_resolves_it(server: Server, location: bytes, target: str) -> None:
    server.location = location
    report = measure("-n", "1", f"http://127.0.0.1:{server.server_port}/start//here")
    assert report["statuses"] == {"204": 1}
    assert server.seen[-1][0] == target


def test_a_host_beyond_ascii_is_looked_up_as_dns_has_it(server: Server) -> None:
    server.location = f"http://bücher.test:{server.server_port}/x".encode()
    report = measure(
        "-n", "1", "--resolve", f"bücher.test:{server.server_port}:127.0.0.1",
        f"http://127.0.0.1:{server.server_port}/start/here",
    )  # fmt: skip
    assert report["statuses"] == {"204": 1}
    assert server.seen[-1][1]["Host"] == f"xn--bcher-kva.test:{server.server_port}"


@pytest.mark.parametrize(
    ("host", "survive"), [("shop.test", True), ("a.shop.test", True), ("other.test", False)]
)
def test_secrets_follow_to_their_host_only(server: Server, host: str, survive: bool) -> None:
    port = server.server_port
    server.location = f"http://{host}:{port}/x".encode()
    flags = [word for name in (*SECRETS, "X-Other") for word in ("-H", f"{name}: value")]
    flags += ["--resolve", f"*:{port}:127.0.0.1"]
    assert measure("-n", "1", *flags, f"http://shop.test:{port}/start/here")["statuses"] == {"204": 1}
    (_, before), (_, after) = server.seen
    assert set(SECRETS) <= before.keys()
    assert (set(SECRETS) & after.keys()) == (set(SECRETS) if survive else set())
    assert after["X-Other"] == "value"
