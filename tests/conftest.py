"""Shared settings and servers to test against, each a subprocess on a free port of loopback."""

from __future__ import annotations

import http.client
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from heyfleet.plan.options import OPTIONS

os.environ["HEYFLEET_RUNS"] = "none"  # no archives, except where a test asks for one
# A shell without job control starts what runs in its background with these ignored; processes that tests start inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
for _variable in [option.environment_variable for option in OPTIONS]:
    os.environ.pop(_variable, None)
# The duration of an example depends on the machine and on sanitizers; it is no property of the code.
settings.register_profile("heyfleet", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("heyfleet")

NGINX_CONF = """
{user}
worker_processes 1;
worker_rlimit_nofile {files};
daemon off;
pid {prefix}/nginx.pid;
error_log {prefix}/error.log;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    client_max_body_size 0;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    uwsgi_temp_path {prefix}/uwsgi;
    scgi_temp_path {prefix}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=65535;
        location / {{ return 200 "hello"; }}
        location /limited {{ keepalive_requests 10; return 200 "hello"; }}
        location /files/ {{ root {prefix}; }}
        location = /status {{ stub_status; }}
    }}
    {more}
}}
"""


def _get(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        return connection.getresponse().read()
    finally:
        connection.close()


class LabTarget:
    """A running `heyfleet lab NAME` with additional flags."""

    def __init__(self, name: str, *flags: str) -> None:
        command = [sys.executable, "-m", "heyfleet", "lab", name, "--port", "0", *flags]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._stdout = self._process.stdout
        line = self._stdout.readline()
        if not line.startswith("heyfleet lab: listening on http"):
            self.stop()
            pytest.fail(f"the practice target did not start: {line!r}")
        self.port = int(line.rpartition(":")[2])

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> tuple[int, str]:
        """Stop it with SIGTERM; returns its exit code and its output after the first line."""
        self._process.terminate()
        output = self._stdout.read()
        self._stdout.close()
        return self._process.wait(), output


class Faulty(LabTarget):
    """A running `heyfleet lab faulty`."""

    def __init__(self, *flags: str) -> None:
        super().__init__("faulty", *flags)

    def stats(self) -> dict[str, Any]:
        """Read the target's counters; they include this request and its connection, as `stats`."""
        counters: dict[str, Any] = json.loads(_get(self.port, "/stats"))
        return counters


class VpcLambda(LabTarget):
    """A running `heyfleet lab vpc-lambda`."""

    def __init__(self, *flags: str) -> None:
        super().__init__("vpc-lambda", *flags)

    def stats(self) -> dict[str, Any]:
        """Read the target's counters, without this request."""
        counts: dict[str, Any] = json.loads(_get(self.port, "/_lab/stats"))
        return counts

    def summary(self) -> str:
        """Stop it and return the line with its counters."""
        code, output = self.stop()
        assert code == 0
        return output


class Nginx:
    """A running nginx that serves `/`, `/files/16KiB` and `/files/1MiB`; `/limited` closes after 10 requests.

    `more` is added to its configuration.
    """

    def __init__(self, binary: str, prefix: Path, more: str = "") -> None:
        (prefix / "files").mkdir()
        (prefix / "files/16KiB").write_bytes(bytes(range(256)) * 64)
        (prefix / "files/1MiB").write_bytes(bytes(range(256)) * 4096)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        files = min(20_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        settings = NGINX_CONF.format(
            # By default the worker of root's nginx runs as a user who can't read the prefix.
            user="user root;" if os.geteuid() == 0 else "",
            files=files,
            connections=files - 50,
            prefix=prefix,
            port=self.port,
            more=more,
        )
        (prefix / "nginx.conf").write_text(settings)
        command = [
            binary,
            "-p",
            str(prefix),
            "-e",
            str(prefix / "error.log"),
            "-c",
            str(prefix / "nginx.conf"),
        ]
        self._log = prefix / "error.log"
        self._own_requests = 0
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        while self._process.poll() is None:
            try:
                self.requests()
            except ConnectionRefusedError:
                time.sleep(0.05)
            else:
                return
        self.stop()
        output = self._log.read_text() if self._log.exists() else ""
        pytest.fail(f"nginx did not start: {output}")

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def requests(self) -> int:
        """Read the number of requests that nginx counted, without those of this method."""
        words = _get(self.port, "/status").split()
        self._own_requests += 1
        return int(words[words.index(b"requests") + 3]) - self._own_requests

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


@pytest.fixture(scope="session")
def faulty() -> Iterator[Faulty]:
    """A `lab faulty` for the whole session; count its requests by `label` or by differences of `stats()`."""
    target = Faulty()
    yield target
    code, _ = target.stop()
    assert code == 0


@pytest.fixture
def start_faulty() -> Iterator[Callable[..., Faulty]]:
    """Start instances of `lab faulty` with their own flags, which are stopped after the test."""
    started: list[Faulty] = []

    def start(*flags: str) -> Faulty:
        started.append(Faulty(*flags))
        return started[-1]

    yield start
    for target in started:
        if target.is_running:
            target.stop()


@pytest.fixture
def start_vpc_lambda() -> Iterator[Callable[..., VpcLambda]]:
    """Start instances of `lab vpc-lambda` with their own flags, which are stopped after the test."""
    started: list[VpcLambda] = []

    def start(*flags: str) -> VpcLambda:
        started.append(VpcLambda(*flags))
        return started[-1]

    yield start
    for target in started:
        if target.is_running:
            target.stop()


def nginx_binary() -> str:
    """Find nginx; the test fails if it is not installed."""
    binary = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if binary is None:
        pytest.fail("this test needs nginx; run apt-get install nginx")
    return binary


@pytest.fixture(scope="session")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """An nginx with one worker for the whole session."""
    server = Nginx(nginx_binary(), tmp_path_factory.mktemp("nginx"))
    yield server
    server.stop()
