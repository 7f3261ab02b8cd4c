"""A load that is stopped between the order of its start and the instant of it."""

from __future__ import annotations

import time
from typing import Any

from heyfleet.agent.runner import Runner
from heyfleet.plan.build import make_plan, whole_plan
from heyfleet.plan.options import RunOptions
from heyfleet.proto.stats_pb2 import Ready


def test_a_load_stopped_before_its_instant_has_totals(faulty: Any) -> None:
    plan = make_plan(RunOptions(url=faulty.url("/ok"), connections=2, duration_ns=3_600_000_000_000))
    plan.workers = 1
    runner = Runner()
    assert isinstance(runner.prepare(whole_plan(plan)), Ready)
    runner.start(time.monotonic_ns() + 60_000_000)
    runner.stop()
    snapshots = list(runner.snapshots())
    assert [snapshot.sent for snapshot in snapshots] == [0]
    assert not any(snapshot.HasField("warmup") for snapshot in snapshots)
    done = runner.done()
    assert (done.stopped_by, done.sent) == ("signal", 0)
    assert [worker.wall_ns for worker in done.workers] == [0]
