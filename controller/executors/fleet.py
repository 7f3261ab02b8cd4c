"""Runs on a fleet: agents that join this very command, from other hosts or from this one."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from heyfleet.controller.executors.deployment import Deployment
from heyfleet.controller.executors.options import run_request
from heyfleet.controller.fleet import enrollment as joining
from heyfleet.controller.fleet.coordinator import CannotStartError, RunCoordinator
from heyfleet.controller.fleet.grpc_server import Server
from heyfleet.controller.fleet.local_agents import LocalAgents, workers_each
from heyfleet.controller.fleet.registry import AgentRegistry
from heyfleet.controller.fleet.status import interval_s, view
from heyfleet.controller.live import Live
from heyfleet.controller.signals import Interrupted, Interrupts
from heyfleet.errors import InputError
from heyfleet.plan.sections.fleet import FleetOptions
from heyfleet.proto.plan_pb2 import Plan
from heyfleet.results.intervals import IntervalSink, ignore
from heyfleet.results.measurements import Measurements

_GOODBYE_S = 2.0


class FleetExecutor:
    """Executes a plan on agents that join this command."""

    def __init__(self, options: FleetOptions, deployment: Deployment | None = None) -> None:
        self._options = options
        self._deployment = deployment

    def execute(self, plan: Plan, interrupts: Interrupts, take: IntervalSink = ignore) -> Measurements:
        """The whole run; InputError if it can't begin, Interrupted if it was ended before it began."""
        if self._options.local_agents and not plan.workers:
            plan.workers = workers_each(self._options.local_agents)
        live = Live(quiet=self._options.quiet)
        try:
            run = self._on_this_host if self._options.local_agents else self._on_others
            measured = uvloop.run(run(plan, interrupts, live, take))
        except (CannotStartError, OSError) as error:
            raise InputError(str(error)) from None
        finally:
            live.close()
        if measured is None:
            raise Interrupted
        return measured

    async def _on_this_host(
        self, plan: Plan, interrupts: Interrupts, live: Live, take: IntervalSink
    ) -> Measurements | None:
        fleet = AgentRegistry(self._options.lease_ns)
        async with LocalAgents(self._options.local_agents, self._options.spool) as agents:
            conductor = RunCoordinator(
                fleet, run_request(self._options, plan), died=agents.died, absent=agents.absent, take=take
            )
            await agents.start()
            server = Server(fleet, None)
            await server.start(agents.address)
            return await _conducted(conductor, server, interrupts, live)

    async def _on_others(
        self, plan: Plan, interrupts: Interrupts, live: Live, take: IntervalSink
    ) -> Measurements | None:
        options, deployment = self._options, self._deployment
        fleet = AgentRegistry(options.lease_ns, say=live.say)
        conductor = RunCoordinator(
            fleet, run_request(options, plan), absent=deployment.absent if deployment else list, take=take
        )
        with contextlib.ExitStack() as stack:
            credentials = joining.credentials(options.credentials_folder)
            key, certificate = credentials.authority.server()
            server = Server(
                fleet,
                (credentials.authority.ca_pem, key, certificate),
                join=joining.Enrollment(credentials, fleet).join,
            )
            alone = deployment is not None and deployment.loopback and not options.listen
            host, port = ("127.0.0.1", 0) if alone else joining.listen_address(options.listen)
            port = await server.start(joining.join_address(host, port))
            if deployment is not None:
                valid_s = options.join_timeout_ns / 1e9
                _, token = credentials.tokens.issue(credentials.authority, options.agents, valid_s)
                deployment.start(port, credentials.authority.ca_pem, token.encode(), live.say)
                return await _conducted(conductor, server, interrupts, live, deployment)
            folder = options.join_files or stack.enter_context(
                tempfile.TemporaryDirectory(prefix="heyfleet-join-")
            )
            credentials.write_join_files(
                Path(folder), uses=options.agents, valid_s=options.join_timeout_ns / 1e9
            )
            for line in joining.how_to_join(host, port, folder, options.agents):
                live.say(line)
            return await _conducted(conductor, server, interrupts, live)


async def _conducted(
    conductor: RunCoordinator,
    server: Server,
    interrupts: Interrupts,
    live: Live,
    deployment: Deployment | None = None,
) -> Measurements | None:
    """A run on a server that listens, to its end and to the agents' leaving."""
    loop = asyncio.get_running_loop()
    interrupts.running(lambda: loop.call_soon_threadsafe(conductor.stop))
    fleet = conductor.fleet
    fleet.receiver = conductor
    async with background(fleet.beat), background(lambda: _show(conductor, live, deployment)):
        try:
            measured = await conductor.conduct()
            conductor.release()
            return measured
        except CannotStartError as error:
            awaited = deployment.awaited() if deployment else []
            raise CannotStartError("; ".join([str(error), *awaited])) from None
        finally:
            fleet.dismiss("the run is over")
            await fleet.changes.until(lambda: not fleet.attached, _GOODBYE_S)
            await server.stop()


async def _show(conductor: RunCoordinator, live: Live, deployment: Deployment | None) -> None:
    while True:
        live.show(view(conductor))
        if conductor.gathering.parts and deployment is not None:
            deployment.joined()
        conductor.fleet.changes.notify()  # what becomes of agents that have not joined is not told, but asked for
        await asyncio.sleep(interval_s(conductor))


@contextlib.asynccontextmanager
async def background(work: Callable[[], Awaitable[None]]):  # type: ignore[no-untyped-def]
    """A context in which something goes on beside."""
    task = asyncio.ensure_future(work())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
