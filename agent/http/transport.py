"""Which HTTP a plan's connections speak, and how they say so in TLS."""

from __future__ import annotations

import threading
import time

from heyfleet.agent.http.proxy import target_url, tunnel_head
from heyfleet.agent.http.request import render
from heyfleet.ext import ConnectionConfig, Engine, LoadConfig, RequestConfig, TargetConfig, TlsContext
from heyfleet.plan.url import Url
from heyfleet.proto.plan_pb2 import HTTP_2, Plan

NAMES = {False: "HTTP/1.1", True: "HTTP/2"}
_OFFERS = {False: ("http/1.1",), True: ("h2",)}
_POLL_S = 0.0005


def speaks_http2(plan: Plan, addresses: list[tuple[str, int]]) -> bool:
    """Whether requests go over HTTP/2: as asked, unless an https server takes HTTP/1.1 only (RFC 7301).

    That is found out by one connection, opened and closed before the others. Where it can't be opened, the run will show why.
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
    while not engine.prepared:
        time.sleep(_POLL_S)
    opened = engine.connections_open
    engine.stop()
    thread.join()
    return engine.protocol_agreed == "h2" or not opened


def tls_context(plan: Plan, http2: bool, elsewhere: Url | None = None) -> TlsContext | None:
    """One engine's for the target, or for where a redirect leads to; None for http. ValueError."""
    if (elsewhere.scheme if elsewhere else plan.target.scheme) != "https":
        return None
    return _context(plan, _OFFERS[http2], demand="h2" if http2 else "", elsewhere=elsewhere)


def _context(
    plan: Plan, protocols: tuple[str, ...], demand: str = "", elsewhere: Url | None = None
) -> TlsContext:
    asked = plan.tls
    at_home = elsewhere is None or elsewhere.host == plan.target.host
    return TlsContext(
        elsewhere.host if elsewhere else asked.name,
        insecure=asked.insecure,
        ca_pem=asked.ca_pem,
        # Who we are is the target's to know, and of nobody that it sends us to.
        certificate_pem=asked.certificate_pem if at_home else b"",
        key_pem=asked.key_pem if at_home else b"",
        resume=not asked.no_resume,
        version=asked.version,
        protocols=protocols,
        demand=demand,
    )


def _run(engine: Engine) -> None:
    try:
        engine.run()
    except OSError:
        return  # the run itself will meet it, and say so
