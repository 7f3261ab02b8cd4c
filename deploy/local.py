"""Agents on this host, started by the same host.sh as on others: they outlive the command and end after their lifetime."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from heyfleet.deploy.provider import (
    ENDED,
    RUNNING,
    Instance,
    Instances,
    LaunchPlan,
    LaunchRequest,
    LaunchResult,
    LaunchSpec,
    Lines,
    Log,
)
from heyfleet.deploy.settings import Setting
from heyfleet.deploy.ssh.host import LocalHost, read_status
from heyfleet.private_files import make_folder
from heyfleet.text import plural

_BUNDLE = "this-installation"


class LocalProvider:
    """A provider for this host. Agent number 3 of the fleet `demo` is host.sh's run `demo.3`."""

    settings: ClassVar[tuple[Setting, ...]] = ()
    tunnels: ClassVar[bool] = True

    def __init__(self, settings: dict[str, Any]) -> None:
        self._host = LocalHost()

    def plan(self, spec: LaunchSpec) -> LaunchPlan:
        """See Provider.plan."""
        return LaunchPlan(
            resources=[f"{plural(spec.agents, 'agent')} on this host, in {_home() / 'runs'}"],
            notes=[f"each agent ends after {spec.lifetime}"],
            usd_per_hour=0.0,
            price_source="this host is yours",
        )

    def launch(self, request: LaunchRequest, log: Log) -> LaunchResult:
        """See Provider.launch."""
        _write_program()
        result = LaunchResult()
        for number in range(1, request.agents + 1):
            log(f"starting agent {number} of {request.agents} on this host")
            name, run = f"local-{number}", f"{request.fleet}.{number}"
            words = ("start", run, _BUNDLE, request.join, str(request.lifetime_s), name)
            self._host.call(*words, stdin=request.secrets())
            result.instances.append(
                Instance(
                    fleet=request.fleet,
                    id=run,
                    name=name,
                    state=RUNNING,
                    expires_s=time.time() + request.lifetime_s,
                )
            )
        return result

    def list(self, fleet: str = "") -> Instances:
        """See Provider.list."""
        return [
            Instance(
                fleet=each.run.partition(".")[0],
                id=each.run,
                name=each.agent,
                state=RUNNING if each.is_running else ENDED,
                reason=each.last_line,
                expires_s=each.expires_s,
            )
            for each in read_status(self._host.call("status"))
            if fleet in ("", each.run.partition(".")[0])
        ]

    def logs(self, fleet: str) -> Iterable[tuple[str, str]]:
        """See Provider.logs."""
        for instance in self.list(fleet):
            yield instance.name, self._host.call("logs", instance.id)

    def stop(self, fleet: str, log: Log) -> Lines:
        """See Provider.stop."""
        stopped = [self._host.call("stop", instance.id) for instance in self.list(fleet)]
        return [f"agent {run}" for output in stopped for run in output.splitlines()]

    def reap(self, log: Log, *, everything: bool = False) -> Lines:
        """See Provider.reap."""
        words = ("reap", "all") if everything else ("reap",)
        return [f"agent {run}" for run in self._host.call(*words).splitlines()]

    def close(self) -> None:
        """Do nothing: no resource lives in this process."""


def _home() -> Path:
    return Path(os.environ.get("HEYFLEET_HOME") or Path.home() / ".heyfleet")


def _write_program() -> None:
    """Write what host.sh takes for a bundle: a command that runs the heyfleet of this process."""
    program = _home() / "bundles" / _BUNDLE / "bin" / "heyfleet"
    make_folder(program.parent, exist_ok=True)
    temporary = program.with_name(f".heyfleet.{os.getpid()}")
    path = f"PYTHONPATH={shlex.quote(os.pathsep.join(sys.path))} " if os.environ.get("PYTHONPATH") else ""
    temporary.write_text(f'#!/bin/sh\n{path}exec {shlex.quote(sys.executable)} -m heyfleet "$@"\n')
    temporary.chmod(0o755)
    temporary.replace(program)
