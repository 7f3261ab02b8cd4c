"""Redirects against nginx: within the server, to TLS and back, in loops, and not followed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..certificates import Authority
from ..conftest import Nginx, nginx_binary
from ..ports import free_port
from .command import heyfleet, measure

SERVER = """
absolute_redirect off;
server {{
    listen 127.0.0.1:{ports[plain]};
    listen 127.0.0.2:{ports[plain]};
    keepalive_requests 100000;
    location / {{ return 200 "hello"; }}
    location /to/ {{ return 302 /there; }}
    location = /relative/here {{ return 301 there; }}
    location /chain1 {{ return 302 /chain2; }}
    location /chain2 {{ return 303 /chain3; }}
    location /chain3 {{ return 307 /there; }}
    location /loop {{ return 301 /loop; }}
    location /tls {{ return 302 https://localhost:{ports[tls]}/; }}
    location /back {{ return 302 https://localhost:{ports[tls]}/plain; }}
    location /each {{ return 302 /there?$request_id; }}
    location /dead {{ return 302 http://localhost:{ports[dead]}/; }}
    location /nohost {{ return 302 http://nohost.invalid/; }}
    location /ftp {{ return 302 ftp://localhost/; }}
    location /none {{ return 304; }}
    location /closing {{ keepalive_timeout 0; return 302 /there; }}
    location /method307 {{ return 307 /method; }}
    location /method302 {{ return 302 /method; }}
    location /method {{ return 200 $request_method; }}
}}
server {{
    listen 127.0.0.1:{ports[short]};
    keepalive_requests 3;
    keepalive_timeout 20ms;
    location / {{ return 200 "hello"; }}
    location /to/ {{ return 302 /there; }}
}}
server {{
    listen 127.0.0.1:{ports[tls]} ssl http2;
    keepalive_requests 100000;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    location / {{ return 200 "secret"; }}
    location /plain {{ return 302 http://localhost:{ports[plain]}/there; }}
    location /to/ {{ return 302 /there; }}
    location /loop {{ return 302 /loop; }}
}}
"""


@dataclass
class Servers:
    """Ports of an nginx with and without TLS."""

    ports: dict[str, int]
    authority: str

    def url(self, path: str, scheme: str = "http") -> str:
        return f"{scheme}://localhost:{self.ports['tls' if scheme == 'https' else 'plain']}{path}"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    prefix = tmp_path_factory.mktemp("nginx-redirects")
    authority = Authority()
    (prefix / "ca.pem").write_bytes(authority.pem)
    certificate, key = authority.sign("localhost").write(prefix, "server")
    ports = {"plain": free_port(), "tls": free_port(), "dead": free_port(), "short": free_port()}
    nginx = Nginx(nginx_binary(), prefix, SERVER.format(ports=ports, certificate=certificate, key=key))
    yield Servers(ports, str(prefix / "ca.pem"))
    nginx.stop()


@pytest.mark.parametrize("io", ["epoll", "io_uring"])
@pytest.mark.parametrize(("path", "hops"), [("/to/", 1), ("/relative/here", 1), ("/chain1", 3), ("/", 0)])
def test_within_the_server(servers: Servers, io: str, path: str, hops: int) -> None:
    report = measure("-n", "503", "-c", "5", "--io", io, "-4", servers.url(path))
    assert report["statuses"] == {"200": 503}
    assert report["body_bytes"] == 503 * 5
    assert report["redirects"] == 503 * hops
    assert report["generator"]["connections_opened"] == 5
    assert report["latency"]["count"] == 503


@pytest.mark.parametrize("load", [("-n", "200"), ("--rate", "100", "-z", "1s")])
def test_a_server_that_keeps_connections_for_a_short_while(servers: Servers, load: tuple[str, ...]) -> None:
    """The server announces the end after three responses; after 20 ms it closes silently, maybe as the next request arrives."""
    report = measure(*load, "-c", "4", "-4", f"http://localhost:{servers.ports['short']}/to/")
    ledger = report["ledger"]  # on a busy machine, some requests of a rate are unsent or abandoned
    assert report["statuses"] == {"200": ledger["sent"] - ledger["abandoned"]}
    assert report["statuses"]["200"] <= report["redirects"] <= ledger["sent"]


@pytest.mark.parametrize("io", ["epoll", "io_uring"])
def test_a_redirect_to_tls_reuses_connections(servers: Servers, io: str) -> None:
    report = measure(
        "-n", "500", "-c", "5", "-4", "--io", io, "--cacert", servers.authority, servers.url("/tls")
    )
    assert report["statuses"] == {"200": 500}
    assert report["body_bytes"] == 500 * len("secret")
    assert report["redirects"] == 500
    assert report["generator"]["connections_opened"] == 10
    assert report["tls"]["full_handshakes"] + report["tls"]["resumed_handshakes"] == 5


def test_a_redirect_to_tls_and_back(servers: Servers) -> None:
    report = measure("-n", "300", "-c", "3", "-4", "--cacert", servers.authority, servers.url("/back"))
    assert report["statuses"] == {"200": 300}
    assert report["body_bytes"] == 300 * 5
    assert report["redirects"] == 600
    assert report["generator"]["connections_opened"] == 6


def test_responses_count_for_the_address_that_sent_them(servers: Servers) -> None:
    # The kernel turns its stamps on a moment after the first socket asks for them, later still on a busy machine.
    flags = (
        "--rate",
        "200",
        "-n",
        "200",
        "-c",
        "4",
        "-4",
        "--kernel-timestamps",
        "--cacert",
        servers.authority,
    )
    name = f"localhost:{servers.ports['plain']}:127.0.0.1,127.0.0.2"
    report = measure(*flags, "--resolve", name, servers.url("/back"))
    responses = {each["address"]: each["responses"] for each in report["by_address"]}
    assert sum(responses.values()) == 200
    assert min(responses.values()) > 0
    assert 100 <= report["kernel_latency"]["count"] <= 200


def test_a_redirect_to_a_dead_host_fails_only_its_request(servers: Servers, tmp_path: Path) -> None:
    """In an open loop, requests wait for connections that are opened; those lead to the target."""
    targets = tmp_path / "targets"
    targets.write_text(f"GET {servers.url('/')}\n\nGET {servers.url('/dead')}\n")
    load = ("--rate", "200", "-z", "1s", "-c", "2", "-4", "-cpus", "1")
    report = measure(*load, "--targets", str(targets))
    assert report["statuses"].keys() == {"200"}
    assert report["errors"].keys() == {"connect refused"}
    responses, errors, ledger = (
        report["statuses"]["200"],
        report["errors"]["connect refused"],
        report["ledger"],
    )
    assert responses + errors == ledger["sent"] - ledger["abandoned"]  # a busy machine does not send all 200
    assert min(responses, errors) > 25


def test_a_redirect_to_an_untrusted_certificate(servers: Servers) -> None:
    outcome = heyfleet("run", "--json", "-n", "6", "-c", "2", "-4", servers.url("/tls"))
    assert outcome.exit_code == 3
    assert outcome.report["errors"] == {"TLS: certificate of an unknown authority": 6}


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/loop", "redirect: more than ten"),
        ("/nohost", "redirect: to an unknown host"),
        ("/ftp", "redirect: to no usable address"),
    ],
)
def test_bad_redirects(servers: Servers, path: str, error: str) -> None:
    outcome = heyfleet("run", "--json", "-n", "40", "-c", "4", "-4", servers.url(path))
    assert outcome.exit_code == 3
    assert outcome.report["errors"] == {error: 40}
    assert outcome.report["generator"]["connections_opened"] == 4


def test_disabled_redirects(servers: Servers) -> None:
    report = measure("-n", "40", "-c", "4", "-4", "-disable-redirects", servers.url("/tls"))
    assert report["statuses"] == {"302": 40}
    assert report["redirects"] == 0


def test_each_redirect_target_has_its_own_connections(servers: Servers) -> None:
    """More places than are kept in mind."""
    report = measure("-n", "12000", "-c", "8", "-4", servers.url("/each"))
    assert report["statuses"] == {"200": 12000}
    assert report["redirects"] == 12000
    assert report["generator"]["connections_opened"] == 8


def test_a_redirect_that_ends_the_connection(servers: Servers) -> None:
    report = measure("-n", "60", "-c", "3", "-4", servers.url("/closing"))
    assert report["statuses"] == {"200": 60}
    assert report["generator"]["connections_opened"] >= 60


def test_without_keepalive(servers: Servers) -> None:
    report = measure("-n", "30", "-c", "3", "-4", "-disable-keepalive", servers.url("/to/"))
    assert report["statuses"] == {"200": 30}
    assert report["generator"]["connections_opened"] == 60


@pytest.mark.parametrize(("path", "method"), [("/method307", "POST"), ("/method302", "GET")])
def test_methods(servers: Servers, path: str, method: str) -> None:
    report = measure("-n", "20", "-c", "2", "-4", "-m", "POST", "-d", "x=1", servers.url(path))
    assert report["statuses"] == {"200": 20}
    assert report["body_bytes"] == 20 * len(method)


def test_over_http2(servers: Servers) -> None:
    flags = ("-n", "600", "-c", "2", "-4", "--streams", "4", "-h2", "--cacert", servers.authority)
    report = measure(*flags, servers.url("/to/", "https"))
    assert report["statuses"] == {"200": 600}
    assert report["redirects"] == 600
    assert report["generator"]["connections_opened"] == 2
    outcome = heyfleet("run", "--json", *flags, servers.url("/loop", "https"))
    assert outcome.report["errors"] == {"redirect: more than ten": 600}


def test_http2_does_not_follow_to_another_origin(servers: Servers) -> None:
    report = measure(
        "-n", "20", "-c", "2", "-4", "-h2", "--cacert", servers.authority, servers.url("/plain", "https")
    )
    assert report["statuses"] == {"302": 20}
    assert any("asked for a redirect" in note for note in report["notes"])


def test_through_agents_and_at_a_rate(servers: Servers) -> None:
    report = measure(
        "--rate",
        "500",
        "-z",
        "1s",
        "-c",
        "8",
        "-4",
        "--local-agents",
        "2",
        "--cacert",
        servers.authority,
        servers.url("/tls"),
    )
    ledger = report["ledger"]  # on a busy machine, some requests are unsent or abandoned
    assert report["statuses"] == {"200": ledger["sent"] - ledger["abandoned"]}
    assert 250 < report["statuses"]["200"] <= report["redirects"] <= ledger["sent"]


def test_users_follow_redirects(servers: Servers) -> None:
    report = measure("--users", "5", "-n", "200", "-z", "20s", "-4", servers.url("/chain1"))
    assert report["statuses"] == {"200": 200}
    assert report["redirects"] == 600


def test_the_report_shows_redirects(servers: Servers, tmp_path: Path) -> None:
    text = heyfleet("run", "-n", "30", "-c", "3", "-4", servers.url("/to/")).stdout
    assert "  Redirects:\t30 followed" in text
    (tmp_path / "plan.yaml").write_text(
        f"url: {servers.url('/to/')}\ncount: 10\ndisable-redirects: true\nipv4: true\n"
    )
    outcome = heyfleet("run", "--json", "-f", str(tmp_path / "plan.yaml"))
    assert outcome.exit_code == 0, outcome.stderr
    assert outcome.report["statuses"] == {"302": 10}
