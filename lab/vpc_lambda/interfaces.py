"""The network interfaces (ENIs) of sandboxes in a VPC: created while requests wait, or shared and created before."""

from __future__ import annotations

import math
from collections import deque
from random import Random
from typing import NamedTuple

from heyfleet.lab.vpc_lambda.settings import Settings
from heyfleet.lab.vpc_lambda.sharing import TokenBucket

_GB_EACH = 3.0


class NoInterfaceError(Exception):
    """No interface is left for another sandbox, and none may be created; the message is the reason."""


class Share(NamedTuple):
    """Whether a sandbox has its share of an interface, and when an interface created for it will be ready."""

    is_there: bool
    created_s: float | None = None


class OwnInterfaces:
    """The old network: the function's own interfaces, as many as concurrent sandboxes * memory / 3 GB.

    Each sandbox needs a share of one. Sandboxes that wait are served in order. Interfaces are never removed.
    """

    def __init__(self, settings: Settings, random: Random) -> None:
        self._memory_gb = settings.memory
        self._subnet_ips = settings.subnet_ips
        self._times_s = settings.eni_time
        self._api = TokenBucket(settings.eni_burst, settings.eni_rate)
        self._random = random
        self._waiting: deque[int] = deque()
        self._attached = 0
        self.made = 0  # including those being created
        self.ready = 0

    def ask(self, now_s: float, sandbox: int) -> Share:
        """Request a share for a sandbox, by its number; `created` delivers it later. Raises NoInterfaceError."""
        shares = self._attached + len(self._waiting) + 1
        new = shares > self._room(self.made)
        if new:
            if self.made >= self._subnet_ips:
                raise NoInterfaceError("addresses")
            if not self._api.take(now_s):
                raise NoInterfaceError("rate")
            self.made += 1
        if shares <= self._room(self.ready):
            self._attached += 1
            return Share(is_there=True)
        self._waiting.append(sandbox)
        least_s, most_s = self._times_s
        created_s = now_s + self._random.triangular(least_s, most_s, most_s) if new else None
        return Share(is_there=False, created_s=created_s)

    def created(self) -> list[int]:
        """Add an interface that is ready, and return the sandboxes that get their share of it."""
        self.ready += 1
        served = []
        while self._waiting and self._attached < self._room(self.ready):
            self._attached += 1
            served.append(self._waiting.popleft())
        return served

    def release(self) -> None:
        """Take back the share of a dropped sandbox."""
        self._attached -= 1

    def _room(self, interfaces: int) -> int:
        return math.floor(interfaces * _GB_EACH / self._memory_gb + 1e-9)


class SharedInterface:
    """The new network: one interface per security group and subnet, created with the function. No sandbox waits."""

    made = ready = 1

    def ask(self, now_s: float, sandbox: int) -> Share:
        """Grant a share at once."""
        return Share(is_there=True)

    def created(self) -> list[int]:
        """Return nothing: no interface is created."""
        return []

    def release(self) -> None:
        """Do nothing: shares are not counted."""
