"""Calls of AWS's APIs within their documented rates; those that are throttled all the same are made again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from heyfleet.deploy.aws.errors import patiently
from heyfleet.deploy.aws.rate_limit import Bucket

Rates = Iterable[tuple[tuple[str, ...], float, float]]
"""Of each kind of call its operations, so many of them at once, and so many a second after that."""


class Paced:
    """A client's calls, for what may be asked twice: to look, and to end what may have ended already.

    The client must make each call once only: what it repeats by itself, no bucket here knows of. Others of the account empty
    AWS's buckets, too; so what is throttled is asked for again, as `patiently` does.
    """

    def __init__(
        self,
        client: Any,
        rates: Rates,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        marker: str = "nextToken",
    ) -> None:
        self._client = client
        self._sleep = sleep
        self._marker = marker
        self._buckets = {
            name: bucket
            for names, size, a_second in rates
            for bucket in [Bucket(size, a_second, now, sleep)]
            for name in names
        }

    def call(self, operation: str, **arguments: Any) -> Any:
        """The answer to one call; raises what `patiently` raises."""

        def ask() -> Any:
            self._buckets[operation].take(1)
            return getattr(self._client, operation)(**arguments)

        return patiently(ask, self._sleep)

    def pages(self, operation: str, **arguments: Any) -> Iterator[Any]:
        """The answers to as many calls as it takes to have all; boto's own paginators can't be paced."""
        more: dict[str, Any] = {}
        while True:
            page = self.call(operation, **arguments, **more)
            yield page
            if not page.get(self._marker):
                return
            more = {self._marker: page[self._marker]}
