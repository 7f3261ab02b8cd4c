"""-h2, --h2c and --streams against nginx and nghttpd: protocols, counts and conflicts."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..certificates import Authority
from ..conftest import Nginx, nginx_binary
from ..ports import free_port
from .command import heyfleet, measure

SERVER = """
http2_max_concurrent_streams 128;
server {{
    listen 127.0.0.1:{ports[h2]} ssl http2;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    keepalive_requests 1000000;
    location / {{ return 200 "hello"; }}
    location /protocol {{ return 200 $server_protocol; }}
    location /files/ {{ root {prefix}; }}
    location /upload {{ client_max_body_size 1g; proxy_pass http://127.0.0.1:{ports[echo]}; }}
}}
server {{
    listen 127.0.0.1:{ports[few]} ssl http2;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    keepalive_requests 20;
    http2_max_concurrent_streams 3;
    location / {{ return 200 "hello"; }}
}}
server {{
    listen 127.0.0.1:{ports[old]} ssl;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    location / {{ return 200 "hello"; }}
}}
server {{
    listen 127.0.0.1:{ports[h2c]} http2;
    keepalive_requests 1000000;
    location / {{ return 200 "hello"; }}
}}
server {{
    listen 127.0.0.1:{ports[echo]};
    client_max_body_size 1g;
    location / {{ return 200 $content_length; }}
}}
"""


@dataclass
class Servers:
    """Ports of an nginx with and without HTTP/2, and of an nghttpd."""

    ports: dict[str, int]
    authority: str

    def url(self, server: str, path: str = "/") -> str:
        scheme = "http" if server == "h2c" else "https"
        return f"{scheme}://localhost:{self.ports[server]}{path}"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    prefix = tmp_path_factory.mktemp("nginx-http2")
    authority = Authority()
    (prefix / "ca.pem").write_bytes(authority.pem)
    certificate, key = authority.sign("localhost", "127.0.0.1").write(prefix, "server")
    ports = {name: free_port() for name in ("h2", "few", "old", "h2c", "echo", "nghttpd")}
    nginx = Nginx(
        nginx_binary(), prefix, SERVER.format(ports=ports, certificate=certificate, key=key, prefix=prefix)
    )
    command = ["nghttpd", "-d", str(prefix), "-a", "127.0.0.1", str(ports["nghttpd"]), key, certificate]
    nghttpd = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    time.sleep(0.2)
    assert nghttpd.poll() is None, "nghttpd did not start"
    yield Servers(ports, str(prefix / "ca.pem"))
    nghttpd.terminate()
    nghttpd.wait(10)
    nginx.stop()


@pytest.mark.parametrize("io", ["epoll", "io_uring"])
@pytest.mark.parametrize("server", ["h2", "h2c", "nghttpd"])
def test_many_streams(servers: Servers, io: str, server: str) -> None:
    flags = ["--h2c"] if server == "h2c" else ["-h2", "--cacert", servers.authority]
    path = "/files/16KiB" if server == "nghttpd" else "/"
    report = measure("-n", "2003", "-c", "5", "--streams", "7", "--io", io, *flags, servers.url(server, path))
    assert report["statuses"] == {"200": 2003}
    assert report["body_bytes"] == 2003 * (16384 if server == "nghttpd" else 5)
    assert report["generator"]["connections_opened"] == 5
    assert report["http"] == {
        "versions": ["HTTP/2"],
        "streams": 7,
        "streams_allowed": 100 if server == "nghttpd" else 128,
        "goaways": 0,
        "retries": 0,
    }
    assert report["plan"]["http"] == "2"
    assert report["plan"]["streams"] == 7


def test_the_server_sees_http2(servers: Servers) -> None:
    report = measure(
        "-n", "10", "-c", "2", "-h2", "--cacert", servers.authority, servers.url("h2", "/protocol")
    )
    assert report["body_bytes"] == 10 * len("HTTP/2.0")


def test_through_agents(servers: Servers) -> None:
    report = measure(
        "-n",
        "1001",
        "-c",
        "6",
        "--streams",
        "4",
        "-h2",
        "--cacert",
        servers.authority,
        "--local-agents",
        "2",
        servers.url("h2"),
    )
    assert report["statuses"] == {"200": 1001}
    assert report["generator"]["connections_opened"] == 6
    assert report["http"]["versions"] == ["HTTP/2"]
    assert [agent["requests"] for agent in report["fleet"]["agents"]] == [501, 500]


def test_at_a_rate(servers: Servers) -> None:
    report = measure("--rate", "2000", "-z", "1s", "-c", "4", "--streams", "16", "--h2c", servers.url("h2c"))
    assert report["ledger"]["planned"] == 2000
    assert report["ledger"]["unsent"] == 0
    # On a busy machine the last answers may come after the end of the second.
    assert report["statuses"]["200"] + report["ledger"]["abandoned"] == 2000
    assert report["generator"]["connections_opened"] <= 4


@pytest.mark.parametrize("body_bytes", [1, 100_000, 3_000_000])
def test_bodies(servers: Servers, tmp_path: Path, body_bytes: int) -> None:
    """The body is larger than nginx's initial window; the response has its length."""
    (tmp_path / "body").write_bytes(bytes(body_bytes))
    report = measure(
        "-n",
        "6",
        "-c",
        "2",
        "--streams",
        "3",
        "-h2",
        "--cacert",
        servers.authority,
        "-m",
        "POST",
        "-D",
        str(tmp_path / "body"),
        servers.url("h2", "/upload"),
    )
    assert report["statuses"] == {"200": 6}
    assert report["body_bytes"] == 6 * len(str(body_bytes))
    assert report["generator"]["bytes_sent"] > 6 * body_bytes


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "DELETE", "POST"])
def test_methods(servers: Servers, method: str) -> None:
    report = measure(
        "-n", "20", "-c", "2", "-h2", "--cacert", servers.authority, "-m", method, servers.url("h2")
    )
    assert report["statuses"] == {"200": 20}
    assert report["body_bytes"] == (0 if method == "HEAD" else 100)


def test_large_answers(servers: Servers) -> None:
    report = measure(
        "-n",
        "40",
        "-c",
        "2",
        "--streams",
        "4",
        "-h2",
        "--cacert",
        servers.authority,
        servers.url("h2", "/files/1MiB"),
    )
    assert report["statuses"] == {"200": 40}
    assert report["body_bytes"] == 40 * 2**20
    assert report["generator"]["bytes_received"] > 40 * 2**20


def test_connections_that_the_server_ends(servers: Servers) -> None:
    """nginx ends a connection after 20 requests and allows three concurrent streams, fewer than requested."""
    report = measure(
        "-n", "500", "-c", "2", "--streams", "6", "-h2", "--cacert", servers.authority, servers.url("few")
    )
    assert report["statuses"] == {"200": 500}
    assert report["generator"]["connections_opened"] >= 25
    assert report["http"]["goaways"] >= 20
    assert report["http"]["streams_allowed"] == 3
    assert any("allows 3 concurrent requests on each connection, not 6" in note for note in report["notes"])


def test_without_keepalive(servers: Servers) -> None:
    report = measure(
        "-n", "30", "-c", "3", "-disable-keepalive", "-h2", "--cacert", servers.authority, servers.url("h2")
    )
    assert report["statuses"] == {"200": 30}
    assert report["generator"]["connections_opened"] == 30
    assert report["tls"]["resumed_handshakes"] > 0


def test_a_server_without_http2(servers: Servers) -> None:
    flags = ("-n", "50", "-c", "5", "--streams", "3", "-h2", "--cacert", servers.authority)
    report = measure(*flags, servers.url("old"))
    assert report["statuses"] == {"200": 50}
    assert report["http"]["versions"] == ["HTTP/1.1"]
    assert report["http"]["streams"] == 1
    assert any("does not support HTTP/2: HTTP/1.1 was used" in note for note in report["notes"])
    text = heyfleet("run", *flags, servers.url("old"))
    assert "the server does not support HTTP/2" in text.stdout


def test_h2c_to_a_server_without_http2(nginx: Nginx) -> None:
    """An HTTP/1.1 server answers the preface with an error, or closes."""
    outcome = heyfleet("run", "--json", "-n", "4", "-c", "1", "--h2c", nginx.url("/"))
    assert outcome.exit_code == 3
    assert set(outcome.report["errors"]) <= {"HTTP/2: protocol error", "closed early", "reset"}


def test_the_report_names_the_protocol(servers: Servers) -> None:
    text = heyfleet("run", "-n", "30", "-c", "2", "--streams", "3", "--h2c", servers.url("h2c")).stdout
    assert "  Protocol:\tHTTP/2, 3 concurrent requests on each connection\n" in text


def test_http2_in_a_plan_file(servers: Servers, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        f"url: {servers.url('h2c')}\ncount: 100\nconnections: 2\nh2c: true\nstreams: 5\n"
        "requests:\n  - name: a\n    path: /a\n    weight: 3\n  - name: b\n    path: /b\n"
    )
    outcome = heyfleet("run", "--json", "-f", str(plan))
    assert outcome.exit_code == 0, outcome.stderr
    report = outcome.report
    assert [(each["name"], each["responses"]) for each in report["requests"]] == [("a", 75), ("b", 25)]
    assert report["http"]["streams"] == 5


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["-h2", "http://localhost/"], "-h2 is negotiated in TLS"),
        (["--h2c", "https://localhost/"], "--h2c is HTTP/2 without TLS"),
        (["-h2", "--h2c", "https://localhost/"], "exclude each other"),
        (["--streams", "3", "https://localhost/"], "--streams needs HTTP/2"),
        (["--streams", "0", "-h2", "https://localhost/"], "--streams"),
        (["-h2", "--streams", "3", "-q", "5", "https://localhost/"], "--streams works with -c or --rate"),
        (
            ["-h2", "--streams", "3", "--users", "5", "https://localhost/"],
            "--streams works with -c or --rate",
        ),
        (["-h2", "--streams", "3", "-disable-keepalive", "https://localhost/"], "exclude each other"),
        (["--h2c", "--kernel-timestamps", "http://localhost/"], "--kernel-timestamps needs HTTP/1.1"),
    ],
)
def test_conflicting_options(flags: list[str], words: str) -> None:
    outcome = heyfleet("run", *flags)
    assert outcome.exit_code == 2
    assert words in outcome.stderr
