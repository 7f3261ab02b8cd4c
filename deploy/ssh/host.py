"""A host that runs host.sh: by ssh, or here; and the tunnel through which its agent reaches a controller here."""

from __future__ import annotations

import contextlib
import random
import shlex
import subprocess
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from heyfleet.deploy.provider import DeployError

_STEP_TIMEOUT_S = 120.0
_TUNNEL_TRIES = 8
# Below the ports that kernels give to connections (from 32768 on, unless told otherwise).
_TUNNEL_PORTS = range(20000, 32000)
_RETRY_S = 1.0
CONTROL_OPTIONS = ("BatchMode=yes", "ConnectTimeout=10", "ServerAliveInterval=5", "ServerAliveCountMax=3")


@cache
def script() -> str:
    """The text of host.sh."""
    return Path(__file__).with_name("host.sh").read_text()


class HostError(DeployError):
    """A step on a host failed; the line is what the host, or ssh, said of it."""


class Host:
    """One that ssh reaches, as its own configuration says."""

    def __init__(self, name: str, config: str = "", environment: Sequence[str] = ()) -> None:
        self.name = name
        options = [word for option in CONTROL_OPTIONS for word in ("-o", option)]
        self.ssh = ["ssh", *options, *(["-F", config] if config else [])]
        self._environment = environment  # NAME=VALUE for host.sh

    def call(self, *words: str, stdin: bytes | Path = b"") -> str:
        """What host.sh says to these words. HostError with what it, or ssh, complained of."""
        line = shlex.join(["exec", "env", *self._environment, "sh", "-c", script(), "host.sh", *words])
        command = self._command(line)
        try:
            if isinstance(stdin, Path):
                with stdin.open("rb") as file:
                    run = subprocess.run(
                        command, stdin=file, capture_output=True, timeout=_STEP_TIMEOUT_S, check=False
                    )
            else:
                run = subprocess.run(
                    command, input=stdin, capture_output=True, timeout=_STEP_TIMEOUT_S, check=False
                )
        except subprocess.TimeoutExpired:
            raise HostError(f"no answer within {_STEP_TIMEOUT_S:g} s ({words[0]})") from None
        except FileNotFoundError:
            raise HostError("the command ssh is not here: install OpenSSH's client") from None
        if run.returncode:
            raise HostError(_said(run.stderr) or f"{words[0]} ended with exit code {run.returncode}")
        return run.stdout.decode(errors="replace")

    def _command(self, line: str) -> list[str]:
        return [*self.ssh, self.name, line]


class ThisHost(Host):
    """The one that this process runs on, without ssh."""

    def __init__(self) -> None:
        super().__init__("localhost")

    def _command(self, line: str) -> list[str]:
        return ["sh", "-c", line]


class Tunnel:
    """A port of a host's loopback that leads to an address here, kept up until it is closed.

    It ends with this process, however that ends: the far side is a `cat` that waits for our end of a pipe.
    """

    def __init__(self, host: Host, join: str) -> None:
        self._host = host
        self._join = join
        self._closed = threading.Event()
        self._process, self.port = self._first()
        threading.Thread(target=self._keep_up, daemon=True).start()

    def _first(self) -> tuple[subprocess.Popen[bytes], int]:
        complaint = ""
        for port in random.sample(_TUNNEL_PORTS, _TUNNEL_TRIES):
            process = self._dial(port)
            if self._is_up(process):
                return process, port
            complaint = _said(process.communicate()[1])
            if "remote port forwarding failed" not in complaint:
                break
        raise HostError(
            f"no tunnel: {complaint or 'ssh said nothing'}; sshd must allow it (AllowTcpForwarding), or name with --join "
            "an address at which hosts reach the controller"
        )

    def _dial(self, port: int) -> subprocess.Popen[bytes]:
        forward = ["-o", "ExitOnForwardFailure=yes", "-R", f"127.0.0.1:{port}:{self._join}"]
        command = [*self._host.ssh, *forward, self._host.name, "echo up; exec cat >/dev/null"]
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the run; what was measured still comes through here
        )

    @staticmethod
    def _is_up(process: subprocess.Popen[bytes]) -> bool:
        assert process.stdout is not None
        return process.stdout.readline().strip() == b"up"

    def _keep_up(self) -> None:
        while not self._closed.is_set():
            self._process.wait()
            if self._closed.wait(_RETRY_S):
                return
            self._process = self._dial(self.port)
            self._is_up(self._process)

    def close(self) -> None:
        """Take it down."""
        self._closed.set()
        with contextlib.suppress(OSError):
            self._process.terminate()


def _said(stderr: bytes) -> str:
    """The complaint in one line, without ssh's banners."""
    lines = [line.strip() for line in stderr.decode(errors="replace").splitlines()]
    return " ".join(line for line in lines if line and not line.startswith("** "))
