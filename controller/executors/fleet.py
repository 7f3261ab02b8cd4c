"""Runs on a fleet whose agents join this command, from other hosts or from this one."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager
from pathlib import Path

import uvloop

from heyfleet.controller.executors.base import Deployment
from heyfleet.controller.executors.run_request import run_request
from heyfleet.controller.fleet import enrollment
from heyfleet.controller.fleet.coordinator import RunCoordinator
from heyfleet.controller.fleet.grpc_server import Server
from heyfleet.controller.fleet.local_agents import LocalAgents, workers_per_agent
from heyfleet.controller.fleet.registry import AgentRegistry
from heyfleet.controller.fleet.status import run_status, status_interval_s
from heyfleet.controller.live import Live
from heyfleet.controller.signals import Interrupted, Interrupts
from heyfleet.errors import CannotStartError
from heyfleet.plan.sections.fleet import FleetOptions
from heyfleet.proto.plan_pb2 import Plan
from heyfleet.results.intervals import IntervalSink, ignore
from heyfleet.results.measurements import Measurements

_DISMISSAL_TIMEOUT_S = 2.0


class FleetExecutor:
    """Carries out a plan on agents that join this command, perhaps brought up by a deployment."""

    def __init__(self, options: FleetOptions, deployment: Deployment | None = None) -> None:
        self._options = options
        self._deployment = deployment

    def execute(self, plan: Plan, interrupts: Interrupts, on_interval: IntervalSink = ignore) -> Measurements:
        """See base.Executor."""
        if self._options.local_agents and not plan.workers:
            plan.workers = workers_per_agent(self._options.local_agents)
        live = Live(quiet=self._options.quiet)
        try:
            run = self._run_local if self._options.local_agents else self._run_remote
            measurements = uvloop.run(run(plan, interrupts, live, on_interval))
        finally:
            live.close()
        if measurements is None:
            raise Interrupted
        return measurements

    async def _run_local(
        self, plan: Plan, interrupts: Interrupts, live: Live, on_interval: IntervalSink
    ) -> Measurements | None:
        registry = AgentRegistry(self._options.lease_ns)
        async with LocalAgents(self._options.local_agents, self._options.spool) as agents:
            coordinator = RunCoordinator(
                registry,
                run_request(self._options, plan),
                exit_reason=agents.exit_reason,
                absent=agents.absent,
                on_interval=on_interval,
            )
            with _stopping(coordinator, interrupts):
                await agents.start()
                async with Server(registry, None) as server:
                    await server.start(agents.address)
                    return await _coordinate(coordinator, live)

    async def _run_remote(
        self, plan: Plan, interrupts: Interrupts, live: Live, on_interval: IntervalSink
    ) -> Measurements | None:
        options, deployment = self._options, self._deployment
        registry = AgentRegistry(options.lease_ns, live.log)
        coordinator = RunCoordinator(
            registry,
            run_request(options, plan),
            absent=deployment.absent_agents if deployment else list,
            on_interval=on_interval,
        )
        credentials = enrollment.load_credentials(options.credentials_folder)
        key, certificate = credentials.authority.server()
        server = Server(
            registry,
            (credentials.authority.ca_pem, key, certificate),
            join=enrollment.Enrollment(credentials, registry).join,
        )
        is_loopback = deployment is not None and deployment.loopback and not options.listen
        host, port = ("127.0.0.1", 0) if is_loopback else enrollment.parse_listen_address(options.listen)
        valid_s = options.join_timeout_ns / 1e9
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(_stopping(coordinator, interrupts))
            await stack.enter_async_context(server)
            port = await server.start(enrollment.format_address(host, port))
            if deployment is not None:
                _, token = credentials.tokens.issue(credentials.authority, options.agents, valid_s)
                deployment.start(port, credentials.authority.ca_pem, token.encode(), live.log)
            else:
                folder = options.join_files or stack.enter_context(
                    tempfile.TemporaryDirectory(prefix="heyfleet-join-")
                )
                credentials.write_join_files(Path(folder), uses=options.agents, valid_s=valid_s)
                for line in enrollment.join_instructions(host, port, folder, options.agents):
                    live.log(line)
            return await _coordinate(coordinator, live, deployment)


def _stopping(coordinator: RunCoordinator, interrupts: Interrupts) -> AbstractContextManager[None]:
    """Let a signal stop the run, also before it begins: an exception would leave gRPC half started."""
    loop = asyncio.get_running_loop()
    return interrupts.stop_with(lambda: loop.call_soon_threadsafe(coordinator.stop))


async def _coordinate(
    coordinator: RunCoordinator,
    live: Live,
    deployment: Deployment | None = None,
) -> Measurements | None:
    """Carry out a run, then dismiss the agents."""
    registry = coordinator.registry
    registry.run_handler = coordinator
    async with background(registry.renew_leases), background(lambda: _show(coordinator, live, deployment)):
        try:
            measurements = await coordinator.run()
            coordinator.release()
            return measurements
        except CannotStartError as error:
            pending = deployment.pending_agents() if deployment else []
            raise CannotStartError("; ".join([error.cause, *pending]), error.cure) from None
        finally:
            registry.dismiss_all("the run is over")
            await registry.changes.until(lambda: not registry.attached, _DISMISSAL_TIMEOUT_S)


async def _show(coordinator: RunCoordinator, live: Live, deployment: Deployment | None) -> None:
    while True:
        live.show(run_status(coordinator))
        if coordinator.collector.agent_runs and deployment is not None:
            deployment.stop_watching()
        # Nothing reports that an agent will never join; the coordinator must look for it now and then.
        coordinator.registry.changes.notify()
        await asyncio.sleep(status_interval_s(coordinator))


@contextlib.asynccontextmanager
async def background(work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run a coroutine beside the body of the context, and cancel it at the end."""
    task = asyncio.ensure_future(work())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
