"""Network interfaces (ENIs) of sandboxes in a VPC: created while requests wait, or shared and created beforehand."""

from __future__ import annotations

import math
from collections import deque
from random import Random
from typing import NamedTuple

from heyfleet.lab.vpc_lambda.settings import Settings
from heyfleet.lab.vpc_lambda.sharing import TokenBucket

_GB_PER_INTERFACE = 3.0


class NoInterfaceError(Exception):
    """No interface can be created for another sandbox; the text is the limit: `addresses` or `rate`."""


class Share(NamedTuple):
    """A sandbox's share of an interface: available now, or waiting, and when an interface created for it is ready."""

    is_ready: bool
    created_s: float | None = None


class OwnInterfaces:
    """The network before 2019: the function has its own interfaces, concurrent sandboxes * memory / 3 GB of them.

    A sandbox needs a share of one. Waiting sandboxes get their shares in order. Interfaces are never deleted.
    """

    def __init__(self, settings: Settings, random: Random) -> None:
        self._memory_gb = settings.memory
        self._subnet_ips = settings.subnet_ips
        self._times_s = settings.eni_time
        self._api = TokenBucket(settings.eni_burst, settings.eni_rate)
        self._random = random
        self._waiting: deque[int] = deque()
        self._attached = 0
        self.requested = 0  # ready or being created
        self.ready = 0

    def attach(self, now_s: float, sandbox: int) -> Share:
        """Return a share for a sandbox; if it is not ready, `on_created` will return the sandbox. NoInterfaceError."""
        required = self._attached + len(self._waiting) + 1
        new = required > self._room(self.requested)
        if new:
            if self.requested >= self._subnet_ips:
                raise NoInterfaceError("addresses")
            if not self._api.take(now_s):
                raise NoInterfaceError("rate")
            self.requested += 1
        if required <= self._room(self.ready):
            self._attached += 1
            return Share(is_ready=True)
        self._waiting.append(sandbox)
        low_s, high_s = self._times_s
        created_s = now_s + self._random.triangular(low_s, high_s, high_s) if new else None
        return Share(is_ready=False, created_s=created_s)

    def on_created(self) -> list[int]:
        """Count one more interface as ready, and return the sandboxes that get their share now."""
        self.ready += 1
        served = []
        while self._waiting and self._attached < self._room(self.ready):
            self._attached += 1
            served.append(self._waiting.popleft())
        return served

    def release(self) -> None:
        """Return the share of a removed sandbox."""
        self._attached -= 1

    def _room(self, interfaces: int) -> int:
        return math.floor(interfaces * _GB_PER_INTERFACE / self._memory_gb + 1e-9)


class SharedInterface:
    """The network since 2019: one interface per security group and subnet, created with the function. No sandbox waits."""

    requested = ready = 1

    def attach(self, now_s: float, sandbox: int) -> Share:
        """Return a share, which is always ready."""
        return Share(is_ready=True)

    def on_created(self) -> list[int]:
        """Return nothing, since nothing is created."""
        return []

    def release(self) -> None:
        """Do nothing, since shares are not limited."""
