"""The composition root: the command `heyfleet`, made of parts of which none is imported before its use."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from heyfleet import __version__
from heyfleet.controller import terminal
from heyfleet.errors import InputError

if TYPE_CHECKING:
    from heyfleet.controller.executors.base import AgentLink
    from heyfleet.controller.executors.deployment import Deployment


def _local_agent() -> AgentLink:
    from heyfleet.agent.runner import Runner

    return Runner()


def _fleet_for_run(given: dict[str, Any], agents: int) -> Deployment:
    from heyfleet.cli.fleet_spec import fleet_for_run

    return fleet_for_run(given, agents)


def _run() -> click.Command:
    from heyfleet.cli.run import run_command

    return run_command(_local_agent, _fleet_for_run)


def _plan() -> click.Command:
    from heyfleet.cli.plan import plan_command
    from heyfleet.cli.run import planned, run_command

    run = run_command(_local_agent, _fleet_for_run)
    return plan_command(run, lambda args: planned(run, args))


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


COMMANDS: dict[str, tuple[Callable[[], click.Command], str]] = {
    "run": (_run, "Send HTTP requests, from this host or a fleet, and print one report."),
    "plan": (_plan, "Check plan files, or show the plan that flags make, without running it."),
    "agent": (_agent, "Make load for a controller on another host."),
    "doctor": (_doctor, "Say what this host can carry as an agent, and what stands in the way."),
    "fleet": (_fleet, "Start agents elsewhere, see how they are, and remove them."),
    "controller": (_controller, "Keep a controller running, for several runs on one fleet."),
    "collect": (_collect, "Print the report of a run whose command or controller was lost."),
    "runs": (_runs, "List the runs that were kept, or show one."),
    "export": (_export, "Write a kept run in the formats of other tools, or as a page."),
    "compare": (_compare, "Say how runs differ, also those of other tools, and how sure that is."),
    "merge": (_merge, "Put runs together that were one load from several hosts."),
    "ca": (_ca, "Make certificates and join tokens."),
    "lab": (_lab, "Practice targets to send them to."),
}


class Main(click.Group):
    """The group of all commands, and the one place where an error becomes a line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of their use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command now."""
        return COMMANDS[cmd_name][0]() if cmd_name in COMMANDS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command and leave with its exit code."""
        try:
            code = super().main(*args, **{**kwargs, "standalone_mode": False})
        except click.exceptions.NoArgsIsHelpError as error:
            code = error.exit_code
            print(error.format_message(), file=sys.stderr)
        except click.ClickException as error:
            code = error.exit_code
            terminal.complain(_explain(error))
        except InputError as error:
            code = 2
            terminal.complain(str(error))
        except (click.Abort, KeyboardInterrupt):
            code = 130
        except Exception as error:
            if os.environ.get("HEYFLEET_DEBUG") == "1":
                raise
            code = 1
            terminal.complain(f"fault: {type(error).__name__}: {error} (HEYFLEET_DEBUG=1 shows where)")
        sys.exit(code if isinstance(code, int) else 0)


def _explain(error: click.ClickException) -> str:
    """One line, with the name of the flag that it is about."""
    if isinstance(error, click.NoSuchOption | click.exceptions.NoSuchCommand):
        return f"{error.format_message().rstrip('.')}; try heyfleet run [flags] URL, or heyfleet -h"
    if isinstance(error, click.MissingParameter) and error.param:
        name = (
            error.param.human_readable_name
            if isinstance(error.param, click.Argument)
            else error.param.opts[0]
        )
        return f"{name} is missing; --help shows what there is"
    if isinstance(error, click.BadParameter) and error.param:
        return f"{error.param.opts[0]}: {error.message}"
    return error.format_message()


@click.group(cls=Main, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="heyfleet %(version)s")
def main() -> None:
    """Measure an HTTP service as hey does. `heyfleet run -h` shows the flags."""
