"""Tunnels through which agents on hosts reach a controller here."""

from __future__ import annotations

import contextlib
import random
import threading

from heyfleet.deploy.ssh.host import Host
from heyfleet.deploy.ssh.host_process import HostError, HostProcess

_ATTEMPTS = 8
# Below the kernel's default range of ephemeral ports, which starts at 32768.
_PORTS = range(20000, 32000)
_REDIAL_S = 1.0


class Tunnel:
    """A port on a host's loopback interface that leads to an address here, redialed until it is closed.

    It ends with this process, however that ends: on the host, host.sh waits for the end of its stdin.
    """

    def __init__(self, host: Host, join: str) -> None:
        """Open it. Raises HostError."""
        self._host = host
        self._join = join
        self._closed = threading.Event()
        self._process, self.port = self._open()
        threading.Thread(target=self._keep_open, daemon=True).start()

    def _open(self) -> tuple[HostProcess, int]:
        problem = HostError("")
        for port in random.sample(_PORTS, _ATTEMPTS):
            try:
                return self._dial(port), port
            except HostError as error:
                problem = error
                if "remote port forwarding failed" not in error.cause:
                    break
        raise HostError(
            f"the ssh tunnel can't be opened: {problem}",
            "allow it in sshd (AllowTcpForwarding), or use --join with an address at which hosts reach the controller",
        )

    def _dial(self, port: int) -> HostProcess:
        # Of a connection that others share (ControlMaster), a forwarding would outlive this process.
        own = ("-o", "ControlMaster=no", "-o", "ControlPath=none")
        forward = (*own, "-o", "ExitOnForwardFailure=yes", "-R", f"127.0.0.1:{port}:{self._join}")
        return self._host.begin(("hold",), options=forward, holds_stdin=True)

    def _keep_open(self) -> None:
        while True:
            with self._process:
                if not self._closed.is_set():  # it may have been closed while this dialed
                    self._process.drain()
                self._process.terminate()
            while not self._closed.wait(_REDIAL_S):
                with contextlib.suppress(HostError):
                    self._process = self._dial(self.port)
                    break
            else:
                return

    def close(self) -> None:
        """Take the tunnel down."""
        self._closed.set()
        self._process.terminate()
