"""What is exported: a kept run, or a part of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from heyfleet.proto.control_pb2 import AgentInterval, Interval
from heyfleet.proto.plan_pb2 import Plan
from heyfleet.proto.stats_pb2 import Snapshot
from heyfleet.results.archive.errors import ArchiveError
from heyfleet.results.archive.reader import Run, place_names
from heyfleet.results.intervals import PARTS_AT_MOST
from heyfleet.results.measurements import Measurements
from heyfleet.results.stats import Metrics
from heyfleet.results.summary import Summary, summarize


@dataclass(frozen=True, slots=True)
class Selection:
    """Which part of a run; "" and None: no limit."""

    stage: str = ""
    request: str = ""
    agent: str = ""
    begin_s: float | None = None
    end_s: float | None = None

    def __bool__(self) -> bool:
        return self != Selection()

    @property
    def timed(self) -> bool:
        """Whether only a stretch of the run is meant."""
        return self.begin_s is not None or self.end_s is not None

    def has(self, begin_ns: int, end_ns: int) -> bool:
        """Whether the middle of an interval lies within the stretch."""
        middle_s = (begin_ns + end_ns) / 2e9
        return (self.begin_s is None or middle_s >= self.begin_s) and (
            self.end_s is None or middle_s < self.end_s
        )


class RunView:
    """A run, and which part of it; ArchiveError where the run has no such part."""

    def __init__(self, run: Run, selection: Selection | None = None) -> None:
        self.run = run
        self.selection = selection or Selection()
        if self.selection.agent and (self.selection.stage or self.selection.request or self.selection.timed):
            raise ArchiveError(
                "--agent goes with no other part of a run: what an agent did is kept as a whole"
            )
        self._places = self._chosen()

    @cached_property
    def measured(self) -> Measurements:
        """The whole run."""
        return self.run.measured()

    @cached_property
    def summary(self) -> Summary:
        """Of the whole run."""
        return summarize(self.measured)

    @cached_property
    def plan(self) -> Plan:
        """Of the whole run."""
        return self.run.plan()

    @cached_property
    def numbers(self) -> Metrics:
        """Of the part."""
        selection = self.selection
        if selection.agent:
            return self._of_agent(selection.agent)
        if selection.timed:
            total = Metrics()
            for interval in self.intervals():
                total.merge(interval.merged)
            return total
        if self._places is None:
            return self.measured.stats
        total = Metrics()
        for place in sorted(self._places):
            if place in self.measured.stats.parts:
                total = total.plus(self.measured.stats.parts[place])
        return total

    @cached_property
    def seconds(self) -> float:
        """How long the part took."""
        if self.selection.timed or (self._places is not None and self.by_the_second):
            begins, ends = [], []
            for interval in self.intervals():
                if interval.merged.sent or interval.merged.responses:
                    begins.append(interval.merged.begin_ns)
                    ends.append(interval.merged.end_ns)
            return (max(ends) - min(begins)) / 1e9 if begins else 0.0
        return self.summary.total_ns / 1e9

    def intervals(self) -> Iterator[Interval]:
        """Second by second, with only what is of the part; one at a time, as they are read. ArchiveError if not kept so."""
        if not self.by_the_second:
            raise ArchiveError(
                f"--stage, --request: the plan has more than {PARTS_AT_MOST} pairs of them, which are kept apart for the"
                " whole run, and not by the second (--as json, csv and hgrm have that)"
            )
        for interval in self.run.intervals():
            if not self.selection.has(interval.merged.begin_ns, interval.merged.end_ns):
                continue
            if self._places is not None:
                interval.merged.CopyFrom(self._reduced(interval.merged))
            yield interval

    @property
    def by_the_second(self) -> bool:
        """Whether the part is kept second by second."""
        return self._places is None or len(self.plan.stages) * len(self.plan.requests) <= PARTS_AT_MOST

    def agents(self) -> Iterator[AgentInterval]:
        """Each snapshot of each agent, or of the one that was chosen."""
        for row in self.run.agents():
            if self.selection.agent in ("", row.agent) and self.selection.has(row.begin_ns, row.end_ns):
                yield row

    def _reduced(self, merged: Snapshot) -> Snapshot:
        total = Metrics()
        for part in merged.breakdowns:
            if self._places is not None and (part.stage, part.request) in self._places:
                total.merge(part.metrics)
        made = Snapshot(begin_ns=merged.begin_ns, end_ns=merged.end_ns)
        total.write(made)
        return made

    def _chosen(self) -> set[tuple[int, int]] | None:
        """The places of stage and request that were asked for; None: all, without distinction."""
        stage, request = self.selection.stage, self.selection.request
        if not stage and not request:
            return None
        names = place_names(self.plan)
        for asked, index, what in ((stage, 0, "stage"), (request, 1, "request")):
            known = list(dict.fromkeys(name[index] for name in names))
            if asked and asked not in known:
                there = ", ".join(known) if any(known) else "only one, without a name"
                raise ArchiveError(f"--{what}: the run has no {what} {asked!r}; it has {there}")
        return {place for name, place in names.items() if stage in ("", name[0]) and request in ("", name[1])}

    def _of_agent(self, agent: str) -> Metrics:
        parts = {part.agent: part for part in self.measured.parts}
        if agent not in parts:
            raise ArchiveError(f"--agent: the run has no agent {agent!r}; it has {', '.join(parts)}")
        stats = parts[agent].stats
        if stats.responses and not stats.histograms:
            if len(parts) == 1:
                return self.measured.stats
            raise ArchiveError(
                f"--agent: what {agent} measured was kept only as a series (--as series-csv has that);"
                " `heyfleet run --per-agent` keeps the histograms of each agent"
            )
        return stats
