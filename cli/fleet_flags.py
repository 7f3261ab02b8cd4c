"""The flags of a run that are about the fleet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from heyfleet.cli.go_flags import Flag, Value
from heyfleet.plan import values

SECTION = "Fleet"
NAMES = (
    *("agents", "min_agents", "local_agents", "join_timeout_ns", "lost_timeout_ns", "lease_ns", "listen"),
    *("controller", "credentials_folder", "join_files", "per_agent", "quiet", "spool"),
)
DEPLOY_NAMES = ("on", "hosts", "with_", "fleet_file", "join", "for_", "keep", "dry_run")


_COUNT, _DURATION = Value("N", values.small_count), Value("DURATION", values.duration)
_DURATION_TEXT = Value("DURATION", str)
_ADDRESS, _FOLDER = Value("HOST:PORT", str), Value("DIR", str)
_S = 1_000_000_000

# flag, name of its value, type, default, help
_FLAGS: tuple[tuple[str, str, Value, Any, str], ...] = (
    (
        "--agents",
        "agents",
        _COUNT,
        0,
        "Let so many agents on other hosts make the load; wait here for them to join.",
    ),
    ("--local-agents", "local_agents", _COUNT, 0, "Let so many agents make it, started on this host."),
    ("--controller", "controller", _ADDRESS, "", "Use agents of a `heyfleet controller` that runs there."),
    (
        "--min-agents",
        "min_agents",
        _COUNT,
        0,
        "Begin with so many if no more have joined in time. Default: all.",
    ),
    ("--join-timeout", "join_timeout_ns", _DURATION, 600 * _S, "How long to wait for agents. Default 10m."),
    (
        "--lost-timeout",
        "lost_timeout_ns",
        _DURATION,
        15 * _S,
        "How long to wait, at the end, for lost ones. Default 15s.",
    ),
    (
        "--lease",
        "lease_ns",
        _DURATION,
        10 * _S,
        "Agents that hear nothing for so long stop their load. Default 10s.",
    ),
    ("--listen", "listen", _ADDRESS, "", "Where agents join. Default 0.0.0.0:7700."),
    (
        "--credentials",
        "credentials_folder",
        _FOLDER,
        "",
        "Made by `heyfleet ca init`. Default: new ones for this run.",
    ),
    ("--join-files", "join_files", _FOLDER, "", "Where to write the ca.pem and join.token that agents need."),
    ("--spool", "spool", _FOLDER, "", "Local agents keep what they measured in files there."),
    (
        "--on",
        "on",
        Value("ENGINE", str),
        "",
        "Bring --agents up for this run, and remove them after it: local, ssh, ec2, asg, ecs or k8s.",
    ),
    (
        "--hosts",
        "hosts",
        Value("HOSTS", str),
        "",
        "For --on ssh: names with commas between, or a file of them.",
    ),
    (
        "--fleet-file",
        "fleet_file",
        Value("FILE", str),
        "",
        "`on`, `agents` and whatever else describes the fleet, as YAML.",
    ),
    (
        "--join",
        "join",
        _ADDRESS,
        "",
        "Where agents of --on reach this command. Default: a tunnel, where there is ssh.",
    ),
    ("--for", "for_", _DURATION_TEXT, "", "Agents of --on end after so long, whatever happens. Default 2h."),
)


def fleet_flags() -> Iterator[click.Option]:
    """All of them; without any, the load is made by this process alone."""
    for flag, name, kind, default, text in _FLAGS:
        yield Flag([flag, name], type=kind, default=default, help=text, section=SECTION)
    yield Flag(
        ["--per-agent"], is_flag=True, help="A short report of each agent after that of all.", section=SECTION
    )
    yield Flag(["--quiet"], is_flag=True, help="Say nothing while the run goes on.", section=SECTION)
    yield Flag(
        ["--with", "with_"],
        multiple=True,
        metavar="NAME=VALUE",
        help="A setting of --on, like python=python3.12. May be repeated.",
        section=SECTION,
    )
    yield Flag(["--keep"], is_flag=True, help="Leave the agents' hosts of --on there.", section=SECTION)
    yield Flag(
        ["--dry-run"],
        is_flag=True,
        help="Say what --on would make, need and cost, and do nothing.",
        section=SECTION,
    )


def deployed(given: dict[str, Any]) -> bool:
    """Whether the run brings its agents up itself."""
    return bool(given["on"] or given["fleet_file"])


def check(given: dict[str, Any]) -> None:
    """Refuse flags that contradict each other."""
    ways = [flag for flag, name in _WAYS if given[name]]
    if deployed(given):
        _check_deployed(given)
        return
    for name in DEPLOY_NAMES:
        if given[name]:
            raise click.UsageError(
                f"--{name.rstrip('_').replace('_', '-')} needs --on or --fleet-file: it is about agents "
                "that are brought up for this run"
            )
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


def _check_deployed(given: dict[str, Any]) -> None:
    for flag, name in (
        ("--local-agents", "local_agents"),
        ("--controller", "controller"),
        ("--spool", "spool"),
    ):
        if given[name]:
            raise click.UsageError(
                f"{flag} goes without --on and --fleet-file: they say where the agents come from"
            )
    if given["join_files"]:
        raise click.UsageError("--join-files goes without --on: what agents need is brought to them")


_WAYS = (("--agents", "agents"), ("--local-agents", "local_agents"), ("--controller", "controller"))
