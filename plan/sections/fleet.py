"""Options that say which agents make the load, and how agents are launched for one run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from heyfleet.durations import parse_duration_ns
from heyfleet.plan.option_types import list_option, option, switch
from heyfleet.plan.values import parse_agents, parse_lease_ns, parse_local_agents

_SECOND_NS = 1_000_000_000


def _check_duration(text: str) -> str:
    parse_duration_ns(text)
    return text


@dataclass(frozen=True, kw_only=True)
class FleetOptions:
    """The agents of a run; without any of these options the run is made by this process alone."""

    title: ClassVar[str] = "Fleet"

    agents: int = option(
        "--agents",
        parse=parse_agents,
        default=0,
        metavar="N",
        help="Number of agents that send the load; wait here until they have joined from other hosts.",
    )
    local_agents: int = option(
        "--local-agents",
        parse=parse_local_agents,
        default=0,
        metavar="N",
        help="Number of agents to start on this host to send the load.",
    )
    controller: str = option(
        "--controller",
        parse=str,
        default="",
        metavar="HOST:PORT",
        help="Address of a running `heyfleet controller` whose agents send the load.",
    )
    min_agents: int = option(
        "--min-agents",
        parse=parse_agents,
        default=0,
        default_text="all of --agents",
        metavar="N",
        help="Minimum number of agents that must join.",
    )
    join_timeout_ns: int = option(
        "--join-timeout",
        parse=parse_duration_ns,
        default=600 * _SECOND_NS,
        default_text="10m",
        metavar="DURATION",
        help="How long to wait for agents to join.",
    )
    lost_timeout_ns: int = option(
        "--lost-timeout",
        parse=parse_duration_ns,
        default=15 * _SECOND_NS,
        default_text="15s",
        metavar="DURATION",
        help="How long to wait at the end for agents whose connection was lost.",
    )
    lease_ns: int = option(
        "--lease",
        parse=parse_lease_ns,
        default=10 * _SECOND_NS,
        default_text="10s",
        metavar="DURATION",
        help="How long an agent keeps sending without contact to its controller.",
    )
    listen: str = option(
        "--listen",
        parse=str,
        default="",
        default_text="0.0.0.0:7700",
        metavar="HOST:PORT",
        help="Address to listen on for agents.",
    )
    credentials_folder: str = option(
        "--credentials",
        parse=str,
        default="",
        default_text="new ones for this run",
        metavar="DIR",
        help="Folder with the certificates that `heyfleet ca init` made.",
    )
    join_files: str = option(
        "--join-files",
        parse=str,
        default="",
        metavar="DIR",
        help="Folder to write ca.pem and join.token to, which agents need to join.",
    )
    per_agent: bool = switch("--per-agent", help="Add a short report for each agent.")
    quiet: bool = switch("--quiet", help="Print no progress during the run.")
    spool: str = option(
        "--spool",
        parse=str,
        default="",
        metavar="DIR",
        help="Folder in which local agents keep their results until the controller has them.",
    )


@dataclass(frozen=True, kw_only=True)
class DeploymentOptions:
    """Agents that are launched for this run and removed after it."""

    title: ClassVar[str] = "Launch agents for this run"

    on: str = option(
        "--on",
        parse=str,
        default="",
        metavar="PROVIDER",
        choices=("local", "ssh", "ec2", "asg", "ecs", "k8s"),
        help="Launch --agents on this provider for the run and remove them after it: local, ssh, ec2, asg, ecs or k8s.",
    )
    hosts: str = option(
        "--hosts",
        parse=str,
        default="",
        metavar="HOSTS",
        help="Hosts of --on ssh, joined by commas, or a file with one host a line.",
    )
    with_: tuple[str, ...] = list_option(
        "--with",
        parse=str,
        metavar="NAME=VALUE",
        help="Setting of the provider, like python=python3.12. May be repeated.",
    )
    fleet_file: str = option(
        "--fleet-file",
        parse=str,
        default="",
        metavar="FILE",
        help="YAML file with `on`, `agents` and the provider's settings.",
    )
    join: str = option(
        "--join",
        parse=str,
        default="",
        default_text="a tunnel, where the provider has ssh",
        metavar="HOST:PORT",
        help="Address at which launched agents reach this command.",
    )
    for_: str = option(
        "--for",
        parse=_check_duration,
        default="",
        default_text="2h",
        metavar="DURATION",
        help="Maximum lifetime of launched agents; they end by themselves after it.",
    )
    keep: bool = switch("--keep", help="Don't remove the launched hosts after the run.")
    dry_run: bool = switch("--dry-run", help="Print what --on would launch, need and cost, and do nothing.")
