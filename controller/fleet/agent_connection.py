"""The controller's connection to one agent, which may span several streams."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable

from heyfleet.controller.fleet.clock_sync import ClockSync
from heyfleet.proto.control_pb2 import Ack, Hello, Ping, Pong, Release, Start, Stop, ToAgent
from heyfleet.proto.plan_pb2 import Assignment

# States of an agent in the live status of a run.
IDLE = "idle"
PREPARING = "preparing"
READY = "ready"
RUNNING = "running"
DONE = "done"
AWAY = "away"  # its stream broke; it may attach again
LOST = "lost"

_PINGS_REMEMBERED = 16
_QUEUED_AT_MOST = 100_000


class Stream:
    """The queue of messages to an agent on one stream. A `None` in the queue ends the stream.

    An agent that sends and does not read is cut off; it may attach again.
    """

    def __init__(self) -> None:
        self.outgoing: asyncio.Queue[ToAgent | None] = asyncio.Queue()
        self._is_cut_off = False

    def send(self, message: ToAgent) -> None:
        """Queue a message."""
        if self.outgoing.qsize() < _QUEUED_AT_MOST:
            self.outgoing.put_nowait(message)
        elif not self._is_cut_off:
            self._is_cut_off = True
            self.close()

    def close(self) -> None:
        """End the stream after the messages that are queued."""
        self.outgoing.put_nowait(None)


class AgentConnection:
    """An agent that is attached, or that was attached before. `now_ns` is the controller's monotonic clock."""

    def __init__(self, hello: Hello, now_ns: Callable[[], int]) -> None:
        self.agent = hello.agent
        self.facts = hello.facts
        self.clock = ClockSync()
        self.stream: Stream | None = None
        self.leave_reason = ""  # set while the agent is leaving on purpose
        self.detached_ns = 0
        self.last_heard_ns = now_ns()
        self._now_ns = now_ns
        self._last_sent_ns = 0
        self._pings = 0
        self._unanswered: dict[int, int] = {}  # when the latest pings were sent, by sequence

    @property
    def attached(self) -> bool:
        """Whether the agent has a stream, which may be dead without our knowledge."""
        return self.stream is not None

    @property
    def label(self) -> str:
        """The agent's name, followed by its host's name unless the former begins with it."""
        host = self.facts.host
        return self.agent if not host or self.agent.startswith(host) else f"{self.agent} ({host})"

    def send(self, message: ToAgent) -> None:
        """Queue a message. Without a stream it is dropped: all that matters is repeated when the agent is back."""
        if self.stream is not None:
            self.stream.send(message)
            self._last_sent_ns = self._now_ns()

    def ping(self) -> None:
        """Ask for the agent's clock, which also renews its lease."""
        self._pings += 1
        sent_ns = self._unanswered[self._pings] = self._now_ns()
        self._unanswered.pop(self._pings - _PINGS_REMEMBERED, None)
        self.send(ToAgent(ping=Ping(sequence=self._pings, sent_ns=sent_ns)))

    def ping_if_idle(self, idle_ns: int) -> None:
        """Renew the agent's lease if nothing was sent to it for `idle_ns`."""
        if self._now_ns() - self._last_sent_ns >= idle_ns:
            self.ping()

    def synchronize_clock(self) -> None:
        """Begin a burst of pings; each answer triggers the next ping."""
        self.clock.begin_burst()
        self.ping()

    def on_pong(self, pong: Pong) -> None:
        """Add a clock sample and continue the burst. Each ping has one answer, and only the controller knows its beginning."""
        sent_ns = self._unanswered.pop(pong.sequence, None)
        if sent_ns is None:
            return
        was_synchronized = self.clock.synchronized
        self.clock.add_sample(sent_ns, pong.received_ns, self._now_ns())
        if not was_synchronized and not self.clock.synchronized:
            self.ping()

    def assign(self, assignment: Assignment) -> None:
        """Ask the agent to prepare its share of a run."""
        self.send(ToAgent(assignment=assignment, run_id=assignment.run_id))

    def start(self, run_id: str, start_ns: int, seal: bytes = b"") -> None:
        """Ask the agent to start its load at an instant of the controller's clock."""
        self.send(ToAgent(start=Start(at_ns=self.clock.to_agent_ns(start_ns), seal=seal), run_id=run_id))

    def stop(self, run_id: str) -> None:
        """Ask the agent to stop its load, or to cancel its preparation."""
        self.send(ToAgent(stop=Stop(), run_id=run_id))

    def acknowledge(self, run_id: str, sequence: int, refusal_reason: str = "") -> None:
        """Tell the agent that a snapshot need not be sent again."""
        self.send(ToAgent(ack=Ack(sequence=sequence, refusal_reason=refusal_reason), run_id=run_id))

    def release(self, run_id: str) -> None:
        """Tell the agent that it may delete a run."""
        self.send(ToAgent(release=Release(), run_id=run_id))


def in_natural_order(connections: Iterable[AgentConnection]) -> list[AgentConnection]:
    """Return connections sorted by the agents' names, with numbers within names by value."""
    return sorted(
        connections,
        key=lambda connection: [
            (int(text), "") if text.isdecimal() else (0, text)
            for text in re.split(r"(\d+)", connection.agent)
        ],
    )
