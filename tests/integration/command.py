"""Run `heyfleet` as a user does, in its own process."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """Exit code and output of a command."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def report(self) -> dict[str, Any]:
        """The JSON document of a run with --json, after a check that its ledger adds up."""
        document: dict[str, Any] = json.loads(self.stdout)
        ledger = document["ledger"]
        assert ledger["faults"] == []
        assert ledger["planned"] == ledger["sent"] + ledger["unsent"]
        assert ledger["sent"] == ledger["responses"] + ledger["errors"] + ledger["abandoned"]
        assert ledger["responses"] == sum(document["statuses"].values())
        assert ledger["errors"] == sum(document["errors"].values())
        if document["latency"]:
            assert document["latency"]["count"] == ledger["responses"]
            assert sum(bar["count"] for bar in document["latency_histogram"]) == ledger["responses"]
        return document


def heyfleet(*arguments: str, timeout_s: float = 60) -> Outcome:
    """Run `heyfleet ARGUMENTS` until it ends."""
    command = [sys.executable, "-m", "heyfleet", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout_s)
    assert "Traceback" not in run.stderr, run.stderr
    return Outcome(run.returncode, run.stdout, run.stderr)


def measure(*arguments: str) -> dict[str, Any]:
    """Run `heyfleet run` with --json, assert that it succeeds, and return its report."""
    outcome = heyfleet("run", "--json", *arguments)
    assert outcome.exit_code == 0, outcome.stderr
    return outcome.report
