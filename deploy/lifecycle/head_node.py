"""Launch a head node: an instance that hosts the fleet's controller, for users whom the agents can't reach."""

from __future__ import annotations

from dataclasses import replace

from heyfleet.deploy.lifecycle.fleet_controller import HeadNodeController
from heyfleet.deploy.lifecycle.join_watch import JoinWatch
from heyfleet.deploy.provider import (
    ENDED,
    HeadNodeProvider,
    HeadNodeRequest,
    LaunchPlan,
    LaunchResult,
    LaunchSpec,
    Log,
    Provider,
)
from heyfleet.deploy.settings import SettingError
from heyfleet.errors import DeployError, InputError


class HeadNodeLauncher:
    """The launch of one head node, up to the moment its controller answers."""

    def __init__(
        self, provider: Provider, controller: HeadNodeController, spec: LaunchSpec, port: int, log: Log
    ) -> None:
        self._provider = require_head_nodes(provider)
        self._controller = controller
        self._spec = spec
        self._port = port
        self._log = log

    def launch(self, watch: JoinWatch, deadline_s: float) -> str:
        """Return the controller's address for agents. Raises DeployError if it does not answer in time."""
        request = HeadNodeRequest(
            fleet=self._spec.fleet,
            lifetime_s=self._spec.lifetime_s,
            credentials=self._controller.credentials(),
            port=self._port,
        )
        node = self._provider.launch_head_node(request, self._log)
        self._controller.connect(node.external_address)
        self._log(f"head node {node.id} is starting; its controller will listen at {node.external_address}")
        watch.follow(LaunchResult())
        problem = ""

        def answers() -> bool:
            nonlocal problem
            try:
                self._controller.roster()
            except InputError as error:
                problem = str(error)
            else:
                return True
            instance = watch.find(node.id)
            if instance is not None and instance.state == ENDED:
                raise DeployError(
                    f"the head node {node.id} ended: {instance.reason or 'its console has the reason'}"
                )
            return False

        if not watch.wait(answers, deadline_s):
            raise DeployError(
                f"the controller on the head node {node.id} does not answer: {problem}",
                f"open port {self._port} to this host and to the agents; with --keep, `heyfleet fleet logs` shows"
                " the controller's log",
            )
        return node.internal_address


def plan_with_head_node(provider: Provider, spec: LaunchSpec, port: int) -> LaunchPlan:
    """Return the plan of a fleet with one instance more for its controller. Raises SettingError."""
    require_head_nodes(provider)
    plan = provider.plan(replace(spec, agents=spec.agents + 1))
    plan.notes.append(
        f"one of the instances is the head node, which runs the controller: its port {port} must be open to this host"
        " and to the agents, and its user-data contains the fleet's ca.key"
    )
    return plan


def require_head_nodes(provider: Provider) -> HeadNodeProvider:
    """Return the provider if it can launch head nodes. Raises SettingError."""
    if not isinstance(provider, HeadNodeProvider):
        raise SettingError("--head: this provider can't launch a controller", "use --on ec2")
    return provider
