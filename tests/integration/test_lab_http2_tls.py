"""The practice target over HTTP/2 and TLS: every fault is counted as such, and both sides count the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Faulty
from .command import heyfleet, measure

ANSWERED = [
    "/ok",
    "/status/200?delay=5ms&jitter=5ms",
    "/ok?interim=100,103",
    "/ok?headers=200",
    "/ok?size=300KiB",
    "/ok?to-close=1",
    "/ok?pings=20",
    "/keepalive/3",
    "/refuse?share=20%25",
]
BROKEN = {
    "/refuse": "HTTP/2: refused by the server",
    "/stream-error/2": "HTTP/2: stream reset by the server",
    "/ok?size=100KiB&reset-after=50000": "HTTP/2: stream reset by the server",
    "/ok?length=50": "HTTP/2: protocol error",
    "/garbage": "HTTP/2: protocol error",
    "/ok?header-bytes=100KiB": "header too large",
    "/ok?size=100KiB&hang-after=50000": "request timeout",
}
TLS = {
    "expired": "TLS: certificate expired",
    "wrong-name": "TLS: certificate of another name",
    "unknown-ca": "TLS: certificate of an unknown authority",
    "closed": "TLS: closed in the handshake",
}


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Faulty, str]]:
    ca = str(tmp_path_factory.mktemp("lab") / "ca.pem")
    server = Faulty("--tls", ca)
    yield server, ca
    server.stop()


@pytest.mark.parametrize("path", ANSWERED)
def test_odd_but_legal_answers(start_faulty: Callable[..., Faulty], path: str) -> None:
    faulty = start_faulty()
    report = measure("-n", "24", "-c", "2", "--streams", "3", "--h2c", faulty.url(path))
    assert report["statuses"] == {"200": 24}
    assert report["body_bytes"] == 24 * (300 * 1024 if "300KiB" in path else 5)
    again = report["http"]["retries"]
    assert 24 <= sum(faulty.stats()["requests"].values()) - 1 <= 24 + again


@pytest.mark.parametrize("path", BROKEN)
def test_broken_answers(start_faulty: Callable[..., Faulty], path: str) -> None:
    more = ("-t", "0.3" if "hang" in path else "0")
    count = 2 if "header-bytes" in path else 24  # the server takes a second to compress so much, or far more
    outcome = heyfleet("run", "--json", "-n", str(count), "-c", "2", "--h2c", *more, start_faulty().url(path))
    assert outcome.exit_code == 3
    assert outcome.report["errors"] == {BROKEN[path]: count}


@pytest.mark.parametrize("flags", [("-h2",), ("-h2", "--streams", "4"), ()])
def test_over_tls(secure: tuple[Faulty, str], flags: tuple[str, ...]) -> None:
    server, ca = secure
    url = f"https://127.0.0.1:{server.port}/ok"
    report = measure("-n", "100", "-c", "4", "--cacert", ca, *flags, url)
    assert report["statuses"] == {"200": 100}
    assert report["http"]["versions"] == ["HTTP/2" if flags else "HTTP/1.1"]


@pytest.mark.parametrize("flags", [("-h2",), ()])
@pytest.mark.parametrize("name", TLS)
def test_bad_certificates(secure: tuple[Faulty, str], name: str, flags: tuple[str, ...]) -> None:
    server, ca = secure
    more: tuple[Any, ...] = ("-host", f"{name}.localhost", "--cacert", ca, *flags)
    url = f"https://127.0.0.1:{server.port}/ok"
    outcome = heyfleet("run", "--json", "-n", "12", "-c", "2", *more, url)
    assert outcome.exit_code == 3
    assert outcome.report["errors"] == {TLS[name]: 12}
    assert measure("-n", "12", "-c", "2", "--cacert", ca, *flags, url)["statuses"] == {"200": 12}


def test_a_file_that_can_not_be_written(tmp_path: Path) -> None:
    outcome = heyfleet("lab", "faulty", "--port", "0", "--tls", f"{tmp_path}/none/ca.pem")
    assert outcome.exit_code == 1
    assert outcome.stderr == f"heyfleet: --tls {tmp_path}/none/ca.pem: No such file or directory\n"
