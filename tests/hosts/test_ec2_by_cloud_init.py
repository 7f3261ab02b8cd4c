"""Fleets on EC2: the API is moto's, and instances are hosts that boot and run their user-data by the real cloud-init.

Commands are typed on a host of the instances' network, as the guide says; it has the guide's address, 10.0.0.1.
"""

from __future__ import annotations

import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from heyfleet.deploy.ec2.bundle_store import BundleSource
from heyfleet.deploy.ec2.user_data import render_agent
from heyfleet.deploy.provider import LaunchRequest

from ..fleet.processes import Fleet, Process, adds_up, until
from ..pages import commands
from .ec2_double import BUCKET, PUBLIC, Ec2, ec2_double
from .hosts import ip
from .machines import ROOT, lacking

pytestmark = [
    pytest.mark.hosts,
    pytest.mark.timeout(400),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]
# Instances of moto's Auto Scaling groups never boot.
COMMANDS = [line for line in commands("docs/how-to/deploy-ec2.md", "heyfleet") if "--on asg" not in line]
# The guide's fleet is too large for a test machine.
SIZES = {"--count 20": "--count 3", "--agents 20": "--agents 3", "-z 30s -c 200000": "-z 3s -c 60"}
INSTANCES = int(os.environ.get("INSTANCES", "4"))
KILLS = int(os.environ.get("KILLS", "5"))
BOSS, SERVICE = 250, 251  # host for the commands, host under load
JOIN = "10.0.0.1:7700"
URL = "http://service.internal/"
NGINX = """
daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{ access_log off; server {{ listen {address}:80; location / {{ return 200 hello; }} }} }}
"""


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ec2]:
    if why := lacking():
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("nginx")
    with ec2_double() as (made, _):
        network = made.network
        for number in (BOSS, SERVICE):
            network.add(number)
        ip("-n", network.space(BOSS), "addr", "add", "10.0.0.1/32", "dev", "lo")
        ip("-n", network.space(BOSS), "route", "add", PUBLIC, "dev", "eth0")
        made.routes.append(("10.0.0.1/32", network.address(BOSS)))
        made.names = f"{network.address(SERVICE)} service.internal\n"
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, address=network.address(SERVICE)))
        binary = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") or "nginx"
        words = [*network.enter(SERVICE), binary, "-p", str(folder), "-c", str(folder / "nginx.conf")]
        nginx = subprocess.Popen(words, stderr=subprocess.DEVNULL)
        yield made
        nginx.terminate()
        nginx.wait()


class Cloud:
    """The double for one test, and commands that use it."""

    def __init__(self, double: Ec2, fleet: Fleet) -> None:
        self.double = double
        self._fleet = fleet
        self.boss = double.network.enter(BOSS)
        self.bundle = next(iter(sorted((ROOT / "dist").glob("heyfleet-agent-*-python3.11-*.tar.gz"))))
        self._credentials = str(fleet.folder / "fleet")

    def heyfleet(self, *words: str) -> Process:
        """Start a command where agents reach it."""
        return self._fleet.start(*words, prefix=self.boss)

    def done(self, *words: str) -> Process:
        """Run a command that must succeed."""
        command = self.heyfleet(*words)
        assert command.end(120) == 0, command.stderr
        return command

    @property
    def settings(self) -> tuple[str, ...]:
        return ("--on", "ec2", "--with", f"bucket={BUCKET}", "--with", f"bundle={self.bundle}")

    def run(self, agents: int, *more: str) -> Process:
        """Start a run with agents on EC2."""
        flags = ("--agents", str(agents), "--join", JOIN, "--json", "--no-archive", *more)
        return self.heyfleet("run", *self.settings, *flags, URL)

    @property
    def controller(self) -> tuple[str, ...]:
        """The flags for the controller that `control` starts."""
        return ("--controller", JOIN, "--credentials", self._credentials)

    def control(self) -> None:
        """Start a controller that keeps running."""
        self.done("ca", "init", self._credentials)
        self.heyfleet("controller", "--listen", JOIN, "--credentials", self._credentials).wait_for(
            "listening"
        )

    def up(self, name: str, count: int, *more: str) -> Process:
        """Launch a fleet for that controller."""
        words = ("fleet", "up", *self.settings, "--name", name, "--count", str(count), *self.controller)
        return self.heyfleet(*words, *more)


@pytest.fixture
def cloud(double: Ec2, fleet: Fleet) -> Iterator[Cloud]:
    yield Cloud(double, fleet)
    double.on_call = lambda done: True
    if double.running:  # after a failed test
        boto3.client("ec2").terminate_instances(InstanceIds=double.running)
        until(lambda: not double.running, 60)


def names(run: Process) -> set[str]:
    """Return the names that the run's agents asked for."""
    return {agent["agent"].rpartition("-")[0] for agent in run.report["fleet"]["agents"]}


def test_a_fleet_up_two_runs_and_down(cloud: Cloud) -> None:
    cloud.control()
    up = cloud.up("web", INSTANCES)
    assert up.end(200) == 0, (up.stderr, *map(cloud.double.console, cloud.double.running))
    assert f"{INSTANCES} of {INSTANCES} agents have joined" in up.stderr
    instances = cloud.double.running
    for requests in (800, 400):
        flags = ("-n", str(requests), "-c", str(2 * INSTANCES), "--json", "--no-archive")
        run = cloud.done("run", *cloud.controller, *flags, URL)
        adds_up(run.report)
        assert run.report["ledger"]["responses"] == requests
        assert names(run) == set(instances)  # from the metadata service
    cloud.done("fleet", "down", *cloud.settings[:4], "--name", "web")
    assert cloud.double.left() == []
    for instance in instances:
        assert f"heyfleet: starting agent {instance} for {JOIN}" in cloud.double.console(instance)
        assert "heyfleet-token" not in cloud.double.console(instance)


def test_every_command_of_the_guide(cloud: Cloud, tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist/heyfleet-agent.tar.gz").symlink_to(cloud.bundle)
    group = boto3.client("ec2").describe_security_groups()["SecurityGroups"][0]["GroupId"]
    given = {**SIZES, "sg-0123": group}
    said: list[str] = []
    for command in COMMANDS:
        line = command
        for written, here in given.items():
            line = line.replace(written, here)
        if f"--controller {JOIN}" in line:
            cloud.control()
        made = subprocess.run(
            [*cloud.boss, "bash", "-c", f"exec {line}"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
        assert made.returncode == 0, (line, made.stdout, made.stderr)
        said.append(made.stdout + made.stderr)
        if found := re.search(r"head node i-\w+ is starting; its controller will listen at (\S+)", said[-1]):
            given["203.0.113.7:7700"] = found[1]
        if line.startswith("heyfleet run --on") or " down " in line or "--dry-run" in line:
            assert cloud.double.left() == [], line
    dry, run, up, status, logs, down, reap, head, by_head, down_again = said
    assert "3 on-demand instances of type c7i.large in the default VPC" in dry
    assert "removed: instance i-" in run
    for text in (run, by_head):
        assert re.search(r"\[200\]\t[1-9]\d* responses", text)
    for text in (up, head):
        assert "3 of 3 agents have joined" in text
    assert "will listen at 203.0.113." in head
    assert status.count("  running  ") == 3
    assert len(re.findall(f"starting agent .* for {JOIN}", logs)) == 3
    assert down.count("removed instance i-") == 3
    assert "removed object heyfleet/demo/" in down
    assert "nothing to remove" in reap
    assert down_again.count("removed instance i-") == 4


def test_a_spot_notice_lets_the_agent_hand_over_its_results(cloud: Cloud) -> None:
    run = cloud.run(2, "--with", "spot=true", "-z", "15s", "-c", "6", "--rate", "200", "--lost-timeout", "1s")
    run.wait_for("running: ", 90)
    stays, goes = cloud.double.running
    cloud.double.notice(goes)
    until(lambda: cloud.double.running == [stays], 60)
    assert "AWS reclaims this instance: " in cloud.double.console(goes)
    assert run.end(90) == 0, run.stderr
    adds_up(run.report)
    assert run.report["fleet"]["agents_lost"] == 0  # its results arrived before it ended
    parts = {agent["agent"].rpartition("-")[0]: agent["responses"] for agent in run.report["fleet"]["agents"]}
    assert 0 < parts[goes] < parts[stays]
    assert sum(parts.values()) == run.report["ledger"]["responses"]
    assert cloud.double.left() == []


def ended_alone(instance: str) -> bool:
    """Return whether the instance powered itself off without TerminateInstances."""
    held = boto3.client("ec2").describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    return (held["State"]["Name"], held.get("StateReason", {}).get("Code")) == (
        "terminated",
        "Client.InstanceInitiatedShutdown",
    )


def test_an_instance_ends_after_its_agent(cloud: Cloud) -> None:
    run = cloud.run(2, "--keep", "-n", "100", "-c", "2")
    until(lambda: len(cloud.double.running) == 2)
    instances = cloud.double.running
    assert run.end(90) == 0, run.stderr
    until(lambda: all(map(ended_alone, instances)), 60)
    for instance in instances:
        assert "heyfleet: the agent ended with exit code 0" in cloud.double.console(instance)
    remedy = run.wait_for(r"the fleet \S+ is kept; `heyfleet (.*)` removes it")[1]
    assert cloud.done(*shlex.split(remedy)).stdout.startswith("removed object heyfleet/run-")
    assert cloud.double.left() == []


def test_an_instance_ends_after_its_lifetime(cloud: Cloud) -> None:
    cloud.control()
    up = cloud.up("short", 1, "--for", "60s")
    assert up.end(90) == 0, up.stderr
    (instance,) = cloud.double.running
    until(lambda: ended_alone(instance), 120)
    reaped = cloud.done("fleet", "reap", *cloud.settings)
    assert reaped.stdout.startswith("removed object heyfleet/short/")
    assert cloud.double.left() == []


def test_problems_are_in_the_logs_and_the_instance_ends(cloud: Cloud) -> None:
    address = os.environ["AWS_ENDPOINT_URL"]
    boto3.client("s3").put_object(Bucket=BUCKET, Key="other.tar.gz", Body=b"another", ACL="public-read")
    bundle = ("--with", f"bundle={address}/{BUCKET}/other.tar.gz", "--with", f"sha256={'0' * 64}")
    cloud.control()
    request = LaunchRequest(fleet="x", agents=1, join=JOIN, ca_pem=b"c", token=b"t", lifetime_s=600)
    script = render_agent(request, BundleSource("http://nowhere/", "0" * 64)).replace("python3", "python9")
    parameters = {"ImageId": "ami-1", "UserData": script, "InstanceInitiatedShutdownBehavior": "terminate"}
    made = boto3.client("ec2").run_instances(MinCount=1, MaxCount=1, **parameters)
    words = ("--on", "ec2", *bundle, "--name", "wrong")
    up = cloud.heyfleet("fleet", "up", *words, "--count", "1", "--keep", *cloud.controller)
    assert up.end(90) == 1
    assert re.search(
        r"not joined: i-\w+: Client.InstanceInitiatedShutdown: Instance initiated shutdown", up.stderr
    )
    logs = cloud.done("fleet", "logs", *words[:2], "--name", "wrong")
    assert "the bundle is not the expected one: its SHA-256 differs" in logs.stdout
    boto3.client("s3").delete_object(Bucket=BUCKET, Key="other.tar.gz")
    until(lambda: not cloud.double.running, 60)
    console = cloud.double.console(made["Instances"][0]["InstanceId"])
    assert "this image has no python9" in console
    assert cloud.double.left() == []


class Killer:
    """Kill the command at its n-th API call, before the call takes effect or before its response."""

    def __init__(self, at: int, *, done: bool) -> None:
        self.command: Process | None = None
        self._at = at
        self._done = done
        self._calls = 0

    def __call__(self, done: bool) -> bool:
        self._calls += not done
        if (self._calls, done) != (self._at, self._done) or self.command is None:
            return True
        self.command.process.kill()
        self.command.process.wait()
        return False


def test_reap_cleans_up_after_a_kill_at_any_call(cloud: Cloud) -> None:
    rng, incomplete_removals, killed = random.Random(100), 0, 0
    cloud.control()
    for number in range(KILLS):
        at, done = rng.randint(1, 6), rng.random() < 0.5
        cloud.double.on_call = killer = Killer(at, done=done)
        killer.command = up = cloud.up(f"f{number}", 2)
        killed += up.end(120) == -signal.SIGKILL
        cloud.double.on_call = lambda done: True
        incomplete_removals += bool(cloud.double.left())
        cloud.done("fleet", "reap", *cloud.settings, "--all")
        assert cloud.double.left() == [], (number, at, done)
    assert incomplete_removals
    assert killed > KILLS / 2  # the others had finished before
