"""Build the plan of a run from its options, and the single assignment of a run without a fleet."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from heyfleet.durations import MAX_DURATION_NS, MAX_RATE_PER_S, format_duration
from heyfleet.errors import InputError
from heyfleet.plan.options import OPTIONS, RunOptions
from heyfleet.plan.redact import check_nothing_hidden
from heyfleet.plan.requests import make_requests
from heyfleet.plan.run_id import new_run_id
from heyfleet.plan.sections.load import DEFAULT_CONNECTIONS, DEFAULT_CONNECTIONS_OF_RATE, DEFAULT_REQUESTS
from heyfleet.plan.stages import (
    constant_stage,
    peak_rate_per_s,
    peak_users,
    spawn_stages,
    total_duration_ns,
)
from heyfleet.plan.url import Url
from heyfleet.plan.url import parse as parse_url
from heyfleet.plan.validation import MAX_TRACE_ROWS, check_streams, validate_plan
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
    Stage,
    Target,
    Tls,
)

# From this rate on a single connection deserves a warning: each response must take less than 1 ms.
_WARN_RATE_PER_CONNECTION = 1000.0


def make_plan(options: RunOptions) -> Plan:
    """Return the plan that the options describe. Raises InputError if they can't work together."""
    try:
        plan = _compose_plan(options)
    except UnicodeEncodeError as error:  # protobuf takes only text that is UTF-8
        raise InputError(f"{error.object!r} is not UTF-8") from None
    validate_plan(plan)
    check_nothing_hidden(plan)
    return plan


def _compose_plan(options: RunOptions) -> Plan:
    try:
        url = parse_url(options.url)
    except ValueError as error:
        raise InputError(str(error)) from None
    load_model, stages = _load_profile(options)
    duration_ns = _duration_ns(options, stages)
    requests = options.requests or (0 if duration_ns else DEFAULT_REQUESTS)
    connections = _connections(options, load_model, stages, requests)
    if load_model == CONNECTION_RATE:
        stages = [_stage_of_connections(options.rate_per_connection, connections)]
    plan = Plan(
        target=Target(scheme=url.scheme, host=url.host, port=url.port),
        requests=make_requests(url, options),
        load_model=load_model,
        stages=stages,
        seed=_seed(options),
        request_count=requests,
        duration_ns=duration_ns,
        connections=connections,
        trace_rows=min(MAX_TRACE_ROWS, requests or MAX_TRACE_ROWS) if options.output == "csv" else 0,
        tls=_tls(options, url),
        resolve=options.resolve + options.connect_to,
        family=_family(options),
        http=_http_version(options, url),
        **_copied_fields(options),
    )
    _add_template(plan, options)
    return plan


def warnings(plan: Plan) -> Iterator[str]:
    """Yield what the user should know before the run, one line each."""
    rate = peak_rate_per_s(plan)
    if plan.load_model == RATE and rate > _WARN_RATE_PER_CONNECTION * plan.connections:
        yield (
            f"{rate:g} requests/s over -c {plan.connections}: each connection must respond within "
            f"{plan.connections / rate * 1e3:.3g} ms on average, or requests will wait and stay unsent; raise -c"
        )


def whole_plan(plan: Plan) -> Assignment:
    """Return the whole plan as the assignment of a single agent. Raises InputError if it is too much for one."""
    assignment = Assignment(
        run_id=new_run_id(),
        agent="local",
        plan=plan,
        request_count=plan.request_count,
        connections=plan.connections,
        trace_rows=plan.trace_rows,
    )
    check_streams(assignment)
    return assignment


def _copied_fields(options: RunOptions) -> dict[str, Any]:
    """Return the plan's fields that take the value of an option as it is."""
    values = {option.plan_field: getattr(options, option.field) for option in OPTIONS if option.plan_field}
    return {name: value for name, value in values.items() if value is not None}


def _load_profile(options: RunOptions) -> tuple[LoadModel, list[Stage]]:
    """Return what decides when requests are sent, and the levels over time."""
    profiles = {
        "-q": bool(options.rate_per_connection),
        "--rate": options.rate is not None,
        "--users": options.users is not None,
        "--stages": options.stages is not None,
    }
    chosen = [flag for flag, is_given in profiles.items() if is_given]
    if len(chosen) > 1:
        raise InputError(f"{' and '.join(chosen)} exclude each other: each is a load profile of its own")
    load_model, stages = _stages(options)
    if options.spawn_rate is not None and options.users is None:
        raise InputError("--spawn-rate needs --users")
    if options.think is not None and load_model != USERS:
        raise InputError("--think needs --users, or --stages 'users: ...'")
    if (options.poisson or options.catch_up) and load_model != RATE:
        raise InputError(
            f"{'--arrivals poisson' if options.poisson else '--catch-up'} needs a rate: --rate or --stages"
        )
    return load_model, stages


def _stages(options: RunOptions) -> tuple[LoadModel, list[Stage]]:
    if options.stages is not None:
        return options.stages[0], list(options.stages[1])
    if options.rate is not None:
        return RATE, [constant_stage(options.rate)]
    if options.users is not None:
        spawn_rate = options.spawn_rate or 0.0
        if options.users * 1e9 > spawn_rate * MAX_DURATION_NS > 0:
            raise InputError(
                f"--spawn-rate {spawn_rate:g} starts --users {options.users} after more than "
                f"{format_duration(MAX_DURATION_NS)}",
                "raise it",
            )
        return USERS, spawn_stages(options.users, spawn_rate)
    return (CONNECTION_RATE if options.rate_per_connection else CLOSED), []


def _stage_of_connections(rate_per_s: float, connections: int) -> Stage:
    """Return the stage of connections that each have this rate."""
    if rate_per_s * connections > MAX_RATE_PER_S:
        raise InputError(
            f"-q {rate_per_s:.12g} on each of {connections} connections is more than 1000M/s together",
            f"use -q {MAX_RATE_PER_S // connections:.0f} at most",
        )
    return constant_stage(rate_per_s * connections)


def _duration_ns(options: RunOptions, stages: list[Stage]) -> int:
    """Return how long results are recorded: -z, or the length of the stages less the warm-up."""
    if sum(stage.duration_ns for stage in stages) > MAX_DURATION_NS:
        raise InputError(
            f"--stages take longer than {format_duration(MAX_DURATION_NS)} together", "shorten them"
        )
    stages_ns = total_duration_ns(stages)
    if not stages_ns:
        return options.duration_ns
    if options.warmup_ns >= stages_ns:
        raise InputError(
            f"--warmup {options.warmup_ns / 1e9:g}s leaves nothing of the stages, which take {stages_ns / 1e9:g} s"
        )
    measured_ns = stages_ns - options.warmup_ns
    return min(options.duration_ns or measured_ns, measured_ns)


def _connections(options: RunOptions, load_model: LoadModel, stages: list[Stage], requests: int) -> int:
    if load_model == USERS:
        if options.connections is not None:
            raise InputError("-c and users exclude each other: each user has one connection")
        return peak_users(stages)
    default = DEFAULT_CONNECTIONS_OF_RATE if load_model == RATE else DEFAULT_CONNECTIONS
    connections = options.connections or default
    return min(connections, requests) if requests else connections


def _seed(options: RunOptions) -> int:
    """Return the seed of the run: a new one if something is random and --seed isn't given."""
    think = options.think
    is_random = options.poisson or (think is not None and think.low_ns != think.high_ns)
    if options.seed is None and is_random:
        return int.from_bytes(os.urandom(4))
    return options.seed or 0


def _tls(options: RunOptions, url: Url) -> Tls | None:
    """Return the TLS options, or None where the defaults will do for whatever redirects lead to."""
    is_set = (
        options.insecure
        or options.authorities
        or options.certificate
        or options.key
        or options.tls_version
        or options.no_resume
    )
    if url.scheme != "https" and not is_set:
        return None
    from heyfleet.plan.tls import make_tls

    return make_tls(options, url)


def _family(options: RunOptions) -> AddressFamily:
    if options.ipv4 and options.ipv6:
        raise InputError("-4 and -6 exclude each other; without either, addresses of both kinds are used")
    return IPV4 if options.ipv4 else IPV6 if options.ipv6 else EITHER


def _http_version(options: RunOptions, url: Url) -> HttpVersion:
    if options.http2 and options.h2c:
        raise InputError("-h2 and --h2c exclude each other: -h2 uses TLS, --h2c doesn't")
    if options.http2 and url.scheme != "https":
        raise InputError("-h2 is negotiated in TLS, which this URL doesn't use", "use --h2c")
    if options.h2c and url.scheme == "https":
        raise InputError("--h2c is HTTP/2 without TLS, but this URL uses TLS", "use -h2")
    return HTTP_2 if options.http2 or options.h2c else HTTP_1_1


def _add_template(plan: Plan, options: RunOptions) -> None:
    if options.template or options.data_file or options.data_once:
        from heyfleet.plan.data_file import add_template

        add_template(plan, options)
