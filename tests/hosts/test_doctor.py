"""Settings of a real kernel, tuned and restored in a network namespace."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .hosts import Hosts, hosts

pytestmark = pytest.mark.hosts


def doctor(host: Hosts, state: Path, *flags: str) -> dict[str, Any]:
    command = [*host.enter(1), "env", f"XDG_STATE_HOME={state}", sys.executable, "-m", "heyfleet", "doctor"]
    run = subprocess.run([*command, "--json", *flags], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    made: dict[str, Any] = json.loads(run.stdout)
    return made


def ports(found: dict[str, Any]) -> str:
    return next(str(check["value"]) for check in found["checks"] if check["name"] == "local ports")


def settings(found: dict[str, Any]) -> dict[str, str]:
    wanted = ("local ports", "net.ipv4.")
    return {check["name"]: check["value"] for check in found["checks"] if check["name"].startswith(wanted)}


def test_settings_are_tuned_and_restored(tmp_path: Path) -> None:
    with hosts(1) as host:
        before = doctor(host, tmp_path)
        tuned = doctor(host, tmp_path, "--tune")
        assert ports(tuned) == "1024 to 65535"
        assert tuned["capacity"]["quickly"] > before["capacity"]["quickly"]
        assert settings(doctor(host, tmp_path, "--restore")) == settings(before) != settings(tuned)
    assert ports(doctor_here()) == ports(before)  # this host is unchanged


def doctor_here() -> dict[str, Any]:
    run = subprocess.run(
        [sys.executable, "-m", "heyfleet", "doctor", "--json"], capture_output=True, text=True, check=True
    )
    made: dict[str, Any] = json.loads(run.stdout)
    return made
