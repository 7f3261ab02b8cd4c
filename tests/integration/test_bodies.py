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
