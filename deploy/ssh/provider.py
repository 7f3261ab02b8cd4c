"""Agents on hosts that ssh reaches, and that have sshd and Python: host.sh does the work there, this does it on all at once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, TypeVar

from heyfleet.deploy.provider import (
    ENDED,
    RUNNING,
    UNKNOWN,
    DeployError,
    Instance,
    Instances,
    LaunchPlan,
    LaunchRequest,
    LaunchResult,
    Lines,
    Say,
)
from heyfleet.deploy.settings import Setting, SettingError
from heyfleet.deploy.ssh.bundle import Bundles
from heyfleet.deploy.ssh.host import Host, Tunnel

_AT_ONCE = 32
T = TypeVar("T")


class SshProvider:
    """See engine.Engine. A fleet is one agent on each of the first hosts that serve, in their order."""

    settings: ClassVar[tuple[Setting, ...]] = (
        Setting(
            "hosts", "Names as ssh knows them, with commas between, or a file with one a line.", list, ()
        ),
        Setting(
            "bundle", "The agent's archive, or the folder with those for several Pythons. Default: dist.", str
        ),
        Setting("python", "The Python of the hosts, where it is not python3.", str),
        Setting("ssh_config", "In place of ~/.ssh/config.", str),
        Setting("home", "Where agents live on the hosts. Default: ~/.heyfleet.", str),
    )
    tunnels: ClassVar[bool] = True

    def __init__(self, settings: dict[str, Any]) -> None:
        if not settings["hosts"]:
            raise SettingError("hosts: --on ssh needs --hosts h1,h2,... or a file with one a line")
        names = list(dict.fromkeys(settings["hosts"]))
        for name in names:
            if name.startswith("-"):
                raise SettingError(f"hosts: {name!r} is no host's name")
        environment = [
            f"{name}={settings[key]}"
            for name, key in (("HEYFLEET_PYTHON", "python"), ("HEYFLEET_HOME", "home"))
            if settings[key]
        ]
        config = settings["ssh_config"] or os.environ.get("HEYFLEET_SSH_CONFIG", "")
        self._hosts = [Host(name, config, environment) for name in names]
        self._bundle = settings["bundle"]
        self.hosts = names
        self._tunnels: dict[str, Tunnel] = {}

    def plan(self, order: LaunchRequest) -> LaunchPlan:
        """See engine.Engine."""
        taking = self._hosts[: order.agents]
        makes = [f"{host.name}: one agent in ~/.heyfleet/runs/{order.fleet}" for host in taking]
        notes = [f"each agent ends by itself after {order.lifetime_s} s"]
        if len(self._hosts) < order.agents:
            notes.append(f"{order.agents} agents are wanted, and only {len(self._hosts)} hosts are named")
        if len(self._hosts) > order.agents:
            spare = ", ".join(host.name for host in self._hosts[order.agents :])
            notes.append(f"in place of a host that fails: {spare}")
        way = (
            "none: each agent comes through a tunnel of its own ssh connection"
            if order.tunnel
            else f"the hosts must reach {order.join} by TCP"
        )
        return LaunchPlan(
            makes=makes,
            ports=[way, "ssh to each host"],
            notes=notes,
            usd_an_hour=0.0,
            price_source="the hosts are yours",
        )

    def launch(self, order: LaunchRequest, say: Say) -> LaunchResult:
        """See engine.Engine. A host that fails is replaced by the next one that is named beyond the count."""
        bundles = Bundles(self._bundle)
        made = LaunchResult()
        waiting = list(self._hosts)
        while len(made.units) < order.agents and waiting:
            batch = waiting[: order.agents - len(made.units)]
            waiting = waiting[len(batch) :]
            say(f"starting agents on {_list(batch)}")
            for host, unit in self._each(batch, lambda host: self._start(host, order, bundles)):
                if isinstance(unit, DeployError):
                    made.failures.append(f"{host.name}: {unit.message}")
                else:
                    made.units.append(unit)
        if len(self._hosts) < order.agents:
            made.failures.append(
                f"fleet: {order.agents} agents are wanted, and only {len(self._hosts)} hosts are named"
            )
        return made

    def _start(self, host: Host, order: LaunchRequest, bundles: Bundles) -> Instance:
        found = dict(line.partition("=")[::2] for line in host.call("probe").splitlines())
        bundle = bundles.fitting(found["python"], found["machine"])
        if host.call("have", bundle.name).strip() != "yes":
            host.call("install", bundle.name, stdin=bundle.path)
        join = order.join
        if order.tunnel:
            self._tunnels[host.name] = tunnel = Tunnel(host, order.join)
            join = f"127.0.0.1:{tunnel.port}"
        name = host.name.rpartition("@")[2]
        host.call("start", order.fleet, bundle.name, join, str(order.lifetime_s), name, stdin=order.secrets())
        return Instance(
            fleet=order.fleet,
            id=host.name,
            name=name,
            state=RUNNING,
            expires_s=time.time() + order.lifetime_s,
        )

    def list(self, fleet: str = "") -> Instances:
        """See engine.Engine. A host that can't be asked is a unit in the state UNKNOWN."""
        units = []
        for host, said in self._each(self._hosts, lambda host: host.call("status")):
            if isinstance(said, DeployError):
                units.append(
                    Instance(fleet=fleet, id=host.name, name=host.name, state=UNKNOWN, reason=said.message)
                )
                continue
            for run, state, name, expires, *reason in (line.split(" ", 4) for line in said.splitlines()):
                if fleet in ("", run):
                    units.append(
                        Instance(
                            fleet=run,
                            id=host.name,
                            name=name,
                            state=RUNNING if state == "running" else ENDED,
                            reason=" ".join(reason),
                            expires_s=float(expires),
                        )
                    )
        return units

    def logs(self, fleet: str) -> Iterable[tuple[str, str]]:
        """See engine.Engine."""
        for host, said in self._each(self._hosts, lambda host: host.call("logs", fleet)):
            yield host.name, said.message if isinstance(said, DeployError) else said

    def stop(self, fleet: str, say: Say) -> Lines:
        """See engine.Engine."""
        return self._removed(lambda host: host.call("stop", fleet), say)

    def reap(self, say: Say, *, everything: bool = False) -> Lines:
        """See engine.Engine. What has ended by itself goes as well."""
        words = ("reap", "all") if everything else ("reap",)
        return self._removed(lambda host: host.call(*words), say)

    def _removed(self, work: Callable[[Host], str], say: Say) -> Lines:
        removed, failed = [], []
        for host, said in self._each(self._hosts, work):
            if isinstance(said, DeployError):
                failed.append(f"{host.name}: {said.message}")
            else:
                removed += [f"{host.name}: agent of {run}" for run in said.split()]
        for line in failed:
            say(f"not asked: {line}")
        if failed and len(failed) == len(self._hosts):
            raise DeployError(f"no host could be asked: {failed[0]}")
        return removed

    def close(self) -> None:
        """See engine.Engine."""
        for tunnel in self._tunnels.values():
            tunnel.close()
        self._tunnels.clear()

    @staticmethod
    def _each(hosts: Iterable[Host], work: Callable[[Host], T]) -> Iterable[tuple[Host, T | DeployError]]:
        """What the work gave on each of them, all at once; in their order."""

        def careful(host: Host) -> T | DeployError:
            try:
                return work(host)
            except DeployError as error:
                return error

        hosts = list(hosts)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            yield from zip(hosts, pool.map(careful, hosts), strict=True)


def _list(hosts: Iterable[Host]) -> str:
    names = [host.name for host in hosts]
    return ", ".join(names) if len(names) <= 8 else f"{', '.join(names[:7])} and {len(names) - 7} more"
