"""Random schedules of a fleet, made from a seed, and what must hold after each."""

from __future__ import annotations

import random

from heyfleet.proto.control_pb2 import RunRequest
from heyfleet.proto.plan_pb2 import Plan, Target
from heyfleet.results.ledger import balance
from heyfleet.results.measurements import DONE, AgentMeasurements, Measurements
from heyfleet.results.stats import Stats

from ....plans import get
from .simulation import NS, Behavior, Simulation

_MAX_CLOCK_OFFSET_NS = 10**15


def random_request(source: random.Random, agents: int) -> RunRequest:
    """Return a run with a number of requests, a duration, or both."""
    count = source.choice([0, source.randrange(1, 80)])
    plan = Plan(
        target=Target(scheme="http", host="simulated", port=80),
        requests=[get()],
        connections=source.randrange(1, 9),
        request_count=count,
        duration_ns=source.randrange(1, 7) * NS if not count or source.random() < 0.5 else 0,
    )
    if count:
        plan.connections = min(plan.connections, count)
    return RunRequest(
        plan=plan,
        agents=agents,
        min_agents=source.choice([0, source.randrange(1, agents + 1)]),
        join_timeout_ns=source.randrange(1, 20) * NS,
        lost_timeout_ns=source.randrange(1, 16) * NS,
        per_agent=source.random() < 0.2,
    )


def random_behavior(source: random.Random, faults: float) -> Behavior:
    """Return how an agent behaves; `faults` is the probability of each kind of fault."""
    behavior = Behavior(
        clock_offset_ns=source.randrange(-_MAX_CLOCK_OFFSET_NS, _MAX_CLOCK_OFFSET_NS),
        join_s=source.uniform(0, 3),
        prepare_s=source.choice([0.1, 0.1, 3.0]),
        max_delay_s=source.choice([0.001, 0.05, 0.3]),
        notice_s=source.choice([0.1, 4.0]),
        reattach_s=source.choice([0.1, 2.0]),
        duplicate_probability=source.choice([0.0, 0.0, 0.3]),
        break_s=[source.uniform(0, 15) for _ in range(4) if source.random() < faults * 2],
    )
    if source.random() < faults:
        match source.randrange(6):
            case 0:
                behavior.join_s = source.uniform(3, 60)
            case 1:
                behavior.refusal = "the target is not allowed"
            case 2:
                behavior.die_s = source.uniform(0, 15)
            case 3:
                behavior.restart_s = source.uniform(0, 15)
            case 4:
                behavior.leave_s = source.uniform(0, 15)
            case 5:
                behavior.reattach_s = 30.0
    return behavior


def check_measurements(
    simulation: Simulation, measurements: Measurements, started_ns: int = 0, *, is_latest: bool = True
) -> None:
    """Check that a result is exactly what its agents measured, as far as it has arrived.

    `started_ns` is the agreed start on the controller's clock, or 0 if not known. `is_latest` says that nothing has arrived
    since the result was made.
    """
    ledger = balance(measurements)
    assert ledger.faults == ()
    assert ledger.planned == ledger.sent + ledger.unsent + ledger.missing
    assert ledger.sent == ledger.responses + ledger.errors + ledger.abandoned + ledger.lost
    merged_in_order = Stats()
    for part in measurements.agents:
        _check_agent(simulation, measurements.run_id, part, merged_in_order, started_ns)
        if is_latest:
            acknowledged = simulation.agents[part.agent].acknowledged.get(measurements.run_id, set())
            assert acknowledged <= _merged_sequences(part)
    assert merged_in_order.histograms == measurements.stats.histograms
    assert merged_in_order.responses == measurements.stats.responses
    assert merged_in_order.errors == measurements.stats.errors
    assert merged_in_order.counters == measurements.stats.counters


def _check_agent(
    simulation: Simulation, run_id: str, part: AgentMeasurements, merged_in_order: Stats, started_ns: int
) -> None:
    agent = simulation.agents[part.agent]
    run = agent.results.get(run_id)
    merged = _merged_sequences(part)
    snapshots = run.snapshots if run else []
    assert merged <= {each.sequence for each in snapshots}
    for snapshot in snapshots:
        if snapshot.sequence in merged:
            assert merged_in_order.add(snapshot)
    assert agent.refusals == []
    if part.state == DONE:
        assert run is not None
        assert part.done == run.done
        assert len(merged) == len(snapshots)
    else:
        assert part.reason
    if run is not None and part.first_worker_ns is not None and started_ns:
        lateness_ns = run.started_s * NS - started_ns
        assert abs(part.first_worker_ns - lateness_ns) <= part.clock_uncertainty_ns + 1000


def _merged_sequences(part: AgentMeasurements) -> set[int]:
    return {
        sequence for first, last in part.stats.sequences(part.agent) for sequence in range(first, last + 1)
    }
