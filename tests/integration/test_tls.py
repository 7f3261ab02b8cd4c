"""https against nginx: verification, resumption, counts and errors."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ..certificates import Authority
from ..conftest import Nginx, nginx_binary
from ..ports import free_port
from .command import heyfleet, measure

SERVER = """
server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols {versions};
    ssl_session_cache shared:{name}:1m;
    {more}
    location / {{ return 200 "hello"; }}
    location /files/ {{ root {prefix}; }}
}}
"""


@dataclass
class Secure:
    """Ports of an nginx, one per certificate, and the files that clients need."""

    ports: dict[str, int]
    authority: str
    client: tuple[str, str]

    def url(self, server: str, path: str = "/", host: str = "localhost") -> str:
        return f"https://{host}:{self.ports[server]}{path}"

    def errors(self, server: str, *flags: str) -> dict[str, int]:
        """Run without a single response and return its errors."""
        outcome = heyfleet(
            "run",
            "--json",
            "-n",
            "6",
            "-c",
            "2",
            "-t",
            "5",
            "--cacert",
            self.authority,
            *flags,
            self.url(server),
        )
        assert outcome.exit_code == 3, outcome.stderr
        errors: dict[str, int] = outcome.report["errors"]
        return errors


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    prefix = tmp_path_factory.mktemp("nginx-tls")
    authority, stranger = Authority(), Authority("a stranger")
    pairs = {
        "good": authority.sign("localhost", "127.0.0.1"),
        "expired": authority.sign("localhost", ends_in=-datetime.timedelta(days=1)),
        "other": authority.sign("other.test"),
        "stranger": stranger.sign("localhost"),
        "client": authority.sign("localhost"),
        "old": authority.sign("localhost"),
    }
    (prefix / "ca.pem").write_bytes(authority.pem)
    more = {
        "client": f"ssl_client_certificate {prefix}/ca.pem; ssl_verify_client on;",
    }
    ports = {name: free_port() for name in pairs}
    blocks = []
    for name, pair in pairs.items():
        certificate, key = pair.write(prefix, name)
        blocks.append(
            SERVER.format(
                port=ports[name],
                certificate=certificate,
                key=key,
                name=name,
                versions="TLSv1.2" if name == "old" else "TLSv1.2 TLSv1.3",
                more=more.get(name, ""),
                prefix=prefix,
            )
        )
    client = authority.sign("a client").write(prefix, "of-client")
    server = Nginx(nginx_binary(), prefix, "\n".join(blocks))
    yield Secure(ports, str(prefix / "ca.pem"), client)
    server.stop()


@pytest.mark.parametrize("io", ["epoll", "io_uring"])
@pytest.mark.parametrize(("version", "spoken"), [("1.2", "TLSv1.2, "), ("1.3", "TLSv1.3, ")])
def test_kept_connections(secure: Secure, io: str, version: str, spoken: str) -> None:
    report = measure(
        "-n",
        "1003",
        "-c",
        "7",
        "--io",
        io,
        "--tls",
        version,
        "--cacert",
        secure.authority,
        secure.url("good"),
    )
    assert report["statuses"] == {"200": 1003}
    assert report["body_bytes"] == 1003 * 5
    assert report["tls"]["full_handshakes"] == 7
    assert report["tls"]["protocols"][0].startswith(spoken)
    assert report["phases"]["handshake"]["count"] == report["phases"]["connect"]["count"] == 7
    assert report["phases"]["handshake"]["average_ns"] < report["phases"]["connect"]["average_ns"]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_sessions_are_resumed(secure: Secure, version: str) -> None:
    flags = (
        "-n",
        "200",
        "-c",
        "4",
        "-cpus",
        "1",
        "-disable-keepalive",
        "--tls",
        version,
        "--cacert",
        secure.authority,
    )
    report = measure(*flags, secure.url("good"))
    assert report["statuses"] == {"200": 200}
    tls = report["tls"]
    assert tls["full_handshakes"] + tls["resumed_handshakes"] == 200
    assert tls["full_handshakes"] <= 8  # those that began before the first session was there
    tls = measure(*flags, "--no-resume", secure.url("good"))["tls"]
    assert (tls["full_handshakes"], tls["resumed_handshakes"]) == (200, 0)


@pytest.mark.parametrize("io", ["epoll", "io_uring"])
def test_large_responses_arrive_complete(secure: Secure, io: str) -> None:
    flags = ("-n", "24", "-c", "3", "--io", io, "--cacert", secure.authority)
    assert measure(*flags, secure.url("good", "/files/1MiB"))["body_bytes"] == 24 << 20
    assert measure(*flags, secure.url("good", "/files/16KiB"))["body_bytes"] == 24 << 14


def test_an_address_is_verified_too(secure: Secure) -> None:
    assert measure("-n", "4", "-c", "1", "--cacert", secure.authority, secure.url("good", host="127.0.0.1"))
    outcome = heyfleet(
        "run", "-n", "4", "-c", "1", "--cacert", secure.authority, secure.url("other", host="127.0.0.1")
    )
    assert outcome.exit_code == 3
    assert "[4]\tTLS: certificate of another name (set its name with -host" in outcome.stdout


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        ("expired", "TLS: certificate expired"),
        ("other", "TLS: certificate of another name"),
        ("stranger", "TLS: certificate of an unknown authority"),
    ],
)
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_rejected_certificates(secure: Secure, server: str, reason: str, version: str) -> None:
    assert secure.errors(server, "--tls", version) == {reason: 6}
    report = measure("-n", "6", "-c", "2", "-k", "--tls", version, secure.url(server))
    assert report["statuses"] == {"200": 6}
    assert "the server's certificate was not verified (-k)" in report["notes"]


def test_a_certificate_that_the_system_does_not_trust(secure: Secure) -> None:
    outcome = heyfleet("run", "-n", "2", "-c", "1", secure.url("good"))
    assert outcome.exit_code == 3
    assert (
        "TLS: certificate of an unknown authority (trust it with --cacert FILE, or skip verification with -k)"
        in outcome.stdout
    )


def test_the_host_header_sets_the_name_to_verify(secure: Secure) -> None:
    report = measure(
        "-n", "2", "-c", "1", "--cacert", secure.authority, "-host", "other.test", secure.url("other")
    )
    assert report["statuses"] == {"200": 2}


def test_a_server_with_an_older_version_only(secure: Secure) -> None:
    report = measure("-n", "2", "-c", "1", "--cacert", secure.authority, secure.url("old"))
    assert report["tls"]["full_handshakes"] >= 1
    assert secure.errors("old", "--tls", "1.3") == {"TLS: refused by the server": 6}


def test_client_certificates(secure: Secure) -> None:
    certificate, key = secure.client
    flags = ("-n", "6", "-c", "2", "--cacert", secure.authority)
    report = measure(*flags, "--cert", certificate, "--key", key, secure.url("client"))
    assert report["statuses"] == {"200": 6}
    without = heyfleet("run", "--json", *flags, secure.url("client")).report
    assert without["statuses"] == {"400": 6}  # nginx: "No required SSL certificate was sent"


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("trust", [("-k",), ()])
def test_a_server_that_requires_a_client_certificate(
    tmp_path: Path, version: str, trust: tuple[str, ...]
) -> None:
    """The server sends an alert, with TLS 1.3 after the client completed its handshake."""
    authority = Authority()
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*authority.sign("localhost").write(tmp_path, "server"))
    server.load_verify_locations(tmp_path / "ca.pem")
    server.verify_mode = ssl.CERT_REQUIRED
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with suppress(OSError), server.wrap_socket(connection, server_side=True) as secured:
                    secured.recv(4096)

        threading.Thread(target=refuse, daemon=True).start()
        url = f"https://localhost:{listener.getsockname()[1]}/"
        flags = trust or ("--cacert", str(tmp_path / "ca.pem"))
        outcome = heyfleet("run", "--json", "-n", "4", "-c", "1", "--tls", version, *flags, url)
        listener.shutdown(socket.SHUT_RDWR)
    errors = outcome.report["errors"]
    # The server closes right after its alert: what we were sending then can make that a reset.
    assert sum(errors.values()) == 4
    assert set(errors) <= {"TLS: refused by the server", "reset"}
    assert version == "1.3" or errors == {"TLS: refused by the server": 4}


def test_a_server_without_tls(nginx: Any) -> None:
    outcome = heyfleet("run", "-n", "4", "-c", "2", f"https://127.0.0.1:{nginx.port}/")
    assert outcome.exit_code == 3
    assert "[4]\tTLS: protocol error (is this an https port?)" in outcome.stdout


def test_a_server_that_closes_during_the_handshake() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def leave() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                connection.recv(4096)
                connection.close()

        threading.Thread(target=leave, daemon=True).start()
        port = listener.getsockname()[1]
        outcome = heyfleet("run", "--json", "-n", "5", "-c", "1", f"https://127.0.0.1:{port}/")
        listener.shutdown(socket.SHUT_RDWR)
    assert outcome.exit_code == 3
    assert outcome.report["errors"] == {"TLS: closed in the handshake": 5}


def test_a_server_that_never_answers_the_handshake() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        outcome = heyfleet("run", "--json", "-n", "2", "-c", "1", "-t", "200ms", f"https://127.0.0.1:{port}/")
    assert outcome.report["errors"] == {"connect timeout": 2}


def test_through_agents(secure: Secure, tmp_path: Path) -> None:
    """Certificates are part of the plan."""
    certificate, key = secure.client
    report = measure(
        "-n", "1000", "-c", "8", "--local-agents", "2",
        "--cacert", secure.authority, "--cert", certificate, "--key", key, secure.url("client"),
    )  # fmt: skip
    assert report["statuses"] == {"200": 1000}
    assert report["tls"]["full_handshakes"] == 8
    assert "PRIVATE KEY" not in str(report)


def test_other_addresses(secure: Secure) -> None:
    port = secure.ports["good"]
    flags = ("-n", "9", "-c", "3", "--cacert", secure.authority)
    report = measure(*flags, "--connect-to", f"localhost:443:127.0.0.1:{port}", "https://localhost/")
    assert report["statuses"] == {"200": 9}
    assert report["plan"]["url"] == "https://localhost/"
    assert report["addresses"] == ["127.0.0.1"]
