"""Deploy and the controller put together: fleets for one run, and `heyfleet fleet`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from heyfleet.controller import terminal

if TYPE_CHECKING:
    from heyfleet.deploy.for_run import RunFleet


def fleet_for_run(given: dict[str, Any], agents: int) -> RunFleet:
    """The fleet that the flags of `heyfleet run` ask for, and its fleet file. Nothing is made yet."""
    from heyfleet.deploy.asked import asked
    from heyfleet.deploy.for_run import RunFleet
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
        remedy=_remedy(given),
        complain=terminal.complain,
    )


def _remedy(given: dict[str, Any]) -> str:
    """The command that removes a run's fleet when the run could not, but for its name, which is added."""
    words = ["heyfleet fleet down"]
    for flag, name in (("--on", "on"), ("--hosts", "hosts"), ("--fleet-file", "fleet_file")):
        if given[name]:
            words.append(f"{flag} {given[name]}")
    words += [f"--with {pair}" for pair in given["with_"]]
    return " ".join(words)
