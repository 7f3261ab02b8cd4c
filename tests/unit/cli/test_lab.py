from __future__ import annotations

import http.client
import signal
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from heyfleet.cli.lab import lab

if TYPE_CHECKING:
    from tests.conftest import Faulty, Nginx


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--host", "0.0.0.0"], "Error: --host 0.0.0.0 would let other hosts connect; add --allow-remote to permit that"),
        (["--host", "no.such.invalid"], "Error: --host no.such.invalid: "),
        (["--default", "delay=fast"], "Error: Invalid value for '--default': delay=fast: 'fast' is not a duration"),
        (["--default", "label=\u0142"], "Error: Invalid value for '--default': query: only ASCII is allowed"),
        (["--stall", "10s/1s"], "Error: Invalid value for '--stall': '10s/1s' is not LENGTH/PERIOD such as 1s/10s"),
        (["--port", "65536"], "Error: Invalid value for '--port'"),
        (["--overflow", "explode"], "Error: Invalid value for '--overflow'"),
    ],
)  # fmt: skip
def test_a_bad_flag_is_one_line(flags: list[str], said: str) -> None:
    result = CliRunner().invoke(lab, ["faulty", *flags])
    assert result.exit_code != 0
    assert result.output.splitlines()[-1].startswith(said)


def test_a_port_in_use_is_one_line(faulty: Faulty) -> None:
    result = CliRunner().invoke(lab, ["faulty", "--port", str(faulty.port)])
    assert result.exit_code == 1
    assert result.output == f"Error: can't listen on 127.0.0.1 port {faulty.port}: Address already in use\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("faulty", "--stall", "1ms/5ms"), "0 requests on 0 connections: none"),
        (("vpc-lambda",), "0 requests: 0 warm, 0 cold starts; 0 sandboxes, 1 interfaces"),
    ],
)
def test_ctrl_c_ends_it_quietly(words: tuple[str, ...], said: str) -> None:
    command = [sys.executable, "-m", "heyfleet", "lab", *words, "--port", "0", "--host", "::1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("heyfleet lab: listening on http://[::1]:")
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=10) == (f"heyfleet lab: {said}\n", "")
        assert process.returncode == 0


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as response:
        body: bytes = response.read()
        return body


def test_nginx_serves_and_counts_its_requests(nginx: Nginx) -> None:
    before = nginx.requests()
    assert fetch(nginx.url("/")) == fetch(nginx.url("/limited")) == b"hello"
    assert len(fetch(nginx.url("/files/16KiB"))) == 16384
    assert len(fetch(nginx.url("/files/1MiB"))) == 1 << 20
    assert nginx.requests() == before + 4


def test_nginx_limits_requests_only_where_asked(nginx: Nginx) -> None:
    for path, kept in (("/", 12), ("/limited", 9)):
        connection = http.client.HTTPConnection("127.0.0.1", nginx.port, timeout=10)
        said = []
        for _ in range(12):
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            said.append(response.getheader("Connection"))
        connection.close()
        assert said.index("close") == kept if kept < 12 else "close" not in said
