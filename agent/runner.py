"""An agent in this process: carries out an assignment with one engine a worker, and sums up what the workers measured."""

from __future__ import annotations

import resource
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence

from heyfleet.agent.host import limits
from heyfleet.agent.host import monitor as watch
from heyfleet.agent.http.dns_refresh import DnsRefresh
from heyfleet.agent.http.proxy import target_url, through, tunnel_head
from heyfleet.agent.http.redirects import Follower
from heyfleet.agent.http.request import IDEMPOTENT, render, render_http2
from heyfleet.agent.http.resolve import Resolved, ResolveError, resolve_plan
from heyfleet.agent.http.template import Compiler, Segment
from heyfleet.agent.http.transport import NAMES, speaks_http2, tls_context
from heyfleet.agent.policy import HostPolicy
from heyfleet.ext import (
    COUNTER_NAMES,
    ConnectionConfig,
    Engine,
    EngineSnapshot,
    Histogram,
    LoadConfig,
    RecordingConfig,
    RequestConfig,
    TargetConfig,
)
from heyfleet.plan.sharding import Share, deal, mix_order
from heyfleet.proto.plan_pb2 import CLOSED, CONNECTION_RATE, RATE, USERS, Assignment, Plan, Think
from heyfleet.proto.protocol import TRACE_BYTES_A_SNAPSHOT
from heyfleet.proto.stats_pb2 import Breakdown, Done, Ready, Refusal, Snapshot, WorkerFacts
from heyfleet.proto.stats_pb2 import Histogram as HistogramMessage

_LOAD_MODELS = {CLOSED: "closed", CONNECTION_RATE: "connection_rate", RATE: "rate", USERS: "users"}
_SNAPSHOT_INTERVAL_S = 1.0
_OF_ADDRESSES = ("connections", "failures", "responses", "errors")
_PREPARE_POLL_S = 0.0005
# From the order to the start: long enough for every worker to see the order in time, so that they start together.
_START_DELAY_NS = 2_000_000


class Runner:
    """Runs one assignment: prepare, start, snapshots until the end, done. `stop` may be called at any time."""

    def __init__(self, owner: HostPolicy | None = None) -> None:
        self._owner = owner or HostPolicy()
        self._assignment = Assignment()
        self._engines: list[Engine] = []
        self._threads: list[threading.Thread] = []
        self._faults: list[OSError] = []
        self._ended = threading.Semaphore(0)
        self._stopped = False
        self._http2 = False
        self._compiler = Compiler(Plan())
        self._messages: list[tuple[bytes | list[Segment], bool, bool]] = []
        self._lookup = DnsRefresh(Plan(), self._owner, [], self._moved)
        self._lookup_ns = 0
        self._start_ns = 0
        self._watch = watch.HostMonitor()
        self._waited: dict[Engine, tuple[int, int]] = {}
        self._sequence = 0

    def prepare(self, assignment: Assignment) -> Ready | Refusal:
        """Resolve the target, check the limits and open the connections; returns when the load could start."""
        self._assignment = assignment
        plan = assignment.plan
        try:
            resolved = resolve_plan(plan)
            shares = deal(plan.workers or limits.cores(), assignment.connections, assignment.request_count)
            limits.allow_sources(plan.sources)
            ways = 0 if plan.unix_socket else len(resolved.addresses) * max(len(plan.sources), 1)
            limits.allow(sum(share.connections for share in shares), ways, len(shares))
            self._http2 = speaks_http2(plan, resolved.addresses)
            # Once for all workers: bodies may be large.
            self._compiler = Compiler(plan)
            self._messages = self._rendered(plan)
            self._engines = [self._engine(share, resolved, len(shares)) for share in shares]
        except (ResolveError, limits.LimitError, ValueError) as refusal:
            return Refusal(reason=str(refusal))
        self._lookup = DnsRefresh(plan, self._owner, resolved.addresses, self._moved)
        self._lookup_ns = resolved.lookup_ns
        for number, engine in enumerate(self._engines):
            thread = threading.Thread(target=self._work, args=(engine,), name=f"worker-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()
        if self._stopped:
            self.stop()
        while not all(engine.prepared for engine in self._engines):
            time.sleep(_PREPARE_POLL_S)
        if self._faults:
            return Refusal(reason=f"{self._faults[0].strerror}; --io epoll works on every Linux")
        return Ready(
            addresses=[host for host, _ in resolved.addresses],
            lookup_ns=resolved.lookup_ns,
            io=self._engines[0].io_name,
            io_note=self._engines[0].io_note,
            workers=len(self._engines),
            connections_open=sum(engine.connections_open for engine in self._engines),
            addresses_unused=resolved.unused,
            protocol=NAMES[self._http2],
        )

    def _engine(self, share: Share, resolved: Resolved, workers: int) -> Engine:
        assignment, plan = self._assignment, self._assignment.plan
        follower = (
            None
            if plan.disable_redirects or plan.template
            else Follower(plan, self._http2, self._owner, resolved.addresses)
        )
        stride = assignment.connection_stride or 1
        engine = Engine(
            TargetConfig(
                addresses=resolved.addresses,
                sources=list(plan.sources),
                tls=tls_context(plan, self._http2),
                tunnel=tunnel_head(plan, target_url(plan, plan.requests[0])),
                http2=self._http2,
                follower=follower,
            ),
            RequestConfig(
                messages=self._messages,
                order=mix_order([request.weight for request in plan.requests]),
                columns=self._compiler.columns,
                decode=plan.decode,
            ),
            ConnectionConfig(
                connections=share.connections,
                streams=max(plan.streams, 1) if self._http2 else 1,
                keep_alive=not plan.disable_keepalive,
                timeout_ns=plan.timeout_ns,
                plan_connections=plan.connections,
                first=assignment.first_connection + stride * share.first,
                stride=stride * share.stride,
            ),
            LoadConfig(
                model=_LOAD_MODELS[plan.load_model],
                stages=[(stage.duration_ns, stage.first, stage.last) for stage in plan.stages],
                poisson=plan.poisson,
                seed=plan.seed,
                think=_think(plan.think),
                catch_up=plan.catch_up,
                request_count=share.request_count,
                duration_ns=plan.duration_ns,
                warmup_ns=plan.warmup_ns,
            ),
            recording=RecordingConfig(
                kernel_timestamps=plan.kernel_timestamps, trace_rows=self._trace_rows(share, workers)
            ),
            io=plan.io or "auto",
        )
        if follower is not None:
            follower.serve(engine)
        return engine

    def _rendered(self, plan: Plan) -> list[tuple[bytes | list[Segment], bool, bool]]:
        """As the engine takes them: rendered, whether answers have no content, whether it may be sent twice."""
        asked = [through(plan, request, target_url(plan, request)) for request in plan.requests]
        rendered: Sequence[bytes | list[Segment]]
        if plan.template:
            rendered = [
                self._compiler.http2(each) if self._http2 else self._compiler.http1(each) for each in asked
            ]
        elif self._http2:
            rendered = render_http2(plan.requests, plan.target.scheme)
        else:
            rendered = [render(each, close=plan.disable_keepalive) for each in asked]
        return [
            (data, request.method == "HEAD", request.method in IDEMPOTENT)
            for data, request in zip(rendered, plan.requests, strict=True)
        ]

    def _trace_rows(self, share: Share, workers: int) -> int:
        """The worker's part of the agent's rows, in proportion to its requests where they are counted."""
        allowed = self._assignment.trace_rows
        if self._assignment.request_count:
            return -(-allowed * share.request_count // self._assignment.request_count)
        return allowed // workers

    def _work(self, engine: Engine) -> None:
        before_ns, before = watch.waited()
        try:
            engine.run()
        except OSError as fault:
            self._faults.append(fault)
        finally:
            waited_ns, times = watch.waited()
            self._waited[engine] = (waited_ns - before_ns, times - before)
            self._ended.release()

    def start(self, at_ns: int = 0) -> None:
        """Let all workers start together at an instant of CLOCK_MONOTONIC; 0: in a moment."""
        self._watch.begin()
        self._lookup.start(self._lookup_ns)
        self._start_ns = at_ns or time.monotonic_ns() + _START_DELAY_NS
        for engine in self._engines:
            engine.start(self._start_ns)

    def _moved(self, addresses: list[tuple[str, int]]) -> None:
        for engine in self._engines:
            engine.set_addresses(addresses)

    def stop(self) -> None:
        """End the load at once; safe in a signal handler."""
        self._stopped = True
        for engine in self._engines:
            engine.stop()

    def snapshots(self) -> Iterator[Snapshot]:
        """One snapshot a second while the load runs, and a last one when every worker has ended."""
        begin_ns = 0
        running = len(self._engines)
        while running:
            due_s = (self._start_ns + begin_ns) / 1e9 + _SNAPSHOT_INTERVAL_S
            while running and (left_s := due_s - time.monotonic()) > 0:
                running -= self._ended.acquire(timeout=left_s)
            if not running:
                self._lookup.stop()
                for thread in self._threads:
                    thread.join()
            end_ns = max(time.monotonic_ns() - self._start_ns, begin_ns)
            snapshot = merge_workers(
                [engine.snapshot() for engine in self._engines], self._next(begin_ns, end_ns)
            )
            if (took := self._lookup.taken()).count:
                snapshot.histograms["lookup"].CopyFrom(_message(took))
            yield snapshot
            begin_ns = end_ns
        yield from self._traced(end_ns=begin_ns)

    def _next(self, begin_ns: int, end_ns: int) -> Snapshot:
        self._sequence += 1
        began_ns = [began for engine in self._engines if (began := engine.totals["began_ns"])]
        return Snapshot(
            agent=self._assignment.agent,
            sequence=self._sequence,
            begin_ns=begin_ns,
            end_ns=end_ns,
            first_worker_ns=min(began_ns, default=0),
            last_worker_ns=max(began_ns, default=0),
        )

    def _traced(self, end_ns: int) -> Iterator[Snapshot]:
        """The rows, in snapshots that hold nothing else, so that no message is large."""
        for engine in self._engines:
            rows, _ = engine.trace()
            for begin in range(0, len(rows), TRACE_BYTES_A_SNAPSHOT):
                snapshot = self._next(end_ns, end_ns)
                snapshot.trace = rows[begin : begin + TRACE_BYTES_A_SNAPSHOT]
                yield snapshot

    def done(self) -> Done:
        """The totals that the snapshots must add up to. Call it after the last snapshot."""
        totals: Counter[str] = Counter()
        for engine in self._engines:
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
            elapsed_ns=max(engine.totals["elapsed_ns"] for engine in self._engines),
            stopped_by=self._stopped_by(),
            fault=str(self._faults[0].strerror) if self._faults else "",
            address_changes=self._lookup.changes,
            lookups_failed=self._lookup.failed,
            streams_allowed=min(
                (each for engine in self._engines if (each := engine.streams_allowed)), default=0
            ),
            tls=next((engine.tls_spoken for engine in self._engines if engine.tls_spoken), ""),
            workers=[
                WorkerFacts(
                    worker=number,
                    cpu_ns=engine.totals["cpu_ns"],
                    wall_ns=engine.totals["wall_ns"],
                    connections=engine.connections,
                    loop_turns=engine.totals["loop_turns"],
                    run_queue_ns=self._waited[engine][0],
                    switched_out=self._waited[engine][1],
                )
                for number, engine in enumerate(self._engines)
            ],
            host=self._watch.end(len(self._assignment.plan.sources)),
            trace_dropped=sum(engine.trace()[1] for engine in self._engines),
            peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        )

    def _stopped_by(self) -> str:
        """The reason that counts most among the workers': a fault, a signal, the duration, the count."""
        reasons = {engine.stopped_by for engine in self._engines}
        return next((reason for reason in ("fault", "signal", "duration", "count") if reason in reasons), "")


def _think(think: Think) -> tuple[str, int, int] | None:
    if think.kind == Think.NONE:
        return None
    return ("uniform" if think.kind == Think.UNIFORM else "exponential"), think.low_ns, think.high_ns


def merge_workers(parts: list[EngineSnapshot], into: Snapshot) -> Snapshot:
    """Sum the workers' snapshots up into one message."""
    _merge_numbers(parts, into)
    _merge_addresses(parts, into)
    if warm := [part.warmup for part in parts if part.warmup is not None]:
        _merge_numbers(warm, into.warmup)
    for stage, request in sorted({key for part in parts for key in part.breakdowns}):
        numbers = Breakdown(stage=stage, request=request)
        key = (stage, request)
        _merge_numbers([part.breakdowns[key] for part in parts if key in part.breakdowns], numbers.metrics)
        into.breakdowns.append(numbers)
    return into


def _merge_addresses(parts: list[EngineSnapshot], into: Snapshot) -> None:
    for part in parts:
        for address, counts in part.addresses.items():
            sums = into.addresses[address]
            for name, more in zip(_OF_ADDRESSES, counts, strict=True):
                setattr(sums, name, getattr(sums, name) + more)


def _merge_numbers(parts: list[EngineSnapshot], into: Snapshot) -> None:
    histograms: dict[str, Histogram] = {}
    responses: Counter[int] = Counter()
    errors: Counter[str] = Counter()
    for part in parts:
        for metric, histogram in part.histograms.items():
            histograms.setdefault(metric, Histogram()).add(histogram)
        responses.update(part.responses)
        errors.update(part.errors)
        for name in COUNTER_NAMES:
            setattr(into, name, getattr(into, name) + part.counters[name])
    for metric, histogram in histograms.items():
        into.histograms[metric].CopyFrom(_message(histogram))
    into.responses.update(responses)
    into.errors.update(errors)


def _message(histogram: Histogram) -> HistogramMessage:
    return HistogramMessage(
        counts_v2=histogram.encode(),
        count=histogram.count,
        sum_ns=histogram.sum_ns,
        min_ns=histogram.min_ns,
        max_ns=histogram.max_ns,
        clamped=histogram.clamped,
    )
