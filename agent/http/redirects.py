"""Follow redirects as Go's client, and so hey, does (RFC 9110 section 15.4), with stricter rules for secrets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

from heyfleet.agent.http.location import resolve_location
from heyfleet.agent.http.proxy import request_through_proxy, target_url, tunnel_head
from heyfleet.agent.http.request import IDEMPOTENT, http2_fields, render
from heyfleet.agent.http.resolve import (
    Resolution,
    ResolveError,
    check_behind_proxy,
    look_up_all,
    look_up_unless,
    server_endpoint,
)
from heyfleet.agent.http.transport import tls_context
from heyfleet.agent.policy import HostPolicy, NotAllowedError
from heyfleet.ext import Engine, http2_request
from heyfleet.mask import is_secret, mask_header
from heyfleet.plan.url import Url, basic
from heyfleet.proto.plan_pb2 import Header, Plan, Request

NOT_USABLE = "redirect: to no usable address"
NOT_ALLOWED = "redirect: not allowed by the owner of the agent"
UNKNOWN_HOST = "redirect: to an unknown host"
_CONTENT_FIELDS = frozenset(
    {"content-type", "content-length", "content-encoding", "content-language", "expect"}
)
_METHOD_KEPT_BY = frozenset({307, 308})
# How long each address of a new host may take to accept a connection: the least of RFC 8305, section 5. The worker waits.
_TRIAL_S = 0.1


@dataclass(frozen=True, slots=True)
class _Visit:
    """A request and its URL."""

    request: Request
    url: Url


class Follower:
    """Answers one engine's question which request follows a redirect.

    The engine calls it in its own thread, so that a slow lookup delays no other worker.
    """

    def __init__(
        self,
        plan: Plan,
        http2: bool,
        policy: HostPolicy,
        addresses: Sequence[tuple[str, int]] = (),
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """`addresses` are those of the proxy, if the plan has one; `stopped` tells whether the load was stopped."""
        self._plan = plan
        self._http2 = http2
        self._policy = policy
        self._stopped = stopped
        self._proxy_addresses = list(addresses) if plan.HasField("proxy") else []
        self._engine: Engine | None = None
        target = plan.target
        self._visits = {
            number: _Visit(request, target_url(plan, request)) for number, request in enumerate(plan.requests)
        }
        self._numbers = count(len(plan.requests))
        self._proxy_origin = 0 if target.scheme == "http" else None
        self._origins: dict[tuple[str, str, int], int | str] = {(target.scheme, target.host, target.port): 0}

    def bind(self, engine: Engine) -> None:
        """Set the engine, which keeps the origins."""
        self._engine = engine

    def __call__(
        self, message: int, status: int, location: bytes
    ) -> tuple[int, bytes, bool, bool, int] | str | None:
        """Return the request that follows a redirect, an error name, or None; ext.Engine describes the arguments."""
        visit = self._visits[message]
        try:
            url, names_host = resolve_location(visit.url, location)
        except ValueError:
            return NOT_USABLE
        key = (url.scheme, url.host, url.port)
        if key not in self._origins:
            if self._http2:
                return None
            self._origins[key] = self._origin(url)
        origin = self._origins[key]
        if isinstance(origin, str):
            return origin
        following = _Visit(_next_request(visit, url, status, names_host), url)
        number = next(self._numbers)
        self._visits[number] = following
        request = following.request
        return (
            number,
            self._render(following),
            request.method == "HEAD",
            request.method in IDEMPOTENT,
            origin,
        )

    def forget(self, messages: list[int]) -> None:
        """Drop the messages that the engine no longer needs."""
        for message in messages:
            self._visits.pop(message, None)

    def _origin(self, url: Url) -> int | str:
        """Look up an origin and add it to the engine; return its number, or the name of the error."""
        assert self._engine is not None
        try:
            addresses = look_up_unless(self._stopped, lambda: self._addresses(url))
        except ResolveError:
            return UNKNOWN_HOST
        except NotAllowedError:
            return NOT_ALLOWED
        try:
            return self._add_origin(addresses, url)
        except ValueError:
            return NOT_USABLE

    def _addresses(self, url: Url) -> list[tuple[str, int]]:
        """Return the addresses that connections for an origin go to; ResolveError, NotAllowedError."""
        hosts, port = server_endpoint(self._plan, url.host, url.port, url.scheme)
        if self._proxy_addresses:
            check_behind_proxy(hosts, port, self._policy)
            return self._proxy_addresses
        addresses = look_up_all(hosts, port, self._policy, self._plan.family)
        return Resolution(addresses, 0).accepting(_TRIAL_S).addresses

    def _add_origin(self, addresses: list[tuple[str, int]], url: Url) -> int:
        assert self._engine is not None
        context = tls_context(self._plan, False, url)
        if not self._proxy_addresses:
            return self._engine.add_origin(addresses, context)
        if url.scheme == "https":
            return self._engine.add_origin(addresses, context, tunnel_head(self._plan, url))
        # Connections to the proxy serve every http URL.
        if self._proxy_origin is None:
            self._proxy_origin = self._engine.add_origin(addresses, None)
        return self._proxy_origin

    def _render(self, visit: _Visit) -> bytes:
        request = visit.request
        if self._http2:
            fields = http2_fields(request, visit.url.scheme)
            return http2_request(fields, request.body, request.method == "HEAD")
        return render(
            request_through_proxy(self._plan, request, visit.url), close=self._plan.disable_keepalive
        )


def _next_request(visit: _Visit, url: Url, status: int, names_host: bool) -> Request:
    """Return the request that follows a redirect to `url`; `names_host` says whether the Location named a host."""
    before = visit.request
    keeps_method = status in _METHOD_KEPT_BY
    method = before.method if keeps_method or before.method in {"GET", "HEAD"} else "GET"
    # A Host header set by the user is kept if the Location names no host.
    host = (
        url.authority
        if names_host
        else next(each.value for each in before.headers if each.name.lower() == "host")
    )
    headers = [Header(name="Host", value=host)]
    headers += [
        header
        for header in before.headers
        if _survives(header.name, visit.url, url, keeps_body=keeps_method, value=header.value)
    ]
    if not _is_downgrade(visit.url, url):
        # A path and its query can hold secrets, so another host gets the origin only, as browsers do it.
        referer = (
            str(visit.url) if _is_same_or_subdomain(url.host, visit.url.host) else f"{visit.url.origin}/"
        )
        headers.append(Header(name="Referer", value=referer))
    if url.credentials and not any(header.name.lower() == "authorization" for header in headers):
        headers.append(Header(name="Authorization", value=basic(url.credentials)))
    return Request(
        name=before.name,
        method=method,
        request_target=url.request_target,
        headers=headers,
        body=before.body if keeps_method else b"",
    )


def _survives(name: str, origin: Url, url: Url, *, keeps_body: bool, value: str = "") -> bool:
    """Whether a header is sent again after a redirect from `origin` to `url`: the one rule for all headers.

    Host and Referer are written anew. Headers about the body go where the body goes. A secret, whatever reports hide,
    stays with the host that it was meant for and the hosts below it, and never leaves TLS. What was dropped once does not
    come back when a chain returns.
    """
    lower = name.lower()
    if lower in {"host", "referer"} or (lower in _CONTENT_FIELDS and not keeps_body):
        return False
    if not is_secret(name) and mask_header(name, value) == value:
        return True
    if lower == "proxy-authorization" and origin.scheme != url.scheme:
        return False  # in a tunnel, the server would read it, and not the proxy
    return _is_same_or_subdomain(url.host, origin.host) and not _is_downgrade(origin, url)


def _is_same_or_subdomain(host: str, other: str) -> bool:
    """Whether a host is another one, or a name below it; the zone of an address is no name."""
    return host == other or (":" not in host and host.endswith(f".{other}"))


def _is_downgrade(origin: Url, url: Url) -> bool:
    return origin.scheme == "https" and url.scheme == "http"
