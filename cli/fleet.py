"""`heyfleet fleet`: agents that stay until they are taken down, for a controller that keeps running."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from heyfleet.cli.fleet_spec import described, remedy
from heyfleet.cli.go_flags import Value
from heyfleet.controller import terminal
from heyfleet.controller.client import Controller
from heyfleet.plan import values

if TYPE_CHECKING:
    from heyfleet.deploy.lifecycle.bring_up import FleetBringUp
    from heyfleet.deploy.provider import Instance, LaunchRequest, Provider

_HELP = {"help_option_names": ["-h", "--help"]}
_EXITS = "Exit code: 0; 1 something could not be had, or removed; 2 bad input; 130 interrupted."
NAME = "fleet"
_LOOK_EVERY_S = 5.0


def _which(work: Callable[..., None]) -> Callable[..., None]:
    """The flags that say which fleet, of which engine."""
    for option in reversed(
        (
            click.option("--on", default="", metavar="ENGINE", help="local, ssh, ec2, asg, ecs or k8s."),
            click.option(
                "--hosts", default="", help="For ssh: names with commas between, or a file with one a line."
            ),
            click.option("--fleet-file", default="", metavar="FILE", help="All this as YAML."),
            click.option(
                "--with", "with_", multiple=True, metavar="NAME=VALUE", help="A setting of the engine."
            ),
            click.option("--name", default="", help="Of the fleet. Default: that in the file, or `fleet`."),
        )
    ):
        work = option(work)
    return work


def _controller(work: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(
        (
            click.option(
                "--controller", default="", metavar="HOST:PORT", help="Of the controller, from here."
            ),
            click.option("--credentials", default="", metavar="DIR", help="Its folder of credentials."),
        )
    ):
        work = option(work)
    return work


@click.group("fleet", context_settings=_HELP, epilog=_EXITS)
def fleet() -> None:
    """Agents that stay, for a `heyfleet controller` that keeps running.

    One run needs none of this: `heyfleet run --on ENGINE` brings its agents up, and removes them after its report.
    """


@fleet.command("up", context_settings=_HELP, epilog=_EXITS)
@_which
@_controller
@click.option("--count", default=0, metavar="N", help="How many agents. Default: one on each host of ssh.")
@click.option("--join", default="", metavar="HOST:PORT", help="Of the controller, as the agents see it.")
@click.option("--for", "for_", default="", metavar="DURATION", help="They end after so long. Default 2h.")
@click.option(
    "--head", is_flag=True, help="Start a controller there as well, with --credentials, made if need be."
)
@click.option("--min-agents", default=0, metavar="N", help="Be content with so many. Default: all.")
@click.option(
    "--wait",
    default=600_000_000_000,
    type=Value("DURATION", values.duration),
    help="For so long. Default 10m.",
)
@click.option("--keep", is_flag=True, help="Leave what there is where too few have joined.")
@click.option("--dry-run", is_flag=True, help="Say what would be made, what it needs and costs; do nothing.")
def up(**given: Any) -> None:
    """Start agents, and wait until they have joined the controller."""
    from heyfleet.deploy.provider import LaunchRequest
    from heyfleet.deploy.settings import SettingError

    asked = described(given)
    if not asked.agents:
        raise SettingError(f"--count: how many? Or `agents:` in the fleet file; --on {asked.on} can't tell")
    join = asked.join or given["controller"]
    if given["head"] and (join or not (given["credentials"] or given["dry_run"])):
        raise SettingError("--head wants --credentials DIR, and neither --controller nor --join: it is both")
    if not join and not given["head"] and not given["dry_run"]:
        raise SettingError(
            "--controller HOST:PORT is missing: of a `heyfleet controller` that runs; with --join as agents see it"
        )
    order = LaunchRequest(
        fleet=asked.name or NAME,
        agents=asked.agents,
        join=join or "HOST:7700",
        ca_pem=b"",
        token=b"",
        lifetime_s=asked.lifetime_s,
    )
    if given["dry_run"]:
        click.echo("\n".join(_outline(asked.engine, order, head=given["head"])))
        return
    raising = _raising(asked.engine, order, given)
    undo = f"`{remedy(given)} --name {order.fleet}`"
    try:
        good = raising.raise_all(given["wait"] / 1e9)
    except BaseException:
        _undo(raising, undo, keep=given["keep"])
        raise
    if not good:
        _undo(raising, undo, keep=given["keep"])
        raise click.exceptions.Exit(1)
    terminal.say(f"{undo} removes it; without that it ends after {asked.lifetime_s} s")


def _outline(engine: Provider, order: LaunchRequest, *, head: bool) -> list[str]:
    from heyfleet.deploy.lifecycle.head_node import with_head

    return with_head(engine, order) if head else list(engine.plan(order).lines())


def _raising(engine: Provider, order: LaunchRequest, given: dict[str, Any]) -> FleetBringUp:
    from heyfleet.deploy.lifecycle.bring_up import FleetBringUp
    from heyfleet.deploy.lifecycle.head_node import HeadNodeBringUp

    least = given["min_agents"] or order.agents
    if given["head"]:
        return HeadNodeBringUp(
            engine, given["credentials"], order, least, terminal.say, wait_s=given["wait"] / 1e9
        )
    controller = Controller(given["controller"] or order.join, given["credentials"])
    return FleetBringUp(engine, controller, order, least, terminal.say)


def _undo(raising: FleetBringUp, undo: str, *, keep: bool) -> None:
    if not raising.launched:
        return
    if keep:
        terminal.say(f"what there is stays; {undo} removes it")
        return
    try:
        raising.remove()
    except (click.ClickException, KeyboardInterrupt):
        terminal.complain(f"not all could be removed; {undo} tries again")
        raise


@fleet.command("status", context_settings=_HELP, epilog=_EXITS)
@_which
@_controller
def status(**given: Any) -> None:
    """List what there is, of one fleet or of all; with --controller, who has joined."""
    asked = described(given)
    units = asked.engine.list(asked.name)
    joined: dict[str, str] = {}
    if given["controller"]:
        reply = Controller(given["controller"], given["credentials"]).roster()
        joined = {
            each.agent: "joined"
            if each.attached
            else f"gone: {each.leave_reason}"
            if each.leave_reason
            else "away"
            for each in reply.agents
        }
        for line in reply.turned_away:
            terminal.say(f"turned away {line}")
    for line in status_lines(units, joined, time.time()):
        click.echo(line)


def status_lines(units: list[Instance], joined: dict[str, str], now_s: float) -> list[str]:
    """A table, a line a unit; `joined` has the states of agents by the names that the controller gave them."""
    if not units:
        return ["no fleet"]
    rows = [("fleet", "place", "state", "ends in", "agent" if joined else "", "")]
    for unit in units:
        left_s = unit.expires_s - now_s
        reason = unit.reason if unit.agent else f"the head, with the controller {unit.reason}".rstrip()
        ends = f"{left_s / 60:.0f} min" if unit.expires_s else "-"
        rows.append(
            (unit.fleet, unit.id, unit.state, ends, agent_state(unit.name, joined), reason)
            if joined and unit.agent
            else (unit.fleet, unit.id, unit.state, ends, "", reason)
        )
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return [
        "  ".join(
            [*(cell.ljust(width) for cell, width in zip(row[:5], widths, strict=True) if width), row[5]]
        ).rstrip()
        for row in rows
    ]


def agent_state(name: str, joined: dict[str, str]) -> str:
    """Of the agent that wished to be called so: the controller adds four hex digits to each name."""
    found = [state for agent, state in joined.items() if agent.rpartition("-")[0] == name]
    return found[-1] if found else "not joined"


@fleet.command("logs", context_settings=_HELP, epilog=_EXITS)
@_which
def logs(**given: Any) -> None:
    """Print what each agent of a fleet has said."""
    asked = described(given)
    for name, text in asked.engine.logs(asked.name or NAME):
        for line in text.splitlines() or ["(nothing)"]:
            click.echo(f"{name}: {line}")


@fleet.command("down", context_settings=_HELP, epilog=_EXITS)
@_which
def down(**given: Any) -> None:
    """End a fleet, and remove all that was made for it."""
    asked = described(given)
    _print_removed(asked.engine.stop(asked.name or NAME, terminal.say))


@fleet.command("reap", context_settings=_HELP, epilog=_EXITS)
@_which
@click.option("--expired", is_flag=True, help="Of fleets whose time is over. The default.")
@click.option("--all", "everything", is_flag=True, help="Of all fleets, whoever started them.")
def reap(*, expired: bool, everything: bool, **given: Any) -> None:
    """Remove what is left of fleets that nobody took down."""
    if expired and everything:
        raise click.UsageError("--expired and --all exclude each other")
    if given["name"]:
        raise click.UsageError("--name: `heyfleet fleet down --name` removes one fleet")
    _print_removed(described(given).engine.reap(terminal.say, everything=everything))


@fleet.command("settings", context_settings=_HELP)
@click.option("--on", required=True, metavar="ENGINE", help="local, ssh, ec2, asg, ecs or k8s.")
def settings(on: str) -> None:
    """List what --with and a fleet file can say to an engine."""
    from heyfleet.deploy.providers import find

    found = find(on).settings
    formatter = click.HelpFormatter()
    formatter.write_dl([(each.name, each.help) for each in found] or [(on, "has no settings")])
    click.echo(formatter.getvalue().rstrip("\n"))


def _print_removed(removed: list[str]) -> None:
    for line in removed or ["nothing was there"]:
        click.echo(line if not removed else f"removed {line}")
