"""AWS's rate limits on top of moto, which has none, in virtual time."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import botocore.client
import pytest
from botocore.exceptions import ClientError

from ..clock import Clock

Cost = Callable[[dict[str, Any]], int]


class Limit:
    """A token bucket, the operations that share it, and the cost of a call."""

    def __init__(
        self, names: set[str], burst: float, rate_per_s: float, cost: Cost = lambda arguments: 1
    ) -> None:
        self.names, self.burst, self.rate_per_s, self.cost = names, burst, rate_per_s, cost
        self.level, self.at_s = burst, 0.0


class Throttling:
    """Throttle calls that come too fast and, at random, some because of other users of the account."""

    def __init__(self, clock: Clock, code: str, limits: list[Limit]) -> None:
        self._clock, self._code, self._limits = clock, code, limits
        self._rng = random.Random(7)
        self.others = 0.0
        self.refused = Counter[str]()
        self.calls = Counter[str]()

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Apply the limits to every call from now on."""
        call = botocore.client.BaseClient._make_api_call

        def throttle(client: Any, name: str, arguments: Any) -> Any:
            self.admit(name, arguments)
            return call(client, name, arguments)

        monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", throttle)

    def admit(self, name: str, arguments: dict[str, Any]) -> None:
        """Count the call, or raise AWS's throttling error."""
        limits = [limit for limit in self._limits if name in limit.names]
        if not limits:
            return
        self.calls[name] += 1
        for limit in limits:
            limit.level = min(limit.burst, limit.level + limit.rate_per_s * (self._clock.now_s - limit.at_s))
            limit.at_s = self._clock.now_s
        short = any(limit.level < limit.cost(arguments) - 1e-6 for limit in limits)
        if short or self._rng.random() < self.others:
            self.refused[name] += 1
            raise ClientError({"Error": {"Code": self._code, "Message": "Rate exceeded"}}, name)
        for limit in limits:
            limit.level -= limit.cost(arguments)
