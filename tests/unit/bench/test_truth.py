"""True latencies of a load on a target whose delays are known."""

from __future__ import annotations

from array import array
from pathlib import Path

import pytest

from bench.truth import Deviation, drain_s, expected_in_stalls, nearest_rank, true_latencies


def write_log(path: Path, pairs: list[tuple[int, int]]) -> Path:
    path.write_bytes(array("q", [value for pair in pairs for value in pair]).tobytes())
    return path


def test_latency_runs_from_the_schedule(tmp_path: Path) -> None:
    """Three requests at 1,000/s start at 5 ms; the last has no response."""
    log = write_log(tmp_path / "log", [(5_000_100, 5_500_000), (6_200_000, 6_300_000), (7_000_000, 0)])
    assert true_latencies(log, 5_000_000, 100_000_000, 1000) == [300_000, 500_000]
    assert true_latencies(log, 5_000_000, 6_000_000, 1000) == [500_000]  # answered before the end


@pytest.mark.parametrize(("percent", "value"), [(50, 5), (90, 9), (99, 10), (99.9, 10), (1, 1)])
def test_nearest_rank(percent: float, value: float) -> None:
    assert nearest_rank([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], percent) == value


def test_the_median_run_decides() -> None:
    deviation = Deviation("p99", (10_050_000, 10_900_000, 9_990_000), (10_000_000, 10_000_000, 10_000_000))
    assert deviation.errors_ns == (50_000, 900_000, -10_000)
    assert deviation.within_limits()
    assert not deviation.within_limits(share=0.001, ns=0)


def test_the_closed_form_agrees_with_a_simulation() -> None:
    """Compare the closed form with the queue that it describes."""
    service_s, rate, run_s = 20e-6, 2000, 21.5
    waits = []
    for number in range(int(rate * run_s)):
        due_s = number / rate
        within_s = due_s % 10
        waits.append(1 - within_s + rate * within_s * service_s if within_s < 1 else 0.0)
    waits.sort()
    for percent in (90.0, 95.0, 99.0):
        assert expected_in_stalls(percent, service_s) == pytest.approx(nearest_rank(waits, percent), rel=2e-3)


def test_the_service_time_is_read_from_the_log(tmp_path: Path) -> None:
    """At 2,000/s, requests during a stall are served in 10 us each after its end."""
    pairs = []
    for number in range(43_000):
        due_ns = number * 500_000 + 1
        stall, within_ns = divmod(due_ns, 10_000_000_000)
        if within_ns < 1_000_000_000:
            answered = stall * 10_000_000_000 + 1_000_000_000 + number % 20_000 * 10_000
            pairs.append((due_ns, answered))
        else:
            pairs.append((due_ns, due_ns))
    assert drain_s(write_log(tmp_path / "log", pairs), 0) == pytest.approx(10e-6, rel=0.02)
