"""Rate and percentiles over the last seconds of a run."""

from __future__ import annotations

from typing import Any

from heyfleet.results.rolling_window import SECONDS, RollingWindow
from heyfleet.results.stats import Stats


def test_only_the_last_seconds_count(kit: Any) -> None:
    stats = Stats()
    recent = RollingWindow(stats)
    recent.update(100.0)
    stats.add(kit.snapshot(1, latencies_ns=[10**9] * 50))
    recent.update(101.0)
    assert recent.rate == 50.0
    assert recent.percentiles_ns[0] >= 10**9
    for second in range(2, 2 + 2 * SECONDS):
        stats.add(kit.snapshot(second, latencies_ns=[1000] * 10, errors={"reset": 10}))
        recent.update(100.0 + second)
    assert recent.rate == 20.0
    assert recent.percentiles_ns[1] < 1100


def test_frequent_updates_change_nothing(kit: Any) -> None:
    stats = Stats()
    recent = RollingWindow(stats)
    for tenth in range(10):
        recent.update(100.0 + tenth / 10)
    stats.add(kit.snapshot(1, latencies_ns=[1000] * 10))
    recent.update(101.0)
    assert recent.rate == 10.0
