"""Check a whole plan, assignment or request for a run, before anything else touches it.

Whoever receives one of these messages calls this first: a controller for an operator's plan, an agent for its assignment, and
`plan.build` for the plan of a local run. Every number has bounds, every enumeration a known value, every text its shape. What
passes can still be refused by a policy, a limit of the host or the engine, but it can't crash them, grow without bounds, or
mean something else to the next reader. All functions raise InvalidPlanError.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from heyfleet.durations import MAX_DURATION_NS, MAX_RATE_PER_S, MIN_RATE_PER_S, format_duration
from heyfleet.errors import InputError
from heyfleet.plan import conflicts, places, values
from heyfleet.plan.message_checks import check_data, check_placeholders, check_request
from heyfleet.plan.run_id import check_run_id
from heyfleet.plan.stages import MAX_MEAN_NS, MAX_STAGES, MAX_WEIGHT_SUM
from heyfleet.plan.thresholds import parse_threshold
from heyfleet.plan.url import DEFAULT_PORTS
from heyfleet.proto.plan_pb2 import (
    CLOSED,
    CONNECTION_RATE,
    USERS,
    AddressFamily,
    Assignment,
    HttpVersion,
    LoadModel,
    Plan,
    Resolve,
    Stage,
    Think,
    Tls,
)

if TYPE_CHECKING:  # a local run does not need the schema of the control plane
    from heyfleet.proto.control_pb2 import RunRequest

MAX_WAIT_NS = 7 * 86_400 * 1_000_000_000  # of what a controller waits for
MAX_COUNT = 2**63 - 1
MAX_TRACE_ROWS = 1_000_000
_MAX_SOURCES = 4096
_MAX_RULES = 1024
_MAX_HOSTS_OF_RULES = 4096
_MAX_THRESHOLDS = 256
_MAX_NAME_CHARACTERS = 65_536
_MAX_PEM_BYTES = 4 << 20
_MAX_THRESHOLD_CHARACTERS = 1000
_MAX_ERROR_CHARACTERS = 500  # a message may have a text of megabytes

T = TypeVar("T")


class InvalidPlanError(InputError):
    """A plan that breaks a rule of its format; the cause names the field."""


def validate_plan(plan: Plan) -> None:
    """Check every field of a plan, then what its fields mean together."""
    _check_target(plan)
    _check_numbers(plan)
    _check_stages(plan)
    _check_requests(plan)
    _check_routes(plan)
    _check_tls(plan.tls, "the TLS server name" if plan.target.scheme == "https" else "")
    _check_thresholds(plan)
    conflicts.check_plan(plan)


def validate_assignment(assignment: Assignment) -> None:
    """Check an agent's assignment: its names, its plan, and that it is a share of this plan."""
    _apply("the assignment", check_run_id, assignment.run_id)
    _apply("the assignment", places.check_agent_name, assignment.agent)
    plan, share = assignment.plan, assignment
    validate_plan(plan)
    stride = share.connection_stride or 1
    last_connection = share.first_connection + (share.connections - 1) * stride
    _require(share.connections >= 1, "the assignment has no connections")
    _require(
        last_connection < plan.connections,
        f"the assignment's last connection is number {last_connection}, and the plan has {plan.connections}",
    )
    _require(
        share.request_count <= plan.request_count and bool(share.request_count) == bool(plan.request_count),
        f"the assignment's {share.request_count} requests are no share of the plan's {plan.request_count}",
    )
    _within("the assignment's trace rows", share.trace_rows, 0, plan.trace_rows)
    check_streams(assignment)


def check_streams(assignment: Assignment) -> None:
    """Check that one agent's connections do not have too many streams together."""
    connections, streams = assignment.connections, assignment.plan.streams
    if connections * max(streams, 1) > values.MAX_STREAMS and streams > 1:
        raise InvalidPlanError(
            f"-c {connections} with --streams {streams} are {connections * streams} HTTP/2 streams on one agent; the maximum is"
            f" {values.MAX_STREAMS}",
            "lower one of them, or use more agents",
        )


def validate_run_request(request: RunRequest) -> None:
    """Check an operator's request for a run on a fleet."""
    _within("the number of agents", request.agents, 0, values.MAX_AGENTS)
    _within("the minimum number of agents", request.min_agents, 0, request.agents or values.MAX_AGENTS)
    _duration("the join timeout", request.join_timeout_ns, MAX_WAIT_NS)
    _duration("the lost timeout", request.lost_timeout_ns, MAX_WAIT_NS)
    validate_plan(request.plan)


def _check_target(plan: Plan) -> None:
    target = plan.target
    _require(target.scheme in DEFAULT_PORTS, f"the target's scheme is {target.scheme!r}, not http or https")
    _apply("the target", places.check_host, target.host)
    _apply("the target", places.check_port, target.port)


def _check_numbers(plan: Plan) -> None:
    for name, known in (("load_model", LoadModel), ("family", AddressFamily), ("http", HttpVersion)):
        value = getattr(plan, name)
        _require(value in known.values(), f"the plan's {name} is {value}, which this version doesn't know")
    _within("the plan's number of requests", plan.request_count, 0, MAX_COUNT)
    _within("the plan's number of connections", plan.connections, 1, values.MAX_CONNECTIONS)
    _within("the plan's number of workers", plan.workers, 0, values.MAX_WORKERS)
    _within("the plan's number of streams", plan.streams, 0, values.MAX_STREAMS)
    _within("the plan's trace rows", plan.trace_rows, 0, MAX_TRACE_ROWS)
    for name in ("duration_ns", "timeout_ns", "warmup_ns", "dns_ttl_ns"):
        _duration(f"the plan's {name.removesuffix('_ns')}", getattr(plan, name))
    _require(
        bool(plan.request_count or plan.duration_ns),
        "the plan never ends: it has no number of requests and no duration",
    )
    _apply("the I/O backend", values.parse_io_backend, plan.io or "auto")
    _check_think(plan.think)


def _check_think(think: Think) -> None:
    _require(think.kind in Think.Kind.values(), f"the think time's kind is {think.kind}, which is unknown")
    _duration(
        "the think time", think.low_ns, MAX_MEAN_NS if think.kind == Think.EXPONENTIAL else MAX_DURATION_NS
    )
    _duration("the think time", think.high_ns)
    _require(
        think.kind != Think.UNIFORM or think.low_ns <= think.high_ns, "the think time goes from more to less"
    )


def _check_stages(plan: Plan) -> None:
    _require(
        len(plan.stages) <= MAX_STAGES, f"{len(plan.stages)} stages are too many; the maximum is {MAX_STAGES}"
    )
    _unique("stages", (stage.name for stage in plan.stages))
    if plan.load_model == CLOSED:
        has_level = any(stage.first or stage.last for stage in plan.stages)
        _require(len(plan.stages) <= 1 and not has_level, "a closed loop has no stages")
        return
    _require(bool(plan.stages), f"the load model {LoadModel.Name(plan.load_model)} needs a stage")
    for number, stage in enumerate(plan.stages, 1):
        _check_stage(stage, is_last=number == len(plan.stages), in_users=plan.load_model == USERS)
    _duration("all stages together", sum(stage.duration_ns for stage in plan.stages))
    _require(
        any(stage.first or stage.last for stage in plan.stages),
        "the plan sends nothing: the level of every stage is 0",
    )
    if plan.load_model == CONNECTION_RATE:
        _require(
            not plan.stages[-1].duration_ns and len(plan.stages) == 1,
            "a rate per connection has one endless stage",
        )


def _check_stage(stage: Stage, *, is_last: bool, in_users: bool) -> None:
    where = f"stage {stage.name[:80]!r}"
    _duration(where, stage.duration_ns)
    highest = values.MAX_CONNECTIONS if in_users else MAX_RATE_PER_S
    for level in (stage.first, stage.last):
        is_level = math.isfinite(level) and 0 <= level <= highest
        _require(is_level, f"{where}: its level is {level:g}; it must be from 0 to {highest:g}")
        is_slow = not in_users and 0 < level < MIN_RATE_PER_S
        _require(not is_slow, f"{where}: its level is {level:g}; the lowest rate is {MIN_RATE_PER_S:g}")
    if not stage.duration_ns:
        _require(
            is_last and stage.first == stage.last,
            f"{where} has no end; only the last stage may have none, and its level is then constant",
        )


def _check_requests(plan: Plan) -> None:
    _require(bool(plan.requests), "the plan has no requests")
    _unique("requests", (request.name for request in plan.requests))
    weights = sum(request.weight for request in plan.requests)
    _within("the sum of the requests' weights", weights, 1, MAX_WEIGHT_SUM)
    _apply("the plan", check_placeholders, plan)
    for request in plan.requests:
        where = f"request {request.name[:80]!r}"
        _require(request.weight >= 1, f"{where}: its weight is 0; the minimum is 1")
        _apply(where, check_request, request, is_template=plan.template)
    _apply("the plan's data", check_data, plan)


def _check_routes(plan: Plan) -> None:
    """Check where connections come from and go to."""
    _within("the number of source addresses", len(plan.sources), 0, _MAX_SOURCES)
    for source in plan.sources:
        _apply("a source address", places.check_address, source)
    if plan.unix_socket:
        _apply("the Unix socket", places.check_unix_path, plan.unix_socket)
    if plan.HasField("proxy"):
        _apply("the proxy", places.check_host, plan.proxy.host)
        _apply("the proxy", places.check_port, plan.proxy.port)
        _apply("the proxy", values.parse_credentials, plan.proxy.credentials)
    _within("the number of rules for other addresses", len(plan.resolve), 0, _MAX_RULES)
    hosts = sum(len(rule.to_hosts) for rule in plan.resolve)
    _within("the number of hosts in rules for other addresses", hosts, 0, _MAX_HOSTS_OF_RULES)
    for rule in plan.resolve:
        _check_rule(rule)


def _check_rule(rule: Resolve) -> None:
    where = "a rule for other addresses"
    if rule.host:
        _apply(where, places.check_host, rule.host)
    _apply(where, places.check_port, rule.port, 0)
    _apply(where, places.check_port, rule.to_port, 0)
    check = places.check_host if len(rule.to_hosts) == 1 else places.check_address
    for host in rule.to_hosts:
        _apply(where, check, host)


def _check_tls(tls: Tls, required_name: str) -> None:
    if tls.name or required_name:
        _apply(required_name or "the TLS server name", places.check_host, tls.name)
    if tls.version:
        _apply("the TLS version", values.parse_tls_version, tls.version)
    for name in ("ca_pem", "certificate_pem", "key_pem"):
        size = len(getattr(tls, name))
        _require(
            size <= _MAX_PEM_BYTES, f"the TLS field {name} has {size} bytes; the maximum is {_MAX_PEM_BYTES}"
        )


def _check_thresholds(plan: Plan) -> None:
    _within("the number of thresholds", len(plan.slo) + len(plan.abort_on), 0, _MAX_THRESHOLDS)
    for text in (*plan.slo, *plan.abort_on):
        _within("the length of a threshold", len(text), 1, _MAX_THRESHOLD_CHARACTERS)
        _apply("a threshold", parse_threshold, text)


def _unique(kind: str, names: Iterable[str]) -> None:
    """Require that names are texts of one line, and each its own."""
    seen: set[str] = set()
    for name in names:
        _require(name not in seen, f"two {kind} are called {name[:80]!r}; each needs a name of its own")
        seen.add(name)
        fits = 0 < len(name) <= _MAX_NAME_CHARACTERS and name.isprintable()
        _require(fits, f"the plan's {kind} include {name[:80]!r}, which is not a name of one line")


def _within(what: str, value: int, minimum: int, maximum: int) -> None:
    _require(minimum <= value <= maximum, f"{what} is {value}; it must be from {minimum} to {maximum}")


def _duration(what: str, value_ns: int, maximum_ns: int = MAX_DURATION_NS) -> None:
    _require(value_ns <= maximum_ns, f"{what} is longer than {format_duration(maximum_ns)}")


def _apply(where: str, check: Callable[..., T], *arguments: object, **options: object) -> T:
    """Call a check, and name the place in the error that it raises."""
    try:
        return check(*arguments, **options)
    except ValueError as error:
        raise InvalidPlanError(f"{where}: {error}"[:_MAX_ERROR_CHARACTERS]) from None


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise InvalidPlanError(otherwise[:_MAX_ERROR_CHARACTERS])
