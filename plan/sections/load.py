"""Options that say how much load to send, how it changes over time, and what it is judged by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from heyfleet.durations import parse_duration_ns, parse_rate_per_s, parse_seconds_ns
from heyfleet.plan.option_types import option, switch
from heyfleet.plan.stages import Stages, parse_stages, parse_think_time
from heyfleet.plan.thresholds import parse_thresholds
from heyfleet.plan.values import (
    parse_arrivals,
    parse_positive_count,
    parse_positive_rate,
    parse_seed,
    parse_small_count,
)
from heyfleet.proto.plan_pb2 import Think

DEFAULT_REQUESTS = 200
DEFAULT_CONNECTIONS = 50
DEFAULT_CONNECTIONS_OF_RATE = 1000
DEFAULT_TIMEOUT_NS = 20_000_000_000


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """How much to send; without any of the load profile's options the load is hey's closed loop."""

    title: ClassVar[str] = "Load"

    plan_file: str = option(
        "-f",
        "--plan",
        parse=str,
        default="",
        metavar="FILE",
        plan_key="",
        help="Read options and requests from a plan file (YAML). Flags and environment variables override it.",
    )
    requests: int | None = option(
        "-n",
        "--requests",
        parse=parse_positive_count,
        default=None,
        default_text=str(DEFAULT_REQUESTS),
        metavar="N",
        plan_key="count",
        help="Number of requests to send. With -z too, the run ends at whichever comes first.",
    )
    connections: int | None = option(
        "-c",
        "--connections",
        parse=parse_small_count,
        default=None,
        default_text=f"{DEFAULT_CONNECTIONS}, or {DEFAULT_CONNECTIONS_OF_RATE} with --rate",
        metavar="N",
        help="Number of connections, each with one request at a time. Limited to the number of requests.",
    )
    rate_per_connection: float = option(
        "-q",
        "--rate-per-connection",
        parse=parse_rate_per_s,
        default=0.0,
        default_text="0, no limit",
        metavar="RATE",
        help="Rate limit of each connection, in requests per second.",
    )
    duration_ns: int = option(
        "-z",
        "--duration",
        parse=parse_duration_ns,
        default=0,
        metavar="DURATION",
        help="How long to send, instead of -n.",
    )
    timeout_ns: int = option(
        "-t",
        "--timeout",
        parse=parse_seconds_ns,
        default=DEFAULT_TIMEOUT_NS,
        default_text="20s",
        metavar="SECONDS",
        plan_field="timeout_ns",
        help="Time limit of each request, in seconds or as a DURATION. 0 sets no limit.",
    )


@dataclass(frozen=True, kw_only=True)
class ProfileOptions:
    """When requests are sent, and how the level changes over time."""

    title: ClassVar[str] = "Load profile"

    rate: float | None = option(
        "--rate",
        parse=parse_positive_rate,
        default=None,
        metavar="RATE",
        help="Constant rate of the whole run, like 5000, 5k/s or 300/m. Requests go out on any free connection.",
    )
    users: int | None = option(
        "--users",
        parse=parse_small_count,
        default=None,
        metavar="N",
        help="Number of users, each with one connection and one request at a time.",
    )
    stages: Stages | None = option(
        "--stages",
        parse=parse_stages,
        default=None,
        metavar="STAGES",
        separator=", ",
        help="Rates over time, like '30s:0-1000, hold=2m:1000, 30s:0', or users: 'users: 30s:0-100'.",
    )
    spawn_rate: float | None = option(
        "--spawn-rate",
        parse=parse_positive_rate,
        default=None,
        default_text="all at once",
        metavar="RATE",
        help="Number of --users to start per second.",
    )
    think: Think | None = option(
        "--think",
        parse=parse_think_time,
        default=None,
        metavar="TIME",
        plan_field="think",
        help="Pause of each user after a response: 1s, 0.5s-2s (uniform) or exp:1s (exponential, by its mean).",
    )
    poisson: bool = option(
        "--arrivals",
        parse=parse_arrivals,
        default=False,
        default_text="constant",
        metavar="constant|poisson",
        choices=("constant", "poisson"),
        plan_field="poisson",
        help="Spacing of a rate's requests: even, or random as from many independent clients.",
    )
    catch_up: bool = switch(
        "--catch-up",
        help="Send requests that the generator itself delayed late and in a burst, instead of leaving them unsent.",
        plan_field="catch_up",
    )
    warmup_ns: int = option(
        "--warmup",
        parse=parse_duration_ns,
        default=0,
        metavar="DURATION",
        plan_field="warmup_ns",
        help="How long to leave out of the results at the start. -n and -z count from its end.",
    )
    seed: int | None = option(
        "--seed",
        parse=parse_seed,
        default=None,
        default_text="a new one for each run",
        metavar="N",
        help="Seed for everything random. The report shows it.",
    )


@dataclass(frozen=True, kw_only=True)
class ThresholdOptions:
    """What the run is judged by."""

    title: ClassVar[str] = "Thresholds"

    slo: tuple[str, ...] = option(
        "--slo",
        parse=parse_thresholds,
        default=(),
        metavar="THRESHOLDS",
        separator=", ",
        plan_field="slo",
        help="Exit with code 5 unless all of these hold: 'p99<250ms, errors<0.1%, rate>=4950, p95[login]<1s'.",
    )
    abort_on: tuple[str, ...] = option(
        "--abort-on",
        parse=parse_thresholds,
        default=(),
        metavar="THRESHOLDS",
        separator=", ",
        plan_field="abort_on",
        help="Stop the load and exit with code 5 as soon as one of these is true: 'errors>50% for 5s'.",
    )
    find_max: tuple[str, ...] = option(
        "--find-max",
        parse=parse_thresholds,
        default=(),
        metavar="THRESHOLDS",
        separator=", ",
        help="Search for the highest rate at which these hold: 'p99<50ms, errors<0.1%'. Each step takes -z.",
    )
    repeat: int = option(
        "--repeat",
        parse=parse_small_count,
        default=0,
        metavar="N",
        help="Make the run N times and report how much the runs differ.",
    )
