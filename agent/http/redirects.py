"""Where redirects lead to: what Go's client, and so hey, asks next (RFC 9110 section 15.4, RFC 3986 section 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from urllib.parse import urljoin, urlsplit

from heyfleet.agent.http.proxy import target_url, through, tunnel_head
from heyfleet.agent.http.request import IDEMPOTENT, http2_fields, render
from heyfleet.agent.http.resolve import Resolved, ResolveError, look_up_all, where
from heyfleet.agent.http.transport import tls_context
from heyfleet.agent.policy import HostPolicy
from heyfleet.ext import Engine, http2_request
from heyfleet.plan.url import Url, basic, parse, percent_encoded
from heyfleet.proto.plan_pb2 import Header, Plan, Request

NOT_USABLE = "redirect: to no usable address"
NOT_ALLOWED = "redirect: not allowed by the owner of the agent"
UNKNOWN_HOST = "redirect: to an unknown host"
# What is for one host must not reach another (Go: the same list).
_SECRETS = frozenset({"authorization", "cookie", "cookie2", "www-authenticate"})
_CONTENT = frozenset({"content-type", "content-length", "content-encoding", "content-language", "expect"})
_KEEP_METHOD = frozenset({307, 308})
# How long each of a host's addresses may take to accept a connection, while the load waits (RFC 8305 section 5).
_TRIAL_S = 0.25


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request, and the URL that it asks for."""

    request: Request
    url: Url


class Follower:
    """One engine's, which calls it in its own thread, without other workers waiting for that."""

    def __init__(
        self, plan: Plan, http2: bool, owner: HostPolicy, addresses: Sequence[tuple[str, int]] = ()
    ) -> None:
        """`addresses`: of the proxy, if there is one."""
        self._plan = plan
        self._http2 = http2
        self._owner = owner
        self._proxy_addresses = list(addresses) if plan.HasField("proxy") else []
        self._engine: Engine | None = None
        target = plan.target
        self._asked = {
            number: _Asked(request, target_url(plan, request)) for number, request in enumerate(plan.requests)
        }
        self._numbers = count(len(plan.requests))
        self._proxy_origin = 0 if target.scheme == "http" else None
        self._origins: dict[tuple[str, str, int], int | str] = {(target.scheme, target.host, target.port): 0}

    def serve(self, engine: Engine) -> None:
        """Whom it is asked by."""
        self._engine = engine

    def __call__(
        self, message: int, status: int, location: bytes
    ) -> tuple[int, bytes, bool, bool, int] | str | None:
        """The engine's question; see there."""
        asked = self._asked[message]
        text = percent_encoded(location.decode("utf-8", "surrogateescape").replace(" ", "%20"))
        try:
            url = _joined(asked.url, text)
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
        following = _Asked(_next(asked, url, status, bool(urlsplit(text).netloc)), url)
        number = next(self._numbers)
        self._asked[number] = following
        request = following.request
        return (
            number,
            self._rendered(following),
            request.method == "HEAD",
            request.method in IDEMPOTENT,
            origin,
        )

    def forget(self, messages: list[int]) -> None:
        """Those that the engine has no more."""
        for message in messages:
            self._asked.pop(message, None)

    def _origin(self, url: Url) -> int | str:
        """The number of an origin, looked up and allowed; or why not."""
        assert self._engine is not None
        hosts, port = where(self._plan, url.host, url.port, url.scheme)
        try:
            addresses = look_up_all(hosts, port, self._plan.family)
        except ResolveError:
            if not self._proxy_addresses:
                return UNKNOWN_HOST
            addresses = []  # the proxy may know it
        if not all(self._owner.allows(host, port, [address for address, _ in addresses]) for host in hosts):
            return NOT_ALLOWED
        if not self._proxy_addresses:
            addresses = Resolved(addresses, 0).tried_out(_TRIAL_S).addresses
        try:
            return self._add_origin(addresses, url)
        except ValueError:
            return NOT_USABLE

    def _add_origin(self, addresses: list[tuple[str, int]], url: Url) -> int:
        assert self._engine is not None
        context = tls_context(self._plan, False, url)
        if not self._proxy_addresses:
            return self._engine.add_origin(addresses, context)
        if url.scheme == "https":
            return self._engine.add_origin(self._proxy_addresses, context, tunnel_head(self._plan, url))
        # Connections to the proxy are for every http URL.
        if self._proxy_origin is None:
            self._proxy_origin = self._engine.add_origin(self._proxy_addresses, None)
        return self._proxy_origin

    def _rendered(self, asked: _Asked) -> bytes:
        request = asked.request
        if self._http2:
            fields = http2_fields(request, asked.url.scheme)
            return http2_request(fields, request.body, request.method == "HEAD")
        return render(through(self._plan, request, asked.url), close=self._plan.disable_keepalive)


def _joined(base: Url, reference: str) -> Url:
    """A Location, relative to the URL that was asked for; ValueError."""
    whole = reference
    if not urlsplit(reference).scheme:
        whole = urljoin(f"{base.scheme}://{base.authority}{base.request_target}", reference)
    return parse(urlsplit(whole)._replace(fragment="").geturl())


def _next(asked: _Asked, url: Url, status: int, absolute: bool) -> Request:
    """The request that follows from one."""
    before = asked.request
    keeps = status in _KEEP_METHOD
    method = before.method if keeps or before.method in {"GET", "HEAD"} else "GET"
    leaves = not _same_or_below(url.host, asked.url.host)
    # A Host of the user's own stays where the Location names no other.
    host = (
        url.authority
        if absolute
        else next(each.value for each in before.headers if each.name.lower() == "host")
    )
    headers = [Header(name="Host", value=host)]
    for header in before.headers:
        name = header.name.lower()
        if name in {"host", "referer"} or (leaves and name in _SECRETS) or (not keeps and name in _CONTENT):
            continue
        headers.append(header)
    if not (asked.url.scheme == "https" and url.scheme == "http"):
        headers.append(
            Header(
                name="Referer", value=f"{asked.url.scheme}://{asked.url.authority}{asked.url.request_target}"
            )
        )
    if url.credentials and not any(header.name.lower() == "authorization" for header in headers):
        headers.append(Header(name="Authorization", value=basic(url.credentials)))
    return Request(
        name=before.name,
        method=method,
        request_target=url.request_target,
        headers=headers,
        body=before.body if keeps else b"",
    )


def _same_or_below(host: str, other: str) -> bool:
    return host == other or host.endswith(f".{other}")
