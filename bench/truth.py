"""True latencies of a load on the targets of `bench/truth.c`, from their logs and from arithmetic."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

SHARE_OFF, NS_OFF = 0.01, 60_000
STALL_EVERY_S, STALL_S, STALL_RATE, STALL_RUN_S = 10.0, 1.0, 2000, 21.5


@dataclass(frozen=True, slots=True)
class Deviation:
    """Reported and true values of one figure in several runs, in ns."""

    name: str
    reported_ns: tuple[float, ...]
    true_ns: tuple[float, ...]

    @property
    def errors_ns(self) -> tuple[float, ...]:
        """Reported less true value of each run."""
        return tuple(reported - true for reported, true in zip(self.reported_ns, self.true_ns, strict=True))

    def within_limits(self, share: float = SHARE_OFF, ns: float = NS_OFF) -> bool:
        """Whether the median error is within a share of the truth or within `ns`."""
        return abs(median(self.errors_ns)) <= max(share * median(self.true_ns), ns)


def nearest_rank(ordered: Sequence[float], percent: float) -> float:
    """Return a percentile of sorted values, by nearest rank."""
    return ordered[max(math.ceil(round(percent * len(ordered) / 100, 6)), 1) - 1]


def true_latencies(log: Path, start_ns: int, end_ns: int, rate: float) -> list[float]:
    """Return the sorted true latencies in ns, from intended until the kernel had the response, of all before `end_ns`."""
    pairs = array("q", log.read_bytes())
    sent_ns = pairs[1::2]
    return sorted(at - start_ns - int(k * 1e9 / rate) for k, at in enumerate(sent_ns) if 0 < at < end_ns)


def expected_in_stalls(percent: float, service_s: float) -> float:
    """Compute a percentile, in seconds, of an open loop at a constant rate on a stalling target, in closed form.

    A request that is due u before the end of a stall of a waits u, and then for those before it: rate * (a - u) of them, at
    `service_s` each. The stalls begin with each period, the run ends outside of them.
    """
    stalls = math.ceil(STALL_RUN_S / STALL_EVERY_S)
    above_s = (1 - percent / 100) * STALL_RUN_S / stalls
    left_s = STALL_S - above_s
    return left_s + STALL_RATE * above_s * service_s


def drain_s(log: Path, start_ns: int) -> float:
    """Compute, from the target's log, the seconds it took for each request that had queued up in a stall."""
    pairs = array("q", log.read_bytes())
    first_ns = pairs[0]
    shares: list[float] = []
    for stall in range(math.ceil(STALL_RUN_S / STALL_EVERY_S)):
        end_ns = first_ns + int((stall * STALL_EVERY_S + STALL_S) * 1e9)
        due = [int((at_ns - start_ns) / 1e9 * STALL_RATE) for at_ns in (end_ns - int(STALL_S * 1e9), end_ns)]
        last_ns = max(pairs[1 + 2 * number] for number in range(due[0] + 1, due[1]))
        shares.append((last_ns - end_ns) / 1e9 / (due[1] - due[0]))
    return sum(shares) / len(shares)
