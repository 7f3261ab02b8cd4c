"""Bodies of requests and of answers, with nginx."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..conftest import Nginx, nginx_binary
from ..ports import free_port
from .command import measure

SERVER = """
server {{
    listen 127.0.0.1:{port};
    location / {{ return 200 "hello"; }}
    location /upload {{ proxy_pass http://127.0.0.1:{port}/; }}
    location /small {{ client_max_body_size 1k; proxy_pass http://127.0.0.1:{port}/; }}
}}
"""


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port = free_port()
    server = Nginx(nginx_binary(), tmp_path_factory.mktemp("bodies"), SERVER.format(port=port))
    yield port
    server.stop()


@pytest.mark.parametrize("flags", [(), ("--local-agents", "2")])
def test_bodies_that_wait_for_100_continue(port: int, tmp_path: Path, flags: tuple[str, ...]) -> None:
    (tmp_path / "body").write_bytes(bytes(100_000))
    flags = (
        *flags,
        *("-n", "40", "-c", "4", "-m", "PUT", "-H", "Expect: 100-continue", "-D", f"{tmp_path}/body"),
    )
    taken = measure(*flags, f"http://127.0.0.1:{port}/upload")
    assert taken["statuses"] == {"200": 40}
    assert taken["generator"]["connections_opened"] == 4
    assert taken["generator"]["bytes_sent"] > 40 * 100_000
    refused = measure(*flags, f"http://127.0.0.1:{port}/small")
    assert refused["statuses"] == {"413": 40}
    assert refused["generator"]["connections_opened"] == 40
    assert refused["generator"]["bytes_sent"] < 40 * 1000


def test_a_large_body_goes_to_agents(port: int, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(bytes(14 << 20))
    flags = ("-n", "4", "-c", "2", "-m", "PUT", "-D", f"{tmp_path}/body", "--local-agents", "2")
    report = measure(*flags, f"http://127.0.0.1:{port}/upload")
    assert report["statuses"] == {"200": 4}
    assert report["generator"]["bytes_sent"] > 4 * (14 << 20)


def test_memory_does_not_grow_with_connections(port: int, tmp_path: Path) -> None:
    """Held once, however many send it."""
    (tmp_path / "body").write_bytes(bytes(16 << 20))
    few, many = (
        measure(
            "-n", "32", "-c", count, "-m", "PUT", "-D", f"{tmp_path}/body", f"http://127.0.0.1:{port}/upload"
        )
        for count in ("1", "32")
    )
    assert few["statuses"] == many["statuses"] == {"200": 32}
    assert many["generator"]["peak_rss_bytes"] < few["generator"]["peak_rss_bytes"] + (16 << 20)
