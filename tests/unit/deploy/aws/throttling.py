"""AWS's rates over moto, which has none: buckets as AWS documents them, on a clock that only sleeping moves."""

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


class Kind:
    """A bucket, the calls that draw on it, and how much each draws."""

    def __init__(
        self, names: set[str], size: float, a_second: float, cost: Cost = lambda arguments: 1
    ) -> None:
        self.names, self.size, self.a_second, self.cost = names, size, a_second, cost
        self.level, self.at_s = size, 0.0


class Throttling:
    """What refuses calls that come too fast; and, by chance, some that meet a bucket which others have emptied."""

    def __init__(self, clock: Clock, code: str, kinds: list[Kind]) -> None:
        self._clock, self._code, self._kinds = clock, code, kinds
        self._chance = random.Random(7)
        self.others = 0.0
        self.refused = Counter[str]()
        self.made = Counter[str]()

    def over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """From now on it stands before every call."""
        call = botocore.client.BaseClient._make_api_call

        def limited(client: Any, name: str, arguments: Any) -> Any:
            self.let(name, arguments)
            return call(client, name, arguments)

        monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", limited)

    def let(self, name: str, arguments: dict[str, Any]) -> None:
        """Raise what AWS raises, or count the call."""
        kinds = [kind for kind in self._kinds if name in kind.names]
        if not kinds:
            return
        self.made[name] += 1
        for kind in kinds:
            kind.level = min(kind.size, kind.level + kind.a_second * (self._clock.now_s - kind.at_s))
            kind.at_s = self._clock.now_s
        short = any(kind.level < kind.cost(arguments) - 1e-6 for kind in kinds)
        if short or self._chance.random() < self.others:
            self.refused[name] += 1
            raise ClientError({"Error": {"Code": self._code, "Message": "Rate exceeded"}}, name)
        for kind in kinds:
            kind.level -= kind.cost(arguments)
