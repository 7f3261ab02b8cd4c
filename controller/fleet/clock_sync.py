"""The offset of another host's clock, estimated from pings.

The sample with the shortest round trip wins, as in the clock filter of NTP (RFC 5905, section 10).
"""

from __future__ import annotations

from dataclasses import dataclass

SAMPLES_PER_BURST = 8  # enough that one of them meets no queue
# The worst drift between two hosts' clocks, as a divisor of the time that passes: 100 ppm.
_DRIFT_DIVISOR = 10_000


@dataclass(slots=True)
class _Sample:
    round_trip_ns: int
    offset_ns: int  # the agent's clock minus the controller's
    at_ns: int  # controller's clock


class ClockSync:
    """Converts between CLOCK_MONOTONIC of the controller and of one agent, and bounds the error.

    A burst consists of SAMPLES_PER_BURST pings. Until its first sample arrives, the best sample of the burst before is used.
    Without any sample the two clocks count as equal.
    """

    def __init__(self) -> None:
        self._samples = 0
        self._best: _Sample | None = None

    def begin_burst(self) -> None:
        """Start to count samples from zero."""
        self._samples = 0

    def add_sample(self, sent_ns: int, agent_ns: int, received_ns: int) -> None:
        """Add one ping: when it was sent and answered on the controller's clock, and the agent's clock in between."""
        middle_ns = (sent_ns + received_ns) // 2
        sample = _Sample(received_ns - sent_ns, agent_ns - middle_ns, middle_ns)
        if self._samples == 0 or self._best is None or sample.round_trip_ns < self._best.round_trip_ns:
            self._best = sample
        self._samples += 1

    @property
    def synchronized(self) -> bool:
        """Whether the burst is complete."""
        return self._samples >= SAMPLES_PER_BURST

    @property
    def round_trip_ns(self) -> int:
        """The round trip of the best sample; 0 before the first one."""
        return self._best.round_trip_ns if self._best else 0

    def to_agent_ns(self, controller_ns: int) -> int:
        """Convert an instant of the controller's clock to the agent's."""
        return controller_ns + (self._best.offset_ns if self._best else 0)

    def to_controller_ns(self, agent_ns: int) -> int:
        """Convert an instant of the agent's clock to the controller's."""
        return agent_ns - (self._best.offset_ns if self._best else 0)

    def uncertainty_ns(self, controller_ns: int) -> int:
        """Return the largest error of a conversion at an instant: half the round trip, plus drift since the sample."""
        if self._best is None:
            return 0
        return -(-self._best.round_trip_ns // 2) + abs(controller_ns - self._best.at_ns) // _DRIFT_DIVISOR
