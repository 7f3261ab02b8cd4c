"""One worker of an assignment: a native engine and the thread it runs in."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from heyfleet.agent.errors import cause_of
from heyfleet.agent.host import monitor
from heyfleet.agent.http.messages import Message
from heyfleet.agent.http.proxy import target_url, tunnel_head
from heyfleet.agent.http.redirects import Follower
from heyfleet.agent.http.resolve import Resolution
from heyfleet.agent.http.transport import tls_context
from heyfleet.agent.policy import HostPolicy
from heyfleet.ext import ConnectionConfig, Engine, LoadConfig, RecordingConfig, RequestConfig, TargetConfig
from heyfleet.plan.sharding import Share
from heyfleet.proto.plan_pb2 import CLOSED, CONNECTION_RATE, RATE, USERS, Assignment, Think
from heyfleet.proto.stats_pb2 import WorkerFacts

_LOAD_MODELS = {CLOSED: "closed", CONNECTION_RATE: "connection_rate", RATE: "rate", USERS: "users"}


@dataclass(frozen=True)
class Setup:
    """What all workers of an assignment share: the assignment, resolved addresses and rendered messages."""

    assignment: Assignment
    policy: HostPolicy
    resolution: Resolution
    http2: bool
    messages: list[Message]
    order: list[int]
    columns: list[list[bytes]]
    workers: int
    connections: int  # of all workers
    stopped: Callable[[], bool] = lambda: False  # whether the load was stopped


class Worker:
    """One engine in a thread of its own."""

    def __init__(self, number: int, engine: Engine) -> None:
        self.engine = engine
        self.fault = ""  # why the engine stopped, if its I/O backend failed
        self._number = number
        self._run_queue_ns = 0
        self._switched_out = 0
        self._ended: threading.Semaphore | None = None
        self._thread = threading.Thread(target=self._run, name=f"worker-{number}", daemon=True)

    def launch(self, ended: threading.Semaphore) -> None:
        """Start the thread, which opens the connections; `ended` is released when the engine has ended."""
        self._ended = ended
        self._thread.start()

    def join(self) -> None:
        """Wait for the end of the thread."""
        self._thread.join()

    def facts(self) -> WorkerFacts:
        """Return what the thread used; call it after the end."""
        totals = self.engine.totals
        return WorkerFacts(
            worker=self._number,
            cpu_ns=totals["cpu_ns"],
            wall_ns=totals["wall_ns"],
            connections=self.engine.connections,
            loop_turns=totals["loop_turns"],
            run_queue_ns=self._run_queue_ns,
            switched_out=self._switched_out,
        )

    def _run(self) -> None:
        before_ns, before = monitor.run_queue_wait()
        try:
            self.engine.run()
        except Exception as error:  # such as no memory for the ring; the run ends with its cause
            self.fault = cause_of(error)
        finally:
            after_ns, after = monitor.run_queue_wait()
            self._run_queue_ns, self._switched_out = after_ns - before_ns, after - before
            assert self._ended is not None
            self._ended.release()


def build_engine(setup: Setup, share: Share) -> Engine:
    """Build the engine for one worker's share of an assignment; ValueError for a plan that no engine can run."""
    assignment, plan = setup.assignment, setup.assignment.plan
    stride = assignment.connection_stride or 1
    follower = None
    if not plan.disable_redirects and not plan.template:
        addresses = setup.resolution.addresses
        follower = Follower(plan, setup.http2, setup.policy, addresses, setup.stopped)
    engine = Engine(
        TargetConfig(
            addresses=setup.resolution.addresses,
            sources=list(plan.sources),
            tls=tls_context(plan, setup.http2),
            tunnel=tunnel_head(plan, target_url(plan, plan.requests[0])),
            http2=setup.http2,
            follower=follower,
        ),
        RequestConfig(
            messages=setup.messages,
            order=setup.order,
            columns=setup.columns,
            decode=plan.decode,
        ),
        ConnectionConfig(
            connections=share.connections,
            streams=max(plan.streams, 1) if setup.http2 else 1,
            keep_alive=not plan.disable_keepalive,
            timeout_ns=plan.timeout_ns,
            plan_connections=plan.connections,
            first=assignment.first_connection + stride * share.first,
            stride=stride * share.stride,
            single=setup.policy.spares_connections(setup.connections),
        ),
        _load_config(setup, share),
        recording=RecordingConfig(
            kernel_timestamps=plan.kernel_timestamps, trace_rows=_trace_rows(assignment, share, setup.workers)
        ),
        io=plan.io or "auto",
    )
    if follower is not None:
        follower.bind(engine)
    return engine


def _load_config(setup: Setup, share: Share) -> LoadConfig:
    plan, policy = setup.assignment.plan, setup.policy
    return LoadConfig(
        model=_LOAD_MODELS[plan.load_model],
        stages=[(stage.duration_ns, stage.first, stage.last) for stage in plan.stages],
        poisson=plan.poisson,
        seed=plan.seed,
        think=_think(plan.think),
        catch_up=plan.catch_up,
        request_count=share.request_count,
        duration_ns=plan.duration_ns,
        warmup_ns=plan.warmup_ns,
        # Rates are shared out in proportion to connections, and so is their limit.
        sends_per_s_at_most=policy.max_rate * share.connections / setup.connections,
        run_ns_at_most=policy.max_duration_ns,
    )


def _trace_rows(assignment: Assignment, share: Share, workers: int) -> int:
    """Return the worker's share of the agent's trace rows: in proportion to its requests if these are limited."""
    if assignment.request_count:
        return -(-assignment.trace_rows * share.request_count // assignment.request_count)
    return assignment.trace_rows // workers


def _think(think: Think) -> tuple[str, int, int] | None:
    if think.kind == Think.NONE:
        return None
    return ("uniform" if think.kind == Think.UNIFORM else "exponential"), think.low_ns, think.high_ns
