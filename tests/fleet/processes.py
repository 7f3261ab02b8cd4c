"""A fleet of real processes with mutual TLS on loopback, and the results that its agents keep, to compare reports with."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from heyfleet.agent.spool import read_records
from heyfleet.results.stats import Stats

HEYFLEET = [sys.executable, "-m", "heyfleet"]


class Process:
    """A `heyfleet` process whose output is read while it runs."""

    def __init__(self, *arguments: str, prefix: tuple[str, ...] = ()) -> None:
        self.process = subprocess.Popen(
            [*prefix, *HEYFLEET, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.lines: list[str] = []
        self._stdout_lines: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stderr, self.lines), daemon=True),
            threading.Thread(target=self._read, args=(self.process.stdout, self._stdout_lines), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(stream: Any, into: list[str]) -> None:
        for line in stream:
            into.append(line.rstrip("\n"))

    @property
    def stderr(self) -> str:
        """Everything on stderr so far."""
        return "\n".join(self.lines)

    def wait_for(self, pattern: str, timeout_s: float = 30) -> re.Match[str]:
        """Wait until a pattern appears on stderr."""
        deadline = time.monotonic() + timeout_s
        while not (found := re.search(pattern, self.stderr)):
            assert time.monotonic() < deadline, f"no {pattern!r} in: {self.stderr}"
            assert self.process.poll() is None or self._is_draining(), (
                f"ended without {pattern!r}: {self.stderr}"
            )
            time.sleep(0.02)
        return found

    def _is_draining(self) -> bool:
        return any(reader.is_alive() for reader in self._readers)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def end(self, timeout_s: float = 60) -> int:
        """Wait for the end and return the exit code."""
        code = self.process.wait(timeout_s)
        for reader in self._readers:
            reader.join(10)
        assert "Traceback" not in self.stderr, self.stderr
        return code

    @property
    def stdout(self) -> str:
        """Everything on stdout, after the end."""
        return "\n".join(self._stdout_lines)

    @property
    def report(self) -> dict[str, Any]:
        """The JSON report, after the end."""
        document: dict[str, Any] = json.loads(self.stdout)
        return document

    def kill(self) -> None:
        """Kill the process if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        for reader in self._readers:
            reader.join(10)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


@dataclass
class Fleet:
    """The processes of one test, with one folder."""

    folder: Path
    processes: list[Process] = field(default_factory=list)
    port: int = 0

    def start(self, *arguments: str, prefix: tuple[str, ...] = ()) -> Process:
        """Start any command of heyfleet."""
        self.processes.append(Process(*arguments, prefix=prefix))
        return self.processes[-1]

    def run(self, agents: int, *arguments: str, listen: str = "127.0.0.1:0") -> Process:
        """Start a run that waits for agents, and wait until its port is known."""
        files = str(self.folder / "join")
        flags = ("--agents", str(agents), "--listen", listen, "--join-files", files, "--json")
        command = self.start("run", *flags, *arguments)
        self.port = int(command.wait_for(r"on port (\d+)")[1])
        command.wait_for(r"heyfleet agent --join")
        return command

    def agent(
        self, name: str, *arguments: str, host: str = "127.0.0.1", prefix: tuple[str, ...] = ()
    ) -> Process:
        """Start an agent that keeps its results."""
        files = self.folder / "join"
        keep = ("--spool", str(self.folder / f"spool-{name}"), "--keep-results", "--rejoin-timeout", "60s")
        where = (
            "--join",
            f"{host}:{self.port}",
            "--ca",
            f"{files}/ca.pem",
            "--token-file",
            f"{files}/join.token",
        )
        return self.start("agent", *where, "--name", name, *keep, *arguments, prefix=prefix)

    def agents(self, count: int, *arguments: str) -> list[Process]:
        """Start several agents."""
        return [self.agent(f"a{number}", *arguments) for number in range(1, count + 1)]

    def until_delivering(self, pattern: str, count: int, snapshots: int = 1) -> None:
        """Wait until so many agents, whose spool folders match a pattern, have kept so many snapshots each."""

        def delivering() -> bool:
            paths = self.folder.glob(f"{pattern}/*.records")
            kept = [sum(record.HasField("snapshot") for record in read_records(path)) for path in paths]
            return sum(number >= snapshots for number in kept) == count

        until(delivering)

    def archives(self, run_id: str = "") -> Archives:
        """Return the results that agents have kept, of one run or of all."""
        return Archives(sorted(self.folder.glob(f"spool-*/{run_id}*.records")))

    def delivered_archives(self, report: dict[str, Any]) -> Archives:
        """Return the results that agents have kept, without what lost agents had not sent."""
        agents = report["fleet"]["agents"]
        lost = {agent["agent"]: agent["responses"] for agent in agents if agent["state"] == "lost"}
        return Archives(self.archives().paths, lost)

    def stop(self) -> None:
        """Kill the processes that still run."""
        for process in self.processes:
            process.kill()


class Archives:
    """Spool files, summed up independently of the controller.

    `delivered_responses` of an agent that was killed leaves out a snapshot that it had kept and not yet sent.
    """

    def __init__(
        self, paths: list[Path], delivered_responses: Mapping[str, int] = MappingProxyType({})
    ) -> None:
        self.paths = paths
        self.stats = Stats()
        self.counts: Counter[str] = Counter()
        self.dones = 0
        for path in paths:
            records = list(read_records(path))
            snapshots = [record.snapshot for record in records if record.HasField("snapshot")]
            self.dones += sum(record.HasField("done") for record in records)
            agent = path.name.partition(".")[2].removesuffix(".records")
            responses = sum(sum(snapshot.responses.values()) for snapshot in snapshots)
            if responses > delivered_responses.get(agent, responses):
                snapshots.pop()
            for snapshot in snapshots:
                self.counts.update(sent=snapshot.sent, responses=sum(snapshot.responses.values()))
                self.counts.update(errors=sum(snapshot.errors.values()))
                assert self.stats.add(snapshot)

    def check(self, report: dict[str, Any]) -> None:
        """Check that a report is the union of the agents' results: every count and every percentile."""
        ledger = report["ledger"]
        assert self.paths
        assert {name: ledger[name] for name in ("sent", "responses", "errors")} == {
            name: self.counts[name] for name in ("sent", "responses", "errors")
        }
        assert report["statuses"] == {
            str(code): count for code, count in sorted(self.stats.responses.items())
        }
        latency = self.stats.histogram("latency")
        assert latency is not None
        found = report["latency"]
        assert (found["count"], found["fastest_ns"], found["slowest_ns"]) == (
            latency.count,
            latency.min_ns,
            latency.max_ns,
        )
        for row in found["percentiles"]:
            assert row["value_ns"] == latency.value_at_percentile(row["percent"]), row


def adds_up(report: dict[str, Any]) -> None:
    """Check the ledger's two equations."""
    ledger = report["ledger"]
    assert ledger["faults"] == []
    assert ledger["planned"] == ledger["sent"] + ledger["unsent"] + ledger["missing"]
    assert ledger["sent"] == ledger["responses"] + ledger["errors"] + ledger["abandoned"] + ledger["lost"]
    assert sum(bar["count"] for bar in report["latency_histogram"]) == ledger["responses"]


def until(predicate: Callable[[], bool], timeout_s: float = 30) -> None:
    """Wait until a predicate is true."""
    deadline = time.monotonic() + timeout_s
    while not predicate():
        assert time.monotonic() < deadline
        time.sleep(0.02)
