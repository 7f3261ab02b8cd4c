"""The command `heyfleet`: finds and imports one subcommand."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from heyfleet import __version__
from heyfleet.cli.process import run_process

if TYPE_CHECKING:
    from heyfleet.controller.executors.base import AgentLink, Deployment


def _local_agent() -> AgentLink:
    from heyfleet.agent.runner import Runner

    return Runner()


def _fleet_for_run(launch_options: dict[str, Any], agents: int) -> Deployment:
    from heyfleet.cli.deployment import fleet_for_run

    return fleet_for_run(launch_options, agents)


def _run() -> click.Command:
    from heyfleet.cli.run import run_command

    return run_command(_local_agent, _fleet_for_run)


def _plan() -> click.Command:
    from heyfleet.cli.plan import plan_command
    from heyfleet.cli.run import planned, run_command

    run = run_command(_local_agent, _fleet_for_run)
    return plan_command(lambda args: planned(run, args))


def _agent() -> click.Command:
    from heyfleet.cli.agent import agent

    return agent


def _doctor() -> click.Command:
    from heyfleet.cli.doctor import doctor

    return doctor


def _fleet() -> click.Command:
    from heyfleet.cli.fleet import fleet

    return fleet


def _controller() -> click.Command:
    from heyfleet.cli.controller import controller_command

    return controller_command()


def _collect() -> click.Command:
    from heyfleet.cli.controller import collect_command

    return collect_command()


def _ca() -> click.Command:
    from heyfleet.cli.ca import ca

    return ca


def _runs() -> click.Command:
    from heyfleet.cli.runs import runs_command

    return runs_command()


def _export() -> click.Command:
    from heyfleet.cli.export import export_command

    return export_command()


def _compare() -> click.Command:
    from heyfleet.cli.compare import compare_command

    return compare_command()


def _merge() -> click.Command:
    from heyfleet.cli.runs import merge_command

    return merge_command()


def _lab() -> click.Command:
    from heyfleet.cli.lab import lab

    return lab


def _completion() -> click.Command:
    from heyfleet.cli.completion import completion_command

    return completion_command(main)


COMMANDS: dict[str, tuple[Callable[[], click.Command], str]] = {
    "run": (_run, "Send HTTP requests from this host or a fleet, and print a report."),
    "plan": (_plan, "Check or show a plan without running it."),
    "compare": (_compare, "Report how runs differ, and whether the difference is real."),
    "export": (_export, "Write a run in another tool's format, or as an HTML page."),
    "runs": (_runs, "List archived runs, or show one."),
    "merge": (_merge, "Merge runs that were one load from several hosts."),
    "fleet": (_fleet, "Launch agents on other hosts, show them, and remove them."),
    "controller": (_controller, "Run a controller for several runs on one fleet."),
    "collect": (_collect, "Print the report of a run whose command or controller was lost."),
    "agent": (_agent, "Generate load for a controller on another host."),
    "doctor": (_doctor, "Check how much load this host can generate, and what limits it."),
    "ca": (_ca, "Create certificates and join tokens."),
    "lab": (_lab, "Start practice targets to send requests to."),
    "completion": (_completion, "Print a script for shell completion."),
}


class Main(click.Group):
    """The group of all commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        return COMMANDS[cmd_name][0]() if cmd_name in COMMANDS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command and exit with its code."""

        def command() -> int:
            code = super(Main, self).main(*args, **{**kwargs, "standalone_mode": False})
            return code if isinstance(code, int) else 0

        sys.exit(run_process(command))


@click.group(cls=Main, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="heyfleet %(version)s")
def main() -> None:
    """A faster `hey` that scales to many hosts, holds a constant rate, and tells you when not to trust its numbers.

    \b
    heyfleet run http://localhost:8080/    send 200 requests and print a report
    heyfleet run -h                        show all flags of a run
    """
