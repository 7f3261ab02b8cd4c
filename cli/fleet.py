"""`heyfleet fleet`: launch agents that stay until they are taken down, for a controller that keeps running."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import click

from heyfleet import console
from heyfleet.cli.deployment import fleet_spec, removal_command
from heyfleet.cli.fleet_controller import FutureController, RemoteController
from heyfleet.cli.go_flags import Value
from heyfleet.deploy.fleet_spec import FleetSpec
from heyfleet.deploy.lifecycle.bring_up import FleetBringUp
from heyfleet.deploy.lifecycle.fleet_controller import Roster
from heyfleet.deploy.lifecycle.head_node import (
    HeadNodeLauncher,
    plan_with_head_node,
    require_head_nodes,
)
from heyfleet.deploy.provider import UNREACHABLE, IncompleteError, Instance, LaunchPlan, LaunchSpec
from heyfleet.deploy.providers import provider_class
from heyfleet.deploy.settings import SettingError
from heyfleet.durations import parse_duration_ns
from heyfleet.errors import ExitCode, HeyfleetError
from heyfleet.proto.protocol import DEFAULT_PORT

_HELP = {"help_option_names": ["-h", "--help"]}
_EXIT_CODES = (
    "Exit code: 0 success; 1 something could not be launched or removed; 2 invalid input; 130 interrupted."
)
_PROVIDER_HELP = "Provider: local, ssh, ec2, asg, ecs or k8s."
_DEFAULT_NAME = "fleet"
_DEFAULT_WAIT_NS = 600_000_000_000


def _fleet_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that describe a fleet and its provider."""
    for option in reversed(
        (
            click.option("--on", default="", metavar="PROVIDER", help=_PROVIDER_HELP),
            click.option(
                "--hosts",
                default="",
                help="Hosts for --on ssh: names separated by commas, or a file of names.",
            ),
            click.option(
                "--fleet-file", default="", metavar="FILE", help="YAML file that describes the fleet."
            ),
            click.option(
                "--with",
                "with_",
                multiple=True,
                metavar="NAME=VALUE",
                help="Setting of the provider; may be repeated. `heyfleet fleet settings` lists them.",
            ),
            click.option(
                "--name",
                default="",
                metavar="NAME",
                help="Name of the fleet. Default: the fleet file's, or `fleet`.",
            ),
        )
    ):
        command = option(command)
    return command


def _controller_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say where the controller is and how to authenticate to it."""
    for option in reversed(
        (
            click.option(
                "--controller",
                default="",
                metavar="HOST:PORT",
                help="Address of the controller, as this host sees it.",
            ),
            click.option(
                "--credentials", default="", metavar="DIR", help="The controller's credentials folder."
            ),
        )
    ):
        command = option(command)
    return command


@click.group("fleet", context_settings=_HELP, epilog=_EXIT_CODES)
def fleet() -> None:
    """Launch, inspect and remove agents for a `heyfleet controller` that keeps running.

    A single run needs none of this: `heyfleet run --on PROVIDER` launches agents and removes them after its report.
    """


@fleet.command("up", context_settings=_HELP, epilog=_EXIT_CODES)
@_fleet_options
@_controller_options
@click.option(
    "--count", default=0, metavar="N", help="Number of agents. Default: one on each host of --on ssh."
)
@click.option(
    "--join", default="", metavar="HOST:PORT", help="Address of the controller, as the agents see it."
)
@click.option(
    "--for", "for_", default="", metavar="DURATION", help="Lifetime of the fleet, such as 30m. Default 2h."
)
@click.option(
    "--head",
    is_flag=True,
    help="Launch a controller as well, on a head node. Creates --credentials if the folder has none.",
)
@click.option(
    "--min-agents", default=0, metavar="N", help="Minimum number of agents that must join. Default: all."
)
@click.option(
    "--wait",
    default=_DEFAULT_WAIT_NS,
    type=Value("DURATION", parse_duration_ns),
    help="How long to wait for agents to join. Default 10m.",
)
@click.option("--keep", is_flag=True, help="Keep the agents that were launched even if too few have joined.")
@click.option(
    "--dry-run", is_flag=True, help="Show what would be created, what it needs and costs; change nothing."
)
def up(**flags: Any) -> None:
    """Launch agents, and wait until they have joined the controller."""
    spec = fleet_spec(flags)
    _check_up(flags, spec)
    join = spec.join or flags["controller"]
    launch_spec = spec.launch_spec(fleet=spec.name or _DEFAULT_NAME, join=join or f"HOST:{DEFAULT_PORT}")
    if flags["dry_run"]:
        console.write_lines(_plan(spec, launch_spec, head=flags["head"]).lines())
        return
    if flags["head"]:
        controller: RemoteController = FutureController(flags["credentials"], spec.lifetime_s)
    else:
        controller = RemoteController(flags["controller"] or join, flags["credentials"])
    bring_up = _bring_up(spec, launch_spec, controller, flags)
    removal = f"`{removal_command(flags)} --name {launch_spec.fleet}`"
    try:
        complete = bring_up.run(flags["wait"] / 1e9)
    except BaseException:
        _clean_up(bring_up, removal, keep=flags["keep"])
        raise
    if not complete:
        _clean_up(bring_up, removal, keep=flags["keep"])
        raise click.exceptions.Exit(ExitCode.FAULT)
    if flags["head"]:
        command = (
            f"heyfleet run --controller {controller.address} --credentials {flags['credentials']} ... URL"
        )
        console.info(f"next: {command}")
    console.info(f"the fleet ends by itself after {launch_spec.lifetime}; {removal} removes it before")


def _check_up(flags: dict[str, Any], spec: FleetSpec) -> None:

    if not spec.agents:
        raise SettingError(
            f"--on {spec.on} needs a number of agents", "use --count N, or write `agents:` in the fleet file"
        )
    join = spec.join or flags["controller"]
    if flags["head"] and join:
        raise SettingError("--head launches a controller", "leave out --controller and --join")
    if flags["head"]:
        require_head_nodes(spec.provider)
    if flags["head"] and not flags["credentials"] and not flags["dry_run"]:
        raise SettingError(
            "--head needs --credentials DIR", "name a folder; it is created if it does not exist"
        )
    if not join and not flags["head"] and not flags["dry_run"]:
        raise SettingError(
            "--controller HOST:PORT is missing",
            "name a running `heyfleet controller`; add --join if agents reach it at another address",
        )


def _plan(spec: FleetSpec, launch_spec: LaunchSpec, *, head: bool) -> LaunchPlan:

    if head:
        return plan_with_head_node(spec.provider, launch_spec, DEFAULT_PORT)
    return spec.provider.plan(launch_spec)


def _bring_up(
    spec: FleetSpec, launch_spec: LaunchSpec, controller: RemoteController, flags: dict[str, Any]
) -> FleetBringUp:
    head_node = None
    if isinstance(controller, FutureController):
        head_node = HeadNodeLauncher(spec.provider, controller, launch_spec, DEFAULT_PORT, console.info)
    return FleetBringUp(
        spec.provider,
        controller,
        launch_spec,
        min_agents=flags["min_agents"] or launch_spec.agents,
        log=console.info,
        head_node=head_node,
    )


def _clean_up(bring_up: FleetBringUp, removal: str, *, keep: bool) -> None:
    if not bring_up.launched:
        return
    if keep:
        console.info(f"what was launched is kept; {removal} removes it")
        return
    try:
        bring_up.remove()
    except (HeyfleetError, KeyboardInterrupt):
        console.error(f"not everything was removed; to try again, run {removal}")
        raise


@fleet.command("status", context_settings=_HELP, epilog=_EXIT_CODES)
@_fleet_options
@_controller_options
def status(**flags: Any) -> None:
    """List the instances of one fleet or of all.

    With --controller, also show which agents have joined.
    """

    spec = fleet_spec(flags)
    instances = spec.provider.list(spec.name)
    agents: dict[str, str] = {}
    if flags["controller"]:
        roster = RemoteController(flags["controller"], flags["credentials"]).roster()
        agents = _agent_states(roster)
        for line in roster.rejections:
            console.info(f"rejected: {line}")
    console.write_lines(status_lines(instances, agents, time.time()))
    if any(each.state == UNREACHABLE for each in instances):
        raise click.exceptions.Exit(ExitCode.FAULT)


def _agent_states(roster: Roster) -> dict[str, str]:
    return {
        each.agent: "joined" if each.attached else f"left: {each.left}" if each.left else "disconnected"
        for each in roster.agents
    }


def status_lines(instances: list[Instance], agents: dict[str, str], now_s: float) -> list[str]:
    """Return a table with a row for each instance; `agents` has the controller's word on each agent by unique name."""
    if not instances:
        return ["no fleet"]
    rows = [("fleet", "instance", "state", "ends in", "agent" if agents else "", "")]
    for each in instances:
        ends = f"{(each.expires_s - now_s) / 60:.0f} min" if each.expires_s else "-"
        agent = agent_state(each.name, agents) if agents and not each.is_head_node else ""
        reason = (
            f"head node, runs the controller {each.reason}".rstrip() if each.is_head_node else each.reason
        )
        rows.append((each.fleet, each.id, each.state, ends, agent, reason))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return [
        "  ".join(
            [*(cell.ljust(width) for cell, width in zip(row[:5], widths, strict=True) if width), row[5]]
        ).rstrip()
        for row in rows
    ]


def agent_state(name: str, agents: dict[str, str]) -> str:
    """Return the state of the agent that asked for this name; the controller adds `-` and four hex digits."""
    states = [state for agent, state in agents.items() if agent.rpartition("-")[0] == name]
    return states[-1] if states else "not joined"


@fleet.command("logs", context_settings=_HELP, epilog=_EXIT_CODES)
@_fleet_options
def logs(**flags: Any) -> None:
    """Print the log of each agent of a fleet."""

    spec = fleet_spec(flags)
    for name, text in spec.provider.logs(spec.name or _DEFAULT_NAME):
        console.write_lines(f"{name}: {line}" for line in text.splitlines() or ["(nothing)"])


@fleet.command("down", context_settings=_HELP, epilog=_EXIT_CODES)
@_fleet_options
def down(**flags: Any) -> None:
    """Remove a fleet and everything that was created for it."""

    spec = fleet_spec(flags)
    _print_removed(lambda: spec.provider.stop(spec.name or _DEFAULT_NAME, console.info))


@fleet.command("reap", context_settings=_HELP, epilog=_EXIT_CODES)
@_fleet_options
@click.option("--expired", is_flag=True, help="Remove fleets whose lifetime is over. This is the default.")
@click.option("--all", "everything", is_flag=True, help="Remove all fleets, whoever started them.")
def reap(*, expired: bool, everything: bool, **flags: Any) -> None:
    """Remove the remains of fleets that nobody took down."""

    if expired and everything:
        raise click.UsageError("--expired and --all exclude each other")
    if flags["name"]:
        raise click.UsageError("reap takes no --name; to remove one fleet, use `heyfleet fleet down --name`")
    _print_removed(lambda: fleet_spec(flags).provider.reap(console.info, everything=everything))


@fleet.command("settings", context_settings=_HELP)
@click.option("--on", required=True, metavar="PROVIDER", help=_PROVIDER_HELP)
def settings(on: str) -> None:
    """List the settings of a provider, for --with and fleet files."""

    formatter = click.HelpFormatter()
    formatter.write_dl(
        [(each.name, each.help) for each in provider_class(on).settings] or [(on, "has no settings")]
    )
    console.write_lines(formatter.getvalue().rstrip("\n").split("\n"))


def _print_removed(remove: Callable[[], list[str]]) -> None:
    try:
        removed = remove()
    except IncompleteError as error:
        console.write_lines(f"removed {line}" for line in error.removed)
        raise
    console.write_lines([f"removed {line}" for line in removed] or ["nothing to remove"])
