"""Carry out one assignment on this host, with one worker per share of it."""

from __future__ import annotations

import resource
import threading
import time
from collections import Counter
from collections.abc import Iterator

from heyfleet.agent.host import limits
from heyfleet.agent.host.monitor import HostMonitor
from heyfleet.agent.http.dns_refresh import DnsRefresh
from heyfleet.agent.http.messages import render_plan
from heyfleet.agent.http.resolve import Resolution, resolve_plan
from heyfleet.agent.http.single_request import check_single_request
from heyfleet.agent.http.transport import NAMES, speaks_http2
from heyfleet.agent.policy import HostPolicy
from heyfleet.agent.snapshots import encode_histogram, merge_workers
from heyfleet.agent.worker import Setup, Worker, build_engine
from heyfleet.errors import CannotStartError
from heyfleet.plan.sharding import deal, request_order
from heyfleet.proto.plan_pb2 import CONNECTION_RATE, RATE, USERS, Assignment, Plan
from heyfleet.proto.protocol import TRACE_BYTES_A_SNAPSHOT
from heyfleet.proto.stats_pb2 import Done, Ready, Refusal, Snapshot

_SNAPSHOT_INTERVAL_S = 1.0
_PREPARE_POLL_S = 0.0005
# Between `start` and the first request: long enough for every worker to see the order, so that they start together.
_START_DELAY_NS = 2_000_000
# The workers may end for different reasons; the first of these that any of them gives is the agent's.
_STOP_REASONS = ("fault", "signal", "limit", "duration", "count")


class Runner:
    """Runs one assignment: prepare, start, snapshots until the end, done. `stop` may be called at any time."""

    def __init__(self, policy: HostPolicy | None = None) -> None:
        self._policy = policy or HostPolicy()
        self._assignment = Assignment()
        self._workers: list[Worker] = []
        self._ended = threading.Semaphore(0)
        self._stopped = False
        self._dns_refresh = DnsRefresh(Plan(), self._policy, [], self._set_addresses)
        self._lookup_ns = 0
        self._start_ns = 0
        self._monitor = HostMonitor()
        self._sequence = 0

    def prepare(self, assignment: Assignment) -> Ready | Refusal:
        """Check the owner's and the host's limits, resolve the target and open the connections; send nothing yet."""
        self._assignment = assignment
        plan = assignment.plan
        try:
            self._policy.check_load(assignment)
            resolution = resolve_plan(plan, self._policy)
            http2 = self._build_workers(resolution)
        except (CannotStartError, ValueError) as error:
            return Refusal(reason=str(error))
        except (MemoryError, OverflowError):
            return Refusal(reason=str(limits.no_memory(assignment.connections, plan.streams)))
        self._dns_refresh = DnsRefresh(plan, self._policy, resolution.addresses, self._set_addresses)
        self._lookup_ns = resolution.lookup_ns
        for worker in self._workers:
            worker.launch(self._ended)
        if self._stopped:
            self.stop()
        while not all(worker.engine.prepared for worker in self._workers):
            time.sleep(_PREPARE_POLL_S)
        if fault := self._fault():
            return Refusal(reason=f"{fault}; --io epoll works on every Linux")
        return Ready(
            addresses=[host for host, _ in resolution.addresses],
            lookup_ns=resolution.lookup_ns,
            io=self._workers[0].engine.io_name,
            io_note=self._workers[0].engine.io_note,
            workers=len(self._workers),
            connections_open=sum(worker.engine.connections_open for worker in self._workers),
            addresses_unused=resolution.unused,
            protocol=NAMES[http2],
        )

    def _build_workers(self, resolution: Resolution) -> bool:
        """Build a worker for each share, and return whether they speak HTTP/2."""
        assignment, plan = self._assignment, self._assignment.plan
        if self._policy.max_rate:
            for request in plan.requests:
                check_single_request(plan, request)
        workers = self._policy.workers_at_most(plan.workers or limits.cores())
        shares = deal(workers, assignment.connections, assignment.request_count)
        if plan.load_model in (RATE, CONNECTION_RATE):
            highest = max(max(stage.first, stage.last) for stage in plan.stages)
            limits.allow_rate(highest, max(share.connections for share in shares) / plan.connections)
        limits.allow_sources(plan.sources)
        routes = 0 if plan.unix_socket else len(resolution.addresses) * max(len(plan.sources), 1)
        flag = "--users" if plan.load_model == USERS else "-c"
        limits.allow(sum(share.connections for share in shares), routes, len(shares), flag)
        http2 = speaks_http2(plan, resolution.addresses, lambda: self._stopped)
        messages, columns = render_plan(plan, http2)  # once for all workers: bodies may be large
        setup = Setup(
            assignment=assignment,
            policy=self._policy,
            resolution=resolution,
            http2=http2,
            messages=messages,
            order=request_order([request.weight for request in plan.requests]),
            columns=columns,
            workers=len(shares),
            connections=sum(share.connections for share in shares),
            stopped=lambda: self._stopped,
        )
        self._workers = [Worker(number, build_engine(setup, share)) for number, share in enumerate(shares)]
        return http2

    def start(self, at_ns: int = 0) -> None:
        """Start all workers together, at an instant of CLOCK_MONOTONIC or (0) as soon as possible."""
        self._monitor.begin()
        self._dns_refresh.start(self._lookup_ns)
        self._start_ns = at_ns or time.monotonic_ns() + _START_DELAY_NS
        for worker in self._workers:
            worker.engine.start(self._start_ns)

    def stop(self) -> None:
        """End the load at once; safe in a signal handler."""
        self._stopped = True
        for worker in self._workers:
            worker.engine.stop()

    def snapshots(self) -> Iterator[Snapshot]:
        """Yield one snapshot a second while the load runs, and a last one when every worker has ended."""
        begin_ns = 0
        running = len(self._workers)
        while running:
            due_s = (self._start_ns + begin_ns) / 1e9 + _SNAPSHOT_INTERVAL_S
            while running and (left_s := due_s - time.monotonic()) > 0:
                running -= self._ended.acquire(timeout=left_s)
            if not running:
                self._dns_refresh.stop()
                for worker in self._workers:
                    worker.join()
            end_ns = max(time.monotonic_ns() - self._start_ns, begin_ns)
            snapshot = self._next_snapshot(begin_ns, end_ns)
            merge_workers([worker.engine.snapshot() for worker in self._workers], snapshot)
            if (lookups := self._dns_refresh.take_lookups()).count:
                snapshot.histograms["lookup"].CopyFrom(encode_histogram(lookups))
            yield snapshot
            begin_ns = end_ns
        yield from self._trace_snapshots(end_ns=begin_ns)

    def done(self) -> Done:
        """Return the totals that the snapshots must add up to; call it after the last snapshot."""
        totals: Counter[str] = Counter()
        engines = [worker.engine for worker in self._workers]
        for engine in engines:
            totals.update(engine.totals)
        return Done(
            agent=self._assignment.agent,
            last_sequence=self._sequence,
            planned=totals["planned"],
            sent=totals["sent"],
            unsent=totals["unsent"],
            dropped=totals["dropped"],
            responses=totals["responses"],
            errors=totals["errors"],
            abandoned=totals["abandoned"],
            elapsed_ns=max(engine.totals["elapsed_ns"] for engine in engines),
            stopped_by=self._stopped_by(),
            fault=self._fault(),
            address_changes=self._dns_refresh.changes,
            lookups_failed=self._dns_refresh.failed,
            streams_allowed=min(filter(None, (engine.streams_allowed for engine in engines)), default=0),
            tls=next((engine.tls_spoken for engine in engines if engine.tls_spoken), ""),
            workers=[worker.facts() for worker in self._workers],
            host=self._monitor.end(len(self._assignment.plan.sources)),
            trace_dropped=sum(engine.trace()[1] for engine in engines),
            peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        )

    def _set_addresses(self, addresses: list[tuple[str, int]]) -> None:
        for worker in self._workers:
            worker.engine.set_addresses(addresses)

    def _next_snapshot(self, begin_ns: int, end_ns: int) -> Snapshot:
        """Return an empty snapshot with the next sequence number."""
        self._sequence += 1
        began_ns = [began for worker in self._workers if (began := worker.engine.totals["began_ns"])]
        return Snapshot(
            agent=self._assignment.agent,
            sequence=self._sequence,
            begin_ns=begin_ns,
            end_ns=end_ns,
            first_worker_ns=min(began_ns, default=0),
            last_worker_ns=max(began_ns, default=0),
        )

    def _trace_snapshots(self, end_ns: int) -> Iterator[Snapshot]:
        """Yield the trace rows in snapshots of their own, so that no message is large."""
        for worker in self._workers:
            rows, _ = worker.engine.trace()
            for begin in range(0, len(rows), TRACE_BYTES_A_SNAPSHOT):
                snapshot = self._next_snapshot(end_ns, end_ns)
                snapshot.trace = rows[begin : begin + TRACE_BYTES_A_SNAPSHOT]
                yield snapshot

    def _fault(self) -> str:
        return next((worker.fault for worker in self._workers if worker.fault), "")

    def _stopped_by(self) -> str:
        reasons = {worker.engine.stopped_by for worker in self._workers}
        return next((reason for reason in _STOP_REASONS if reason in reasons), "")
