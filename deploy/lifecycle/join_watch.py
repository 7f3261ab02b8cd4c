"""Follow the instances of a launch until their agents have joined, for `run --on` and `fleet up` alike."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable

from heyfleet.deploy.provider import ENDED, Instance, Instances, LaunchResult, Provider
from heyfleet.errors import DeployError

_POLL_S = 0.5  # how often the wait's own condition is tested
_REFRESH_S = 5.0  # how often the provider is asked, whose calls may cost money or count against a rate limit


class JoinWatch:
    """The instances that a fleet waits for, as the provider last described them.

    Instances of an earlier fleet of the same name are left out, and so are replaced ones. EC2, for example, lists
    terminated instances for about an hour.
    """

    def __init__(
        self,
        provider: Provider,
        fleet: str,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._provider = provider
        self._fleet = fleet
        self._now, self._sleep = now, sleep
        self._next_refresh_s = now() + _REFRESH_S
        self._earlier: set[str] = set()
        self._ignored: set[str] = set()
        self._instances: Instances = []

    def list_earlier(self) -> Instances:
        """Return what the provider lists under the fleet's name before the launch, to be ignored from then on."""
        earlier = self._provider.list(self._fleet)
        self._earlier = {instance.id for instance in earlier}
        self._ignored = set(self._earlier)
        return earlier

    def follow(self, result: LaunchResult) -> None:
        """Watch the instances of this launch."""
        self._instances = list(result.instances)
        self._ignored = {*result.replaced, *(self._earlier - {each.id for each in result.instances})}

    def wait(self, is_done: Callable[[], bool], deadline_s: float = math.inf) -> bool:
        """Refresh at intervals until the condition holds (True) or the clock reaches the deadline (False)."""
        while not is_done():
            now_s = self._now()
            if now_s >= deadline_s:
                return False
            if now_s >= self._next_refresh_s:
                self._refresh()
            self._sleep(_POLL_S)
        return True

    def ended(self) -> Instances:
        """Return the instances whose agents will never join."""
        return [each for each in self._instances if each.state == ENDED and not each.is_head_node]

    def pending(self) -> Instances:
        """Return the instances that have not ended and of which the provider says why they are not ready."""
        return [each for each in self._instances if each.state != ENDED and each.reason]

    def find(self, instance_id: str) -> Instance | None:
        """Return one of the instances, a head node included, as it was last described."""
        return next((each for each in self._instances if each.id == instance_id), None)

    def _refresh(self) -> None:
        self._next_refresh_s = self._now() + _REFRESH_S
        with contextlib.suppress(DeployError):  # a later refresh may succeed
            listed = self._provider.list(self._fleet)
            self._instances = [each for each in listed if each.id not in self._ignored]


def reason_of(instance: Instance) -> str:
    """Return why an instance ended."""
    return instance.reason or "it ended"
