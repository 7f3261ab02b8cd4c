"""Another host's clock, seen through pings: the sample with the least round trip decides (RFC 5905, section 10)."""

from __future__ import annotations

from dataclasses import dataclass

# How far two hosts' clocks may drift apart, at worst, in parts of the time that passes: 100 ppm.
_DRIFT_DIVISOR = 10_000
SAMPLES = 8  # of a burst: enough that one of them meets no queue


@dataclass(slots=True)
class _Sample:
    round_trip_ns: int
    offset_ns: int  # the agent's clock minus ours
    at_ns: int  # ours


class ClockSync:
    """What an agent's CLOCK_MONOTONIC shows, and how sure that is. `reset` begins a new burst of samples."""

    def __init__(self) -> None:
        self.samples = 0
        self._best: _Sample | None = None

    def reset(self) -> None:
        """Count samples anew; the old best serves until the first of them is there."""
        self.samples = 0

    def add(self, sent_ns: int, agent_ns: int, received_ns: int) -> None:
        """One ping: when we sent it and had the answer, and what the agent's clock showed in between."""
        sample = _Sample(
            received_ns - sent_ns, agent_ns - (sent_ns + received_ns) // 2, (sent_ns + received_ns) // 2
        )
        if self.samples == 0 or self._best is None or sample.round_trip_ns < self._best.round_trip_ns:
            self._best = sample
        self.samples += 1

    @property
    def measured(self) -> bool:
        """Whether the burst is complete."""
        return self.samples >= SAMPLES

    @property
    def round_trip_ns(self) -> int:
        """The least; 0 before the first sample."""
        return self._best.round_trip_ns if self._best else 0

    def to_agent(self, our_ns: int) -> int:
        """What the agent's clock shows at an instant of ours."""
        return our_ns + (self._best.offset_ns if self._best else 0)

    def to_ours(self, agent_ns: int) -> int:
        """What our clock shows at an instant of the agent's."""
        return agent_ns - (self._best.offset_ns if self._best else 0)

    def uncertainty_ns(self, our_ns: int) -> int:
        """How far either conversion may be off at an instant of ours: half the round trip, and drift since."""
        if self._best is None:
            return 0
        return -(-self._best.round_trip_ns // 2) + abs(our_ns - self._best.at_ns) // _DRIFT_DIVISOR
