"""Fleets as the flags of `heyfleet run` and `heyfleet fleet` describe them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from heyfleet.controller import terminal

if TYPE_CHECKING:
    from heyfleet.deploy.fleet_spec import FleetSpec
    from heyfleet.deploy.lifecycle.run_fleet import RunFleet


def fleet_for_run(given: dict[str, Any], agents: int) -> RunFleet:
    """Return the fleet that the flags of `heyfleet run` describe; nothing is launched yet. Raises SettingError."""
    from heyfleet.deploy.fleet_spec import asked
    from heyfleet.deploy.lifecycle.run_fleet import RunFleet
    from heyfleet.deploy.settings import SettingError

    found = asked(
        given["fleet_file"],
        given["with_"],
        on=given["on"],
        hosts=given["hosts"],
        agents=agents,
        join=given["join"],
        for_=given["for_"],
    )
    if not found.agents:
        raise SettingError(f"--agents: how many? Or `agents:` in the fleet file; --on {found.on} can't tell")
    if not found.join and not found.engine.tunnels:
        raise SettingError(
            f"--join HOST:PORT is missing: where agents of --on {found.on} reach this command, as seen from there"
        )
    return RunFleet(
        found.engine,
        name=found.name,
        agents=found.agents,
        join=found.join,
        lifetime_s=found.lifetime_s,
        keep=given["keep"],
        remedy=remedy(given),
        complain=terminal.complain,
    )


def remedy(given: dict[str, Any]) -> str:
    """Return the `heyfleet fleet down` command that removes the fleet of these flags, without its --name."""
    words = ["heyfleet fleet down"]
    for flag, name in (("--on", "on"), ("--hosts", "hosts"), ("--fleet-file", "fleet_file")):
        if given[name]:
            words.append(f"{flag} {given[name]}")
    words += [f"--with {pair}" for pair in given["with_"]]
    return " ".join(words)


def described(given: dict[str, Any]) -> FleetSpec:
    """Merge the flags of `heyfleet fleet` and its fleet file into a FleetSpec; flags win. Raises SettingError."""
    from heyfleet.deploy.fleet_spec import asked

    return asked(
        given["fleet_file"],
        given["with_"],
        on=given["on"],
        hosts=given["hosts"],
        name=given["name"],
        agents=given.get("count", 0),
        join=given.get("join", ""),
        for_=given.get("for_", ""),
    )
