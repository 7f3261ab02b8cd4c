"""--unix-socket against nginx, plain and over TLS, and paths that are refused."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..certificates import Authority
from ..conftest import Nginx, nginx_binary
from .command import heyfleet, measure

SERVER = """
server {{ listen unix:{prefix}/plain.sock; location / {{ return 200 $http_host; }} }}
server {{ listen unix:{prefix}/h2c.sock http2; location / {{ return 200 "hello"; }} }}
server {{
    listen unix:{prefix}/tls.sock ssl http2;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    location / {{ return 200 $ssl_server_name; }}
}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    prefix = tmp_path_factory.mktemp("unix")
    authority = Authority()
    (prefix / "ca.pem").write_bytes(authority.pem)
    certificate, key = authority.sign("name.test").write(prefix, "server")
    nginx = Nginx(nginx_binary(), prefix, SERVER.format(prefix=prefix, certificate=certificate, key=key))
    yield prefix
    nginx.stop()


@pytest.mark.parametrize(
    "who", [("--io", "epoll"), ("--io", "io_uring"), ("--local-agents", "2"), ("--rate", "300", "-z", "1s")]
)
def test_the_url_sets_path_and_host(folder: Path, who: tuple[str, ...]) -> None:
    count = () if "--rate" in who else ("-n", "300")
    report = measure(*who, *count, "-c", "6", "--unix-socket", f"{folder}/plain.sock", "http://name.test/")
    assert report["statuses"] == {"200": 300}
    assert report["body_bytes"] == 300 * len("name.test")
    assert report["addresses"] == [f"unix:{folder}/plain.sock"]


@pytest.mark.parametrize("flags", [(), ("-h2", "--streams", "4")])
def test_over_tls(folder: Path, flags: tuple[str, ...]) -> None:
    report = measure(
        "-n",
        "200",
        "-c",
        "3",
        *flags,
        "--cacert",
        f"{folder}/ca.pem",
        "--unix-socket",
        f"{folder}/tls.sock",
        "https://name.test/",
    )
    assert report["statuses"] == {"200": 200}
    assert report["body_bytes"] == 200 * len("name.test")


def test_over_http2_without_tls(folder: Path) -> None:
    report = measure(
        "-n", "200", "-c", "3", "--h2c", "--unix-socket", f"{folder}/h2c.sock", "http://name.test/"
    )
    assert report["statuses"] == {"200": 200}


def test_an_abstract_socket() -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0heyfleet-test")
        server.listen(0)
        outcome = heyfleet(
            "run",
            "--json",
            "-n",
            "2",
            "-c",
            "1",
            "-t",
            "300ms",
            "--unix-socket",
            "@heyfleet-test",
            "http://a/",
        )
    assert outcome.exit_code == 3
    assert set(outcome.report["errors"]) <= {"request timeout", "connect timeout"}


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/nowhere.sock", "'/nowhere.sock': No such file or directory"),
        ("/dev/null", "'/dev/null' is not a socket"),
        ("/" + "x" * 107, "has 1 to 107 bytes"),
        ("", "has 1 to 107 bytes"),
    ],
)
def test_bad_sockets(path: str, words: str) -> None:
    outcome = heyfleet("run", "--unix-socket", path, "http://a/")
    assert outcome.exit_code == 2
    assert words in outcome.stderr


@pytest.mark.parametrize(
    "flags",
    [
        ["-4"],
        ["--source", "127.0.0.2"],
        ["--resolve", "a:80:127.0.0.1"],
        ["--dns-ttl", "1s"],
        ["--kernel-timestamps"],
    ],
)
def test_options_that_exclude_a_unix_socket(flags: list[str]) -> None:
    outcome = heyfleet("run", *flags, "--unix-socket", "/x", "http://a/")
    assert outcome.exit_code == 2
    assert "exclude each other" in outcome.stderr
