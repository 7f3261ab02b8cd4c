"""Runs on this host alone, with one agent in this process."""

from __future__ import annotations

import time
from collections.abc import Callable

from heyfleet.controller.abort import AbortWatch
from heyfleet.controller.executors.base import AgentLink
from heyfleet.controller.progress import Progress
from heyfleet.controller.signals import Interrupts
from heyfleet.errors import InputError
from heyfleet.plan.build import whole_plan
from heyfleet.proto.plan_pb2 import Plan
from heyfleet.proto.stats_pb2 import Refusal
from heyfleet.results.intervals import Intervals, IntervalSink, ignore
from heyfleet.results.measurements import AgentMeasurements, Measurements
from heyfleet.results.stats import Stats


class LocalExecutor:
    """Carries out a plan with one agent in this process. `now_s` is the clock for --abort-on."""

    def __init__(self, agent: AgentLink, now_s: Callable[[], float] = time.monotonic) -> None:
        self._agent = agent
        self._now_s = now_s

    def execute(self, plan: Plan, interrupts: Interrupts, on_interval: IntervalSink = ignore) -> Measurements:
        """See base.Executor."""
        agent, progress, stats = self._agent, Progress(), Stats()
        assignment = whole_plan(plan)
        try:
            progress.show_preparation(plan)
            answer = agent.prepare(assignment)
            if isinstance(answer, Refusal):
                raise InputError(answer.reason)
            with interrupts.stop_with(agent.stop):
                agent.start()
                abort_reason = self._merge_snapshots(plan, stats, progress, on_interval)
            done = agent.done()
        except BaseException:
            agent.stop()
            raise
        finally:
            progress.erase()
        measurements = AgentMeasurements(
            agent=assignment.agent, host="", share=assignment, ready=answer, done=done, stats=stats
        )
        return Measurements(
            run_id=assignment.run_id,
            plan=plan,
            stats=stats,
            agents=[measurements],
            trace=stats.trace(),
            aborted_by=abort_reason,
        )

    def _merge_snapshots(
        self, plan: Plan, stats: Stats, progress: Progress, on_interval: IntervalSink
    ) -> str:
        """Merge snapshots until the load has ended; return the threshold of --abort-on that stopped it, or ""."""
        intervals, watch, abort_reason = Intervals(on_interval, plan), AbortWatch(plan, stats), ""
        for snapshot in self._agent.snapshots():
            stats.add(snapshot)
            intervals.add(snapshot)
            progress.show(stats, snapshot)
            if not abort_reason and (abort_reason := watch.check(self._now_s())):
                self._agent.stop()
        intervals.close()
        return abort_reason
