"""Sessions and clients for AWS, and calls that stay within the documented rates of its APIs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import boto3
from botocore.config import Config

from heyfleet.deploy.aws.errors import retry, translate_errors
from heyfleet.deploy.aws.rate_limit import TokenBucket

MakeSession = Callable[..., Any]
Rates = Iterable[tuple[tuple[str, ...], float, float]]
"""For each group of operations that share a limit: their names, the burst, and the rate per second after it."""


class AwsSession:
    """A boto session for one region, and the clients made from it.

    Creating it raises DeployError if there are no credentials or no region.
    """

    def __init__(
        self, region: str, *, attempts: int = 3, make_session: MakeSession = boto3.session.Session
    ) -> None:
        """`attempts` is how often clients try a call; `make_session` takes region_name."""
        self._config = _config(attempts)
        with translate_errors():
            self._session = make_session(region_name=region or None)

    def client(self, service: str) -> Any:
        """Return a client that repeats failed calls by itself."""
        with translate_errors():
            return self._session.client(service, config=self._config)

    def single_attempt_client(self, service: str) -> Any:
        """Return a client that makes each call once, for callers that pace and repeat calls themselves."""
        with translate_errors():
            return self._session.client(service, config=_config(1))

    def pricing_client(self, region: str, connect_timeout_s: float, read_timeout_s: float) -> Any:
        """Return a client of the Pricing API, which only some regions have."""
        timeouts = Config(connect_timeout=connect_timeout_s, read_timeout=read_timeout_s)
        return self._session.client("pricing", region_name=region, config=self._config.merge(timeouts))


def _config(attempts: int) -> Config:
    return Config(retries={"mode": "standard", "total_max_attempts": attempts})


class PacedClient:
    """Idempotent calls of one client, paced to stay within rate limits and repeated if throttled all the same.

    Other users of the account share its limits, so pacing alone can't prevent throttling. The client itself must make
    each call once only, because the buckets here know nothing of what it repeats.
    """

    def __init__(
        self,
        client: Any,
        rates: Rates,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        page_marker: str = "nextToken",
    ) -> None:
        """`page_marker` is the name of the field that refers to the next page."""
        self._client = client
        self._sleep = sleep
        self._page_marker = page_marker
        self._buckets = {
            operation: bucket
            for operations, burst, rate_per_s in rates
            for bucket in [TokenBucket(burst, rate_per_s, now, sleep)]
            for operation in operations
        }

    def call(self, operation: str, **arguments: Any) -> Any:
        """Return the response of one call. Raises what `retry` raises."""

        def attempt() -> Any:
            self._buckets[operation].take(1)
            return getattr(self._client, operation)(**arguments)

        return retry(attempt, self._sleep)

    def pages(self, operation: str, **arguments: Any) -> Iterator[Any]:
        """Yield the responses of as many calls as the whole list takes; boto's paginators can't be paced."""
        next_page: dict[str, Any] = {}
        while True:
            page = self.call(operation, **arguments, **next_page)
            yield page
            if not page.get(self._page_marker):
                return
            next_page = {self._page_marker: page[self._page_marker]}
