"""What one agent can have measured of a run, given the share that it was assigned and the time that has passed."""

from __future__ import annotations

from collections.abc import Iterator

from heyfleet.controller.fleet.agent_run import AgentRun
from heyfleet.proto.plan_pb2 import CONNECTION_RATE, RATE, Assignment, Plan
from heyfleet.proto.stats_pb2 import Done, Snapshot
from heyfleet.results.metrics import InvalidSnapshotError
from heyfleet.results.snapshot_check import MAX_COUNT, TRACE_ROW_BYTES, check_snapshot

_SECOND_NS = 1_000_000_000
# Two clocks drift apart, and a controller's host may sleep while agents go on for their lease.
_CLOCK_SLACK_NS = 60 * _SECOND_NS
_DRIFT_DIVISOR = 1000
_LONGEST_RUN_NS = 366 * 86_400 * _SECOND_NS  # where the controller does not know when the run began
_LONGEST_BEFORE_START_NS = 3600 * _SECOND_NS  # connections and lookups before the start
_KINDS_AT_MOST = 100
_ADDRESSES_AT_MOST = 1024
_GAPS_AT_MOST = 10_000
_ROUNDED_UP_TRACE_ROWS = 1024  # each worker rounds its share up
_SUMMED = ("sent", "abandoned", "dropped")


def check_share(agent_run: AgentRun, snapshot: Snapshot, elapsed_ns: int) -> int:
    """Return the largest number of a snapshot that its agent can have measured; else raise InvalidSnapshotError.

    `elapsed_ns` is the time since the start on the controller's clock, or 0 if that is not known.
    """
    largest = check_snapshot(snapshot)
    for reason in _contradictions(agent_run, snapshot, largest, elapsed_limit_ns(elapsed_ns)):
        raise InvalidSnapshotError(reason)
    return largest


def elapsed_limit_ns(elapsed_ns: int) -> int:
    """Return the latest instant of a run that an agent can speak of."""
    if not elapsed_ns:
        return _LONGEST_RUN_NS
    return elapsed_ns + elapsed_ns // _DRIFT_DIVISOR + _CLOCK_SLACK_NS


def _contradictions(agent_run: AgentRun, snapshot: Snapshot, largest: int, limit_ns: int) -> Iterator[str]:
    share, stats = agent_run.assignment, agent_run.stats
    if not snapshot.sequence:
        yield "its sequence is 0, and the first has 1"
    if snapshot.end_ns > limit_ns:
        yield f"it ends {snapshot.end_ns} ns after the start, which is yet to come"
    if agent_run.done is not None and snapshot.sequence > agent_run.done.last_sequence:
        yield f"the agent's totals end with snapshot {agent_run.done.last_sequence}"
    sent = stats.counters["sent"] + snapshot.sent
    if share.request_count and snapshot.sent and sent > share.request_count:
        yield f"{sent} requests sent are more than the agent's share of {share.request_count}"
    with_warmup = sent + stats.warmup.counters["sent"] + snapshot.warmup.sent
    if (scheduled := _scheduled_at_most(share, snapshot.end_ns)) is not None and with_warmup > scheduled:
        yield f"{with_warmup} requests sent are more than the {scheduled} that the schedule can have until then"
    ended = stats.completed + stats.counters["abandoned"] + _ended(snapshot)
    if ended > sent and agent_run.merged.is_continued_by(snapshot.sequence):
        yield f"{ended} requests have ended, and only {sent} were sent"
    # Equal parts of the range of a counter, so that no agent can fill the sums of all.
    part = MAX_COUNT // max(share.connection_stride, 1)
    if agent_run.numbers + largest > part:
        yield f"its numbers are beyond the agent's part of 2**63, which is {part}"
    rows = (len(snapshot.trace) + agent_run.trace_bytes) // TRACE_ROW_BYTES
    if rows > (share.trace_rows + _ROUNDED_UP_TRACE_ROWS if share.trace_rows else 0):
        yield f"{rows} rows of its trace are more than the agent's share of {share.trace_rows}"
    yield from _excess(agent_run, snapshot)
    yield from _part_contradictions(share.plan, snapshot)
    yield from _too_long(snapshot)


def _ended(snapshot: Snapshot) -> int:
    return sum(snapshot.responses.values()) + sum(snapshot.errors.values()) + snapshot.abandoned


def _excess(agent_run: AgentRun, snapshot: Snapshot) -> Iterator[str]:
    """Numbers of things that a report has a line for, or that the controller remembers."""
    for name, known, new, limit in (
        ("kinds of errors", agent_run.stats.errors, snapshot.errors, _KINDS_AT_MOST),
        ("addresses", agent_run.stats.addresses, snapshot.addresses, _ADDRESSES_AT_MOST),
    ):
        if new and (count := len(known.keys() | new.keys())) > limit:
            yield f"the agent has {count} {name}, and {limit} are the most"
    if agent_run.merged.gaps > _GAPS_AT_MOST:
        yield f"the agent has left out {_GAPS_AT_MOST} snapshots"


def _part_contradictions(plan: Plan, snapshot: Snapshot) -> Iterator[str]:
    if not plan.warmup_ns and snapshot.warmup.ByteSize():
        yield "it has a warm-up, and the plan has none"
    if not snapshot.breakdowns:
        return
    stages, requests = max(len(plan.stages), 1), max(len(plan.requests), 1)
    if stages * requests == 1:
        yield "it has breakdowns, and the plan has one stage and one request"
    for breakdown in snapshot.breakdowns:
        if breakdown.stage >= stages or breakdown.request >= requests:
            yield f"it has stage {breakdown.stage} and request {breakdown.request}, which are not in the plan"
    metrics = [breakdown.metrics for breakdown in snapshot.breakdowns]
    for name in _SUMMED:
        if (total := sum(getattr(each, name) for each in metrics)) != getattr(snapshot, name):
            yield f"its breakdowns have {total} {name}, and the whole {getattr(snapshot, name)}"
    for name in ("responses", "errors"):
        total = sum(sum(getattr(each, name).values()) for each in metrics)
        if total != (whole := sum(getattr(snapshot, name).values())):
            yield f"its breakdowns have {total} {name}, and the whole {whole}"


def _too_long(snapshot: Snapshot) -> Iterator[str]:
    limit_ns = snapshot.end_ns + _LONGEST_BEFORE_START_NS
    parts = [snapshot, snapshot.warmup, *(breakdown.metrics for breakdown in snapshot.breakdowns)]
    for metric, histogram in ((name, each) for part in parts for name, each in part.histograms.items()):
        if histogram.max_ns > limit_ns:
            yield f"it has a {metric} of {histogram.max_ns} ns, longer than the run"


def check_totals(agent_run: AgentRun, done: Done, elapsed_ns: int) -> str:
    """Return why an agent can't have these totals, or ""."""
    share = agent_run.assignment
    if done.agent != share.agent:
        return f"its totals name the agent {done.agent!r}"
    if not 0 <= done.elapsed_ns <= elapsed_limit_ns(elapsed_ns):
        return f"its totals end {done.elapsed_ns} ns after the start"
    scheduled = _scheduled_at_most(share, max(done.elapsed_ns, share.plan.duration_ns))
    limit = done.sent if scheduled is None else scheduled  # without a schedule, what was planned was sent
    if not share.request_count and done.planned > limit:
        return f"its totals plan {done.planned} requests, and the plan has at most {limit}"
    return ""


def _scheduled_at_most(share: Assignment, end_ns: int) -> int | None:
    """Return the most requests that a schedule can have until an instant; None for a plan without a schedule."""
    plan = share.plan
    if plan.load_model not in (RATE, CONNECTION_RATE):
        return None
    level = max((max(stage.first, stage.last) for stage in plan.stages), default=0.0)
    if plan.load_model == CONNECTION_RATE:
        level *= share.connections
    # Arrivals may be random: twice the mean and a thousand are never reached.
    return round(2 * level * (end_ns / _SECOND_NS + 1)) + 1000
