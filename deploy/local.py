"""Agents on this host, started as host.sh starts them elsewhere: they outlive the command, and end when their time is over."""

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
    Lines,
    Say,
)
from heyfleet.deploy.settings import Setting
from heyfleet.deploy.ssh.host import ThisHost

_BUNDLE = "this-installation"


class LocalProvider:
    """See engine.Engine. Agent number 3 of the fleet `demo` is host.sh's run `demo.3`."""

    settings: ClassVar[tuple[Setting, ...]] = ()
    tunnels: ClassVar[bool] = True

    def __init__(self, settings: dict[str, Any]) -> None:
        self._host = ThisHost()

    def plan(self, order: LaunchRequest) -> LaunchPlan:
        """See engine.Engine."""
        return LaunchPlan(
            makes=[f"{order.agents} agents on this host, in {_home() / 'runs'}"],
            notes=[f"each agent ends by itself after {order.lifetime_s} s"],
            usd_an_hour=0.0,
            price_source="this host is yours",
        )

    def launch(self, order: LaunchRequest, say: Say) -> LaunchResult:
        """See engine.Engine."""
        _write_program()
        made = LaunchResult()
        for number in range(1, order.agents + 1):
            say(f"starting agent {number} of {order.agents} on this host")
            name, run = f"local-{number}", f"{order.fleet}.{number}"
            self._host.call(
                "start", run, _BUNDLE, order.join, str(order.lifetime_s), name, stdin=order.secrets()
            )
            made.units.append(
                Instance(
                    fleet=order.fleet,
                    id=run,
                    name=name,
                    state=RUNNING,
                    expires_s=time.time() + order.lifetime_s,
                )
            )
        return made

    def list(self, fleet: str = "") -> Instances:
        """See engine.Engine."""
        units = []
        for run, state, name, expires, *reason in (
            line.split(" ", 4) for line in self._host.call("status").splitlines()
        ):
            of, _, _ = run.partition(".")
            if fleet in ("", of):
                units.append(
                    Instance(
                        fleet=of,
                        id=run,
                        name=name,
                        state=RUNNING if state == "running" else ENDED,
                        reason=" ".join(reason),
                        expires_s=float(expires),
                    )
                )
        return units

    def logs(self, fleet: str) -> Iterable[tuple[str, str]]:
        """See engine.Engine."""
        for unit in self.list(fleet):
            yield unit.name, self._host.call("logs", unit.id)

    def stop(self, fleet: str, say: Say) -> Lines:
        """See engine.Engine."""
        return [
            f"agent {run}" for unit in self.list(fleet) for run in self._host.call("stop", unit.id).split()
        ]

    def reap(self, say: Say, *, everything: bool = False) -> Lines:
        """See engine.Engine."""
        words = ("reap", "all") if everything else ("reap",)
        return [f"agent {run}" for run in self._host.call(*words).split()]

    def close(self) -> None:
        """See engine.Engine."""


def _home() -> Path:
    return Path(os.environ.get("HEYFLEET_HOME") or Path.home() / ".heyfleet")


def _write_program() -> None:
    """What host.sh takes for a bundle: a command that runs the heyfleet that this process is part of."""
    program = _home() / "bundles" / _BUNDLE / "bin" / "heyfleet"
    program.parent.mkdir(parents=True, exist_ok=True)
    fresh = program.with_name(f".heyfleet.{os.getpid()}")
    path = f"PYTHONPATH={shlex.quote(os.pathsep.join(sys.path))} " if os.environ.get("PYTHONPATH") else ""
    fresh.write_text(f'#!/bin/sh\n{path}exec {shlex.quote(sys.executable)} -m heyfleet "$@"\n')
    fresh.chmod(0o755)
    fresh.replace(program)
