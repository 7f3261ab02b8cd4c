"""The command against a real nginx: the report matches what was sent, to the last request."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from .command import heyfleet, measure

BACKENDS = ["io_uring", "epoll"]


@pytest.fixture(params=BACKENDS)
def io(request: pytest.FixtureRequest) -> str:
    """An I/O backend that works on this host; the contract suite reports a missing one."""
    backend: str = request.param
    probe = heyfleet("run", "--io", backend, "-n", "1", "-c", "1", "http://127.0.0.1:1/")
    if probe.exit_code == 2:
        pytest.skip(probe.stderr.strip())
    return backend


def test_the_count_is_exact(nginx: Any, io: str) -> None:
    before = nginx.requests()
    report = measure("--io", io, "-n", "105", "-c", "50", nginx.url("/"))
    assert report["statuses"] == {"200": 105}
    assert report["ledger"]["planned"] == 105
    assert report["body_bytes"] == 5 * 105
    assert report["generator"]["io"] == io
    assert nginx.requests() - before == 105


def test_fewer_requests_than_connections(nginx: Any) -> None:
    report = measure("-n", "3", "-c", "50", nginx.url("/"))
    assert report["statuses"] == {"200": 3}
    assert report["generator"]["connections_used"] == 3
    assert any("3" in note and "50" in note for note in report["notes"])


def test_a_duration_ends_the_run(nginx: Any, io: str) -> None:
    report = measure("--io", io, "-z", "1s", "-c", "20", nginx.url("/"))
    assert report["stopped_by"] == "duration"
    assert report["total_ns"] >= 1.0e9
    assert report["ledger"]["abandoned"] <= 20


def test_a_rate_for_each_connection(nginx: Any, io: str) -> None:
    report = measure("--io", io, "-z", "1s", "-c", "10", "-q", "20", nginx.url("/"))
    assert report["ledger"]["planned"] == 10 * 20
    assert report["ledger"]["responses"] >= 10 * 20 - 10
    assert report["generator"]["lag"]["count"] == report["ledger"]["sent"]


@pytest.mark.parametrize(("path", "size_bytes"), [("/files/16KiB", 16 * 1024), ("/files/1MiB", 1 << 20)])
def test_every_byte_of_a_body_is_counted(nginx: Any, io: str, path: str, size_bytes: int) -> None:
    report = measure("--io", io, "-n", "64", "-c", "8", nginx.url(path))
    assert report["body_bytes"] == 64 * size_bytes
    assert report["generator"]["bytes_received"] > 64 * size_bytes


def test_a_server_that_limits_requests_a_connection(nginx: Any, io: str) -> None:
    report = measure("--io", io, "-n", "500", "-c", "5", nginx.url("/limited"))
    assert report["statuses"] == {"200": 500}
    assert report["generator"]["connections_opened"] >= 500 // 10


def test_a_connection_for_each_request(nginx: Any, io: str) -> None:
    report = measure("--io", io, "-n", "300", "-c", "10", "-disable-keepalive", nginx.url("/"))
    assert report["statuses"] == {"200": 300}
    assert report["generator"]["connections_opened"] == 300
    assert report["phases"]["connect"]["count"] == 300
    # The first byte can't come before the connection stands: a request that opens one has that in its latency.
    assert report["latency"]["average_ns"] > report["phases"]["connect"]["average_ns"]


def test_head_has_no_body(nginx: Any) -> None:
    report = measure("-m", "HEAD", "-n", "20", "-c", "2", nginx.url("/files/1MiB"))
    assert report["statuses"] == {"200": 20}
    assert report["body_bytes"] == 0


def test_a_large_request_body(nginx: Any, io: str, tmp_path: Any) -> None:
    body = tmp_path / "body"
    body.write_bytes(os.urandom(900_000))
    report = measure("--io", io, "-m", "POST", "-D", str(body), "-n", "40", "-c", "4", nginx.url("/"))
    assert sum(report["statuses"].values()) == 40
    assert report["generator"]["bytes_sent"] > 40 * 900_000


def test_ctrl_c_reports_what_was_done(nginx: Any, io: str) -> None:
    command = [sys.executable, "-m", "heyfleet", "run", "--io", io, "-z", "60s", "-c", "5", nginx.url("/")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        deadline = time.monotonic() + 20
        before = nginx.requests()
        while nginx.requests() - before < 500 and time.monotonic() < deadline:
            time.sleep(0.05)
        run.send_signal(signal.SIGINT)
        stdout, stderr = run.communicate(timeout=20)
    assert run.returncode == 130
    assert stderr == ""
    assert "stopped by signal" in stdout
    answered = re.search(r"\[200\]\t(\d+) responses", stdout)
    assert answered
    assert int(answered[1]) >= 400


def test_csv_has_a_row_for_each_response(nginx: Any) -> None:
    outcome = heyfleet("run", "-o", "csv", "-n", "50", "-c", "5", nginx.url("/"))
    lines = outcome.stdout.splitlines()
    assert lines[0] == (
        "response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset"
    )
    rows = [line.split(",") for line in lines[1:]]
    assert len(rows) == 50
    assert all(row[6] == "200" and float(row[0]) >= float(row[4]) for row in rows)


def test_a_pipe_gets_only_the_report(nginx: Any) -> None:
    outcome = heyfleet("run", "-n", "20", "-c", "2", nginx.url("/"))
    assert outcome.stderr == ""
    assert outcome.stdout.startswith("\nSummary:\n")


def test_a_soft_limit_of_descriptors_is_raised(nginx: Any) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    command = [sys.executable, "-m", "heyfleet", "run", "-n", "400", "-c", "200", nginx.url("/")]
    run = subprocess.run(
        ["/bin/sh", "-c", 'ulimit -Sn 64 && exec "$@"', "sh", *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert hard > 300
    assert run.returncode == 0, run.stderr
    assert "[200]\t400 responses" in run.stdout


def test_a_hard_limit_of_descriptors_is_named(nginx: Any) -> None:
    command = [sys.executable, "-m", "heyfleet", "run", "-n", "400", "-c", "200", nginx.url("/")]
    run = subprocess.run(
        ["/bin/sh", "-c", 'ulimit -n 128 && exec "$@"', "sh", *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 2
    assert run.stdout == ""
    limit = re.search(r"this process may have 128 .* use -c (\d+) at most", run.stderr)
    assert limit
    assert 0 < int(limit[1]) < 128


@pytest.mark.parametrize(
    "flags",
    [
        ("-z", "876000h"),
        ("--timeout", "876000h"),
        ("--dns-ttl", "876000h"),
        ("--stages", "876000h:1000"),
        ("--rate", "0.000000001"),
        ("-q", "0.000000001"),
    ],
)
def test_a_run_with_a_value_at_its_limit_sends(nginx: Any, flags: tuple[str, ...]) -> None:
    assert measure("-n", "1", *flags, nginx.url("/"))["statuses"] == {"200": 1}


def test_more_connections_than_local_ports() -> None:
    outcome = heyfleet("run", "-n", "100000", "-c", "70000", "http://127.0.0.1:1/")
    assert outcome.exit_code == 2
    assert "use -c" in outcome.stderr


def test_a_refused_port_is_an_outcome_of_each_request(io: str) -> None:
    outcome = heyfleet("run", "--io", io, "-n", "20", "-c", "5", "http://127.0.0.1:1/")
    assert outcome.exit_code == 3
    assert "[20]\tconnect refused" in outcome.stdout
    assert "NaN" not in outcome.stdout


def test_a_run_of_refused_connections_ends_in_time(io: str) -> None:
    report = heyfleet("run", "--json", "--io", io, "-z", "500ms", "-c", "3", "http://127.0.0.1:1/").report
    assert report["stopped_by"] == "duration"
    assert report["errors"]["connect refused"] == report["ledger"]["errors"] > 3


def test_a_name_without_an_address() -> None:
    outcome = heyfleet("run", "http://no-such-host.invalid/")
    assert outcome.exit_code == 2
    assert "can't resolve the host 'no-such-host.invalid'" in outcome.stderr
    assert len(outcome.stderr.splitlines()) == 1
