"""Cost of a fleet: merging, streaming and starting."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.peers import HEYFLEET
from bench.target import Nginx
from heyfleet.agent.runner import Runner
from heyfleet.agent.spool import read_records
from heyfleet.controller.fleet.coordinator import RunCoordinator
from heyfleet.controller.fleet.grpc_server import Server
from heyfleet.controller.fleet.registry import AgentRegistry
from heyfleet.plan.build import make_plan, whole_plan
from heyfleet.plan.options import RunOptions
from heyfleet.proto.control_pb2 import RunRequest
from heyfleet.proto.plan_pb2 import Plan
from heyfleet.proto.stats_pb2 import Ready

SIMULATED_AGENTS = 1000
MERGING_S = 60
CONNECTIONS = 64


def merging(agents: int = SIMULATED_AGENTS, seconds: int = MERGING_S) -> dict[str, float]:
    """Measure a controller with this many agents (bench/merging.py)."""
    command = [sys.executable, "-m", "bench.merging", str(agents), str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"the merging controller failed: {done.stderr.strip()[-500:]}")
    costs: dict[str, float] = json.loads(done.stdout)
    if costs["agents"] != agents or costs["faults"]:
        raise BenchError(f"the merging controller did not merge every snapshot: {costs}")
    return costs


def plan_of(url: str, seconds: float) -> Plan:
    """Return the plan of a closed loop on one thread."""
    flags = RunOptions(
        url=url, user_agent="bench", connections=CONNECTIONS, duration_ns=int(seconds * 1e9), workers=1
    )
    return make_plan(flags)


def requests_per_cpu_s(nginx: Nginx, seconds: float, core: int, *, streaming: bool) -> float:
    """Measure an agent's requests per CPU-second, streaming to a controller or alone."""
    code = (
        f"import bench.fleet as f; f.{'streams' if streaming else 'alone'}({nginx.url!r}, {seconds}, {core})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"the agent failed: {done.stderr.strip()[-500:]}")
    rate: float = json.loads(done.stdout)
    return rate


def alone(url: str, seconds: float, core: int) -> None:
    """Run an agent whose snapshots are discarded, and print its requests per CPU-second."""
    os.sched_setaffinity(0, {core})
    agent = Runner()
    if not isinstance(answer := agent.prepare(whole_plan(plan_of(url, seconds))), Ready):
        raise BenchError(answer.reason)
    before = resource.getrusage(resource.RUSAGE_SELF)
    agent.start()
    sent = sum(snapshot.sent for snapshot in agent.snapshots())
    after = resource.getrusage(resource.RUSAGE_SELF)
    print(sent / (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime))


def streams(url: str, seconds: float, core: int) -> None:
    """Run an agent process that streams to a controller in this process, and print its requests per CPU-second."""
    with tempfile.TemporaryDirectory() as folder:
        print(asyncio.run(_streams(plan_of(url, seconds), core, Path(folder))))


async def _streams(plan: Plan, core: int, folder: Path) -> float:
    registry = AgentRegistry()
    coordinator = registry.run_handler = RunCoordinator(
        registry, RunRequest(plan=plan, agents=1, join_timeout_ns=20 * 10**9)
    )
    server = Server(registry, None)
    await server.start(f"unix:{folder}/socket")
    flags = ("--join", f"unix:{folder}/socket", "--spool", str(folder), "--quiet")
    agent = subprocess.Popen(["taskset", "-c", str(core), *HEYFLEET, "agent", *flags])
    try:
        run = asyncio.ensure_future(coordinator.run())
        await registry.changes.until(lambda: coordinator.stage == "running")
        before_s = _cpu_s(agent.pid)
        measurements = await run
        used_s = _cpu_s(agent.pid) - before_s
        registry.dismiss_all("over")
        await registry.changes.until(lambda: not registry.attached, 2)
    finally:
        await server.stop()
        agent.terminate()
        agent.wait(10)
    if measurements is None:
        raise BenchError("the run was stopped")
    return measurements.stats.counters["sent"] / used_s


def _cpu_s(pid: int) -> float:
    """Read the user and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start_skew(url: str) -> tuple[float, float]:
    """Start 4 agents on this host: the reported bound of the start skew, and its distance from the truth, in ms."""
    with tempfile.TemporaryDirectory() as folder:
        flags = ("--local-agents", "4", "-z", "1s", "-c", "8", "--json", "--quiet", "--spool", folder)
        done = subprocess.run([*HEYFLEET, "run", *flags, url], capture_output=True, text=True, check=True)
        start: dict[str, Any] = json.loads(done.stdout)["fleet"]["start_skew"]
        starts = [
            (record.snapshot.first_worker_ns, record.snapshot.last_worker_ns)
            for path in Path(folder).glob("*.records")
            for record in read_records(path)
            if record.HasField("snapshot")
        ]
    true_ns = max(last for _, last in starts) - min(first for first, _ in starts)
    return start["max_skew_ns"] / 1e6, (start["max_skew_ns"] - true_ns) / 1e6


def time_to_first_request() -> float:
    """Measure the seconds from the start of `heyfleet run --local-agents 4` to the first byte of a request."""
    first: list[float] = []

    def answer(connection: socket.socket) -> None:
        with connection:
            while connection.recv(65536):
                first.append(time.monotonic())
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        flags = ("--local-agents", "4", "-n", "4", "-c", "4", "--quiet")
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        begin = time.monotonic()
        subprocess.run([*HEYFLEET, "run", *flags, url], capture_output=True, check=True)
    return min(first) - begin
