"""The HTTP version that a plan's connections speak, and their TLS contexts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from heyfleet.agent.http.proxy import target_url, tunnel_head
from heyfleet.agent.http.request import render
from heyfleet.ext import ConnectionConfig, Engine, LoadConfig, RequestConfig, TargetConfig, TlsContext
from heyfleet.plan.url import Url
from heyfleet.proto.plan_pb2 import HTTP_2, Plan

NAMES = {False: "HTTP/1.1", True: "HTTP/2"}
_OFFERS = {False: ("http/1.1",), True: ("h2",)}
_POLL_S = 0.0005


def speaks_http2(
    plan: Plan, addresses: list[tuple[str, int]], is_stopped: Callable[[], bool] = lambda: False
) -> bool:
    """Whether requests go over HTTP/2: if the plan says so, unless an https server only offers HTTP/1.1 (RFC 7301).

    One connection finds that out before the others are opened. If it can't be opened, the run itself will show why.
    `is_stopped` says that nobody waits for the answer any more.
    """
    if plan.http != HTTP_2 or plan.target.scheme != "https":
        return plan.http == HTTP_2
    engine = Engine(
        TargetConfig(
            addresses=addresses,
            sources=list(plan.sources),
            tls=_context(plan, ("h2", "http/1.1")),
            tunnel=tunnel_head(plan, target_url(plan, plan.requests[0])),
        ),
        RequestConfig(messages=[(render(plan.requests[0]), False)]),
        ConnectionConfig(connections=1, timeout_ns=plan.timeout_ns),
        LoadConfig(request_count=1),
        io=plan.io or "auto",
    )
    thread = threading.Thread(target=_run, args=(engine,), name="protocol", daemon=True)
    thread.start()
    while not engine.prepared and not is_stopped():
        time.sleep(_POLL_S)
    opened = engine.connections_open
    engine.stop()
    thread.join()
    return engine.protocol_agreed == "h2" or not opened


def tls_context(plan: Plan, http2: bool, redirect: Url | None = None) -> TlsContext | None:
    """Return the TLS context for the target, or for the URL of a redirect; None for http. ValueError."""
    if (redirect.scheme if redirect else plan.target.scheme) != "https":
        return None
    return _context(plan, _OFFERS[http2], demand="h2" if http2 else "", redirect=redirect)


def _context(
    plan: Plan, protocols: tuple[str, ...], demand: str = "", redirect: Url | None = None
) -> TlsContext:
    tls = plan.tls
    is_target = redirect is None or redirect.host == plan.target.host
    return TlsContext(
        redirect.host if redirect else tls.name,
        insecure=tls.insecure,
        ca_pem=tls.ca_pem,
        # The client's certificate is for the target only, not for hosts that it redirects to.
        certificate_pem=tls.certificate_pem if is_target else b"",
        key_pem=tls.key_pem if is_target else b"",
        resume=not tls.no_resume,
        version=tls.version,
        protocols=protocols,
        demand=demand,
    )


def _run(engine: Engine) -> None:
    try:
        engine.run()
    except OSError:
        return  # the run itself will fail the same way, and report it
