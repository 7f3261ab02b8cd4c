"""`heyfleet run --on ssh` on hosts that boot with systemd and sshd, and without heyfleet."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ..certificates import Authority
from ..fleet.processes import adds_up
from .machines import ROOT, Machines, lacking, machines

# KILLS=200 for more; each takes three seconds.
KILLS = int(os.environ.get("KILLS", "5"))
pytestmark = [pytest.mark.hosts, pytest.mark.timeout(300 + 10 * KILLS)]


@pytest.fixture(scope="module")
def booted() -> Iterator[Machines]:
    if why := lacking():
        pytest.skip(why)
    with machines(5) as made:
        started = made.run("h5", "systemctl start nginx")
        assert started.returncode == 0, started.stderr
        yield made


def heyfleet(booted: Machines, *arguments: str, **more: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "HEYFLEET_SSH_CONFIG": str(booted.ssh_config)}
    return subprocess.Popen(
        [sys.executable, "-m", "heyfleet", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def run(booted: Machines, *flags: str, hosts: str = "h1,h2,h3,h4") -> subprocess.Popen[str]:
    bundle = f"bundle={ROOT / 'dist'}"
    return heyfleet(booted, "run", "--json", "--on", "ssh", "--hosts", hosts, "--with", bundle, *flags)


def url(booted: Machines) -> str:
    return f"http://{booted.all[-1].address}/"


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in err, err
    return process.returncode, out, err


def left(booted: Machines) -> dict[str, str]:
    """Return the remains of runs by host."""
    look = "ls ~/.heyfleet/runs 2>/dev/null; pgrep -af 'heyfleet [a]gent'"
    said = {machine.name: booted.run(machine.name, look).stdout for machine in booted.all if machine.running}
    return {name: text for name, text in said.items() if text.strip()}


def test_a_run_needs_nothing_on_hosts_and_leaves_nothing(booted: Machines) -> None:
    assert booted.run("h1", "command -v gcc cc heyfleet").stdout == ""
    code, out, err = ended(run(booted, "-n", "4000", "-c", "16", url(booted)))
    assert code == 0, err
    report = json.loads(out)
    adds_up(report)
    assert report["ledger"]["responses"] == 4000
    agents = {agent["agent"].rpartition("-")[0]: agent["responses"] for agent in report["fleet"]["agents"]}
    assert agents == {"h1": 1000, "h2": 1000, "h3": 1000, "h4": 1000}
    assert left(booted) == {}
    # The next run uses the installed bundle.
    written = booted.run("h1", "stat -c %i ~/.heyfleet/bundles/*").stdout
    code, _, err = ended(run(booted, "-n", "100", "-c", "4", url(booted)))
    assert code == 0, err
    assert booted.run("h1", "stat -c %i ~/.heyfleet/bundles/*").stdout == written != ""


def test_authorities_in_another_distribution_s_folder_are_found(booted: Machines) -> None:
    authority, target = Authority(), booted.all[-1]
    pair = authority.sign(target.address)
    target.write("etc/nginx/pair.pem", pair.certificate.decode())
    target.write("etc/nginx/pair.key", pair.key.decode(), 0o600)
    server = "listen 443 ssl; ssl_certificate pair.pem; ssl_certificate_key pair.key;"
    target.write("etc/nginx/conf.d/tls.conf", f"server {{ {server} location / {{ return 200 ok; }} }}\n")
    assert booted.run(target.name, "systemctl reload nginx").returncode == 0
    there = f"https://{target.address}/"
    code, out, _ = ended(run(booted, "-n", "20", "-c", "2", there, hosts="h1"))
    assert code == 3  # the hosts don't trust our authority
    for machine in booted.all[:2]:
        assert (
            booted.run(machine.name, "rm -r /etc/ssl/certs").returncode == 0
        )  # where Debian keeps authorities
        machine.write("etc/pki/tls/certs/ca-bundle.crt", authority.pem.decode())
    code, out, _ = ended(run(booted, "-n", "20", "-c", "2", there, hosts="h1,h2"))
    assert code == 0, json.loads(out)["errors"]
    assert json.loads(out)["statuses"] == {"200": 20}


def test_lost_packets_lose_no_result(booted: Machines) -> None:
    booted.network.lose(1, 5)
    try:
        code, out, err = ended(run(booted, "-n", "600", "-c", "4", "-t", "0", url(booted), hosts="h1,h2"))
        assert code == 0, err
        report = json.loads(out)
        adds_up(report)
        assert report["ledger"]["responses"] == 600
    finally:
        booted.network.lose_nothing(1)


def test_an_interrupted_run_reports_and_leaves_nothing(booted: Machines) -> None:
    process = run(booted, "-z", "60s", "-c", "8", url(booted))
    assert process.stderr is not None
    for line in process.stderr:
        if "running: " in line:
            break
    process.send_signal(signal.SIGINT)
    code, out, _ = ended(process)
    assert code == 130
    report = json.loads(out)
    adds_up(report)
    assert report["ledger"]["responses"] > 0
    assert left(booted) == {}


def test_an_interrupted_launch_leaves_nothing(booted: Machines) -> None:
    process = run(booted, "-z", "60s", "-c", "8", url(booted))
    assert process.stderr is not None
    assert "starting agents on" in next(iter(process.stderr))
    process.send_signal(signal.SIGINT)
    code, out, err = ended(process)
    assert (code, out) == (130, "")
    assert "nothing was sent" in err
    assert left(booted) == {}


def test_a_tunnel_that_breaks_comes_back(booted: Machines) -> None:
    process = run(booted, "-z", "12s", "-c", "8", "--rate", "400", url(booted))
    assert process.stderr is not None
    for line in process.stderr:
        if "running: " in line:
            break
    cut = booted.run("h2", "pkill -f 'sshd: root@notty'")
    assert cut.returncode in {0, 255}, cut.stderr  # its own ssh connection was cut, too
    code, out, err = ended(process)
    assert code == 0, err
    assert "is away" in err
    assert "is back" in err
    report = json.loads(out)
    adds_up(report)
    assert report["fleet"]["agents_lost"] == 0
    assert report["ledger"]["responses"] == report["ledger"]["planned"]


def test_hosts_that_fail_are_reported_with_the_reason(booted: Machines) -> None:
    code, _, err = ended(run(booted, "--with", "python=python9", url(booted), hosts="h1,h2"))
    assert code == 2
    assert "h1: there is no python3 here: install Python 3.11 or newer, or set HEYFLEET_PYTHON" in err
    code, _, err = ended(run(booted, "--agents", "3", url(booted), hosts="h1,h2"))
    assert code == 2
    assert "3 agents requested, but only 2 hosts named" in err
    code, _, err = ended(run(booted, url(booted), hosts="h1,unknown.invalid"))
    assert code == 2
    assert "unknown.invalid: ssh: Could not resolve hostname" in err
    assert left(booted) == {}


def test_agents_end_after_their_lifetime(booted: Machines) -> None:
    process = run(booted, "--for", "8s", "-z", "60s", "-c", "4", "--lost-timeout", "1s", url(booted))
    code, out, err = ended(process)
    report = json.loads(out)
    adds_up(report)
    assert report["fleet"]["agents_lost"] == 0, err  # all results arrived before their end
    assert report["stopped_by"] == "signal"
    assert "interrupted: the report covers the run until then" in report["notes"]
    assert report["ledger"]["responses"] > 0
    assert report["total_ns"] < 30e9
    assert code == 0, err
    assert left(booted) == {}


def test_reap_cleans_up_after_a_kill_at_any_moment(booted: Machines) -> None:
    rng = random.Random(7)
    for _ in range(KILLS):
        process = run(booted, "-z", "2s", "-c", "4", url(booted), hosts="h1,h2")
        time.sleep(rng.uniform(0.1, 3.0))
        process.kill()
        process.communicate()
        time.sleep(0.5)  # commands on their way to a host have arrived
        code, _, err = ended(heyfleet(booted, "fleet", "reap", "--on", "ssh", "--hosts", "h1,h2", "--all"))
        assert code == 0, err
        assert left(booted) == {}


def test_a_dead_host_is_replaced_or_tolerated(booted: Machines) -> None:
    booted.all[1].kill()
    code, out, err = ended(run(booted, "--agents", "3", "-n", "300", "-c", "3", url(booted)))
    assert code == 0, err
    assert "replaced h2: ssh: connect to host" in err
    agents = [agent["agent"].rpartition("-")[0] for agent in json.loads(out)["fleet"]["agents"]]
    assert agents == ["h1", "h3", "h4"]
    code, out, err = ended(run(booted, "--min-agents", "3", "-n", "300", "-c", "3", url(booted)))
    assert code == 0, err
    assert "rejected h2: ssh: connect to host" in err
    assert len(json.loads(out)["fleet"]["agents"]) == 3
    code, out, err = ended(run(booted, "-n", "300", "-c", "3", url(booted)))
    assert (code, out) == (2, "")
    assert "h2: ssh: connect to host" in err
    assert left(booted) == {}
