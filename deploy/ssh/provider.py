"""The provider ssh: agents on hosts that need nothing but sshd and Python. host.sh does the work on each of them."""

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
    Instance,
    Instances,
    LaunchPlan,
    LaunchRequest,
    LaunchResult,
    LaunchSpec,
    Lines,
    Log,
)
from heyfleet.deploy.settings import Setting, SettingError
from heyfleet.deploy.ssh.bundle import BundleSet
from heyfleet.deploy.ssh.host import Host, Tunnel
from heyfleet.errors import DeployError

_PARALLEL = 32
_LISTED_AT_MOST = 8
T = TypeVar("T")


class SshProvider:
    """A provider for a list of hosts. A fleet has one agent on each of the first hosts that work."""

    settings: ClassVar[tuple[Setting, ...]] = (
        Setting(
            "hosts", "Host names as ssh knows them, separated by commas, or a file with one a line.", list, ()
        ),
        Setting(
            "bundle",
            "Agent bundle, or a folder with bundles for several Python versions. Default: dist.",
            str,
        ),
        Setting("python", "Python command on the hosts. Default: python3.", str),
        Setting("ssh_config", "ssh configuration file. Default: ~/.ssh/config.", str),
        Setting("home", "Folder for agents on the hosts. Default: ~/.heyfleet.", str),
    )
    tunnels: ClassVar[bool] = True

    def __init__(self, settings: dict[str, Any]) -> None:
        if not settings["hosts"]:
            raise SettingError(
                "hosts: --on ssh needs them", "use --hosts h1,h2,... or a file with one a line"
            )
        names = list(dict.fromkeys(settings["hosts"]))
        for name in names:
            if name.startswith("-"):
                raise SettingError(f"hosts: {name!r} is not a host name")
        environment = [
            f"{name}={settings[key]}"
            for name, key in (("HEYFLEET_PYTHON", "python"), ("HEYFLEET_HOME", "home"))
            if settings[key]
        ]
        config = settings["ssh_config"] or os.environ.get("HEYFLEET_SSH_CONFIG", "")
        self._hosts = [Host(name, config, environment) for name in names]
        self._bundle = settings["bundle"]
        self.hosts = names
        """The names of all hosts: the default number of agents is their number."""
        self._tunnels: dict[str, Tunnel] = {}

    def plan(self, spec: LaunchSpec) -> LaunchPlan:
        """See Provider.plan."""
        hosts, spare = self._hosts[: spec.agents], self._hosts[spec.agents :]
        notes = [f"each agent ends after {spec.lifetime_s} s"]
        if len(self._hosts) < spec.agents:
            notes.append(self._too_few_hosts(spec.agents))
        if spare:
            notes.append(f"replacements for hosts that fail: {', '.join(host.name for host in spare)}")
        join = (
            "agents reach the controller through a tunnel in their host's ssh connection"
            if spec.tunnel
            else f"hosts must reach {spec.join} by TCP"
        )
        return LaunchPlan(
            resources=[f"{host.name}: one agent in ~/.heyfleet/runs/{spec.fleet}" for host in hosts],
            network=["this host must reach every host by ssh", join],
            notes=notes,
            usd_per_hour=0.0,
            price_source="the hosts are yours",
        )

    def _too_few_hosts(self, agents: int) -> str:
        return f"{agents} agents were requested, but only {len(self._hosts)} hosts are named"

    def launch(self, request: LaunchRequest, log: Log) -> LaunchResult:
        """See Provider.launch. Hosts beyond the requested number replace those that fail."""
        bundles = BundleSet(self._bundle)
        result = LaunchResult()
        waiting = list(self._hosts)
        while len(result.instances) < request.agents and waiting:
            batch = waiting[: request.agents - len(result.instances)]
            waiting = waiting[len(batch) :]
            log(f"starting agents on {_list_names(batch)}")
            for host, started in self._on_each(batch, lambda host: self._start(host, request, bundles)):
                if isinstance(started, DeployError):
                    result.failures.append(f"{host.name}: {started}")
                else:
                    result.instances.append(started)
        if len(self._hosts) < request.agents:
            result.failures.append(f"fleet: {self._too_few_hosts(request.agents)}")
        return result

    def _start(self, host: Host, request: LaunchRequest, bundles: BundleSet) -> Instance:
        facts = dict(line.partition("=")[::2] for line in host.call("probe").splitlines())
        bundle = bundles.find(facts["python"], facts["machine"])
        if host.call("have", bundle.name).strip() != "yes":
            host.call("install", bundle.name, stdin=bundle.path)
        join = request.join
        if request.tunnel:
            self._tunnels[host.name] = tunnel = Tunnel(host, request.join)
            join = f"127.0.0.1:{tunnel.port}"
        name = host.name.rpartition("@")[2]
        words = ("start", request.fleet, bundle.name, join, str(request.lifetime_s), name)
        host.call(*words, stdin=request.secrets())
        return Instance(
            fleet=request.fleet,
            id=host.name,
            name=name,
            state=RUNNING,
            expires_s=time.time() + request.lifetime_s,
        )

    def list(self, fleet: str = "") -> Instances:
        """See Provider.list. A host that does not respond counts as an instance in the state UNKNOWN."""
        instances = []
        for host, status in self._on_each(self._hosts, lambda host: host.call("status")):
            if isinstance(status, DeployError):
                instances.append(
                    Instance(fleet=fleet, id=host.name, name=host.name, state=UNKNOWN, reason=str(status))
                )
                continue
            for line in status.splitlines():
                run, state, name, expires, *reason = line.split(" ", 4)
                if fleet in ("", run):
                    instances.append(
                        Instance(
                            fleet=run,
                            id=host.name,
                            name=name,
                            state=RUNNING if state == "running" else ENDED,
                            reason=" ".join(reason),
                            expires_s=float(expires),
                        )
                    )
        return instances

    def logs(self, fleet: str) -> Iterable[tuple[str, str]]:
        """See Provider.logs."""
        for host, output in self._on_each(self._hosts, lambda host: host.call("logs", fleet)):
            yield host.name, str(output)

    def stop(self, fleet: str, log: Log) -> Lines:
        """See Provider.stop."""
        return self._remove(lambda host: host.call("stop", fleet), log)

    def reap(self, log: Log, *, everything: bool = False) -> Lines:
        """See Provider.reap. Also removes runs that have ended before their time."""
        words = ("reap", "all") if everything else ("reap",)
        return self._remove(lambda host: host.call(*words), log)

    def _remove(self, remove: Callable[[Host], str], log: Log) -> Lines:
        """Return a line for each run that `remove` names. Raises DeployError if no host responds."""
        removed, failures = [], []
        for host, output in self._on_each(self._hosts, remove):
            if isinstance(output, DeployError):
                failures.append(f"{host.name}: {output}")
            else:
                removed += [f"{host.name}: agent of {run}" for run in output.split()]
        for line in failures:
            log(f"no response: {line}")
        if failures and len(failures) == len(self._hosts):
            raise DeployError(f"no host responds: {failures[0]}")
        return removed

    def close(self) -> None:
        """Close the tunnels."""
        for tunnel in self._tunnels.values():
            tunnel.close()
        self._tunnels.clear()

    @staticmethod
    def _on_each(hosts: Iterable[Host], work: Callable[[Host], T]) -> Iterable[tuple[Host, T | DeployError]]:
        """Yield the result or error of the work on each host, in order; hosts work in parallel."""

        def attempt(host: Host) -> T | DeployError:
            try:
                return work(host)
            except DeployError as error:
                return error

        hosts = list(hosts)
        with ThreadPoolExecutor(_PARALLEL) as pool:
            yield from zip(hosts, pool.map(attempt, hosts), strict=True)


def _list_names(hosts: Iterable[Host]) -> str:
    names = [host.name for host in hosts]
    if len(names) <= _LISTED_AT_MOST:
        return ", ".join(names)
    return f"{', '.join(names[: _LISTED_AT_MOST - 1])} and {len(names) - _LISTED_AT_MOST + 1} more"
