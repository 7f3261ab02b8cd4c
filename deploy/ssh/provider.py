"""The provider ssh: agents on hosts that need nothing but sshd and Python. host.sh does the work on each of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, TypeVar

from heyfleet.deploy.provider import (
    ENDED,
    RUNNING,
    UNREACHABLE,
    IncompleteError,
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
from heyfleet.deploy.ssh.host import Host, UnreachableError, read_status
from heyfleet.deploy.ssh.tunnel import Tunnel
from heyfleet.errors import DeployError
from heyfleet.text import plural

_PARALLEL = 32
_LISTED_AT_MOST = 8
_CLOCK_DIFFERENCE_S = 60
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
        environment = {
            name: settings[key]
            for name, key in (("HEYFLEET_PYTHON", "python"), ("HEYFLEET_HOME", "home"))
            if settings[key]
        }
        config = settings["ssh_config"] or os.environ.get("HEYFLEET_SSH_CONFIG", "")
        self._hosts = [Host(name, config, environment) for name in names]
        self._bundle = settings["bundle"]
        self.hosts = names
        """The names of all hosts: the default number of agents is their number."""
        self._tunnels: dict[str, Tunnel] = {}
        self._launched = ""  # the fleet that this provider launched, if any
        self._started: set[str] = set()  # hosts that were asked to start an agent of it

    def plan(self, spec: LaunchSpec) -> LaunchPlan:
        """See Provider.plan."""
        hosts, spare = self._hosts[: spec.agents], self._hosts[spec.agents :]
        notes = [f"each agent ends after {spec.lifetime}"]
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
        return f"{plural(agents, 'agent')} requested, but only {plural(len(self._hosts), 'host')} named"

    def launch(self, request: LaunchRequest, log: Log) -> LaunchResult:
        """See Provider.launch. Hosts beyond the requested number replace those that fail."""
        bundles = BundleSet(self._bundle)
        result = LaunchResult()
        self._launched = request.fleet
        waiting = list(self._hosts)
        while len(result.instances) < request.agents and waiting:
            batch = waiting[: request.agents - len(result.instances)]
            waiting = waiting[len(batch) :]
            log(f"starting agents on {_list_names(batch)}")
            for host, started in self._on_each(batch, lambda host: self._start(host, request, bundles, log)):
                if isinstance(started, DeployError):
                    result.failures.append(f"{host.name}: {started}")
                else:
                    result.instances.append(started)
        if len(self._hosts) < request.agents:
            result.failures.append(f"fleet: {self._too_few_hosts(request.agents)}")
        return result

    def _start(self, host: Host, request: LaunchRequest, bundles: BundleSet, log: Log) -> Instance:
        facts = dict(line.partition("=")[::2] for line in host.call("probe").split("\n"))
        ahead_s = int(facts["clock_s"]) - round(time.time())
        if abs(ahead_s) > _CLOCK_DIFFERENCE_S:
            side = "ahead of" if ahead_s > 0 else "behind"
            log(
                f"{host.name}: its clock is {abs(ahead_s)} s {side} this one; certificates may seem invalid there"
            )
        bundle = bundles.find(facts["python"], facts["machine"])
        if host.call("have", bundle.name).strip() != "yes":
            host.call("install", bundle.name, stdin=bundle.path)
        join = request.join
        if request.tunnel:
            self._tunnels[host.name] = tunnel = Tunnel(host, request.join)
            join = f"127.0.0.1:{tunnel.port}"
        name = host.name.rpartition("@")[2]
        words = ("start", request.fleet, bundle.name, join, str(request.lifetime_s), name)
        self._started.add(host.name)
        host.call(*words, stdin=request.secrets())
        return Instance(
            fleet=request.fleet,
            id=host.name,
            name=name,
            state=RUNNING,
            expires_s=time.time() + request.lifetime_s,
        )

    def list(self, fleet: str = "") -> Instances:
        """See Provider.list. A host that does not respond counts as an instance in the state UNREACHABLE."""
        instances = []
        for host, runs in self._on_each(self._hosts, lambda host: read_status(host.call("status"))):
            if isinstance(runs, DeployError):
                instances.append(
                    Instance(fleet=fleet, id=host.name, name=host.name, state=UNREACHABLE, reason=str(runs))
                )
                continue
            instances += [
                Instance(
                    fleet=each.run,
                    id=host.name,
                    name=each.agent,
                    state=RUNNING if each.is_running else ENDED,
                    reason=each.last_line,
                    expires_s=each.expires_s,
                )
                for each in runs
                if fleet in ("", each.run)
            ]
        return instances

    def logs(self, fleet: str) -> Iterable[tuple[str, str]]:
        """See Provider.logs. A host without an agent of the fleet says so in place of a log."""
        failures = []
        for host, output in self._on_each(self._hosts, lambda host: host.call("logs", fleet)):
            if isinstance(output, UnreachableError):
                failures.append(f"{host.name}: {output}")
            else:
                yield host.name, str(output)
        if failures:
            raise IncompleteError(failures, self._asked(len(failures), self._hosts))

    def stop(self, fleet: str, log: Log) -> Lines:
        """See Provider.stop. Of a fleet that this provider launched, it asks only hosts that may have an agent."""
        hosts = [each for each in self._hosts if fleet != self._launched or each.name in self._started]
        return self._remove(hosts, lambda host: host.call("stop", fleet))

    def reap(self, log: Log, *, everything: bool = False) -> Lines:
        """See Provider.reap. Also removes runs that have ended before their time."""
        words = ("reap", "all") if everything else ("reap",)
        return self._remove(self._hosts, lambda host: host.call(*words))

    def _remove(self, hosts: Sequence[Host], remove: Callable[[Host], str]) -> Lines:
        """Return a line for each run that `remove` names. Raises IncompleteError if a host failed."""
        removed, failures = [], []
        for host, output in self._on_each(hosts, remove):
            if isinstance(output, DeployError):
                failures.append(f"{host.name}: {output}")
            else:
                removed += [f"{host.name}: agent of {run}" for run in output.splitlines()]
        if failures:
            raise IncompleteError(failures, self._asked(len(failures), hosts), removed)
        return removed

    @staticmethod
    def _asked(failures: int, hosts: Sequence[Host]) -> str:
        return f"{failures} of {plural(len(hosts), 'host')} failed"

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
