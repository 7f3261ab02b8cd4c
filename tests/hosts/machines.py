"""Hosts that boot: each a real systemd and sshd in its own network namespace, from one root file system built once.

They share this machine's kernel; files, processes, address and name are their own. Needs root. Must not import pytest,
because `make demo-fleet` uses this module as well.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .hosts import Hosts

ROOT = Path(__file__).parents[2]
_BOOT_S = 60.0
_HALT_S = 20.0
_CGROUPS = Path("/sys/fs/cgroup")
SSHD = """
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
PrintMotd no
Subsystem sftp /usr/lib/openssh/sftp-server
"""


def lacking() -> str:
    """Return why hosts can't be booted here, or an empty string."""
    if os.geteuid() != 0:
        return "booting hosts needs root"
    missing = [
        name for name in ("ip", "mmdebstrap", "systemd-nspawn", "ssh-keygen") if not shutil.which(name)
    ]
    return f"booting hosts needs {', '.join(missing)}" if missing else ""


class Machine:
    """One host, called `h1`, `h2`, ... by default."""

    def __init__(self, network: Hosts, number: int, folder: Path, base: Path, name: str = "") -> None:
        self.name = name or f"h{number}"
        self.address = network.address(number)
        self._network = network
        self._number = number
        self._base = base
        self._folder = folder / self.name
        self.root = self._folder / "root"
        self._guest: subprocess.Popen[bytes] | None = None
        self._cgroups: list[Path] = []

    def prepare(self) -> None:
        """Mount the host's own files over the common root, and set its name."""
        for part in ("upper", "work", "root"):
            (self._folder / part).mkdir(parents=True)
        layers = f"lowerdir={self._base},upperdir={self._folder}/upper,workdir={self._folder}/work"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, str(self.root)], check=True)
        self.write("etc/hostname", f"{self.name}\n")

    def admit(self, authorized: str, host_key: Path) -> None:
        """Authorize a key, and set the key of the host's sshd."""
        self.write("root/.ssh/authorized_keys", authorized, 0o600)
        self.write("etc/ssh/sshd_config", SSHD)
        self.write("etc/ssh/ssh_host_ed25519_key", host_key.read_text(), 0o600)

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file in the host's root, before or after it boots."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def boot(self, console: str = "pipe") -> None:
        """Start the host; sshd answers some time later. "read-only" gives it a console device as real hosts have."""
        self._cgroups = [found / f"heyfleet-{uuid.uuid4().hex[:8]}" for found in _hierarchies()]
        for cgroup in self._cgroups:
            cgroup.mkdir()
        # A cgroup for each guest, or they would share one; the shell that enters it becomes the guest.
        enter = " && ".join(f"echo $$ > {cgroup}/cgroup.procs" for cgroup in self._cgroups) or "true"
        limit = str(min(20000, _open_files()))
        command = [
            *("systemd-nspawn", "-q", "-D", str(self.root), f"--hostname={self.name}"),
            f"--network-namespace-path=/run/netns/{self._network.space(self._number)}",
            *("--register=no", "--keep-unit", f"--uuid={uuid.uuid4()}", "--capability=CAP_NET_ADMIN"),
            *(f"--rlimit=RLIMIT_NOFILE={limit}", "--kill-signal=SIGRTMIN+3"),
            *("--boot", f"--console={console}", "systemd.unit=multi-user.target"),
        ]
        environment = {**os.environ, "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"}
        with (self._folder / "console").open("wb") as printed:
            self._guest = subprocess.Popen(
                ["sh", "-c", f'{enter} && exec "$@"', "sh", *command],
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=printed,
                env=environment,
                start_new_session=True,
            )

    @property
    def console(self) -> str:
        """Return what the host printed at boot."""
        return (self._folder / "console").read_text(errors="replace")

    @property
    def running(self) -> bool:
        """Whether the host's processes exist."""
        return self._guest is not None and self._guest.poll() is None

    def power_off(self) -> None:
        """Request a shutdown without waiting; a host that has just begun to boot may miss it."""
        if self.running and self._guest is not None:
            self._guest.send_signal(signal.SIGTERM)

    def halt(self) -> None:
        """Shut the host down, and wait for its end."""
        self.power_off()
        if self.running and self._guest is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._guest.wait(_HALT_S)
        self.kill()

    def kill(self) -> None:
        """Kill the host without a FIN or RST to anyone."""
        if not self.running or self._guest is None:
            return
        self._network.cut(self._number)
        children = Path(f"/proc/{self._guest.pid}/task/{self._guest.pid}/children").read_text().split()
        for pid in children:  # killing nspawn itself would leave its guest running
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        self._guest.wait(_HALT_S)

    def remove(self) -> None:
        """Remove the host's files and mounts."""
        self.halt()
        subprocess.run(["umount", "-l", str(self.root)], check=False, capture_output=True)
        for cgroup in self._cgroups:
            for folder in sorted((each for each in cgroup.rglob("*") if each.is_dir()), reverse=True):
                with contextlib.suppress(OSError):
                    folder.rmdir()
            with contextlib.suppress(OSError):
                cgroup.rmdir()


class Machines:
    """Several hosts in an isolated network; `here` is this side's address, which all reach."""

    def __init__(self, network: Hosts, count: int, folder: Path, base: Path) -> None:
        self.network = network
        self.here = network.here
        self.folder = folder
        self.all = [Machine(network, number, folder, base) for number in range(1, count + 1)]
        self.ssh_config = folder / "ssh_config"

    def start(self) -> None:
        """Boot all hosts at once, and wait until every sshd answers."""
        for name in ("user_key", "host_key"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name)], check=True
            )
        public = (self.folder / "host_key.pub").read_text()
        config = (
            f"Host *\n  User root\n  IdentityFile {self.folder}/user_key\n  StrictHostKeyChecking yes\n"
            f"  UserKnownHostsFile {self.folder}/known_hosts\n"
        )
        known = ""
        for machine in self.all:
            machine.prepare()
            machine.admit((self.folder / "user_key.pub").read_text(), self.folder / "host_key")
            machine.boot()
            config += f"Host {machine.name}\n  HostName {machine.address}\n"
            known += f"{machine.address} {public}"
        self.ssh_config.write_text(config)
        (self.folder / "known_hosts").write_text(known)
        deadline = time.monotonic() + _BOOT_S
        for machine in self.all:
            while self.run(machine.name, "true").returncode:
                if time.monotonic() > deadline or not machine.running:
                    raise RuntimeError(f"{machine.name} did not boot:\n{machine.console[-2000:]}")
                time.sleep(0.2)

    def run(self, name: str, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command on a host by ssh."""
        line = ["ssh", "-F", str(self.ssh_config), "-o", "ConnectTimeout=5", name, command]
        return subprocess.run(line, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)

    def remove(self) -> None:
        """Remove all hosts, then the network."""
        for machine in self.all:  # in parallel
            machine.power_off()
        for machine in self.all:
            machine.remove()


def base_of_machines(*packages: str) -> Path:
    """Return the common root with additional Debian packages, built once."""
    script = [str(ROOT / "scripts/machine-base.sh"), *packages]
    made = subprocess.run(script, stdout=subprocess.PIPE, text=True, check=True)
    return Path(made.stdout.strip())


@contextmanager
def machines(count: int) -> Iterator[Machines]:
    """Yield hosts `h1` and on, and remove them at the end."""
    base = base_of_machines()
    network = Hosts(count)
    with tempfile.TemporaryDirectory(prefix="heyfleet-machines-") as folder:
        found: Machines | None = None
        try:
            network.make()
            found = Machines(network, count, Path(folder), base)
            found.start()
            yield found
        finally:
            if found is not None:
                found.remove()
            network.remove()


def _hierarchies() -> list[Path]:
    """Return the cgroup hierarchies in which guests get their own cgroups: those systemd uses, or the unified one."""
    if (_CGROUPS / "cgroup.procs").exists():
        return [_CGROUPS]
    return [_CGROUPS / name for name in ("systemd", "unified", "cpu", "pids") if (_CGROUPS / name).is_dir()]


def _open_files() -> int:
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return 1 << 20 if hard == resource.RLIM_INFINITY else hard
