"""How far a report can be trusted: whether it describes the server, or the generator. Words and numbers, one verdict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from heyfleet.ext import Histogram
from heyfleet.proto.plan_pb2 import CONNECTION_RATE, RATE
from heyfleet.results.ledger import Ledger
from heyfleet.results.measurements import LOST, AgentMeasurements, Measurements
from heyfleet.results.stats import Stats

GOOD, LIMITED, BAD = "good", "limited", "bad"
MS = 1_000_000
# Below these a number is not worth a word; the second is where the report describes the generator. Both are shares but
# where the unit says otherwise. docs/explain/load-models.md gives the reasons.
LATE_NS = 1 * MS
LATE = (0.01, 0.05)  # of the requests left more than LATE_NS late, by the generator's own fault
STALL_NS = (50 * MS, 200 * MS)  # the longest that a worker did not look
BUSY = (0.90, 0.97)  # of a worker's time, on a core
STARVED = (0.05, 0.20)  # of a worker's time, ready to run and without a core
STOLEN = (0.02, 0.10)  # of all cores' time
THROTTLED = (0.01, 0.05)  # of the time
RETRANSMITTED = (0.001, 0.01)  # of the segments
UNLIKE = (0.75, 0.5)  # an agent's rate, to what its share of the others' would be
SHORT = 0.001  # of the schedule was not sent
FULL = (0.9, 1.01)  # of the descriptors or ports
COARSE_CLOCK_NS = (10_000, MS)
SEGMENTS_AT_LEAST = 1000
WALL_AT_LEAST_NS = 200 * MS  # of shorter runs shares of the time say nothing


@dataclass(frozen=True, slots=True)
class Trust:
    """The verdict, and what speaks against the numbers: the worst first."""

    verdict: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Doubt:
    """One thing that speaks against them."""

    bad: bool
    text: str


def trust_of(measured: Measurements, ledger: Ledger) -> Trust:
    """From everything that a run's agents told of themselves."""
    doubts = [Doubt(True, "the numbers do not add up: see the notes")] if ledger.faults else []
    doubts += _of_requests(measured, ledger)
    for part in measured.parts:
        doubts += _of_agent(part, f" on agent {part.agent}" if measured.agents_requested else "")
    doubts += _of_stats(measured.stats)
    doubts += _of_others(measured)
    verdict = BAD if any(doubt.bad for doubt in doubts) else LIMITED if doubts else GOOD
    ordered = sorted(doubts, key=lambda doubt: not doubt.bad)
    return Trust(verdict, tuple(dict.fromkeys(doubt.text for doubt in ordered)))


def _doubt(value: float, limits: tuple[float, float], text: str) -> Iterator[Doubt]:
    if value >= limits[0]:
        yield Doubt(value >= limits[1], text)


def _of_requests(measured: Measurements, ledger: Ledger) -> Iterator[Doubt]:
    lost = [part.agent for part in measured.parts if part.state == LOST]
    if lost:
        yield Doubt(True, f"lost: {', '.join(lost)}; what they did is not all in here")
    dropped = measured.stats.totals["dropped"]
    if dropped:
        yield Doubt(
            True, f"{dropped} requests were not sent, because the generator itself was too late for them"
        )
    for kind, cure in (("no local port", "ports"), ("no file descriptor", "file descriptors")):
        if count := measured.stats.errors[kind]:
            yield Doubt(True, f"{count} requests failed on this side: the host had no {cure} left")
    scheduled = measured.plan.load_model in (RATE, CONNECTION_RATE)
    if scheduled and ledger.unsent > dropped and not measured.interrupted and ledger.planned:
        share = (ledger.planned - ledger.unsent) / ledger.planned
        if 1 - share > SHORT:
            yield Doubt(
                False,
                f"{1 - share:.2%} of the schedule was not sent: all connections waited for answers (raise -c)",
            )


def _of_agent(part: AgentMeasurements, where: str) -> Iterator[Doubt]:
    if part.done is None:
        return
    for worker in part.done.workers:
        if worker.wall_ns < WALL_AT_LEAST_NS:
            continue
        name = f"worker {worker.worker}{where}"
        busy = worker.cpu_ns / worker.wall_ns
        yield from _doubt(busy, BUSY, f"{name} was {busy:.0%} busy: it may not have kept up")
        starved = worker.run_queue_ns / worker.wall_ns
        yield from _doubt(
            starved,
            STARVED,
            f"{name} was ready to run for {starved:.0%} of the time without getting a core"
            f" ({worker.run_queue_ns / max(worker.switched_out, 1) / MS:.2g} ms each time on average)",
        )
    host = part.done.host
    wall_ns = max((worker.wall_ns for worker in part.done.workers), default=0)
    if wall_ns < WALL_AT_LEAST_NS or not host.cores:
        return
    here = where.replace(" on agent", " of agent") or " of this host"
    stolen = host.steal_ns / wall_ns / host.cores
    yield from _doubt(stolen, STOLEN, f"{stolen:.1%} of the cores{here} was given to other machines (steal)")
    throttled = host.throttled_ns / wall_ns
    yield from _doubt(
        throttled, THROTTLED, f"the CPU quota{here} held it back for {throttled:.1%} of the time"
    )
    yield from _of_network(part, here)
    full = host.fds_used / host.fds_allowed if host.fds_allowed else 0.0
    yield from _doubt(full, FULL, f"{host.fds_used} of {host.fds_allowed} file descriptors{here} were in use")
    yield from _doubt(
        host.clock_resolution_ns,
        COARSE_CLOCK_NS,
        f"the clock{here} goes in steps of {host.clock_resolution_ns / 1e3:g} us",
    )


def _of_network(part: AgentMeasurements, here: str) -> Iterator[Doubt]:
    if part.done is None:
        return
    host = part.done.host
    if host.tcp_sent >= SEGMENTS_AT_LEAST:
        again = host.tcp_retransmitted / host.tcp_sent
        yield from _doubt(
            again,
            RETRANSMITTED,
            f"{again:.2%} of the TCP segments{here} were sent again: packets are lost on the way",
        )
    if host.listen_drops:
        yield Doubt(
            False,
            f"{host.listen_drops} connections to servers{here} were dropped: their listen queue was full",
        )
    ports = part.share.connections / host.ports if host.ports else 0.0
    addresses = max(len(part.ready.addresses), 1)
    yield from _doubt(
        ports / addresses,
        FULL,
        f"{part.share.connections} connections use {ports / addresses:.0%} of the local ports{here}",
    )
    for name, count in sorted(host.allowance_exceeded.items()):
        yield Doubt(False, f"EC2 held back or dropped {count} packets{here}: {name}")


def _of_stats(stats: Stats) -> Iterator[Doubt]:
    """What all workers saw of their own lateness."""
    own = stats.histogram("generator_lag")
    if own is not None and own.count:
        late = 1 - own.count_at_or_below(LATE_NS) / own.count
        yield from _doubt(late, LATE, f"{late:.1%} of the requests left more than 1 ms late{_error(own)}")
    stall_ns = max(
        (histogram.max_ns for name in ("loop_turn", "wake_late") if (histogram := stats.histogram(name))),
        default=0,
    )
    yield from _doubt(
        stall_ns,
        STALL_NS,
        f"a worker did not look at its connections for {stall_ns / MS:.0f} ms at the longest",
    )


def _error(own: Histogram) -> str:
    """By how much the generator's own lateness can have raised a percentile of the latency."""
    percent = 99 if own.count >= 100 else 50
    return f"; p{percent} may be too high by up to {own.value_at_percentile(percent) / MS:.1f} ms"


def _of_others(measured: Measurements) -> Iterator[Doubt]:
    """Agents that did less than their share, beside the others."""
    parts = [part for part in measured.parts if part.done is not None and part.share.connections]
    if len(parts) < 2:
        return
    rates = [_rate(part) for part in parts]
    middle = median(rates)
    for part, rate in zip(parts, rates, strict=True):
        like = rate / middle if middle else 1.0
        if like < UNLIKE[0]:
            yield Doubt(
                like < UNLIKE[1],
                f"agent {part.agent} did only {like:.0%} of what the others did on as many connections",
            )


def _rate(part: AgentMeasurements) -> float:
    """Ended requests a second on each connection; with a count, how fast it was through."""
    elapsed_ns = part.done.elapsed_ns if part.done else 0
    return part.stats.ended * 1e9 / elapsed_ns / part.share.connections if elapsed_ns else 0.0
