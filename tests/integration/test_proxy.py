"""HTTP proxies: tinyproxy, which tunnels, and an nginx that keeps its clients' connections."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from ..certificates import Authority
from ..conftest import Nginx, nginx_binary
from ..ports import free_port
from ..proxies import Tinyproxy
from .command import heyfleet, measure

SERVERS = """
server {{
    listen 127.0.0.1:{https} ssl http2;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    location / {{ return 200 "hello"; }}
    location /plain {{ return 302 http://localhost:{echo}/there; }}
}}
server {{
    listen 127.0.0.1:{forward};
    location / {{
        if ($http_proxy_authorization != "Basic dXNlcjpwOnNz") {{ return 407; }}
        proxy_set_header Authorized $http_proxy_authorization;
        proxy_set_header Asked $request;
        proxy_pass http://127.0.0.1:{echo}$request_uri;
    }}
}}
server {{
    listen 127.0.0.1:{echo};
    location = /asked {{ if ($http_asked = "GET http://localhost:{echo}/asked HTTP/1.1") {{ return 201; }} return 400; }}
    location / {{ return 200 "hello"; }}
    location /secure {{ return 302 https://localhost:{https}/there; }}
}}
"""


@dataclass
class Around:
    """Ports of all servers, and the CA certificate to trust."""

    https: int
    echo: int
    forward: int
    tunnel: int
    picky: int
    authority: str


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Around]:
    prefix = tmp_path_factory.mktemp("proxies")
    authority = Authority()
    (prefix / "ca.pem").write_bytes(authority.pem)
    certificate, key = authority.sign("localhost").write(prefix, "server")
    ports = {name: free_port() for name in ("https", "echo", "forward")}
    server = Nginx(nginx_binary(), prefix, SERVERS.format(certificate=certificate, key=key, **ports))
    proxies = [Tinyproxy(prefix), Tinyproxy(prefix, "BasicAuth user pass\nConnectPort 1")]
    yield Around(**ports, tunnel=proxies[0].port, picky=proxies[1].port, authority=str(prefix / "ca.pem"))
    server.stop()
    for proxy in proxies:
        proxy.stop()


@pytest.mark.parametrize("flags", [(), ("--io", "epoll"), ("--local-agents", "2"), ("-h2", "--streams", "4")])
def test_a_tunnel_for_each_connection(around: Around, flags: tuple[str, ...]) -> None:
    report = measure(
        *(*flags, "-n", "300", "-c", "6", "-x", f"localhost:{around.tunnel}", "--cacert", around.authority),
        f"https://localhost:{around.https}/",
    )
    assert report["statuses"] == {"200": 300}
    assert (
        report["generator"]["connections_opened"]
        == report["tls"]["full_handshakes"] + report["tls"]["resumed_handshakes"]
        == 6
    )
    assert report["phases"]["handshake"]["fastest_ns"] < report["phases"]["connect"]["fastest_ns"]
    assert report["plan"]["proxy"] == {"host": "localhost", "port": around.tunnel, "credentials": None}


def test_connect_to_sets_the_end_of_the_tunnel(around: Around) -> None:
    flags = ("-n", "4", "-c", "2", "-k", "-x", f"127.0.0.1:{around.tunnel}")
    rule = f"shop.invalid:443:localhost:{around.https}"
    assert measure(*flags, "--connect-to", rule, "https://shop.invalid/")["statuses"] == {"200": 4}


@pytest.mark.parametrize("flags", [(), ("--local-agents", "2"), ("-disable-keepalive",)])
def test_http_asks_for_the_whole_url_and_keeps_its_connections(
    around: Around, flags: tuple[str, ...]
) -> None:
    report = measure(
        *(*flags, "-n", "100", "-c", "4", "-x", f"http://user:p%3Ass@127.0.0.1:{around.forward}"),
        f"http://localhost:{around.echo}/asked",
    )
    assert report["statuses"] == {"201": 100}
    assert report["generator"]["connections_opened"] == (100 if "-disable-keepalive" in flags else 4)
    assert report["plan"]["proxy"]["credentials"] == "(hidden)"


def test_placeholders_in_the_url_and_in_a_header(around: Around) -> None:
    report = measure(
        *(
            "-n",
            "10",
            "-c",
            "2",
            "--template",
            "-H",
            "Asked: {seq}",
            "-x",
            f"user:p%3Ass@127.0.0.1:{around.forward}",
        ),
        f"http://localhost:{around.echo}/a?{{uuid}}",
    )
    assert report["statuses"] == {"200": 10}


def test_wrong_credentials(around: Around) -> None:
    url = f"http://localhost:{around.echo}/asked"
    report = measure("-n", "4", "-c", "2", "-x", f"http://user:no@127.0.0.1:{around.forward}", url)
    assert report["statuses"] == {"407": 4}


def test_redirects_to_both_schemes(around: Around) -> None:
    flags = (
        "-n",
        "20",
        "-c",
        "2",
        "-cpus",
        "1",
        "-x",
        f"127.0.0.1:{around.tunnel}",
        "--cacert",
        around.authority,
    )
    for url in (f"https://localhost:{around.https}/plain", f"http://localhost:{around.echo}/secure"):
        report = measure(*flags, url)
        assert report["statuses"] == {"200": 20}
        assert report["redirects"] == 20
        assert report["tls"]["full_handshakes"] + report["tls"]["resumed_handshakes"] == 2


@pytest.mark.parametrize(
    ("credentials", "kind"),
    [("", "proxy: authentication required"), ("user:pass@", "proxy: refused the tunnel")],
)
def test_refused_tunnels(around: Around, credentials: str, kind: str) -> None:
    proxy = f"http://{credentials}127.0.0.1:{around.picky}"
    outcome = heyfleet("run", "-n", "6", "-c", "2", "-k", "-x", proxy, f"https://localhost:{around.https}/")
    assert outcome.exit_code == 3
    assert f"[6]\t{kind} (" in outcome.stdout
    assert "pass" not in outcome.stdout


def test_a_proxy_that_never_answers_ends_by_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        proxy = f"127.0.0.1:{silent.getsockname()[1]}"
        outcome = heyfleet(
            "run", "--json", "-n", "4", "-c", "2", "-t", "300ms", "-x", proxy, "https://a.invalid/"
        )
    assert outcome.report["errors"] == {"connect timeout": 4}
