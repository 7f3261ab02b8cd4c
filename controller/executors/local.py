"""How a plan is executed: the seam between the command and whoever makes the load; and this host alone, the simplest."""

from __future__ import annotations

import time
from typing import Protocol

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


class ResultsElsewhereError(Exception):
    """The load had begun, and what it measured can't be had here now: one line of where to ask."""


class Executor(Protocol):
    """Makes the load of a plan."""

    def execute(self, plan: Plan, interrupts: Interrupts, take: IntervalSink = ignore) -> Measurements:
        """Run the load to its end, or to the first signal; whatever goes wrong, none goes on. `take` gets each second of it.

        InputError if it can't begin, Interrupted if a signal came before it began, ResultsElsewhereError.
        """
        ...


class LocalExecutor:
    """One agent in this process makes all of it."""

    def __init__(self, agent: AgentLink) -> None:
        self._agent = agent

    def execute(self, plan: Plan, interrupts: Interrupts, take: IntervalSink = ignore) -> Measurements:
        """See Executor."""
        agent, progress, stats, intervals = self._agent, Progress(), Stats(), Intervals(take, plan)
        assignment = whole_plan(plan)
        try:
            progress.prepare(plan)
            answer = agent.prepare(assignment)
            if isinstance(answer, Refusal):
                raise InputError(answer.reason)
            interrupts.running(agent.stop)
            agent.start()
            watch, aborted = AbortWatch(plan, stats), ""
            for snapshot in agent.snapshots():
                stats.add(snapshot)
                intervals.add(snapshot)
                progress.show(stats, snapshot)
                if not aborted and (aborted := watch.check(time.monotonic())):
                    agent.stop()
            done = agent.done()
            intervals.close()
        except BaseException:
            agent.stop()
            raise
        finally:
            progress.erase()
        part = AgentMeasurements(
            agent=assignment.agent, host="", share=assignment, ready=answer, done=done, stats=stats
        )
        return Measurements(
            run_id=assignment.run_id,
            plan=plan,
            stats=stats,
            agents=[part],
            trace=stats.trace(),
            aborted_by=aborted,
        )
