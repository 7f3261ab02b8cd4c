"""A fleet that is launched for one run and removed after it: `heyfleet run --on PROVIDER`."""

from __future__ import annotations

import secrets
import threading
from itertools import cycle, islice
from types import TracebackType
from typing import Self

from heyfleet.deploy.fleet_spec import FleetSpec
from heyfleet.deploy.lifecycle.join_watch import JoinWatch, reason_of
from heyfleet.deploy.provider import LaunchRequest, LaunchResult, LaunchSpec, Log
from heyfleet.errors import DeployError
from heyfleet.surroundings import translate

_LISTED_AT_MOST = 8


class _LaunchCancelledError(Exception):
    """Raised out of a provider's launch when the run is over."""


class RunFleet:
    """A context manager. However the run ends, the fleet is removed, unless it is to be kept or can't be removed.

    `start` returns at once, and the launch continues on a thread. `absent_agents` tells which agents will never join.
    """

    def __init__(
        self, spec: FleetSpec, *, keep: bool = False, removal_command: str, log_warning: Log
    ) -> None:
        """`removal_command` is the shell command that removes a fleet, up to its `--name`."""
        self._spec = spec
        self._provider = spec.provider
        self.name = spec.name or f"run-{secrets.token_hex(4)}"
        self.agents = spec.agents
        self._keep = keep
        self._removal_command = f"`{removal_command} --name {self.name}`"
        self._log: Log = lambda line: None
        self._log_warning = log_warning
        self._failures: list[str] = []
        self._is_over = threading.Event()  # the run needs no more agents
        self._watch = JoinWatch(self._provider, self.name, sleep=self._is_over.wait)
        self._thread: threading.Thread | None = None
        self.may_be_left = False
        """Whether something of the fleet may be left although it was to be removed."""

    @property
    def loopback(self) -> bool:
        """Whether the controller need listen only on this host's loopback interface."""
        return self._provider.tunnels and not self._spec.join

    def plan_lines(self, port: int) -> list[str]:
        """Return what `start` would create, as text."""
        return list(self._provider.plan(self._launch_spec(port)).lines())

    def start(self, port: int, ca_pem: bytes, token: bytes, log: Log) -> None:
        """Launch agents that join this host's port, or the address given by --join. Both logs are called on a thread."""
        self._log = log
        request = LaunchRequest.of(self._launch_spec(port), ca_pem, token)
        self._thread = threading.Thread(target=self._launch, args=(request,))
        self._thread.start()

    def _launch_spec(self, port: int) -> LaunchSpec:
        join = f"127.0.0.1:{port}" if self.loopback else self._spec.join
        return self._spec.launch_spec(fleet=self.name, join=join, tunnel=self.loopback)

    def absent_agents(self) -> list[str]:
        """Return a line for each agent that will never join: not started, or its instance ended."""
        ended = [f"{each.name}: {reason_of(each)}" for each in self._watch.ended()]
        return [*self._failures, *ended]

    def pending_agents(self) -> list[str]:
        """Return a line for each instance that is not ready, with what the provider says about it."""
        return [f"{each.name}: {each.state}: {each.reason}" for each in self._watch.pending()]

    def stop_watching(self) -> None:
        """Stop watching: the run has its agents."""
        self._is_over.set()

    def _launch(self, request: LaunchRequest) -> None:
        try:
            if self._spec.name:  # only a name of the user's may have been used before
                self._watch.list_earlier()
            result = self._provider.launch(request, self._log_unless_over)
        except _LaunchCancelledError:
            return
        except Exception as error:
            cause = translate(error) or f"fault: {type(error).__name__}: {error}"
            result = LaunchResult(failures=[f"fleet: {cause}"])
        missing = self.agents - len(result.instances)
        for line in result.failures[missing:]:
            self._log_warning(f"replaced {line}")
        # One line for each missing agent, because the coordinator counts them.
        self._failures = list(islice(cycle(result.failures or ["fleet: not started"]), missing))
        self._watch.follow(result)
        self._watch.wait(self._is_over.is_set)

    def _log_unless_over(self, line: str) -> None:
        if self._is_over.is_set():
            raise _LaunchCancelledError
        self._log(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        try:
            if self._thread is not None:
                self._thread.join()
                self._remove()
        finally:
            self._provider.close()

    def _remove(self) -> None:
        try:
            if self._keep:
                self._log(f"the fleet {self.name} is kept; {self._removal_command} removes it")
            elif removed := self._provider.stop(self.name, self._log):
                listed = ", ".join(removed)
                self._log(
                    f"removed: {listed if len(removed) <= _LISTED_AT_MOST else f'{len(removed)} resources'}"
                )
        except DeployError as error:
            self.may_be_left = True
            self._log_warning(
                f"not everything was removed: {error}; to try again, run {self._removal_command}"
            )
        except KeyboardInterrupt:
            self._log_warning(
                f"interrupted while removing the fleet; to remove the rest, run {self._removal_command}"
            )
            raise
