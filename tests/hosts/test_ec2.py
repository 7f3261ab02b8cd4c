"""What an EC2 instance does, done by hosts that boot: the engine's user-data, a double of the metadata service, real agents."""

from __future__ import annotations

import functools
import hashlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from heyfleet.controller.errors import InputError
from heyfleet.deploy.ec2.userdata import render, render_head
from heyfleet.deploy.engine import Order
from heyfleet.heads import HeadController

from ..fleet.processes import Fleet, adds_up
from .hosts import ip
from .machines import ROOT, Machine, Machines, lacking, machines

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(300)]


@pytest.fixture
def booted(tmp_path: Path) -> Iterator[Machines]:
    if why := lacking():
        pytest.skip(why)
    with machines(2) as made:
        services = []
        for number, machine in enumerate(made.all, 1):
            space = made.network.space(number)
            ip("-n", space, "addr", "add", "169.254.169.254/32", "dev", "lo")
            (tmp_path / machine.name).mkdir()
            double = [sys.executable, str(Path(__file__).with_name("metadata.py"))]
            enter = made.network.enter(number)
            services.append(
                subprocess.Popen([*enter, *double, f"i-{machine.name}", str(tmp_path / machine.name)])
            )
        try:
            yield made
        finally:
            for service in services:
                service.terminate()
                service.wait()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def bundle(booted: Machines) -> Iterator[tuple[str, str]]:
    """Its URL for the hosts, and its SHA-256."""
    path = next(iter(sorted((ROOT / "dist").glob("heyfleet-agent-*-python3.11-*.tar.gz"))))
    server = ThreadingHTTPServer((booted.here, 0), functools.partial(Quiet, directory=str(path.parent)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    url = f"http://{booted.here}:{server.server_address[1]}/{path.name}"
    yield url, hashlib.sha256(path.read_bytes()).hexdigest()
    server.shutdown()
    thread.join()
    server.server_close()


def instance(booted: Machines, machine: Machine, script: str) -> None:
    """Let a host do what cloud-init has an instance do: run its user-data, once, as root."""
    machine.write("srv/user-data.sh", script, 0o700)
    started = booted.run(machine.name, "systemd-run --unit user-data /srv/user-data.sh")
    assert started.returncode == 0, started.stderr


def ordered(fleet: Fleet, booted: Machines, bundle: tuple[str, str], lifetime_s: int = 600) -> str:
    files = fleet.folder / "join"
    order = Order(
        fleet="demo",
        agents=2,
        join=f"{booted.here}:{fleet.port}",
        ca_pem=(files / "ca.pem").read_bytes(),
        token=(files / "join.token").read_bytes(),
        lifetime_s=lifetime_s,
    )
    return render(order, *bundle)


def said(machine: Machine) -> str:
    """What it said on the console; the file has the same, and these hosts' console is no device."""
    return (machine.root / "var/log/heyfleet.log").read_text()


def powered_off(machine: Machine) -> None:
    deadline = time.monotonic() + 60
    while machine.running:
        assert time.monotonic() < deadline, machine.console[-2000:]
        time.sleep(0.2)


def test_instances_join_make_load_and_end_themselves(
    booted: Machines, fleet: Fleet, bundle: tuple[str, str], start_faulty: object
) -> None:
    target = start_faulty("--host", booted.here, "--allow-remote")  # type: ignore[operator]
    url = f"http://{booted.here}:{target.port}/ok"
    run = fleet.run(2, "-n", "600", "-c", "6", url, listen=f"{booted.here}:0")
    for machine in booted.all:
        instance(booted, machine, ordered(fleet, booted, bundle))
    assert run.end() == 0, run.said
    adds_up(run.report)
    assert run.report["ledger"]["responses"] == 600
    names = {agent["agent"].rpartition("-")[0] for agent in run.report["fleet"]["agents"]}
    assert names == {"i-h1", "i-h2"}  # as the metadata service calls them
    for machine in booted.all:
        powered_off(machine)
        assert "heyfleet: the agent ended with exit code 0" in said(machine)
        assert "join.token" not in said(machine)


def test_a_spot_notice_ends_in_a_drain(
    booted: Machines, fleet: Fleet, bundle: tuple[str, str], start_faulty: object, tmp_path: Path
) -> None:
    target = start_faulty("--host", booted.here, "--allow-remote")  # type: ignore[operator]
    url = f"http://{booted.here}:{target.port}/ok?delay=2ms"
    flags = ("-z", "30s", "-c", "6", "--lost-timeout", "1s")
    run = fleet.run(2, *flags, url, listen=f"{booted.here}:0")
    for machine in booted.all:
        instance(booted, machine, ordered(fleet, booted, bundle))
    run.wait_for("running: ", timeout_s=60)
    (tmp_path / "h2" / "spot").write_text('{"action": "terminate", "time": "2026-01-01T00:00:00Z"}')
    powered_off(booted.all[1])
    assert "AWS takes this instance back" in said(booted.all[1])
    assert run.end() == 0, run.said
    adds_up(run.report)
    assert run.report["fleet"]["lost"] == 0  # what it had measured came before it went
    parts = {agent["agent"][:4]: agent["responses"] for agent in run.report["fleet"]["agents"]}
    assert 0 < parts["i-h2"] < parts["i-h1"]
    assert sum(parts.values()) == run.report["ledger"]["responses"]


def test_what_goes_wrong_is_on_the_console_and_the_instance_ends(
    booted: Machines, fleet: Fleet, bundle: tuple[str, str]
) -> None:
    run = fleet.run(2, "-n", "10", "http://127.0.0.1:1/", listen=f"{booted.here}:0")
    first, second = booted.all
    instance(booted, first, ordered(fleet, booted, (bundle[0], "0" * 64)))
    script = ordered(fleet, booted, bundle).replace("python3", "python9")
    instance(booted, second, script)
    powered_off(first)
    assert "the bundle is not the one that was meant: its SHA-256 differs" in said(first)
    powered_off(second)
    assert "there is no python9 in this image" in said(second)
    run.kill()


def test_its_time_ends_it_whoever_is_there(booted: Machines, fleet: Fleet, bundle: tuple[str, str]) -> None:
    run = fleet.run(2, "-n", "10", "http://127.0.0.1:1/", listen=f"{booted.here}:0")
    instance(booted, booted.all[0], ordered(fleet, booted, bundle, lifetime_s=60))
    run.wait_for("i-h1-.* joined", timeout_s=60)
    deadline = time.monotonic() + 120
    while booted.all[0].running:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    run.kill()


def test_a_head_has_the_controller_and_ends_as_all_do(
    booted: Machines, fleet: Fleet, bundle: tuple[str, str], start_faulty: object
) -> None:
    target = start_faulty("--host", booted.here, "--allow-remote")  # type: ignore[operator]
    folder = str(fleet.folder / "credentials")
    head, agent = booted.all
    wanted = Order(fleet="demo", agents=1, join=f"{head.address}:7700", ca_pem=b"", token=b"", lifetime_s=120)
    controller = HeadController(folder, wanted, 300)
    instance(booted, head, render_head(wanted, controller.files, 7700, *bundle))
    ca_pem, token = controller.token(1, 300)
    instance(booted, agent, render(replace(wanted, ca_pem=ca_pem, token=token), *bundle))
    controller.address = wanted.join
    deadline = time.monotonic() + 60
    while not joined(controller):
        assert time.monotonic() < deadline, said(head)
        time.sleep(0.2)
    url = f"http://{booted.here}:{target.port}/ok"
    flags = ("--controller", wanted.join, "--credentials", folder, "--json")
    run = fleet.start("run", *flags, "-n", "300", "-c", "3", url)
    assert run.end() == 0, run.said
    adds_up(run.report)
    assert run.report["ledger"]["responses"] == 300
    deadline = time.monotonic() + 180
    while head.running or agent.running:  # nobody ends them but their own time
        assert time.monotonic() < deadline
        time.sleep(0.5)


def joined(controller: HeadController) -> bool:
    try:
        return any(each.attached for each in controller.roster().agents)
    except InputError:
        return False
