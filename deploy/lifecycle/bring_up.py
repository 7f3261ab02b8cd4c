"""Bring up a fleet that stays: issue a token, launch, wait until its agents have joined, and explain those that have not."""

from __future__ import annotations

import time
from collections.abc import Callable

from heyfleet.deploy.lifecycle.fleet_controller import FleetController, RosterEntry
from heyfleet.deploy.lifecycle.head_node import HeadNodeLauncher
from heyfleet.deploy.lifecycle.join_watch import JoinWatch, reason_of
from heyfleet.deploy.provider import (
    RUNNING,
    STARTING,
    LaunchRequest,
    LaunchResult,
    LaunchSpec,
    Log,
    Provider,
)
from heyfleet.errors import DeployError
from heyfleet.text import plural

_TOKEN_MARGIN_S = 60.0


class FleetBringUp:
    """The way of one fleet from a launch spec to agents that have joined."""

    def __init__(
        self,
        provider: Provider,
        controller: FleetController,
        spec: LaunchSpec,
        *,
        min_agents: int,
        log: Log,
        head_node: HeadNodeLauncher | None = None,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._provider = provider
        self._controller = controller
        self._spec = spec
        self._min_agents = min_agents
        self._log = log
        self._head_node = head_node
        self._now = now
        self._watch = JoinWatch(provider, spec.fleet, now=now, sleep=sleep)
        self.launched = False
        """Whether anything may have been created, which `remove` would remove."""

    def run(self, wait_s: float) -> bool:
        """Return whether enough agents have joined. Raises DeployError, or InputError if nothing was launched."""
        deadline_s = self._now() + wait_s
        attached_before = (
            set() if self._head_node else {each.agent for each in self._controller.roster().agents}
        )
        self._refuse_existing()
        # Before the head node starts: it takes a copy of the tokens along.
        ca_pem, token = self._controller.issue_token(self._spec.agents, wait_s + _TOKEN_MARGIN_S)
        self.launched = True
        join = self._head_node.launch(self._watch, deadline_s) if self._head_node else self._spec.join
        request = LaunchRequest.of(self._spec, ca_pem, token, join=join)
        result = self._provider.launch(request, self._log)
        for line in result.failures:
            self._log(f"not started: {line}")
        joined = self._wait(attached_before, result, deadline_s)
        self._explain_missing(joined, result)
        self._log(f"{self._count(joined)}{_capacity(joined)}")
        return len(joined) >= self._min_agents

    def _refuse_existing(self) -> None:
        existing = [each for each in self._watch.list_earlier() if each.state in (STARTING, RUNNING)]
        if existing:
            raise DeployError(
                f"the fleet {self._spec.fleet} exists already ({existing[0].id} and {len(existing) - 1} more)",
                "run `heyfleet fleet down` first, or use another --name",
            )

    def _wait(self, attached_before: set[str], result: LaunchResult, deadline_s: float) -> list[RosterEntry]:
        """Return the agents that have joined, once all have or the others never will."""
        joined: list[RosterEntry] = []
        logged = -1
        self._watch.follow(result)

        def is_settled() -> bool:
            nonlocal joined, logged
            agents = self._controller.roster().agents
            joined = [each for each in agents if each.attached and each.agent not in attached_before]
            if len(joined) + len(self._watch.ended()) >= len(result.instances):
                return True
            if len(joined) != logged:
                logged = len(joined)
                self._log(self._count(joined))
            return False

        self._watch.wait(is_settled, deadline_s)
        return joined

    def _count(self, joined: list[RosterEntry]) -> str:
        agents = self._spec.agents
        return f"{len(joined)} of {plural(agents, 'agent')} {'has' if agents == 1 else 'have'} joined"

    def _explain_missing(self, joined: list[RosterEntry], result: LaunchResult) -> None:
        if len(joined) >= self._spec.agents:
            return
        names = {each.requested_name for each in joined}
        reasons = {each.id: reason_of(each) for each in self._watch.ended()}
        for instance in result.instances:
            if instance.name not in names:
                reason = reasons.get(instance.id, "it started, but its agent never reached the controller")
                self._log(f"not joined: {instance.name}: {reason}")
        for line in self._controller.roster().rejections:
            self._log(f"rejected: {line}")

    def remove(self) -> None:
        """Remove everything that was created."""
        for line in self._provider.stop(self._spec.fleet, self._log):
            self._log(f"removed {line}")


def _capacity(agents: list[RosterEntry]) -> str:
    """Return the agents' cores and their lowest limit on open files, the two things that bound a plan."""
    if not agents:
        return ""
    cores = sum(each.cores for each in agents)
    open_files = min((each.open_files for each in agents if each.open_files), default=0)
    return f": {cores} cores, at least {open_files} open files each" if open_files else f": {cores} cores"
