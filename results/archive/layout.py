"""The files of an archive and the tags in its histogram log; docs/reference/archive.md describes them."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote, unquote

FORMAT = "heyfleet archive"
VERSION = 2
FACTS = "archive.json"
PLAN = "plan.json"
HISTOGRAMS = "histograms.hlog"
INTERVALS = "intervals.jsonl"
SNAPSHOTS = "snapshots.csv"
AGENTS = "agents.json"
RESULT = "run.pb"
REPORT = "report.json"

RUNNING, COMPLETE = "running", "complete"
# Metrics other than the latency get one histogram for this many seconds: each is as large as a second's latency.
SECONDS_PER_HISTOGRAM = 10
LOG_HEADER_LINES = 4

_SAFE = "/:-_.~"


class Tag(NamedTuple):
    """The requests that a histogram in the log is about: `METRIC[;warmup][;stage=NAME][;request=NAME]`."""

    metric: str
    warmup: bool = False
    stage: str = ""
    request: str = ""

    def __str__(self) -> str:
        words = [self.metric]
        if self.warmup:
            words.append("warmup")
        words += [
            f"{name}={quote(value, _SAFE)}"
            for name, value in (("stage", self.stage), ("request", self.request))
            if value
        ]
        return ";".join(words)


def read_tag(text: str) -> Tag:
    """Parse the text of a tag; ValueError if it is not one."""
    metric, *words = text.split(";")
    names = dict(word.split("=", 1) for word in words if "=" in word)
    if set(names) - {"stage", "request"} or any("=" not in word and word != "warmup" for word in words):
        raise ValueError(text)
    return Tag(metric, "warmup" in words, unquote(names.get("stage", "")), unquote(names.get("request", "")))
