"""A stand-in for the cluster's nodes: each pending pod becomes a process on this host, with the pod's own arguments.

What a container adds (image, user, limits) is not there; what the agent is told, its secrets and its end are those of the pod.
"""

from __future__ import annotations

import base64
import signal
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.fleet.processes import HEYFLEET

from .server import Double

_LOOK_EVERY_S = 0.05


class Kubelet:
    """A context manager: pods run while it is active."""

    def __init__(self, double: Double, folder: Path) -> None:
        self._double = double
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.started = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def _work(self) -> None:
        while not self._over.wait(_LOOK_EVERY_S):
            pods = dict(self._double.kept["pods"])
            for name, pod in pods.items():
                secret = self._double.kept["secrets"].get("-".join(pod["spec"]["hostname"].split("-")[:-1]))
                if name not in self._running and pod["status"]["phase"] == "Pending" and secret:
                    self._start(name, pod, secret)
            for name, process in list(self._running.items()):
                if name not in pods:  # deleted
                    self._end(self._running.pop(name))
                elif (code := process.poll()) is not None:
                    pods[name]["status"]["phase"] = "Failed" if code else "Succeeded"

    def _start(self, name: str, pod: dict[str, Any], secret: dict[str, Any]) -> None:
        owner = pod["metadata"]["ownerReferences"][0]["uid"]
        job = next(job for job in list(self._double.kept["jobs"].values()) if job["metadata"]["uid"] == owner)
        files = self._folder / name
        files.mkdir()
        for key, text in secret["data"].items():
            (files / key).touch(0o600)
            (files / key).write_bytes(base64.b64decode(text))
        (container,) = job["spec"]["template"]["spec"]["containers"]
        paths = {"/run/heyfleet": str(files), "/var/spool/heyfleet": str(files / "spool")}
        arguments = [
            next((arg.replace(old, new) for old, new in paths.items() if arg.startswith(old)), arg)
            for arg in container["args"]
        ]
        with (files / "log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                [*HEYFLEET, *arguments, "--name", pod["spec"]["hostname"]], stdout=log, stderr=log
            )
        self.started += 1
        pod["status"]["phase"] = "Running"

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        for process in self._running.values():
            self._end(process)
