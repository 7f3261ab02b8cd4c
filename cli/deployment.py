"""Build deployments from command-line flags, for `heyfleet run --on` and `heyfleet fleet`."""

from __future__ import annotations

import shlex
from typing import Any

from heyfleet import console
from heyfleet.deploy.fleet_spec import FleetSpec, read_fleet_spec
from heyfleet.deploy.lifecycle.run_fleet import RunFleet
from heyfleet.deploy.settings import SettingError


def fleet_spec(flags: dict[str, Any]) -> FleetSpec:
    """Return the fleet that the flags and the fleet file describe. Raises SettingError."""
    return read_fleet_spec(
        flags["fleet_file"],
        flags["with_"],
        on=flags["on"],
        hosts=flags["hosts"],
        name=flags.get("name", ""),
        agents=flags.get("count", 0),
        join=flags.get("join", ""),
        for_=flags.get("for_", ""),
    )


def fleet_for_run(flags: dict[str, Any], agents: int) -> RunFleet:
    """Return the fleet that the flags of `heyfleet run` describe. Nothing is launched yet. Raises SettingError."""
    spec = fleet_spec({**flags, "count": agents})
    if not spec.agents:
        raise SettingError(
            f"--on {spec.on} needs a number of agents", "use --agents N, or write `agents:` in the fleet file"
        )
    if not spec.join and not spec.provider.tunnels:
        raise SettingError(
            f"--on {spec.on} needs --join HOST:PORT",
            "name the address at which its agents reach this command",
        )
    return RunFleet(
        spec,
        keep=flags["keep"],
        removal_command=removal_command(flags),
        log_warning=console.error,
    )


def removal_command(flags: dict[str, Any]) -> str:
    """Return the command that removes a fleet described by these flags, up to its --name."""
    words = ["heyfleet fleet down"]
    for flag, name in (("--on", "on"), ("--hosts", "hosts"), ("--fleet-file", "fleet_file")):
        if flags[name]:
            words.append(f"{flag} {shlex.quote(flags[name])}")
    words += [f"--with {shlex.quote(pair)}" for pair in flags["with_"]]
    return " ".join(words)
