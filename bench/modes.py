"""Latency modes of the original experiments on a Lambda in a VPC, and checks of their repetition, without I/O."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parent.parent / "examples" / "vpc-lambda"
EXPERIMENTS = ("1-before", "1-after", "2", "3")
THROTTLED_FROM_S, THROTTLED_WITHIN_S = 10.0, 0.5


@dataclass(frozen=True)
class Modes:
    """Limits of a fast and a slow mode: the number of requests below `fast_s`, and the range of all others.

    Both ends of each range are included.
    """

    fast_s: float
    fast: tuple[int, int]
    slow_s: tuple[float, float]
    total_s: tuple[float, float]


MODES = {
    "1-before": Modes(1.4, (439, 459), (9.0, 13.5), (11.0, 16.0)),
    "1-after": Modes(0.13, (426, 446), (0.3, 0.6), (1.0, 2.0)),
    "2": Modes(2.3, (8940, 9060), (2.9, 3.5), (20.0, 24.0)),
}


@dataclass(frozen=True)
class Finding:
    """A requirement, the measured value, and whether the requirement is met."""

    name: str
    required: str
    measured: str
    passed: bool


def check_modes(name: str, latencies_s: Sequence[float], total_s: float) -> list[Finding]:
    """Check the modes and the duration of an experiment."""
    modes = MODES[name]
    fast = sum(latency_s < modes.fast_s for latency_s in latencies_s)
    slow_s = [latency_s for latency_s in latencies_s if latency_s >= modes.fast_s]
    least_s, most_s = min(slow_s, default=0.0), max(slow_s, default=0.0)
    return [
        _within(f"requests below {modes.fast_s:g} s", fast, modes.fast, "{:,}".format),
        Finding(
            "all others",
            f"{modes.slow_s[0]:g} .. {modes.slow_s[1]:g} s",
            f"{least_s:.3f} .. {most_s:.3f} s",
            bool(slow_s) and modes.slow_s[0] <= least_s and most_s <= modes.slow_s[1],
        ),
        _within("total", total_s, modes.total_s, "{:.2f} s".format),
    ]


def check_throttling(throttled_from_s: float | None, our_second: int | None) -> list[Finding]:
    """Check when throttling began, by the target's time since its first request and by our second."""
    limits = (THROTTLED_FROM_S - THROTTLED_WITHIN_S, THROTTLED_FROM_S + THROTTLED_WITHIN_S)
    if throttled_from_s is None or our_second is None:
        return [Finding("throttling begins", f"{limits[0]:.2f} .. {limits[1]:.2f} s", "never", passed=False)]
    return [
        _within("throttling begins, the target's time", throttled_from_s, limits, "{:.2f} s".format),
        _within("our first 429 came in second", our_second, (int(limits[0]), int(limits[1])), "{:g}".format),
    ]


def check_counts(ours: Mapping[int, int], planned: int, stats: Mapping[str, Any]) -> list[Finding]:
    """Check that heyfleet and the target counted the same; `stats` are the target's counters."""
    theirs = {int(status): count for status, count in stats["answers"].items()}
    throttled = sum(stats["throttled"].values())
    return [
        Finding("requests, the target's count", f"{planned:,}", f"{stats['requests']:,}", stats["requests"] == planned),
        Finding("answers by status, the target's count", _statuses(theirs), _statuses(ours), theirs == dict(ours)),
        Finding("throttled, the target's count", f"{throttled:,}", f"{ours.get(429, 0):,}", throttled == ours.get(429, 0)),
    ]  # fmt: skip


def original() -> dict[str, Any]:
    """Load the figures of the original experiments, as read from the slides."""
    figures: dict[str, Any] = json.loads((EXAMPLES / "original.json").read_text())
    return figures


def count_by_bar(latencies_s: Sequence[float], marks_s: Sequence[float]) -> list[int]:
    """Count the latencies in each histogram bar, up to its mark; the last count is of those above all marks."""
    counts = [0] * (len(marks_s) + 1)
    for latency_s in latencies_s:
        counts[next((at for at, mark_s in enumerate(marks_s) if latency_s <= mark_s), len(marks_s))] += 1
    return counts


def _within(name: str, value: float, limits: tuple[float, float], text: Callable[[float], str]) -> Finding:
    low, high = limits
    return Finding(name, f"{text(low)} .. {text(high)}", text(value), low <= value <= high)


def _statuses(counts: Mapping[int, int]) -> str:
    return ", ".join(f"{status}: {count:,}" for status, count in sorted(counts.items()))
