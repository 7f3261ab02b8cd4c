"""What the experiments on a Lambda in a VPC came to, and what a repetition must come to. Pure: numbers in, findings out."""

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
class Shape:
    """A fast mode and a slow one: what is below `fast_s`, how many, and where all others are. Both ends are allowed."""

    fast_s: float
    fast: tuple[int, int]
    slow_s: tuple[float, float]
    total_s: tuple[float, float]


SHAPES = {
    "1-before": Shape(1.4, (439, 459), (9.0, 13.5), (11.0, 16.0)),
    "1-after": Shape(0.13, (426, 446), (0.3, 0.6), (1.0, 2.0)),
    "2": Shape(2.3, (8940, 9060), (2.9, 3.5), (20.0, 24.0)),
}


@dataclass(frozen=True)
class Finding:
    """One thing that was asked for, and what it was."""

    what: str
    asked: str
    was: str
    held: bool


def of_shape(name: str, latencies_s: Sequence[float], total_s: float) -> list[Finding]:
    """Whether an experiment has its modes."""
    shape = SHAPES[name]
    fast = sum(latency_s < shape.fast_s for latency_s in latencies_s)
    slow_s = [latency_s for latency_s in latencies_s if latency_s >= shape.fast_s]
    least_s, most_s = min(slow_s, default=0.0), max(slow_s, default=0.0)
    return [
        _within(f"requests below {shape.fast_s:g} s", fast, shape.fast, "{:,}".format),
        Finding(
            "all others",
            f"{shape.slow_s[0]:g} .. {shape.slow_s[1]:g} s",
            f"{least_s:.3f} .. {most_s:.3f} s",
            bool(slow_s) and shape.slow_s[0] <= least_s and most_s <= shape.slow_s[1],
        ),
        _within("total", total_s, shape.total_s, "{:.2f} s".format),
    ]


def of_throttling(throttled_from_s: float | None, our_second: int | None) -> list[Finding]:
    """Whether throttling began when it should: by the target's time since its first request, and in which second of ours."""
    asked = (THROTTLED_FROM_S - THROTTLED_WITHIN_S, THROTTLED_FROM_S + THROTTLED_WITHIN_S)
    if throttled_from_s is None or our_second is None:
        return [Finding("throttling begins", f"{asked[0]:.2f} .. {asked[1]:.2f} s", "never", held=False)]
    return [
        _within("throttling begins, the target's time", throttled_from_s, asked, "{:.2f} s".format),
        _within("our first 429 came in second", our_second, (int(asked[0]), int(asked[1])), "{:g}".format),
    ]


def of_counts(ours: Mapping[int, int], planned: int, stats: Mapping[str, Any]) -> list[Finding]:
    """Whether we and the target have counted the same; `stats` is what its page says."""
    theirs = {int(status): count for status, count in stats["answers"].items()}
    throttled = sum(stats["throttled"].values())
    return [
        Finding("requests, the target's count", f"{planned:,}", f"{stats['requests']:,}", stats["requests"] == planned),
        Finding("answers by status, the target's count", _statuses(theirs), _statuses(ours), theirs == dict(ours)),
        Finding("throttled, the target's count", f"{throttled:,}", f"{ours.get(429, 0):,}", throttled == ours.get(429, 0)),
    ]  # fmt: skip


def original() -> dict[str, Any]:
    """What the slides show."""
    found: dict[str, Any] = json.loads((EXAMPLES / "original.json").read_text())
    return found


def in_bars(latencies_s: Sequence[float], marks_s: Sequence[float]) -> list[int]:
    """How many lie at or below each mark and above the one before it; last, those above all."""
    counts = [0] * (len(marks_s) + 1)
    for latency_s in latencies_s:
        counts[next((at for at, mark_s in enumerate(marks_s) if latency_s <= mark_s), len(marks_s))] += 1
    return counts


def _within(what: str, was: float, asked: tuple[float, float], shown: Callable[[float], str]) -> Finding:
    return Finding(what, f"{shown(asked[0])} .. {shown(asked[1])}", shown(was), asked[0] <= was <= asked[1])


def _statuses(counts: Mapping[int, int]) -> str:
    return ", ".join(f"{status}: {count:,}" for status, count in sorted(counts.items()))
