"""One agent as the controller knows it, over as many streams as it takes."""

from __future__ import annotations

import asyncio
import time

from heyfleet.controller.fleet.clock_sync import ClockSync
from heyfleet.proto.control_pb2 import Hello, Ping, Pong, ToAgent

# States, as the live view shows them.
IDLE = "idle"
PREPARING = "preparing"
READY = "ready"
RUNNING = "running"
DONE = "done"
AWAY = "away"  # its stream broke; it may come back
LOST = "lost"


class Stream:
    """What is to be sent to an agent on one connection; `None` ends it."""

    def __init__(self) -> None:
        self.outgoing: asyncio.Queue[ToAgent | None] = asyncio.Queue()

    def send(self, message: ToAgent) -> None:
        """Queue a message."""
        self.outgoing.put_nowait(message)

    def close(self) -> None:
        """End the stream when all that is queued has been sent."""
        self.outgoing.put_nowait(None)


class AgentConnection:
    """An agent, attached now or away."""

    def __init__(self, hello: Hello) -> None:
        self.agent = hello.agent
        self.facts = hello.facts
        self.clock = ClockSync()
        self.stream: Stream | None = None
        self.left = ""  # why it went on purpose, if it did
        self.away_since_s = 0.0  # time.monotonic
        self.heard_ns = time.monotonic_ns()
        self._sent_s = 0.0
        self._pings = 0

    @property
    def attached(self) -> bool:
        """Whether there is a stream to it now, as far as we know."""
        return self.stream is not None

    @property
    def label(self) -> str:
        """Its name, and its host's where that says more."""
        host = self.facts.host
        return self.agent if not host or self.agent.startswith(host) else f"{self.agent} ({host})"

    def send(self, message: ToAgent) -> None:
        """Queue a message; one to an agent that is away is dropped: what matters is said again when it is back."""
        if self.stream is not None:
            self.stream.send(message)
            self._sent_s = time.monotonic()

    def ping(self) -> None:
        """Ask for its clock, and renew its lease."""
        self._pings += 1
        self.send(ToAgent(ping=Ping(sequence=self._pings, sent_ns=time.monotonic_ns())))

    def ping_if_silent(self, silent_s: float) -> None:
        """Renew the lease of an agent that was sent nothing for so long."""
        if time.monotonic() - self._sent_s >= silent_s:
            self.ping()

    def measure_clock(self) -> None:
        """Begin a burst of pings, each sent when the one before is answered."""
        self.clock.reset()
        self.ping()

    def on_pong(self, pong: Pong) -> None:
        """Take a sample; go on with the burst."""
        was_measured = self.clock.measured
        self.clock.add(pong.sent_ns, pong.received_ns, time.monotonic_ns())
        if not was_measured and not self.clock.measured:
            self.ping()
