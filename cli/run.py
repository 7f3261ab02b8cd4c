"""`heyfleet run`: make one run, or several, and report it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from heyfleet import console
from heyfleet.cli.go_flags import Flag, GoCommand
from heyfleet.controller.executors.base import AgentLink, Executor
from heyfleet.errors import InputError
from heyfleet.mask import mask_url
from heyfleet.plan.build import make_plan
from heyfleet.plan.conflicts import check_options, launches_agents
from heyfleet.plan.options import OPTIONS, RunOptions, Text, environment_texts, make_options
from heyfleet.plan.requests import with_request_specs
from heyfleet.proto.plan_pb2 import Plan
from heyfleet.results.archive.archiver import Archiver

if TYPE_CHECKING:
    from heyfleet.controller.executors.base import Deployment
    from heyfleet.controller.run import LiveExports
    from heyfleet.plan.plan_file import PlanFile

HELP = "Send HTTP requests from this host or from a fleet, and print a report like hey's."
EPILOG = """\b
Examples:
  heyfleet run http://localhost:8080/
  heyfleet run -n 10k -c 100 http://localhost:8080/
  heyfleet run -z 30s -c 50 -q 20 -H 'Accept: text/plain' http://localhost:8080/
  heyfleet run -m POST -T application/json -D body.json http://localhost:8080/
  heyfleet run --rate 5k -z 30s --slo 'p99<50ms, errors<0.1%' http://localhost:8080/
  heyfleet run --users 1100 --spawn-rate 100 -z 30s http://localhost:8080/
  heyfleet run -f plan.yaml
  heyfleet run -z 30s -c 1000 --local-agents 4 http://localhost:8080/
  heyfleet run -z 30s -c 30k --agents 3 http://service.internal/

\b
Values:
  DURATION  500ms, 10s, 3m or 1h30m
  RATE      5000, 5k/s, 300/m or 0.5: requests per second, minute or hour
  N         200, 10k or 1.5M
  FILE      a path, or - for standard input, which only one flag can read

\b
Flags have one dash or two and stand before or after the URL; their value follows
as the next word or after an =. Every flag can also be set by an environment
variable, such as HEYFLEET_RATE for --rate, or in a plan file. A flag overrides
the variable, and the variable overrides the plan file.

\b
Exit codes:
  0    the run went well
  1    a fault of heyfleet, or a report that does not add up
  2    the run could not start; nothing was sent
  3    no request was answered
  4    agents were lost; the report says what is missing
  5    a threshold of --slo failed, --abort-on ended the load, or --find-max
       found no rate
  130  interrupted (143: terminated, 129: its terminal was closed)"""

FleetFactory = Callable[[dict[str, Any], int], "Deployment"]
_PLAN_FILE = "plan_file"


class RunCommand(GoCommand):
    """`heyfleet run`, whose options come from flags, environment variables and a plan file, in this order."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read environment variables and plan file first, so that they serve as the flags' defaults."""
        if not ctx.resilient_parsing:
            typed, _ = self.split(ctx, args)
            texts = environment_texts(os.environ)
            path = texts.pop(_PLAN_FILE, "")
            for param, value in typed:
                if param.name == _PLAN_FILE:
                    path = value
            if path:
                from heyfleet.plan.plan_file import load

                ctx.meta[_PLAN_FILE] = file = load(str(path))
                texts = {**file.texts, **texts}
            for param, value in typed:
                if value is False:  # a switch that is turned off again
                    texts.pop(str(param.name), None)
            ctx.default_map = texts
        return super().parse_args(ctx, args)

    def texts(self, ctx: click.Context, args: list[str]) -> dict[str, Text]:
        """Return the texts that flags, environment variables and plan file give, by field."""
        texts: dict[str, Text] = dict(ctx.default_map or {})
        lists: dict[str, list[str]] = {}
        for param, value in self.split(ctx, args)[0]:
            name = str(param.name)
            if param.multiple:
                lists.setdefault(name, []).append(str(value))
            elif name != _PLAN_FILE and value is not False:
                texts[name] = value
        return {**texts, **lists}


def run_command(make_agent: Callable[[], AgentLink], make_fleet: FleetFactory) -> RunCommand:
    """Return the command. The factories are called only after all options have been checked."""

    def callback(**_values: object) -> None:
        options = run_options(click.get_current_context())
        raise click.exceptions.Exit(_execute(options, make_agent, make_fleet))

    return RunCommand(
        "run",
        callback=callback,
        params=[
            *(Flag(option) for option in OPTIONS),
            click.Argument(["url"], nargs=-1, type=click.UNPROCESSED),
        ],
        help=HELP,
        epilog=EPILOG,
        context_settings={"help_option_names": ["-h", "-help"]},
    )


def run_options(ctx: click.Context) -> RunOptions:
    """Return the options of a parsed command line, checked and complete. Raises InputError."""
    file: PlanFile | None = ctx.meta.get(_PLAN_FILE)
    urls: tuple[str, ...] = ctx.params["url"]
    if len(urls) > 1:
        raise InputError(
            f"one URL is enough: {mask_url(urls[0])!r}, then {mask_url(urls[1])!r} (quote what the shell would split)"
        )
    values = {
        option.field: ctx.params[option.field]
        for option in OPTIONS
        if ctx.get_parameter_source(option.field) != ParameterSource.DEFAULT
    }
    options = make_options(urls[0] if urls else file.url if file else "", values)
    check_options(options)
    return with_request_specs(options, file.requests if file else ())


def planned(run: RunCommand, args: list[str]) -> tuple[Plan, dict[str, Text], PlanFile | None]:
    """Return the plan that arguments of `run` make, the texts of its options by field, and its plan file."""
    with run.make_context("run", list(args)) as ctx:
        options = run_options(ctx)
        file: PlanFile | None = ctx.meta.get(_PLAN_FILE)
        url = ctx.params["url"][0] if ctx.params["url"] else file.url if file else ""
        return make_plan(options), {"url": url, **run.texts(ctx, args)}, file


def _execute(options: RunOptions, make_agent: Callable[[], AgentLink], make_fleet: FleetFactory) -> int:
    """Make the run and return its exit code."""
    if options.find_max:
        from heyfleet.cli.find_max import find_max_and_report

        return find_max_and_report(options, options.find_max, lambda: make_executor(options, make_agent))
    from heyfleet.cli.run_report import run_and_report

    live_exports = make_live_exports(options, console.info) if options.prometheus or options.otlp else None
    if launches_agents(options):
        from heyfleet.cli.deployed_run import run_deployed

        return run_deployed(options, make_fleet, live_exports)

    def run_once(archiver: Archiver) -> int:
        return run_and_report(options, make_executor(options, make_agent), archiver, live_exports)

    if options.repeat:
        from heyfleet.cli.repeat import repeat

        return repeat(options.repeat, options.out, run_once, lines_to_stderr=bool(options.output))
    return run_once(Archiver(options.out, enabled=not options.no_archive, warn=console.info))


def make_live_exports(options: RunOptions, warn: Callable[[str], object]) -> LiveExports:
    """Return the live exports that --prometheus and --otlp name; `warn` is called when one of them fails."""
    from heyfleet.results.export.live import live_exports

    return lambda plan: live_exports(plan, options.prometheus, options.otlp, warn)


def make_executor(options: RunOptions, make_agent: Callable[[], AgentLink]) -> Executor:
    """Return the executor of the run; each imports what it needs only when it is used."""
    if options.controller:
        from heyfleet.controller.executors.remote import RemoteExecutor

        return RemoteExecutor(options)
    if options.agents or options.local_agents:
        from heyfleet.controller.executors.fleet import FleetExecutor

        return FleetExecutor(options)
    from heyfleet.controller.executors.local import LocalExecutor

    return LocalExecutor(make_agent())
