"""The network interfaces (ENIs) of sandboxes in a VPC: made one by one while requests wait, or shared and made before."""

from __future__ import annotations

import math
from collections import deque
from random import Random
from typing import NamedTuple

from heyfleet.lab.vpc_lambda.settings import Settings
from heyfleet.lab.vpc_lambda.sharing import TokenBucket

_GB_EACH = 3.0


class NoInterfaceError(Exception):
    """There is none for a further sandbox, and none may be made; says why."""


class Share(NamedTuple):
    """Whether a sandbox has its share of an interface, and when one that is created for it will be there."""

    is_there: bool
    created_s: float | None = None


class OwnInterfaces:
    """As it was: interfaces of the function's own, as many as its sandboxes at a time * memory / 3 GB.

    A sandbox needs its share of one. What waits gets its share in the order in which it came. An interface that is made stays.
    """

    def __init__(self, settings: Settings, random: Random) -> None:
        self._memory_gb = settings.memory
        self._subnet_ips = settings.subnet_ips
        self._times_s = settings.eni_time
        self._api = TokenBucket(settings.eni_burst, settings.eni_rate)
        self._random = random
        self._waiting: deque[int] = deque()
        self._attached = 0
        self.made = 0  # being created, too
        self.ready = 0

    def ask(self, now_s: float, sandbox: int) -> Share:
        """A share for this sandbox, by its number; `created` gives it if it is not there yet. Raises NoInterfaceError."""
        wanted = self._attached + len(self._waiting) + 1
        new = wanted > self._room(self.made)
        if new:
            if self.made >= self._subnet_ips:
                raise NoInterfaceError("addresses")
            if not self._api.take(now_s):
                raise NoInterfaceError("rate")
            self.made += 1
        if wanted <= self._room(self.ready):
            self._attached += 1
            return Share(is_there=True)
        self._waiting.append(sandbox)
        least_s, most_s = self._times_s
        created_s = now_s + self._random.triangular(least_s, most_s, most_s) if new else None
        return Share(is_there=False, created_s=created_s)

    def created(self) -> list[int]:
        """One more is there: the sandboxes that have their share now."""
        self.ready += 1
        served = []
        while self._waiting and self._attached < self._room(self.ready):
            self._attached += 1
            served.append(self._waiting.popleft())
        return served

    def release(self) -> None:
        """A sandbox that had a share is dropped."""
        self._attached -= 1

    def _room(self, interfaces: int) -> int:
        return math.floor(interfaces * _GB_EACH / self._memory_gb + 1e-9)


class SharedInterface:
    """As it is: one for each pair of security group and subnet, here one, made when the function was. No sandbox waits."""

    made = ready = 1

    def ask(self, now_s: float, sandbox: int) -> Share:
        """See OwnInterfaces."""
        return Share(is_there=True)

    def created(self) -> list[int]:
        """See OwnInterfaces: nothing is created."""
        return []

    def release(self) -> None:
        """See OwnInterfaces."""
