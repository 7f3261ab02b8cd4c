"""What is where in an archive, for the writer and the reader. docs/how-to/results.md says it in words."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote, unquote

VERSION = 1
RUNS = "heyfleet-runs"  # where runs are kept that name no folder
FACTS = "archive.json"
PLAN = "plan.json"
LOG = "latency.hlog"
INTERVALS = "intervals.jsonl"
SERIES = "agents.csv"
AGENTS = "agents.json"
RECORD = "run.pb"
SUMMARY = "summary.json"

RUNNING, COMPLETE = "running", "complete"
SERIES_HEAD = "agent,begin_ns,end_ns,sent,responses,errors,abandoned,p50_ns,p99_ns,max_ns"
# Of metrics other than the latency, one histogram for so many seconds; each would be as large as the latency's.
OTHERS_EVERY = 10
LOG_HEAD_LINES = 4

_SAFE = "/:-_.~"


class Tag(NamedTuple):
    """Of which requests a histogram in the log is: `METRIC[;warmup][;stage=NAME][;request=NAME]`."""

    metric: str
    warmup: bool = False
    stage: str = ""
    request: str = ""

    def __str__(self) -> str:
        parts = [self.metric]
        if self.warmup:
            parts.append("warmup")
        parts += [
            f"{name}={quote(value, _SAFE)}"
            for name, value in (("stage", self.stage), ("request", self.request))
            if value
        ]
        return ";".join(parts)


def read_tag(text: str) -> Tag:
    """The tag that `str` made; ValueError."""
    metric, *parts = text.split(";")
    named = dict(part.split("=", 1) for part in parts if "=" in part)
    if set(named) - {"stage", "request"} or any("=" not in part and part != "warmup" for part in parts):
        raise ValueError(text)
    return Tag(metric, "warmup" in parts, unquote(named.get("stage", "")), unquote(named.get("request", "")))
