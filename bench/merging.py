"""A controller that merges the snapshots of many agents:  python -m bench.merging AGENTS SECONDS

Prints its cost as JSON: CPU time of decoding, merging and statistics, of the whole process, peak memory, and how long
agents waited for their acknowledgements in the first and in the last quarter of the run.
"""

from __future__ import annotations

import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import uvloop

from heyfleet.controller.executors.fleet import background
from heyfleet.controller.fleet import grpc_server
from heyfleet.controller.fleet.coordinator import RunCoordinator
from heyfleet.controller.fleet.registry import AgentRegistry
from heyfleet.controller.fleet.status import run_status, status_interval_s
from heyfleet.controller.security.authority import Authority
from heyfleet.proto.control_pb2 import FromAgent, RunRequest
from heyfleet.proto.plan_pb2 import Plan, Target
from heyfleet.results.ledger import balance

PROCESSES = 4


class Meter:
    """CPU time that one thread spends in chosen functions."""

    def __init__(self) -> None:
        self.ns = 0

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with its CPU time added to this meter."""

        def metered(*arguments: Any) -> Any:
            begin_ns = time.thread_time_ns()
            try:
                return function(*arguments)
            finally:
                self.ns += time.thread_time_ns() - begin_ns

        return metered


def credentials(folder: Path, agents: int) -> tuple[bytes, bytes, bytes]:
    """Write the agents' key files and return the server's credentials."""
    authority = Authority.create()
    (folder / "ca.pem").write_bytes(authority.ca_pem)
    for number in range(agents):
        key, certificate = authority.client("agent", f"sim-{number}", timedelta(hours=1))
        (folder / f"sim-{number}.key").write_bytes(key)
        (folder / f"sim-{number}.pem").write_bytes(certificate)
    return (authority.ca_pem, *authority.server())


async def main(agents: int, seconds: int, folder: Path) -> dict[str, float]:
    """Run the controller with simulated agents and return its cost."""
    meter = Meter()
    registry = AgentRegistry()
    registry.on_message = meter.wrap(registry.on_message)  # type: ignore[method-assign]
    decode = meter.wrap(FromAgent.FromString)
    setattr(grpc_server, "FromAgent", type("FromAgent", (), {"FromString": staticmethod(decode)}))  # noqa: B010
    plan = Plan(
        target=Target(scheme="http", host="nowhere", port=80), connections=agents, duration_ns=seconds * 10**9
    )
    coordinator = registry.run_handler = RunCoordinator(
        registry, RunRequest(plan=plan, agents=agents, join_timeout_ns=120 * 10**9, lost_timeout_ns=10**9)
    )
    server = grpc_server.Server(registry, credentials(folder, agents))
    address = f"127.0.0.1:{await server.start('127.0.0.1:0')}"
    each = agents // PROCESSES
    streams = [
        subprocess.Popen(
            [sys.executable, "-m", "bench.simulated", address, folder, str(first), str(each), str(seconds)],
            stdout=subprocess.PIPE,
        )
        for first in range(0, each * PROCESSES, each)
    ]
    show_status = meter.wrap(lambda: run_status(coordinator))

    async def live() -> None:
        while True:
            show_status()
            await asyncio.sleep(status_interval_s(coordinator))

    start: dict[str, float] = {}

    async def record_start() -> None:
        await registry.changes.until(lambda: coordinator.stage == "running")
        start.update(cpu_s=_cpu_s(), meter_ns=meter.ns, at_s=time.monotonic())

    async with background(registry.renew_leases), background(live), background(record_start):
        measurements = await coordinator.run()
        cpu_s, wall_s = _cpu_s() - start["cpu_s"], time.monotonic() - start["at_s"]
        registry.dismiss_all("over")
        outputs = [(await asyncio.to_thread(stream.communicate))[0] for stream in streams]
    await server.stop()
    assert measurements is not None
    ledger = balance(measurements)
    delays = [tuple(pair) for output in outputs for pair in json.loads(output)]
    quarter = max(seconds // 4, 1)
    return {
        "agents": len(measurements.agents),
        "responses": ledger.responses,
        "faults": len(ledger.faults),
        "merge_cores": (meter.ns - start["meter_ns"]) / 1e9 / wall_s,
        "process_cores": cpu_s / wall_s,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "ack_first_s": statistics.median(delay for sequence, delay in delays if sequence <= quarter),
        "ack_last_s": statistics.median(delay for sequence, delay in delays if sequence > seconds - quarter),
        "ack_worst_s": max(delay for _, delay in delays),
    }


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(uvloop.run(main(int(sys.argv[1]), int(sys.argv[2]), Path(folder)))))
