"""A scripted provider, for tests of what uses providers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

from heyfleet.deploy.provider import (
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
from heyfleet.errors import DeployError


class ScriptedProvider:
    """A provider whose launch is a function and whose other responses are attributes."""

    settings: ClassVar[tuple[Setting, ...]] = ()
    tunnels: ClassVar[bool] = True

    def __init__(self, launch: Callable[[LaunchRequest, Log], LaunchResult]) -> None:
        self._launch = launch
        self.requests: list[LaunchRequest] = []
        self.removed: list[str] = []
        self.closed = 0
        self.stop_error = ""
        self.listed: Instances = []

    def plan(self, spec: LaunchSpec) -> LaunchPlan:
        return LaunchPlan(
            resources=[f"{spec.agents} at {spec.join}"], usd_per_hour=1.5, price_source="a list"
        )

    def launch(self, request: LaunchRequest, log: Log) -> LaunchResult:
        self.requests.append(request)
        return self._launch(request, log)

    def list(self, fleet: str = "") -> Instances:
        return self.listed

    def logs(self, fleet: str) -> Iterable[tuple[str, str]]:
        return []

    def stop(self, fleet: str, log: Log) -> Lines:
        if self.stop_error:
            raise DeployError(self.stop_error)
        self.removed.append(fleet)
        return ["a thing"]

    def reap(self, log: Log, *, everything: bool = False) -> Lines:
        return []

    def close(self) -> None:
        self.closed += 1


def instance(number: int, state: str = RUNNING, reason: str = "") -> Instance:
    """The instance i3, whose agent asks for the name a3."""
    return Instance(fleet="f", id=f"i{number}", name=f"a{number}", state=state, reason=reason)
