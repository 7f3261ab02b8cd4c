"""The agents of a controller: admission, presence, message dispatch and leases."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from heyfleet import __version__
from heyfleet.controller.fleet.agent_connection import AgentConnection, Stream
from heyfleet.controller.fleet.condition import Condition
from heyfleet.controller.fleet.receipt import InvalidMessageError, bound, compact
from heyfleet.errors import HeyfleetError
from heyfleet.plan.places import check_agent_name
from heyfleet.proto.control_pb2 import Dismissal, FromAgent, Hello, Offer, ResumeFrom, ToAgent, Welcome
from heyfleet.proto.protocol import OFFERS_AT_MOST, PROTOCOL
from heyfleet.text import shorten

LEASE_NS = 10_000_000_000
_PING_AFTER_NS = 1_000_000_000
_PING_CHECK_S = 0.5
_AGENTS_AT_MOST = 10_000
_REJECTIONS_AT_MOST = 100


class AttachRejectedError(HeyfleetError):
    """An agent must not attach."""


class RunHandler(Protocol):
    """Handles what agents send about runs."""

    def resume_after(self, connection: AgentConnection, offer: Offer) -> int | None:
        """Return the sequence number after which an offered run's records are needed, or None if they are not."""
        ...

    def on_attach(self, connection: AgentConnection) -> None:
        """Continue with an agent that has attached, perhaps again. `resume_after` was called for each of its offers."""
        ...

    def on_message(self, connection: AgentConnection, message: FromAgent) -> None:
        """Handle a message about a run."""
        ...

    def on_invalid_message(self, connection: AgentConnection, run_id: str, reason: str) -> None:
        """Go on without an agent that has sent something impossible about a run."""
        ...


class AgentRegistry:
    """All agents that have attached. Methods belong to one event loop; `now_ns` is the monotonic clock for decisions."""

    def __init__(
        self,
        lease_ns: int = LEASE_NS,
        log: Callable[[str], None] = lambda line: None,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.connections: dict[str, AgentConnection] = {}
        self.rejections: list[str] = []
        self.changes = Condition()
        self.run_handler: RunHandler | None = None
        self.lease_ns = lease_ns
        self.now_ns = now_ns
        self._log = log

    @property
    def attached(self) -> list[AgentConnection]:
        """Agents that are attached now, in the order in which they first attached."""
        return [connection for connection in self.connections.values() if connection.attached]

    def reject(self, who: str, reason: str) -> None:
        """Record and log that an agent can't take part. Whoever can reach the port can make this happen again and again."""
        line = f"{shorten(who)}: {shorten(reason)}"
        if line in self.rejections or len(self.rejections) >= _REJECTIONS_AT_MOST:
            return
        self.rejections.append(line)
        self._log(f"rejected {line}")
        if len(self.rejections) == _REJECTIONS_AT_MOST:
            self._log("further rejections are not listed until the next run")

    def attach(self, hello: Hello, identity: str | None) -> tuple[AgentConnection, Stream]:
        """Admit an agent. `identity` is the name in its certificate, or None on a socket file of this host.

        Raises AttachRejectedError. A second stream of an agent ends the first, because the agent has noticed a dead link
        before the controller did.
        """
        try:
            bound(hello)
        except InvalidMessageError as error:
            raise AttachRejectedError(f"its first message is invalid: {error}") from None
        if hello.protocol != PROTOCOL:
            raise AttachRejectedError(
                f"the agent speaks protocol {hello.protocol} (heyfleet {hello.version}), this controller {PROTOCOL}"
                f" (heyfleet {__version__})",
                "install the same version on both",
            )
        if not hello.agent or (identity is not None and identity != hello.agent):
            raise AttachRejectedError(
                f"the agent calls itself {hello.agent!r}, but its certificate is for {identity!r}"
            )
        try:
            check_agent_name(hello.agent)
        except ValueError as error:
            raise AttachRejectedError(str(error)) from None
        connection = self.connections.get(hello.agent)
        is_back = connection is not None
        if connection is None:
            self._make_room()
            connection = self.connections[hello.agent] = AgentConnection(hello, self.now_ns)
        elif connection.stream is not None:
            connection.stream.close()
        stream = connection.stream = Stream()
        connection.facts = compact(hello.facts)
        connection.leave_reason = ""
        self._welcome(connection, hello)
        connection.synchronize_clock()
        if self.run_handler is not None:
            self.run_handler.on_attach(connection)
        self._log(f"{connection.label} {'is back' if is_back else 'joined'}")
        self.changes.notify()
        return connection, stream

    def _make_room(self) -> None:
        """Forget the agent that has been away for longest if there are too many. Raises AttachRejectedError."""
        if len(self.connections) < _AGENTS_AT_MOST:
            return
        away = [each for each in self.connections.values() if not each.attached]
        if not away:
            raise AttachRejectedError(f"the controller has {_AGENTS_AT_MOST} agents, and takes no more")
        del self.connections[min(away, key=lambda connection: connection.detached_ns).agent]

    def _welcome(self, connection: AgentConnection, hello: Hello) -> None:
        welcome = Welcome(lease_ns=self.lease_ns)
        for offer in hello.offers[:OFFERS_AT_MOST]:
            after = self.run_handler.resume_after(connection, offer) if self.run_handler else None
            if after is not None:
                run_id = offer.assignment.run_id
                welcome.resume_from.append(ResumeFrom(run_id=run_id, after_sequence=after))
        connection.send(ToAgent(welcome=welcome))

    def detach(self, connection: AgentConnection, stream: Stream) -> None:
        """Record the end of a stream, unless the agent has a newer one."""
        if connection.stream is stream:
            connection.stream = None
            connection.detached_ns = self.now_ns()
            reason = connection.leave_reason
            self._log(f"{connection.label} left: {reason}" if reason else f"{connection.label} is away")
            self.changes.notify()

    def on_message(self, connection: AgentConnection, message: FromAgent) -> None:
        """Handle a message from an attached agent."""
        connection.last_heard_ns = self.now_ns()
        kind = message.WhichOneof("message")
        try:
            bound(message)
        except InvalidMessageError as error:
            if self.run_handler:
                self.run_handler.on_invalid_message(connection, message.run_id, str(error))
            return
        match kind:
            case "pong":
                was_synchronized = connection.clock.synchronized
                connection.on_pong(message.pong)
                if connection.clock.synchronized and not was_synchronized:
                    self.changes.notify()
            case "bye":
                connection.leave_reason = message.bye.reason or "the agent gave no reason"
            case "ready" | "refusal" | "snapshot" | "done" if self.run_handler:
                self.run_handler.on_message(connection, message)
            case _:  # a message that a compatible version added, or a second hello
                pass

    async def renew_leases(self) -> None:
        """Ping agents that were sent nothing else lately, until cancelled."""
        while True:
            await asyncio.sleep(_PING_CHECK_S)
            for connection in self.attached:
                connection.ping_if_idle(_PING_AFTER_NS)

    def dismiss_all(self, reason: str) -> None:
        """Ask all attached agents to exit."""
        for connection in self.attached:
            connection.send(ToAgent(dismissal=Dismissal(reason=reason)))
