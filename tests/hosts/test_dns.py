"""A name whose addresses change during the run, as a load balancer's do, on a real DNS server in a namespace."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ..conftest import nginx_binary
from .hosts import Hosts, hosts

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(120)]

NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 1000; }}
http {{
    access_log off; keepalive_requests 1000000;
    client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    server {{ listen 80; listen 81 http2; location / {{ return 200 "hello"; }} }}
}}
"""


@dataclass
class Names:
    """A namespace with a DNS server, and the server's answers."""

    host: Hosts
    folder: Path
    server: subprocess.Popen[bytes]

    def answer(self, *addresses: str) -> None:
        """Let svc.test have these addresses from now on."""
        (self.folder / "names").write_text("".join(f"{address} svc.test\n" for address in addresses))
        self.server.send_signal(signal.SIGHUP)
        time.sleep(0.2)

    def run(self, *flags: str) -> subprocess.Popen[str]:
        """Start `heyfleet run` in the namespace, with its DNS server."""
        inside = f'mount --bind {self.folder}/resolv.conf /etc/resolv.conf && exec "$@"'
        command = [
            *self.host.enter(1),
            "unshare",
            "-m",
            "sh",
            "-c",
            inside,
            "sh",
            sys.executable,
            "-m",
            "heyfleet",
        ]
        return subprocess.Popen(
            [*command, "run", "--json", *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )


def report_of(run: subprocess.Popen[str]) -> dict[str, Any]:
    stdout, stderr = run.communicate(timeout=60)
    assert run.returncode == 0, stderr
    report: dict[str, Any] = json.loads(stdout)
    ledger = report["ledger"]
    assert ledger["sent"] == ledger["responses"] + ledger["errors"] + ledger["abandoned"]
    return report


@pytest.fixture
def names(tmp_path: Path) -> Iterator[Names]:
    dnsmasq = shutil.which("dnsmasq", path="/usr/sbin:/usr/bin")
    assert dnsmasq, "make hosts installs dnsmasq"
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    (tmp_path / "nginx.conf").write_text(NGINX.format(folder=tmp_path))
    (tmp_path / "names").write_text("127.0.0.1 svc.test\n")
    with hosts(1) as host:
        flags = [
            "-k",
            "-p",
            "53",
            "-u",
            "root",
            "--no-resolv",
            "--no-hosts",
            f"--addn-hosts={tmp_path}/names",
            "--local-ttl=1",
        ]
        dns = subprocess.Popen([*host.enter(1), dnsmasq, *flags, "--pid-file="], stderr=subprocess.DEVNULL)
        nginx = subprocess.Popen(
            [*host.enter(1), nginx_binary(), "-c", f"{tmp_path}/nginx.conf", "-e", f"{tmp_path}/error.log"]
        )
        time.sleep(0.5)
        assert dns.poll() is None
        assert nginx.poll() is None
        yield Names(host, tmp_path, dns)
        for process in (dns, nginx):
            process.terminate()
            process.wait(10)


def by_address(report: dict[str, Any]) -> dict[str, dict[str, int]]:
    return {line.pop("address"): line for line in report["by_address"]}


@pytest.mark.parametrize(
    "how", [("-c", "12"), ("-c", "12", "--rate", "600"), ("-c", "12", "--local-agents", "2")]
)
def test_load_moves_with_the_name(names: Names, how: tuple[str, ...]) -> None:
    run = names.run(*how, "-z", "5s", "--dns-ttl", "200ms", "http://svc.test/")
    time.sleep(2)
    names.answer("127.0.0.1", "127.0.0.2", "127.0.0.3")
    report = report_of(run)
    assert set(report["statuses"]) == {"200"}
    assert report["errors"] == {}
    lines = by_address(report)
    assert set(lines) == {"127.0.0.1", "127.0.0.2", "127.0.0.3"}
    assert sum(line["responses"] for line in lines.values()) == report["ledger"]["responses"]
    assert sum(line["connections"] for line in lines.values()) == report["generator"]["connections_opened"]
    if "--rate" not in how:
        # Of every twelve connections, four stay and eight move.
        assert lines["127.0.0.2"]["connections"] == lines["127.0.0.3"]["connections"] == 4
    assert report["address_changes"] == 1
    assert report["phases"]["lookup"]["count"] > 5
    assert any("addresses changed 1 time" in note for note in report["notes"])


def test_http2_connections_move_too(names: Names) -> None:
    run = names.run(
        "-c", "4", "--streams", "5", "--h2c", "-z", "5s", "--dns-ttl", "200ms", "http://svc.test:81/"
    )
    time.sleep(2)
    names.answer("127.0.0.2")
    report = report_of(run)
    assert set(report["statuses"]) == {"200"}
    assert report["errors"] == {}
    lines = by_address(report)
    assert lines["127.0.0.2"]["connections"] == 4
    assert lines["127.0.0.2"]["responses"] > 0


def test_a_name_that_vanishes_keeps_its_addresses(names: Names) -> None:
    run = names.run("-c", "3", "-z", "4s", "--dns-ttl", "200ms", "http://svc.test/")
    time.sleep(1.5)
    names.answer()
    report = report_of(run)
    assert report["errors"] == {}
    assert report["lookups_failed"] > 0
    assert report["address_changes"] == 0
    assert any("looking up the target's name again failed" in note for note in report["notes"])


def test_without_the_flag_a_name_is_resolved_once(names: Names) -> None:
    run = names.run("-c", "3", "-z", "3s", "http://svc.test/")
    time.sleep(1)
    names.answer("127.0.0.2")
    report = report_of(run)
    assert report["addresses"] == ["127.0.0.1"]
    assert report["by_address"] == []
    assert report["phases"]["lookup"]["count"] == 1
