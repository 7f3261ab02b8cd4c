"""The flags of a run that are about the fleet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from heyfleet.controller import values
from heyfleet.controller.flags import Flag, Value

SECTION = "Fleet"
NAMES = (
    *("agents", "min_agents", "local_agents", "join_timeout_ns", "lost_timeout_ns", "lease_ns", "listen"),
    *("controller", "credentials_folder", "join_files", "per_agent", "quiet", "spool"),
)


def fleet_flags() -> Iterator[click.Option]:
    """All of them; without any, the load is made by this process alone."""
    count, duration = Value("N", values.small_count), Value("DURATION", values.duration)
    yield _flag(
        "--agents",
        "agents",
        count,
        0,
        "Wait here for so many agents on other hosts, and let them make the load.",
    )
    yield _flag("--local-agents", "local_agents", count, 0, "Start so many agents on this host.")
    yield _flag(
        "--controller",
        "controller",
        _text("HOST:PORT"),
        "",
        "Use the agents of a `heyfleet controller` that runs there.",
    )
    yield _flag(
        "--min-agents",
        "min_agents",
        count,
        0,
        "Begin with so many if no more have joined in time. Default: all.",
    )
    yield _flag(
        "--join-timeout",
        "join_timeout_ns",
        duration,
        600_000_000_000,
        "How long to wait for agents. Default 10m.",
    )
    yield _flag(
        "--lost-timeout",
        "lost_timeout_ns",
        duration,
        15_000_000_000,
        "How long to wait at the end for agents that are away. Default 15s.",
    )
    yield _flag(
        "--lease",
        "lease_ns",
        duration,
        10_000_000_000,
        "Agents that hear nothing for so long stop their load. Default 10s.",
    )
    yield _flag("--listen", "listen", _text("HOST:PORT"), "", "Where agents join. Default 0.0.0.0:7700.")
    yield _flag(
        "--credentials",
        "credentials_folder",
        _text("DIR"),
        "",
        "A folder made by `heyfleet ca init`. Default: new ones, for this run only.",
    )
    yield _flag(
        "--join-files", "join_files", _text("DIR"), "", "Where to write ca.pem and join.token for the agents."
    )
    yield Flag(
        ["--per-agent"], is_flag=True, help="A short report of each agent after that of all.", section=SECTION
    )
    yield Flag(["--quiet"], is_flag=True, help="Say nothing while the run goes on.", section=SECTION)
    yield _flag("--spool", "spool", _text("DIR"), "", "Local agents keep what they measured in files there.")


def _text(name: str) -> Value:
    return Value(name, str)


def _flag(flag: str, name: str, kind: Value, default: Any, text: str) -> Flag:
    return Flag([flag, name], type=kind, default=default, help=text, section=SECTION)


def check(given: dict[str, Any]) -> None:
    """Refuse flags that contradict each other."""
    ways = [flag for flag, name in _WAYS if given[name]]
    if given["local_agents"] and len(ways) > 1:
        raise click.UsageError(f"{' and '.join(ways)} exclude each other: where do the agents run?")
    if given["controller"] and given["listen"]:
        raise click.UsageError("--listen: with --controller, agents join that controller, not this command")
    if given["min_agents"] and not given["agents"]:
        raise click.UsageError("--min-agents needs --agents: how many are wanted")
    if given["min_agents"] > given["agents"]:
        raise click.UsageError(f"--min-agents {given['min_agents']} is more than --agents {given['agents']}")
    if not ways:
        for flag, name in (("--per-agent", "per_agent"), ("--listen", "listen"), ("--spool", "spool")):
            if given[name]:
                raise click.UsageError(f"{flag} needs a fleet: --agents, --local-agents or --controller")


_WAYS = (("--agents", "agents"), ("--local-agents", "local_agents"), ("--controller", "controller"))
