"""The container image, built and run as docs/how-to/deploy-docker.md says: read-only, without capabilities or root."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..fleet.processes import Fleet, adds_up
from .machines import ROOT, lacking

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(300)]

GUIDE = (ROOT / "docs/how-to/deploy-docker.md").read_text()
# Unique to this test run: a concurrent run removes its image when it ends.
IMAGE, BASE = f"localhost/heyfleet-agent:test-{os.getpid()}", f"localhost/heyfleet-base:{os.getpid()}"
# What a nested test machine needs: runc, no systemd for cgroups, and no raised limit.
RUN = ["podman", "--runtime", "runc", "--cgroup-manager", "cgroupfs", "run", "--network", "host"]
LIMITS = ["--ulimit", "nofile=20000:20000", "--ulimit", "nproc=4096:4096"]
LOCKED = re.findall(r"--(?:read-only|cap-drop all|security-opt no-new-privileges|tmpfs \S+)", GUIDE)


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    missing = [name for name in ("podman", "buildah", "runc") if not shutil.which(name)]
    if why := lacking() or (f"the image needs {', '.join(missing)}" if missing else ""):
        pytest.skip(why)
    made = subprocess.run(
        [str(ROOT / "scripts/machine-base.sh")], stdout=subprocess.PIPE, text=True, check=True
    )
    # Without a registry, the base is the Debian of the hosts that boot, with Python 3.11.
    pack = subprocess.Popen(["tar", "-C", made.stdout.strip(), "-c", "."], stdout=subprocess.PIPE)
    subprocess.run(["podman", "import", "-q", "-", BASE], stdin=pack.stdout, check=True, capture_output=True)
    assert pack.stdout is not None
    pack.stdout.close()
    assert pack.wait() == 0
    bundle = next(iter(sorted((ROOT / "dist").glob("heyfleet-agent-*-python3.11-*.tar.gz"))))
    environment = {**os.environ, "HEYFLEET_BUILDER": "buildah", "HEYFLEET_BUILD_FLAGS": "--isolation chroot"}
    build = [str(ROOT / "deploy/docker/build.sh"), IMAGE, str(bundle), BASE]
    built = subprocess.run(build, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    yield IMAGE
    subprocess.run(["podman", "rmi", "-f", IMAGE, BASE], check=False, capture_output=True)


def command(image: str, *arguments: str, more: tuple[str, ...] = ()) -> list[str]:
    flags = [word for flag in LOCKED for word in flag.split()]
    return [*RUN, "--rm", *flags, *LIMITS, *more, image, *arguments]


def test_the_container_is_locked_down(image: str) -> None:
    assert len(set(LOCKED)) == 4
    run = subprocess.run(command(image, "doctor", "--json"), capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    files = next(check for check in json.loads(run.stdout)["checks"] if check["name"] == "open files")
    assert "20000" in str(files["value"])
    shell = ("--entrypoint", "sh")
    look = "id -u; touch /opt/x /var/x 2>&1 | grep -c 'Read-only'; grep CapEff /proc/self/status"
    run = subprocess.run(command(image, "-c", look, more=shell), capture_output=True, text=True, check=False)
    assert run.stdout.split() == ["65532", "2", "CapEff:", "0000000000000000"]


def started(image: str, fleet: Fleet, name: str) -> subprocess.Popen[str]:
    """Start an agent in a container, with secrets mounted as in the guide."""
    secrets = fleet.folder / "join"
    for file in ("ca.pem", "join.token"):
        os.chown(secrets / file, 65532, 65532)
    os.chown(secrets, 65532, 65532)
    mount = ("-v", f"{secrets}:/run/heyfleet:ro", "--name", name)
    agent = ("agent", "--join", f"127.0.0.1:{fleet.port}", "--ca", "/run/heyfleet/ca.pem")
    words = (*agent, "--token-file", "/run/heyfleet/join.token", "--spool", "/var/spool/heyfleet")
    return subprocess.Popen(command(image, *words, more=mount), stderr=subprocess.PIPE, text=True)


def test_an_agent_in_it_joins_and_makes_load(image: str, fleet: Fleet, start_faulty: object) -> None:
    url = start_faulty().url("/ok")  # type: ignore[operator]
    run = fleet.run(1, "-n", "400", "-c", "4", url)
    agent = started(image, fleet, "heyfleet-test-joins")
    assert run.end() == 0, run.stderr
    adds_up(run.report)
    assert run.report["ledger"]["responses"] == 400
    _, said = agent.communicate(timeout=30)
    assert "dismissed: the run is over" in said
    assert agent.returncode == 0


def test_a_stopped_container_hands_over_its_results(image: str, fleet: Fleet, start_faulty: object) -> None:
    url = start_faulty().url("/ok?delay=1ms")  # type: ignore[operator]
    run = fleet.run(1, "-z", "60s", "-c", "4", url)
    agent = started(image, fleet, "heyfleet-test-drains")
    run.wait_for("running: ")
    time.sleep(1)
    agent.send_signal(signal.SIGTERM)  # podman forwards it to the container's first process
    code = run.end()
    adds_up(run.report)
    assert code == 0, run.stderr
    assert run.report["fleet"]["agents_lost"] == 0
    assert run.report["ledger"]["responses"] > 0
    agent.communicate(timeout=30)


def test_the_build_script_reports_missing_inputs(tmp_path: Path) -> None:
    script = str(ROOT / "deploy/docker/build.sh")
    for words, message in (
        ([], "usage: build.sh TAG"),
        (["x", str(tmp_path / "none.tar.gz")], "there is no bundle: run make bundle"),
        (["x", str(Path(__file__))], "is not named like a bundle of make bundle"),
    ):
        run = subprocess.run([script, *words], capture_output=True, text=True, check=False)
        assert (run.returncode, message in run.stderr) == (2, True), run.stderr
