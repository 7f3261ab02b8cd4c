"""The agents of a controller: who may attach, who is there, what they say, and the beat that renews their leases."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from heyfleet import __version__
from heyfleet.controller.fleet.agent_connection import AgentConnection, Stream
from heyfleet.controller.fleet.condition import Condition
from heyfleet.proto.control_pb2 import (
    Ack,
    Dismissal,
    FromAgent,
    Hello,
    Offer,
    Release,
    ResumeFrom,
    ToAgent,
    Welcome,
)
from heyfleet.proto.protocol import PROTOCOL

_BEAT_S = 1.0
LEASE_NS = 10_000_000_000


class AttachRejectedError(Exception):
    """An agent may not attach: one line that names the cause and the cure."""


class Receiver(Protocol):
    """Who takes what agents say of runs."""

    def wants(self, session: AgentConnection, offer: Offer) -> int | None:
        """From after which sequence on an offered run's records should come; None: not at all, now."""
        ...

    def receive(self, session: AgentConnection, message: FromAgent) -> None:
        """A message of a run."""
        ...

    def returned(self, session: AgentConnection) -> None:
        """An agent that was away is attached again; its offers were asked for before."""
        ...


class AgentRegistry:
    """All agents. Its methods are called from one event loop."""

    def __init__(self, lease_ns: int = LEASE_NS, say: Callable[[str], None] = lambda text: None) -> None:
        self.sessions: dict[str, AgentConnection] = {}
        self.turned_away: list[str] = []
        self.changes = Condition()
        self.receiver: Receiver | None = None
        self.lease_ns = lease_ns
        self._say = say

    @property
    def attached(self) -> list[AgentConnection]:
        """Agents that are there now, in the order of their first coming."""
        return [session for session in self.sessions.values() if session.attached]

    def turn_away(self, who: str, reason: str) -> None:
        """Remember, and say, that somebody could not take part."""
        line = f"{who}: {reason}"
        if line not in self.turned_away:
            self.turned_away.append(line)
            self._say(f"turned away {line}")

    def attach(self, hello: Hello, identity: str | None) -> tuple[AgentConnection, Stream]:
        """Take an agent in. `identity` is the name in its certificate, None on this host's own socket.

        Raises Rejection. A second stream of an agent ends the first: that agent has noticed a dead link before us.
        """
        if hello.protocol != PROTOCOL:
            raise AttachRejectedError(
                f"it speaks protocol {hello.protocol} (heyfleet {hello.version}), this controller {PROTOCOL} "
                f"(heyfleet {__version__}): install the same version on both"
            )
        if not hello.agent or (identity is not None and identity != hello.agent):
            raise AttachRejectedError(f"it calls itself {hello.agent!r}, its certificate is for {identity!r}")
        session = self.sessions.get(hello.agent)
        back = session is not None
        if session is None:
            session = self.sessions[hello.agent] = AgentConnection(hello)
        elif session.stream is not None:
            session.stream.close()
        stream = session.stream = Stream()
        session.facts.CopyFrom(hello.facts)
        session.left = ""
        self._welcome(session, hello)
        session.measure_clock()
        if back and self.receiver is not None:
            self.receiver.returned(session)
        self._say(f"{session.label} is back" if back else f"{session.label} joined")
        self.changes.notify()
        return session, stream

    def _welcome(self, session: AgentConnection, hello: Hello) -> None:
        welcome = Welcome(lease_ns=self.lease_ns)
        for offer in hello.offers:
            after = self.receiver.wants(session, offer) if self.receiver else None
            if after is not None:
                welcome.resume_from.append(ResumeFrom(run_id=offer.assignment.run_id, after_sequence=after))
        session.send(ToAgent(welcome=welcome))

    def detach(self, session: AgentConnection, stream: Stream) -> None:
        """A stream has ended. Nothing, if the agent has another by now."""
        if session.stream is stream:
            session.stream = None
            session.away_since_s = time.monotonic()
            self._say(f"{session.label} left: {session.left}" if session.left else f"{session.label} is away")
            self.changes.notify()

    def receive(self, session: AgentConnection, message: FromAgent) -> None:
        """What an attached agent says."""
        session.heard_ns = time.monotonic_ns()
        kind = message.WhichOneof("message")
        if kind == "pong":
            was_measured = session.clock.measured
            session.on_pong(message.pong)
            if session.clock.measured and not was_measured:
                self.changes.notify()
        elif kind == "bye":
            session.left = message.bye.reason or "it said goodbye"
        elif kind in ("ready", "refusal", "snapshot", "done") and self.receiver:
            self.receiver.receive(session, message)
        # Anything else is of a protocol that only adds to ours, or a second hello: no reason to lose the agent.

    async def beat(self) -> None:
        """Renew the leases of agents that hear nothing else, until cancelled."""
        while True:
            await asyncio.sleep(_BEAT_S / 2)
            for session in self.attached:
                session.ping_if_silent(_BEAT_S)

    def dismiss(self, reason: str) -> None:
        """Let all agents leave."""
        for session in self.attached:
            session.send(ToAgent(dismissal=Dismissal(reason=reason)))


def ack(session: AgentConnection, run_id: str, sequence: int, refused: str = "") -> None:
    """Tell an agent that a snapshot need not be sent again."""
    session.send(ToAgent(ack=Ack(sequence=sequence, refusal_reason=refused), run_id=run_id))


def release(session: AgentConnection, run_id: str) -> None:
    """Tell an agent that it may forget a run."""
    session.send(ToAgent(release=Release(), run_id=run_id))


__all__ = ["LEASE_NS", "AgentRegistry", "AttachRejectedError", "Receiver", "ack", "release"]
