"""A run whose agents are brought up for it, and removed after its report."""

from __future__ import annotations

from typing import Any

import click

from heyfleet import console
from heyfleet.cli.run_report import run_and_report
from heyfleet.controller.executors.deployment import Deployment
from heyfleet.controller.executors.fleet import FleetExecutor
from heyfleet.controller.executors.options import FleetOptions
from heyfleet.controller.fleet.enrollment import listen_address
from heyfleet.controller.run import LiveExports
from heyfleet.errors import ExitCode, InputError
from heyfleet.plan.build import Flags, make_plan
from heyfleet.results.archive.archiver import Archiver


def run_deployed(
    flags: Flags,
    options: dict[str, Any],
    deployment: Deployment,
    archiver: Archiver,
    live_exports: LiveExports | None,
    *,
    dry: bool,
) -> int:
    """The exit code of the run; with `dry`, only what it would make is said."""
    options = {**options, "agents": deployment.agents}
    if options["min_agents"] > deployment.agents:
        raise click.UsageError(
            f"--min-agents {options['min_agents']} is more than the fleet's {deployment.agents} agents"
        )
    if not dry:
        with deployment:
            executor = FleetExecutor(FleetOptions(**options), deployment)
            return run_and_report(flags, executor, archiver, live_exports)
    try:
        make_plan(flags)
        _, port = listen_address(options["listen"])
    except InputError as error:
        console.error(str(error))
        return ExitCode.CANNOT_START
    console.write_stdout(["\n".join(deployment.plan_lines(port)) + "\n"])
    return ExitCode.OK
