"""How far a report can be trusted: whether it describes the server or the generator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from heyfleet.ext import Histogram
from heyfleet.proto.plan_pb2 import CONNECTION_RATE, RATE
from heyfleet.results.distribution import percentile_ns
from heyfleet.results.ledger import Ledger
from heyfleet.results.measurements import LOST, AgentMeasurements, Measurements
from heyfleet.results.stats import Stats
from heyfleet.results.units import format_time

GOOD, LIMITED, BAD = "good", "limited", "bad"
MS = 1_000_000
# Pairs of limits: from the first on, a value is mentioned and the trust is limited; from the second on, it is bad. All are
# shares unless a unit is given. docs/explain/load-models.md gives the reasons.
LATE_NS = 1 * MS
LATE = (0.01, 0.05)  # of the requests that left more than LATE_NS late because of the generator
STALL_NS = (50 * MS, 200 * MS)  # the longest time that a worker did not look at its connections
BUSY = (0.90, 0.97)  # of a worker's time, on a CPU
STARVED = (0.05, 0.20)  # of a worker's time, waiting for a CPU
STOLEN = (0.02, 0.10)  # of all CPU time, given to other virtual machines
THROTTLED = (0.01, 0.05)  # of the time
RETRANSMITTED = (0.001, 0.01)  # of the TCP segments
SLOW_AGENT = (0.75, 0.5)  # an agent's rate per connection, relative to the median of all
UNSENT = 0.001  # of the schedule
FULL = (0.9, 1.01)  # of the file descriptors or local ports
COARSE_CLOCK_NS = (10_000, MS)
MIN_SEGMENTS = 1000
MIN_WALL_NS = 200 * MS  # shares of shorter times mean nothing


@dataclass(frozen=True, slots=True)
class Trust:
    """The verdict and its reasons, the worst first."""

    verdict: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Doubt:
    """One reason not to trust the numbers."""

    bad: bool
    text: str


def judge_trust(measurements: Measurements, ledger: Ledger) -> Trust:
    """Judge a run by everything that its agents reported about themselves."""
    doubts = [Doubt(True, "the numbers do not add up: see the notes")] if ledger.faults else []
    doubts += _request_doubts(measurements, ledger)
    for agent in measurements.agents:
        doubts += _agent_doubts(agent, f" on agent {agent.agent}" if measurements.agents_requested else "")
    doubts += _lag_doubts(measurements.stats)
    doubts += _balance_doubts(measurements)
    verdict = BAD if any(doubt.bad for doubt in doubts) else LIMITED if doubts else GOOD
    ordered = sorted(doubts, key=lambda doubt: not doubt.bad)
    return Trust(verdict, tuple(dict.fromkeys(doubt.text for doubt in ordered)))


def _doubt(value: float, limits: tuple[float, float], text: str) -> Iterator[Doubt]:
    if value >= limits[0]:
        yield Doubt(value >= limits[1], text)


def _request_doubts(measurements: Measurements, ledger: Ledger) -> Iterator[Doubt]:
    lost = [agent.agent for agent in measurements.agents if agent.state == LOST]
    if lost:
        yield Doubt(True, f"agents lost: {', '.join(lost)}; part of their results is missing")
    dropped = measurements.stats.counters["dropped"]
    if dropped:
        yield Doubt(True, f"{dropped} requests were dropped because the generator was too late to send them")
    for kind, resource in (("no local port", "ports"), ("no file descriptor", "file descriptors")):
        if count := measurements.stats.errors[kind]:
            yield Doubt(
                True, f"{count} requests failed on the generator's side: the host ran out of {resource}"
            )
    limited = measurements.stats.counters["rate_limited"]
    if limited:
        yield Doubt(
            False,
            f"{limited} requests, redirects and retries included, waited for the highest rate that the owner of an agent"
            " allows (--max-rate): latencies contain that wait",
        )
    scheduled = measurements.plan.load_model in (RATE, CONNECTION_RATE)
    is_cut = measurements.interrupted or _is_limited(measurements)
    if scheduled and ledger.unsent > dropped and ledger.planned and not is_cut and not limited:
        unsent = ledger.unsent / ledger.planned
        if unsent > UNSENT:
            yield Doubt(
                False,
                f"{unsent:.2%} of the schedule was not sent: all connections were waiting for responses (raise -c)",
            )


def _is_limited(measurements: Measurements) -> bool:
    """Whether the limit of a host's owner ended an agent's load."""
    return any(agent.done is not None and agent.done.stopped_by == "limit" for agent in measurements.agents)


def _agent_doubts(agent: AgentMeasurements, where: str) -> Iterator[Doubt]:
    if agent.done is None:
        return
    for worker in agent.done.workers:
        if worker.wall_ns < MIN_WALL_NS:
            continue
        name = f"worker {worker.worker}{where}"
        busy = worker.cpu_ns / worker.wall_ns
        yield from _doubt(busy, BUSY, f"{name} was {busy:.0%} busy: it may not have kept up")
        starved = worker.run_queue_ns / worker.wall_ns
        average_ns = worker.run_queue_ns / max(worker.switched_out, 1)
        yield from _doubt(
            starved,
            STARVED,
            f"{name} waited for a CPU {starved:.0%} of the time, {format_time(average_ns)} each time on average",
        )
    yield from _host_doubts(agent, where.replace(" on agent", " of agent") or " of this host")


def _host_doubts(agent: AgentMeasurements, whose: str) -> Iterator[Doubt]:
    if agent.done is None:
        return
    host = agent.done.host
    wall_ns = max((worker.wall_ns for worker in agent.done.workers), default=0)
    if wall_ns < MIN_WALL_NS or not host.cores:
        return
    stolen = host.steal_ns / wall_ns / host.cores
    yield from _doubt(
        stolen, STOLEN, f"{stolen:.1%} of the CPU time{whose} went to other virtual machines (steal)"
    )
    throttled = host.throttled_ns / wall_ns
    yield from _doubt(
        throttled, THROTTLED, f"the CPU quota{whose} throttled it for {throttled:.1%} of the time"
    )
    yield from _network_doubts(agent, whose)
    full = host.fds_used / host.fds_allowed if host.fds_allowed else 0.0
    yield from _doubt(
        full, FULL, f"{host.fds_used} of {host.fds_allowed} file descriptors{whose} were in use"
    )
    yield from _doubt(
        host.clock_resolution_ns,
        COARSE_CLOCK_NS,
        f"the clock{whose} advances in steps of {format_time(host.clock_resolution_ns)}",
    )


def _network_doubts(agent: AgentMeasurements, whose: str) -> Iterator[Doubt]:
    if agent.done is None:
        return
    host = agent.done.host
    if host.tcp_sent >= MIN_SEGMENTS:
        retransmitted = host.tcp_retransmitted / host.tcp_sent
        yield from _doubt(
            retransmitted,
            RETRANSMITTED,
            f"{retransmitted:.2%} of the TCP segments{whose} were retransmitted: the network loses packets",
        )
    if host.listen_drops:
        yield Doubt(
            False,
            f"{host.listen_drops} connections to servers{whose} were dropped: their listen queue was full",
        )
    ports = agent.share.connections / host.ports if host.ports else 0.0
    addresses = max(len(agent.ready.addresses), 1)
    yield from _doubt(
        ports / addresses,
        FULL,
        f"{agent.share.connections} connections use {ports / addresses:.0%} of the local ports{whose}",
    )
    for name, count in sorted(host.allowance_exceeded.items()):
        yield Doubt(False, f"EC2 queued or dropped {count} packets{whose}: {name}")


def _lag_doubts(stats: Stats) -> Iterator[Doubt]:
    """Doubts about the generator's own lateness, over all workers."""
    lag = stats.histogram("generator_lag")
    if lag is not None and lag.count:
        late = 1 - lag.count_at_or_below(LATE_NS) / lag.count
        yield from _doubt(
            late, LATE, f"{late:.1%} of the requests left more than 1 ms late{_possible_error(lag)}"
        )
    stall_ns = max(
        (histogram.max_ns for name in ("loop_turn", "wake_late") if (histogram := stats.histogram(name))),
        default=0,
    )
    yield from _doubt(
        stall_ns, STALL_NS, f"a worker did not look at its connections for up to {format_time(stall_ns)}"
    )


def _possible_error(lag: Histogram) -> str:
    """Return how much the generator lag may have added to a percentile of the latency."""
    for percent in (99, 50):
        if (value_ns := percentile_ns(lag, percent)) is not None:
            return f"; p{percent} may be too high by up to {format_time(value_ns)}"
    return ""


def _balance_doubts(measurements: Measurements) -> Iterator[Doubt]:
    """Doubts about agents that sent less than the others on as many connections."""
    agents = [agent for agent in measurements.agents if agent.done is not None and agent.share.connections]
    if len(agents) < 2:
        return
    rates = [_rate_per_connection(agent) for agent in agents]
    middle = median(rates)
    for agent, rate in zip(agents, rates, strict=True):
        relative = rate / middle if middle else 1.0
        if relative < SLOW_AGENT[0]:
            yield Doubt(
                relative < SLOW_AGENT[1],
                f"agent {agent.agent} completed only {relative:.0%} of the requests that the others did per connection",
            )


def _rate_per_connection(agent: AgentMeasurements) -> float:
    """Completed requests a second on each connection."""
    elapsed_ns = agent.done.elapsed_ns if agent.done else 0
    return agent.stats.completed * 1e9 / elapsed_ns / agent.share.connections if elapsed_ns else 0.0
