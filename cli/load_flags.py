"""The flags of `run` that shape a load, and those that judge it."""

from __future__ import annotations

from collections.abc import Iterator

import click

from heyfleet.cli.go_flags import Flag, Value
from heyfleet.plan import stages as shapes
from heyfleet.plan import thresholds, values

THRESHOLD = Value("THRESHOLDS", thresholds.several)


def shape_flags() -> Iterator[click.Option]:
    """When requests are sent."""
    duration, section = Value("DURATION", values.duration), "Shape of the load"
    yield Flag(
        ["--rate"],
        type=Value("RATE", values.positive_rate),
        help="Requests a second in all, on whatever connection is free: 5000, 5k/s, 300/m. -c: how many at most, default 1000.",
        section=section,
    )
    yield Flag(
        ["--arrivals", "poisson"],
        type=Value("constant|poisson", values.arrivals),
        default=False,
        help="How a rate is spread: evenly, or at random as many clients do. Default constant.",
        section=section,
    )
    yield Flag(
        ["--catch-up"],
        is_flag=True,
        help="Send in a burst what the generator itself was too late for; else it stays unsent.",
        section=section,
    )
    yield Flag(
        ["--users"],
        type=Value("N", values.small_count),
        help="Users, each with one connection and one request at a time.",
        section=section,
    )
    yield Flag(
        ["--spawn-rate"],
        type=Value("RATE", values.positive_rate),
        help="How many users come each second. Default: all at once.",
        section=section,
    )
    yield Flag(
        ["--think"],
        type=Value("TIME", shapes.think),
        help="What a user waits after an answer: 1s, 0.5s-2s (evenly drawn) or exp:1s (its mean).",
        section=section,
    )
    yield Flag(
        ["--stages"],
        type=Value("STAGES", shapes.stages),
        help="Rates in stretches: '30s:0-1000, hold=2m:1000, 30s:0'; users with 'users: 30s:0-100'.",
        section=section,
    )
    yield Flag(
        ["--warmup", "warmup_ns"],
        type=duration,
        default=0,
        help="Keep the first so long out of the results; -n and -z count from its end.",
        section=section,
    )
    yield Flag(
        ["--seed"],
        type=Value("N", values.seed),
        help="Of what is random. Default: a new one each run.",
        section=section,
    )


def threshold_flags() -> Iterator[click.Option]:
    """What a run is judged by."""
    section = "Thresholds"
    yield Flag(
        ["--slo"],
        type=THRESHOLD,
        default=(),
        help="What must hold, or the exit code is 5: 'p99<250ms, errors<0.1%, rate>=4950, p95[login]<1s'.",
        section=section,
    )
    yield Flag(
        ["--abort-on"],
        type=THRESHOLD,
        default=(),
        help="What ends the load: 'errors>50% for 5s'. The exit code is 5 as well.",
        section=section,
    )
    yield Flag(
        ["--find-max"],
        type=THRESHOLD,
        default=(),
        help="Look for the highest rate at which this holds: 'p99<50ms, errors<0.1%'; each step takes -z.",
        section=section,
    )
