"""A run whose agents are brought up for it, and removed after its report."""

from __future__ import annotations

from typing import Any

import click

from heyfleet.controller import terminal
from heyfleet.controller.executors.base import Deployment
from heyfleet.controller.executors.fleet import FleetExecutor
from heyfleet.controller.executors.options import FleetOptions
from heyfleet.controller.fleet.enrollment import parse_listen_address
from heyfleet.controller.run import EXIT_CANNOT_START, EXIT_OK, Show, run
from heyfleet.errors import InputError
from heyfleet.plan.build import Flags, make_plan
from heyfleet.results.archive.archiver import Archiver


def run_deployed(
    flags: Flags,
    options: dict[str, Any],
    deployment: Deployment,
    keeping: Archiver,
    show: Show | None,
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
            return run(flags, FleetExecutor(FleetOptions(**options), deployment), keeping, show)
    try:
        make_plan(flags)
        _, port = parse_listen_address(options["listen"])
    except InputError as error:
        terminal.complain(str(error))
        return EXIT_CANNOT_START
    terminal.write_out(["\n".join(deployment.plan_lines(port)) + "\n"])
    return EXIT_OK
