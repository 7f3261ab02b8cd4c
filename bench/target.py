"""The server that all load generators send to: nginx with one worker, pinned to one core."""

from __future__ import annotations

import http.client
import os
import re
import resource
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from bench.errors import BenchError
from bench.measure import pinned

CONNECTIONS = 20_000
START_TIMEOUT_S = 60
IDLE_TIMEOUT_S = 30

CONFIGURATION = """
worker_processes 1;
worker_rlimit_nofile {files};
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=65535;
        location / {{ return 200 "hello"; }}
        location = /status {{ stub_status; }}
        location /files/ {{ root {folder}; sendfile on; }}
    }}
    server {{
        listen 127.0.0.1:{tls_port} ssl backlog=65535;
        ssl_certificate {folder}/certificate.pem;
        ssl_certificate_key {folder}/key.pem;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
        ssl_session_cache shared:bench:10m;
        location / {{ return 200 "hello"; }}
        location /files/ {{ root {folder}; }}
    }}
    server {{
        listen 127.0.0.1:{http2_port} ssl http2 backlog=65535;
        ssl_certificate {folder}/certificate.pem;
        ssl_certificate_key {folder}/key.pem;
        ssl_protocols TLSv1.3;
        ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
        location / {{ return 200 "hello"; }}
    }}
}}
"""


class Status(NamedTuple):
    """Counters of nginx, without the connection and the requests that read them."""

    connections: int
    requests: int


def parse_status(page: str, own_requests: int) -> Status:
    """Read nginx's stub_status page; `own_requests` requests for it were made on one connection, this one included."""
    active = re.search(r"Active connections: (\d+)", page)
    totals = re.search(r"^ (\d+) (\d+) (\d+) $", page, re.MULTILINE)
    if not active or not totals:
        raise BenchError(f"nginx returned no status: {page[:100]!r}")
    return Status(int(active[1]) - 1, int(totals[3]) - own_requests)


def free_ports(count: int) -> list[int]:
    """Return this many ports that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


def make_certificate(folder: Path) -> str:
    """Create a self-signed P-256 certificate for localhost and return its path."""
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    files = ("-keyout", f"{folder}/key.pem", "-out", f"{folder}/certificate.pem")
    command = ["openssl", *words.split(), "-addext", "subjectAltName=DNS:localhost", *files]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"openssl created no certificate: {done.stderr[-300:]}")
    return f"{folder}/certificate.pem"


class Nginx:
    """A running nginx on a free port of loopback, pinned to one core; a context manager."""

    def __init__(self, core: int) -> None:
        executable = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if executable is None:
            raise BenchError("nginx is missing; install Debian's package nginx (make bench does it)")
        self._folder = Path(tempfile.mkdtemp(prefix="heyfleet-bench-"))
        self.port, self._tls_port, self._http2_port = free_ports(3)
        self.certificate = make_certificate(self._folder)
        (self._folder / "files").mkdir()
        (self._folder / "files/16KiB").write_bytes(bytes(range(256)) * 64)
        (self._folder / "files/1MiB").write_bytes(bytes(range(256)) * 4096)
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        text = CONFIGURATION.format(
            folder=self._folder,
            port=self.port,
            tls_port=self._tls_port,
            http2_port=self._http2_port,
            files=files,
            connections=CONNECTIONS,
        )
        (self._folder / "nginx.conf").write_text(text)
        command = [executable, "-c", f"{self._folder}/nginx.conf", "-e", f"{self._folder}/error.log"]
        self._process = subprocess.Popen(pinned(command, core), stderr=subprocess.DEVNULL)
        self._own_requests = 0
        self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)

    @property
    def url(self) -> str:
        """URL of the response of five bytes."""
        return f"http://127.0.0.1:{self.port}/"

    def tls_url(self, path: str) -> str:
        """Return the https URL of a path: "/" has five bytes, "/files/16KiB" and "/files/1MiB" have that many."""
        return f"https://localhost:{self._tls_port}{path}"

    @property
    def http2_url(self) -> str:
        """URL of the response of five bytes over HTTP/2 and TLS."""
        return f"https://localhost:{self._http2_port}/"

    def __enter__(self) -> Self:
        """Wait until nginx responds."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                self.status()
                return self
            except ConnectionRefusedError:
                self._connection.close()  # only a closed connection can be used again
                if self._process.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.02)
                    continue
                log = self._folder / "error.log"
                output = log.read_text()[-1000:] if log.exists() else "and left no log"
                self.stop()
                raise BenchError(f"nginx did not start: {output}") from None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop nginx."""
        self.stop()

    def stop(self) -> None:
        """Stop nginx and remove its files."""
        self._connection.close()
        self._process.terminate()
        self._process.wait()
        shutil.rmtree(self._folder)

    def status(self) -> Status:
        """Read nginx's counters."""
        self._connection.request("GET", "/status")
        page = self._connection.getresponse().read().decode()
        self._own_requests += 1
        return parse_status(page, self._own_requests)

    def wait_idle(self) -> int:
        """Wait until no client has a connection open, and return the number of requests so far.

        Raises BenchError after half a minute.
        """
        deadline = time.monotonic() + IDLE_TIMEOUT_S
        while (status := self.status()).connections > 0:
            if time.monotonic() > deadline:
                raise BenchError(f"{status.connections} connections to nginx stay open")
            time.sleep(0.05)
        return status.requests
