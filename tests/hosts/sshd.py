"""A real sshd on loopback, whose login shell is whatever a test says."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

SERVER = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
MaxStartups {max_startups}
SetEnv HEYFLEET_HOME={folder}/home HEYFLEET_PYTHON={python}
"""
CLIENT = """
Host *
  HostName 127.0.0.1
  IdentityFile {folder}/user_key
  IdentityAgent none
  UserKnownHostsFile {folder}/known_hosts
  StrictHostKeyChecking yes
"""
_START_TIMEOUT_S = 60.0


class Sshd:
    """Servers that end with `stop`, and one client configuration for all of them: a host's name leads to its port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.config = folder / "ssh_config"
        self.config.write_text(CLIENT.format(folder=folder))
        for name in ("host_key", "user_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        self._servers: list[subprocess.Popen[bytes]] = []

    def start(self, *names: str, shell: str = "", max_startups: str = "100", jump: str = "") -> int:
        """Start a server for hosts with these names, and return its port.

        `shell` is a shell command in place of the login shell's work; `{command}` in it is what ssh brought, quoted.
        """
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port: int = free.getsockname()[1]
        text = SERVER.format(folder=self.folder, port=port, python=sys.executable, max_startups=max_startups)
        if shell:
            script = self.folder / f"shell-{port}"
            script.write_text(shell)
            text += f"ForceCommand sh {script}\n"
        (self.folder / f"sshd-{port}").write_text(text)
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # sshd's privilege separation folder
        sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin") or "sshd"
        with (self.folder / f"log-{port}").open("wb") as log:
            command = [sshd, "-D", "-e", "-f", str(self.folder / f"sshd-{port}")]
            self._servers.append(subprocess.Popen(command, stderr=log))
        self.add(*names, port=port, jump=jump)
        key = (self.folder / "host_key.pub").read_text()
        with (self.folder / "known_hosts").open("a") as known:
            known.write(f"[127.0.0.1]:{port} {key}")
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        while b"Server listening" not in (self.folder / f"log-{port}").read_bytes():
            assert time.monotonic() < deadline_s, self.log(port)
            time.sleep(0.05)
        return port

    def add(self, *names: str, port: int, jump: str = "") -> None:
        """Let more names lead to a port."""
        with self.config.open("a") as config:
            config.write(
                f"Host {' '.join(names)}\n  Port {port}\n" + (f"  ProxyJump {jump}\n" if jump else "")
            )

    def log(self, port: int) -> str:
        return (self.folder / f"log-{port}").read_text()

    def stop(self) -> None:
        for server in self._servers:
            server.terminate()
            server.wait()


def login_shell(shell: str, before: str = "") -> str:
    """Return the work of a login shell for `Sshd.start`; `before` is what its startup file does."""
    return f'{before}\nexec {shlex.quote(shell)} -c "$SSH_ORIGINAL_COMMAND"\n'
