"""An archived run, or the part of it that a selection names: the source of all exports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from heyfleet.mask import mask_text
from heyfleet.proto.control_pb2 import AgentInterval, Interval
from heyfleet.proto.plan_pb2 import Plan
from heyfleet.proto.stats_pb2 import Snapshot
from heyfleet.results.archive.errors import ArchiveError
from heyfleet.results.archive.interval_record import index_plan
from heyfleet.results.archive.reader import ArchivedRun
from heyfleet.results.intervals import MAX_BREAKDOWNS
from heyfleet.results.measurements import Measurements
from heyfleet.results.metrics import Metrics
from heyfleet.results.summary import Summary, summarize


@dataclass(frozen=True, slots=True)
class Selection:
    """A part of a run: a stage, a request, an agent, a time range. "" and None select everything."""

    stage: str = ""
    request: str = ""
    agent: str = ""
    begin_s: float | None = None
    end_s: float | None = None

    def __bool__(self) -> bool:
        return self != Selection()

    @property
    def has_time_range(self) -> bool:
        """Whether it is limited in time."""
        return self.begin_s is not None or self.end_s is not None

    def contains(self, begin_ns: int, end_ns: int) -> bool:
        """Return whether the middle of an interval lies within the time range."""
        middle_s = (begin_ns + end_ns) / 2e9
        return (self.begin_s is None or middle_s >= self.begin_s) and (
            self.end_s is None or middle_s < self.end_s
        )


class RunView:
    """A selection of a run; ArchiveError if the run has no such part."""

    def __init__(self, run: ArchivedRun, selection: Selection | None = None) -> None:
        self.run = run
        self.selection = selection or Selection()
        chosen = self.selection
        if chosen.agent and (chosen.stage or chosen.request or chosen.has_time_range):
            raise ArchiveError("--agent can't be combined with --stage, --request, --from or --to")
        self._breakdowns = self._chosen_breakdowns()

    @cached_property
    def measurements(self) -> Measurements:
        """The whole run."""
        return self.run.measurements()

    @cached_property
    def summary(self) -> Summary:
        """The whole run."""
        return summarize(self.measurements)

    @cached_property
    def plan(self) -> Plan:
        """The plan of the whole run."""
        return self.run.plan()

    @cached_property
    def metrics(self) -> Metrics:
        """The metrics of the selection."""
        if self.selection.agent:
            return self._agent_metrics(self.selection.agent)
        if self.selection.has_time_range:
            total = Metrics()
            for interval in self.intervals():
                total.merge(interval.merged)
            return total
        stats = self.measurements.stats
        if self._breakdowns is None:
            return stats
        return sum(
            (stats.breakdowns[index] for index in sorted(self._breakdowns) if index in stats.breakdowns),
            Metrics(),
        )

    @cached_property
    def seconds(self) -> float:
        """How long the selection lasted."""
        if self.selection.has_time_range or (self._breakdowns is not None and self.has_intervals):
            begins, ends = [], []
            for interval in self.intervals():
                if interval.merged.sent or interval.merged.responses:
                    begins.append(interval.merged.begin_ns)
                    ends.append(interval.merged.end_ns)
            return (max(ends) - min(begins)) / 1e9 if begins else 0.0
        return self.summary.total_ns / 1e9

    @property
    def requests_per_second(self) -> float:
        """Completed requests a second in the selection."""
        return self.metrics.completed / self.seconds if self.seconds else 0.0

    def intervals(self) -> Iterator[Interval]:
        """Return the selection second by second, read one at a time; ArchiveError if it is not archived so."""
        if not self.has_intervals:
            raise ArchiveError(
                f"--stage, --request: the plan has more than {MAX_BREAKDOWNS} pairs of stage and request, which are"
                " archived for the whole run only, not second by second",
                "use --as json, csv or hgrm",
            )
        for interval in self.run.intervals():
            if not self.selection.contains(interval.merged.begin_ns, interval.merged.end_ns):
                continue
            if self._breakdowns is not None:
                interval.merged.CopyFrom(self._selected(interval.merged, self._breakdowns))
            yield interval

    @property
    def has_intervals(self) -> bool:
        """Whether the selection is archived second by second."""
        return self._breakdowns is None or len(self.plan.stages) * len(self.plan.requests) <= MAX_BREAKDOWNS

    def agents(self) -> Iterator[AgentInterval]:
        """Return each snapshot of each agent in the selection."""
        for row in self.run.agents():
            if self.selection.agent in ("", row.agent) and self.selection.contains(row.begin_ns, row.end_ns):
                yield row

    @staticmethod
    def _selected(merged: Snapshot, breakdowns: set[tuple[int, int]]) -> Snapshot:
        total = Metrics()
        for breakdown in merged.breakdowns:
            if (breakdown.stage, breakdown.request) in breakdowns:
                total.merge(breakdown.metrics)
        snapshot = Snapshot(begin_ns=merged.begin_ns, end_ns=merged.end_ns)
        total.write_to(snapshot)
        return snapshot

    def _chosen_breakdowns(self) -> set[tuple[int, int]] | None:
        """Return the selected (stage, request) indices; None for all."""
        stage, request = self.selection.stage, self.selection.request
        if not stage and not request:
            return None
        index = index_plan(self.plan)
        for name, position, kind in ((stage, 0, "stage"), (request, 1, "request")):
            names = list(dict.fromkeys(pair[position] for pair in index))
            if name and name not in names:
                available = ", ".join(map(mask_text, names)) if any(names) else "only one, without a name"
                raise ArchiveError(f"--{kind}: the run has no {kind} {mask_text(name)!r}; it has {available}")
        return {
            indices
            for (stage_name, request_name), indices in index.items()
            if stage in ("", stage_name) and request in ("", request_name)
        }

    def _agent_metrics(self, name: str) -> Metrics:
        agents = {agent.agent: agent for agent in self.measurements.agents}
        if name not in agents:
            raise ArchiveError(f"--agent: the run has no agent {name!r}; it has {', '.join(agents)}")
        stats = agents[name].stats
        if stats.responses and not stats.histograms:
            if len(agents) == 1:
                return self.measurements.stats
            raise ArchiveError(
                f"--agent: the archive has no histograms of {name}, only its series (--as series-csv)",
                "`heyfleet run --per-agent` archives the histograms of each agent",
            )
        return stats
