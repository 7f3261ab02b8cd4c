"""Every command of docs/how-to/deploy-docker.md as it stands there: built, pushed to a registry, pulled from it, run."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..certificates import Authority
from ..fleet.processes import Process, until
from ..pages import commands
from .guides import on_host, run_all
from .hosts import Hosts, hosts
from .machines import ROOT, lacking

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(900)]

COMMANDS = commands(
    "docs/how-to/deploy-docker.md", "make", "deploy/docker/build.sh", "docker", "heyfleet", "chown"
)
BASE = "docker.io/library/python:3.11-slim"
IMAGE = "registry.example/heyfleet-agent:1"
BOSS, REGISTRY, SERVICE = 1, 2, 3
_REGISTRY = """\
version: 0.1
storage: {filesystem: {rootdirectory: FOLDER/registry}}
http: {addr: "ADDRESS:443", secret: tests, tls: {certificate: CERTIFICATE, key: KEY}}
"""


@contextmanager
def storage(folder: Path) -> Iterator[dict[str, str]]:
    """Images of this test alone, with a base under the official one's name: there is no registry here that has that."""
    file = folder / "storage.conf"
    file.write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/images"\nrunroot = "{folder}/running"\n'
    )
    environment = {**os.environ, "CONTAINERS_STORAGE_CONF": str(file)}
    made = subprocess.run(
        [str(ROOT / "scripts/machine-base.sh")], stdout=subprocess.PIPE, text=True, check=True
    )
    try:
        pack = subprocess.Popen(["tar", "-C", made.stdout.strip(), "-c", "."], stdout=subprocess.PIPE)
        subprocess.run(
            ["podman", "import", "-q", "-", BASE],
            stdin=pack.stdout,
            env=environment,
            check=True,
            capture_output=True,
        )
        assert pack.stdout is not None
        pack.stdout.close()
        assert pack.wait() == 0
        yield {"CONTAINERS_STORAGE_CONF": str(file)}
    finally:
        # Podman leaves its folder mounted on itself.
        subprocess.run(["umount", "-R", str(folder / "images/overlay")], check=False, capture_output=True)


@contextmanager
def registry(network: Hosts, folder: Path) -> Iterator[dict[str, str]]:
    """Debian's, at registry.example with a certificate for that name; the environment of those who trust it."""
    authority = Authority()
    (folder / "authority.pem").write_bytes(authority.pem)
    certificate, key = authority.sign("registry.example").write(folder, "registry")
    text = _REGISTRY.replace("FOLDER", str(folder)).replace("ADDRESS", network.address(REGISTRY))
    (folder / "registry.yml").write_text(text.replace("CERTIFICATE", certificate).replace("KEY", key))
    command = ["docker-registry", "serve", str(folder / "registry.yml")]
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen([*network.enter(REGISTRY), *command], stdout=log, stderr=log)
    try:
        until(lambda: answers(network.address(REGISTRY), 443) or process.poll() is not None)
        assert process.poll() is None, (folder / "registry.log").read_text()
        yield {"SSL_CERT_FILE": str(folder / "authority.pem")}
    finally:
        process.terminate()
        process.wait(20)


def answers(address: str, port: int) -> bool:
    """Whether somebody listens there."""
    with contextlib.suppress(OSError):
        socket.create_connection((address, port), 1).close()
        return True
    return False


def run_guide(network: Hosts, folder: Path, more: Mapping[str, str]) -> dict[str, str]:
    """What each command says; the bundle is made where packages can be had, and all else typed on the host `boss`."""
    numbers = {"boss": BOSS, "registry.example": REGISTRY, "service.internal": SERVICE}
    names = {name: network.address(number) for name, number in numbers.items()}
    bin_ = folder / "bin"
    bin_.mkdir()
    (bin_ / "docker").symlink_to(ROOT / "tests/hosts/docker.sh")
    for name in ("deploy", "dist", "Makefile"):
        (folder / name).symlink_to(ROOT / name)
    environment = {
        name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MFLAGS", "MAKELEVEL"}
    }
    environment |= {"PATH": f"{bin_}:{Path(sys.executable).parent}:{os.environ['PATH']}", **more}
    boss = on_host(network, BOSS, folder, names)
    # make works on the checkout, not on this folder with links to it.
    lines = [
        line.replace("make ", f"make -C {ROOT} ", 1) if line.startswith("make ") else line
        for line in COMMANDS
    ]
    pushed = next(number for number, line in enumerate(lines) if line.startswith("docker push"))
    said = run_all(
        lines[: pushed + 1], folder, environment, lambda line: () if line.startswith("make") else boss, 400
    )
    # From here on it is another host's: the image must come from the registry.
    subprocess.run(["podman", "rmi", "-f", IMAGE], env=environment, check=True, capture_output=True)
    return said | run_all(lines[pushed + 1 :], folder, environment, lambda line: boss)


def test_every_command_of_the_guide(tmp_path: Path) -> None:
    missing = [name for name in ("podman", "buildah", "runc", "docker-registry") if not shutil.which(name)]
    if why := lacking() or (f"the image needs {', '.join(missing)}" if missing else ""):
        pytest.skip(why)
    with hosts(3) as network:
        service = network.address(SERVICE)
        target = Process(
            *("lab", "faulty", "--host", service, "--port", "80", "--allow-remote"),
            prefix=network.enter(SERVICE),
        )
        try:
            until(lambda: answers(service, 80))
            with storage(tmp_path) as images, registry(network, tmp_path) as trusted:
                said = list(run_guide(network, tmp_path, {**images, **trusted}).items())
        finally:
            target.kill()
    assert [line.split()[0] for line, _ in said] == [
        "make",
        "deploy/docker/build.sh",
        *["docker"] * 2,
        "chown",
        "docker",
        "heyfleet",
    ]
    _, build, _, doctor, _, agent, run = (text for _, text in said)
    assert f"built {IMAGE}" in build
    assert "open files" in doctor
    assert "dismissed: the run is over" in agent
    assert "[200]\t1000 responses" in run
    assert "1 requested, 1 took part, 0 lost" in run
