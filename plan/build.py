"""From what was typed to a plan, and to the one assignment of a run on this host."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from heyfleet.errors import InputError
from heyfleet.plan import stages as shapes
from heyfleet.plan import url as target
from heyfleet.plan.proxy import check_proxy
from heyfleet.plan.requests import RequestSpec, make_mix, of_all, read_file
from heyfleet.plan.stages import Stages
from heyfleet.proto.plan_pb2 import (
    CLOSED,
    CONNECTION_RATE,
    EITHER,
    HTTP_1_1,
    HTTP_2,
    IPV4,
    IPV6,
    RATE,
    USERS,
    AddressFamily,
    Assignment,
    HttpVersion,
    LoadModel,
    Plan,
    Proxy,
    Resolve,
    Stage,
    Target,
    Think,
    Tls,
)

REQUESTS = 200
CONNECTIONS = 50
CONNECTIONS_OF_RATE = 1000
TIMEOUT_NS = 20_000_000_000
TRACE_ROWS = 1_000_000
PARTS_AT_MOST = 1024
# A connection that must answer oftener than that is worth a word before the run.
_BRISK = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """The command line, each value by itself valid; None: not given."""

    url: str
    requests: int | None = None
    connections: int | None = None
    rate_per_connection: float = 0.0
    rate: float | None = None
    poisson: bool = False
    seed: int | None = None
    catch_up: bool = False
    users: int | None = None
    spawn_rate: float | None = None
    think: Think | None = None
    stages: Stages | None = None
    warmup_ns: int = 0
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
    decode: bool = False
    disable_redirects: bool = False
    workers: int = 0
    io: str = ""
    kernel_timestamps: bool = False
    sources: tuple[str, ...] = ()
    slo: tuple[str, ...] = ()
    abort_on: tuple[str, ...] = ()
    insecure: bool = False
    authorities: str | None = None
    certificate: str | None = None
    key: str | None = None
    no_resume: bool = False
    tls_version: str | None = None
    resolve: tuple[Resolve, ...] = ()
    connect_to: tuple[Resolve, ...] = ()
    ipv4: bool = False
    ipv6: bool = False
    http2: bool = False
    h2c: bool = False
    streams: int = 1
    dns_ttl_ns: int = 0
    unix_socket: str | None = None
    template: bool = False
    data_file: str | None = None
    data_once: bool = False
    proxy: Proxy | None = None
    mix: tuple[RequestSpec, ...] = ()  # of a plan file; none: the one request that the flags describe
    per_agent: bool = False


def make_plan(flags: Flags) -> Plan:
    """The plan that the flags ask for; InputError if they can't be one."""
    try:
        url = target.parse(flags.url)
    except ValueError as error:
        raise InputError(str(error)) from None
    loop, stages = _shape(flags)
    duration_ns = _duration_ns(flags, stages)
    requests = flags.requests or (0 if duration_ns else REQUESTS)
    connections = _connections(flags, loop, stages, requests)
    if loop == CONNECTION_RATE:
        stages = [shapes.constant(flags.rate_per_connection * connections)]
    plan = Plan(
        target=Target(scheme=url.scheme, host=url.host, port=url.port),
        requests=make_mix(url, flags.mix or [_one_request(flags)]),
        load_model=loop,
        stages=stages,
        poisson=flags.poisson,
        seed=_seed(flags),
        think=flags.think,
        warmup_ns=flags.warmup_ns,
        catch_up=flags.catch_up,
        request_count=requests,
        duration_ns=duration_ns,
        connections=connections,
        timeout_ns=flags.timeout_ns,
        disable_keepalive=flags.disable_keepalive,
        disable_redirects=flags.disable_redirects,
        trace_rows=min(TRACE_ROWS, requests or TRACE_ROWS) if flags.output == "csv" else 0,
        io=flags.io,
        workers=flags.workers,
        sources=flags.sources,
        slo=flags.slo,
        abort_on=flags.abort_on,
        kernel_timestamps=flags.kernel_timestamps,
        tls=_tls(flags, url),
        resolve=flags.resolve + flags.connect_to,
        family=_family(flags),
        http=_http(flags, url),
        streams=flags.streams,
        dns_ttl_ns=flags.dns_ttl_ns,
        unix_socket=flags.unix_socket or "",
        proxy=flags.proxy,
        decode=flags.decode,
    )
    _template(plan, flags)
    _check(plan)
    return plan


def warnings(plan: Plan) -> Iterator[str]:
    """What to know before a run: one line each."""
    rate = shapes.highest_rate(plan)
    if plan.load_model == RATE and rate > _BRISK * plan.connections:
        yield (
            f"{rate:g} requests/s over -c {plan.connections}: each connection has to answer within "
            f"{plan.connections / rate * 1e3:.3g} ms on average, or requests will wait and stay unsent; raise -c"
        )


def whole_plan(plan: Plan) -> Assignment:
    """The whole plan as the share of one agent."""
    return Assignment(
        run_id=os.urandom(8).hex(),
        agent="local",
        plan=plan,
        request_count=plan.request_count,
        connections=plan.connections,
        trace_rows=plan.trace_rows,
    )


def _shape(flags: Flags) -> tuple[LoadModel, list[Stage]]:
    """What decides when requests are sent, and at which level."""
    given = {
        "-q": bool(flags.rate_per_connection),
        "--rate": flags.rate is not None,
        "--users": flags.users is not None,
        "--stages": flags.stages is not None,
    }
    chosen = [name for name, is_given in given.items() if is_given]
    if len(chosen) > 1:
        raise InputError(f"{' and '.join(chosen)} exclude each other: each is a shape of load of its own")
    loop, stages = _stages(flags)
    if flags.spawn_rate is not None and flags.users is None:
        raise InputError("--spawn-rate says how fast users come; it needs --users")
    if flags.think is not None and loop != USERS:
        raise InputError("--think is of users; it needs --users, or --stages 'users: ...'")
    if (flags.poisson or flags.catch_up) and loop != RATE:
        raise InputError(
            f"{'--arrivals' if flags.poisson else '--catch-up'} is of a rate; it needs --rate or --stages"
        )
    return loop, stages


def _stages(flags: Flags) -> tuple[LoadModel, list[Stage]]:
    if flags.stages is not None:
        return flags.stages[0], list(flags.stages[1])
    if flags.rate is not None:
        return RATE, [shapes.constant(flags.rate)]
    if flags.users is not None:
        return USERS, shapes.spawning(flags.users, flags.spawn_rate or 0.0)
    return (CONNECTION_RATE if flags.rate_per_connection else CLOSED), []


def _duration_ns(flags: Flags, stages: list[Stage]) -> int:
    """How long results are taken: -z, or the stages, less the warm-up that is their first part."""
    whole_ns = shapes.length_ns(Plan(stages=stages))
    if not whole_ns:
        return flags.duration_ns
    if flags.warmup_ns >= whole_ns:
        raise InputError(
            f"--warmup {flags.warmup_ns / 1e9:g}s leaves nothing of the stages, which take {whole_ns / 1e9:g} s"
        )
    left_ns = whole_ns - flags.warmup_ns
    return min(flags.duration_ns or left_ns, left_ns)


def _connections(flags: Flags, loop: LoadModel, stages: list[Stage], requests: int) -> int:
    if loop == USERS:
        if flags.connections is not None:
            raise InputError("-c and users exclude each other: each user has one connection")
        return shapes.most_users(stages)
    connections = flags.connections or (CONNECTIONS_OF_RATE if loop == RATE else CONNECTIONS)
    return min(connections, requests) if requests else connections


def _seed(flags: Flags) -> int:
    """Without one a run has its own; the report names it."""
    random = flags.poisson or (flags.think is not None and flags.think.low_ns != flags.think.high_ns)
    if flags.seed is None and random:
        return int.from_bytes(os.urandom(4))
    return flags.seed or 0


def _tls(flags: Flags, url: target.Url) -> Tls | None:
    """What is only imported where it is needed."""
    given = (
        flags.insecure
        or flags.authorities
        or flags.certificate
        or flags.key
        or flags.tls_version
        or flags.no_resume
    )
    if url.scheme != "https" and not given:
        return None  # where redirects lead to https, the defaults are good
    from heyfleet.plan.tls import make_tls

    return make_tls(flags, url)


def _family(flags: Flags) -> AddressFamily:
    if flags.ipv4 and flags.ipv6:
        raise InputError("-4 and -6 exclude each other; without either, addresses of both kinds are used")
    return IPV4 if flags.ipv4 else IPV6 if flags.ipv6 else EITHER


def _template(plan: Plan, flags: Flags) -> None:
    if flags.template or flags.data_file or flags.data_once:
        from heyfleet.plan.data_file import take_template

        take_template(plan, flags)


def _http(flags: Flags, url: target.Url) -> HttpVersion:
    if flags.http2 and flags.h2c:
        raise InputError("-h2 and --h2c exclude each other: the one is over TLS, the other is not")
    if flags.http2 and url.scheme != "https":
        raise InputError("-h2 is agreed on in TLS, and this URL has none; --h2c speaks HTTP/2 without it")
    if flags.h2c and url.scheme == "https":
        raise InputError("--h2c is HTTP/2 without TLS, and this URL is of https; -h2 agrees on it in TLS")
    return HTTP_2 if flags.http2 or flags.h2c else HTTP_1_1


def _check_unix_socket(plan: Plan) -> None:
    others = {
        "--resolve or --connect-to": bool(plan.resolve),
        "--source": bool(plan.sources),
        "-4 or -6": plan.family != EITHER,
        "--dns-ttl": plan.dns_ttl_ns > 0,
        "--kernel-timestamps": plan.kernel_timestamps,
    }
    for name, given in others.items():
        if given:
            raise InputError(f"--unix-socket and {name} exclude each other: a Unix socket has no address")


def _check_http2(plan: Plan) -> None:
    if plan.kernel_timestamps:
        raise InputError("--kernel-timestamps is of HTTP/1.1: the kernel knows nothing of streams")
    if plan.streams > 1 and plan.disable_keepalive:
        raise InputError(
            "--streams and -disable-keepalive exclude each other: one is many requests on a connection"
        )
    if plan.streams > 1 and plan.load_model in (CONNECTION_RATE, USERS):
        raise InputError(
            f"--streams goes with -c or --rate; with {'-q' if plan.load_model == CONNECTION_RATE else 'users'} "
            "each has a connection of its own"
        )


def _check(plan: Plan) -> None:
    """What no single flag could see."""
    parts = max(len(plan.stages), 1) * len(plan.requests)
    if len(plan.requests) > PARTS_AT_MOST:
        raise InputError(
            f"{len(plan.requests)} requests, each with numbers of its own, are more than {PARTS_AT_MOST}; "
            "one request with a placeholder takes any number of rows: --template and --data"
        )
    if parts > PARTS_AT_MOST:
        raise InputError(
            f"{len(plan.stages)} stages of {len(plan.requests)} requests are {parts} results; the most is {PARTS_AT_MOST}"
        )
    if plan.kernel_timestamps and plan.io == "io_uring":
        raise InputError(
            "--kernel-timestamps needs epoll: io_uring does not tell the kernel's stamps; drop --io"
        )
    if plan.kernel_timestamps and plan.target.scheme == "https":
        raise InputError(
            "--kernel-timestamps is of plain connections; what TLS adds is not in the kernel's stamps"
        )
    if plan.unix_socket:
        _check_unix_socket(plan)
    if plan.http == HTTP_2:
        _check_http2(plan)
    elif plan.streams > 1:
        raise InputError("--streams is of HTTP/2: it needs -h2, or --h2c for an http URL")
    check_proxy(plan)
    if plan.slo or plan.abort_on:
        from heyfleet.plan.thresholds import check

        check(plan)


def _one_request(flags: Flags) -> RequestSpec:
    body = (flags.body or "").encode("utf-8", "surrogateescape")
    return RequestSpec(
        method=flags.method,
        headers=flags.headers,
        body=read_file(flags.body_file, "-D") if flags.body_file else body,
        content_type=flags.content_type,
        **of_all(flags),
    )
