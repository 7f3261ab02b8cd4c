"""Bodies of requests and responses, against nginx."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from ..codings import ENCODE
from ..conftest import Nginx, nginx_binary
from ..ports import free_port
from .command import heyfleet, measure

CONTENT = b"some text, over and over; " * 8000
SERVER = """
server {{
    listen 127.0.0.1:{port};
    listen 127.0.0.1:{port_h2} http2;
    location / {{ return 200 "hello"; }}
    location /upload {{ proxy_pass http://127.0.0.1:{port}/; }}
    location /small {{ client_max_body_size 1k; proxy_pass http://127.0.0.1:{port}/; }}
    location /gzip/ {{ alias {prefix}/encoded/; gzip on; gzip_types *; gzip_min_length 1; }}
    location /static/ {{ alias {prefix}/encoded/; gzip_static always; }}
    location ~ ^/as/(.*)/(.*)$ {{ alias {prefix}/encoded/$2; add_header Content-Encoding $1; }}
}}
"""


class Ports(NamedTuple):
    """Ports of one server for HTTP/1.1 and for HTTP/2 without TLS."""

    http1: int
    http2: int

    def flags(self, http: str, path: str) -> tuple[str, ...]:
        """Return the arguments that request a path with this protocol."""
        if http == "2":
            return ("--h2c", f"http://127.0.0.1:{self.http2}/{path}")
        return (f"http://127.0.0.1:{self.http1}/{path}",)


@pytest.fixture(scope="module")
def port(ports: Ports) -> int:
    return ports.http1


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    ports, prefix = Ports(free_port(), free_port()), tmp_path_factory.mktemp("bodies")
    (prefix / "encoded").mkdir()
    (prefix / "encoded/plain").write_bytes(CONTENT)
    for name, encode in ENCODE.items():
        (prefix / "encoded" / name).write_bytes(encode(CONTENT))
    (prefix / "encoded/plain.gz").write_bytes(ENCODE["gzip"](CONTENT))
    (prefix / "encoded/twice").write_bytes(ENCODE["br"](ENCODE["gzip"](CONTENT)))
    (prefix / "encoded/cut").write_bytes(ENCODE["zstd"](CONTENT)[:-9])
    server = Nginx(
        nginx_binary(), prefix, SERVER.format(port=ports.http1, port_h2=ports.http2, prefix=prefix)
    )
    yield ports
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
    """The body is in memory once, however many connections send it."""
    (tmp_path / "body").write_bytes(bytes(16 << 20))
    few, many = (
        measure(
            "-n", "32", "-c", count, "-m", "PUT", "-D", f"{tmp_path}/body", f"http://127.0.0.1:{port}/upload"
        )
        for count in ("1", "32")
    )
    assert few["statuses"] == many["statuses"] == {"200": 32}
    assert many["generator"]["peak_rss_bytes"] < few["generator"]["peak_rss_bytes"] + (16 << 20)


@pytest.mark.parametrize("who", [(), ("--local-agents", "2")])
@pytest.mark.parametrize("http", ["1.1", "2"])
@pytest.mark.parametrize(
    "path",
    ["gzip/plain", "static/plain", "as/deflate/deflate", "as/br/br", "as/zstd/zstd", "as/gzip,br/twice"],
)
def test_compressed_responses_are_decoded(ports: Ports, path: str, who: tuple[str, ...], http: str) -> None:
    report = measure(*who, "-n", "100", "-c", "4", "--decode", *ports.flags(http, path))
    assert report["statuses"] == {"200": 100}
    assert report["decoded_bytes"] == 100 * len(CONTENT)
    assert report["body_bytes"] < report["decoded_bytes"] / 10
    assert report["generator"]["connections_opened"] == 4
    accepted = {each["name"]: each["value"] for each in report["plan"]["requests"][0]["headers"]}[
        "Accept-Encoding"
    ]
    assert accepted == "gzip, deflate, br, zstd"


def test_plain_responses_count_as_they_are(port: int) -> None:
    flags = ("-n", "10", "-c", "2", "--decode", "-disable-compression")
    report = measure(*flags, f"http://127.0.0.1:{port}/gzip/plain")
    assert report["decoded_bytes"] == report["body_bytes"] == 10 * len(CONTENT)
    assert measure("-n", "10", "-c", "2", f"http://127.0.0.1:{port}/as/br/br")["decoded_bytes"] is None


@pytest.mark.parametrize("http", ["1.1", "2"])
@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("as/gzip/plain", "bad content: broken coding"),
        ("as/zstd/cut", "bad content: broken coding"),
        ("as/br,gzip/twice", "bad content: broken coding"),
        ("as/compress/plain", "bad content: unknown coding"),
    ],
)
def test_broken_encodings_are_errors(ports: Ports, path: str, kind: str, http: str) -> None:
    target = ports.flags(http, path)
    outcome = heyfleet("run", "--json", "-n", "20", "-c", "2", "--decode", *target)
    assert outcome.exit_code == 3
    assert outcome.report["errors"] == {kind: 20}
    # Undecoded they are answers.
    assert measure("-n", "20", "-c", "2", *target)["statuses"] == {"200": 20}


def test_decode_in_a_plan_file_and_in_the_text_report(port: int, tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(f"url: http://127.0.0.1:{port}/as/br/br\ncount: 10\ndecode: true\n")
    outcome = heyfleet("run", "-f", f"{tmp_path}/plan.yaml")
    assert f"  Decoded:\t{10 * len(CONTENT)} bytes" in outcome.stdout
