"""Hosts that run host.sh, by ssh or locally, and tunnels through which their agents reach a controller here."""

from __future__ import annotations

import contextlib
import random
import shlex
import subprocess
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from heyfleet.errors import DeployError
from heyfleet.files import open_file

_STEP_TIMEOUT_S = 120.0
_TUNNEL_ATTEMPTS = 8
# Below the kernel's default range of ephemeral ports, which starts at 32768.
_TUNNEL_PORTS = range(20000, 32000)
_REDIAL_S = 1.0
CONTROL_OPTIONS = ("BatchMode=yes", "ConnectTimeout=10", "ServerAliveInterval=5", "ServerAliveCountMax=3")


@cache
def script() -> str:
    """Return the text of host.sh."""
    return Path(__file__).with_name("host.sh").read_text()


class HostError(DeployError):
    """A step on a host failed, with the line that the host or ssh printed."""


class Host:
    """A host that ssh reaches, as the user's ssh configuration says."""

    def __init__(self, name: str, config: str = "", environment: Sequence[str] = ()) -> None:
        """`config` replaces ~/.ssh/config; `environment` has NAME=VALUE pairs for host.sh."""
        self.name = name
        options = [word for option in CONTROL_OPTIONS for word in ("-o", option)]
        self.ssh = ["ssh", *options, *(["-F", config] if config else [])]
        self._environment = environment

    def call(self, *words: str, stdin: bytes | Path = b"") -> str:
        """Run a command of host.sh and return its output. Raises HostError with the error it printed."""
        line = shlex.join(["exec", "env", *self._environment, "sh", "-c", script(), "host.sh", *words])
        command = self._command(line)
        try:
            if isinstance(stdin, Path):
                with open_file(stdin, "bundle") as file:
                    run = subprocess.run(
                        command, stdin=file, capture_output=True, timeout=_STEP_TIMEOUT_S, check=False
                    )
            else:
                run = subprocess.run(
                    command, input=stdin, capture_output=True, timeout=_STEP_TIMEOUT_S, check=False
                )
        except subprocess.TimeoutExpired:
            raise HostError(f"{words[0]}: no response within {_STEP_TIMEOUT_S:g} s") from None
        except FileNotFoundError:
            raise HostError("there is no command ssh on this host", "install the OpenSSH client") from None
        if run.returncode:
            raise HostError(_one_line(run.stderr) or f"{words[0]} ended with exit code {run.returncode}")
        return run.stdout.decode(errors="replace")

    def _command(self, line: str) -> list[str]:
        return [*self.ssh, self.name, line]


class LocalHost(Host):
    """The host that this process runs on, without ssh."""

    def __init__(self) -> None:
        super().__init__("localhost")

    def _command(self, line: str) -> list[str]:
        return ["sh", "-c", line]


class Tunnel:
    """A port on a host's loopback interface that leads to an address here, redialed until it is closed.

    It ends with this process, however that ends: the remote command is a `cat` that waits for our end of a pipe.
    """

    def __init__(self, host: Host, join: str) -> None:
        self._host = host
        self._join = join
        self._closed = threading.Event()
        self._process, self.port = self._open()
        threading.Thread(target=self._keep_open, daemon=True).start()

    def _open(self) -> tuple[subprocess.Popen[bytes], int]:
        problem = ""
        for port in random.sample(_TUNNEL_PORTS, _TUNNEL_ATTEMPTS):
            process = self._dial(port)
            if self._is_up(process):
                return process, port
            problem = _one_line(process.communicate()[1])
            if "remote port forwarding failed" not in problem:
                break
        raise HostError(
            f"the ssh tunnel can't be opened: {problem or 'ssh printed nothing'}",
            "allow it in sshd (AllowTcpForwarding), or use --join with an address at which hosts reach the controller",
        )

    def _dial(self, port: int) -> subprocess.Popen[bytes]:
        forward = ["-o", "ExitOnForwardFailure=yes", "-R", f"127.0.0.1:{port}:{self._join}"]
        command = [*self._host.ssh, *forward, self._host.name, "echo up; exec cat >/dev/null"]
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C must not end it: results still come through
        )

    @staticmethod
    def _is_up(process: subprocess.Popen[bytes]) -> bool:
        assert process.stdout is not None
        return process.stdout.readline().strip() == b"up"

    def _keep_open(self) -> None:
        while not self._closed.is_set():
            self._process.wait()
            if self._closed.wait(_REDIAL_S):
                return
            self._process = self._dial(self.port)
            self._is_up(self._process)

    def close(self) -> None:
        """Take the tunnel down."""
        self._closed.set()
        with contextlib.suppress(OSError):
            self._process.terminate()


def _one_line(stderr: bytes) -> str:
    """Return stderr in one line, without ssh's banners."""
    lines = [line.strip() for line in stderr.decode(errors="replace").splitlines()]
    return " ".join(line for line in lines if line and not line.startswith("** "))
