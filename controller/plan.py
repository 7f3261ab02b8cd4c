"""From what was typed to a plan, and to the one assignment of a run on this host."""

from __future__ import annotations

import os
from dataclasses import dataclass

from heyfleet.controller import target
from heyfleet.proto.fleet_pb2 import Assignment, Header, Plan, Target

REQUESTS = 200
CONNECTIONS = 50
TIMEOUT_NS = 20_000_000_000
CONTENT_TYPE = "text/html"
TRACE_ROWS = 1_000_000


class InputError(Exception):
    """What was asked for can't be done: one line that names the cause and the cure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """The command line, each value by itself valid; None: not given."""

    url: str
    requests: int | None = None
    connections: int | None = None
    rate: float = 0.0
    duration_ns: int = 0
    output: str = ""  # "", "csv" or "json"
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    timeout_ns: int = TIMEOUT_NS
    accept: str | None = None
    body: str | None = None
    body_file: str | None = None
    content_type: str | None = None
    user_agent: str
    credentials: str | None = None
    host: str | None = None
    disable_keepalive: bool = False
    disable_compression: bool = False
    disable_redirects: bool = False
    workers: int = 0
    io: str = ""
    sources: tuple[str, ...] = ()
    per_agent: bool = False


def make_plan(flags: Flags) -> Plan:
    """The plan that the flags ask for; InputError if they can't be one."""
    try:
        url = target.parse(flags.url)
    except ValueError as error:
        raise InputError(str(error)) from None
    body = _body(flags)
    requests = flags.requests or (0 if flags.duration_ns else REQUESTS)
    connections = flags.connections or CONNECTIONS
    return Plan(
        target=Target(scheme=url.scheme, host=url.host, port=url.port, request_target=url.request_target),
        method=flags.method,
        headers=[Header(name=name, value=value) for name, value in _headers(flags, url, has_body=bool(body))],
        body=body,
        requests=requests,
        duration_ns=flags.duration_ns,
        connections=min(connections, requests) if requests else connections,
        rate_per_connection=flags.rate,
        timeout_ns=flags.timeout_ns,
        disable_keepalive=flags.disable_keepalive,
        trace_rows=min(TRACE_ROWS, requests or TRACE_ROWS) if flags.output == "csv" else 0,
        io=flags.io,
        workers=flags.workers,
        sources=flags.sources,
    )


def whole_plan(plan: Plan) -> Assignment:
    """The whole plan as the share of one agent."""
    return Assignment(
        run_id=os.urandom(8).hex(),
        agent="local",
        plan=plan,
        requests=plan.requests,
        connections=plan.connections,
        trace_rows=plan.trace_rows,
    )


def _body(flags: Flags) -> bytes:
    if not flags.body_file:
        return (flags.body or "").encode("utf-8", "surrogateescape")
    try:
        with open(flags.body_file, "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"-D: can't read {flags.body_file!r}: {reason}") from None


def _headers(flags: Flags, url: target.Url, *, has_body: bool) -> list[tuple[str, str]]:
    """Host first; then what flags and defaults make, unless -H names the same; then -H, in its order."""
    given = {name.lower() for name, _ in flags.headers}
    made = [
        ("User-Agent", flags.user_agent),
        ("Accept", flags.accept or None),
        ("Accept-Encoding", None if flags.disable_compression else "gzip"),
        ("Authorization", _basic(flags.credentials or url.credentials)),
        ("Content-Type", flags.content_type or (CONTENT_TYPE if has_body else None)),
    ]
    hosts = [value for name, value in flags.headers if name.lower() == "host"] or [
        flags.host or url.authority
    ]
    if len(hosts) > 1:
        raise InputError("-H: more than one Host; a request has exactly one")
    return [
        ("Host", hosts[0]),
        *((name, value) for name, value in made if value is not None and name.lower() not in given),
        *((name, value) for name, value in flags.headers if name.lower() != "host"),
    ]


def _basic(credentials: str | None) -> str | None:
    if not credentials:
        return None
    from base64 import b64encode

    return "Basic " + b64encode(credentials.encode("utf-8", "surrogateescape")).decode()
