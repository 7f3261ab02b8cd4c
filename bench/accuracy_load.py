"""One worker at a rate, against a port of this host: `python -m bench.accuracy_load PORT RATE SECONDS CONNECTIONS`.

Prints its figures and the instant of its start as JSON. Rate 0: a closed loop.
"""

from __future__ import annotations

import json
import sys
import time

from heyfleet.agent.runner import Runner
from heyfleet.ext import Histogram
from heyfleet.plan.build import make_plan, whole_plan
from heyfleet.plan.options import RunOptions
from heyfleet.proto.stats_pb2 import Refusal
from heyfleet.results.stats import Stats

LATE_NS = 100_000
PERCENTS = (50.0, 90.0, 95.0, 99.0, 99.9)


def main(port: str, rate: str, seconds: str, connections: str) -> None:
    """Generate the load; raises SystemExit with the reason if it can't be prepared."""
    flags = RunOptions(
        url=f"http://127.0.0.1:{port}/",
        user_agent="heyfleet-bench",
        rate=float(rate) or None,
        connections=int(connections),
        duration_ns=round(float(seconds) * 1e9),
        workers=1,
        catch_up=bool(float(rate)),  # so that request k, in order of receipt, is tick k
    )
    agent, stats = Runner(), Stats()
    ready = agent.prepare(whole_plan(make_plan(flags)))
    if isinstance(ready, Refusal):
        raise SystemExit(ready.reason)
    start_ns = time.monotonic_ns() + 50_000_000
    agent.start(start_ns)
    for snapshot in agent.snapshots():
        stats.add(snapshot)
    done = agent.done()
    latency, lag = stats.histograms["latency"], stats.histograms.get("generator_lag", Histogram())
    print(
        json.dumps(
            {
                "start_ns": start_ns,
                "percentiles_ns": {percent: latency.value_at_percentile(percent) for percent in PERCENTS},
                "max_ns": latency.max_ns,
                "sent": done.sent,
                "responses": done.responses,
                "unsent": done.unsent,
                "elapsed_ns": done.elapsed_ns,
                "late_share": 1 - lag.count_at_or_below(LATE_NS) / lag.count if lag.count else 0.0,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
