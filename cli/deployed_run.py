"""`heyfleet run --on PROVIDER`: a run whose agents are launched for it and removed after its report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from heyfleet.controller import terminal
from heyfleet.controller.executors.fleet import FleetExecutor
from heyfleet.controller.fleet.enrollment import listen_address
from heyfleet.controller.run import Show, run
from heyfleet.errors import ExitCode, InputError
from heyfleet.plan.build import make_plan
from heyfleet.plan.options import RunOptions
from heyfleet.plan.sections.fleet import DeploymentOptions
from heyfleet.results.archive.archiver import Archiver

if TYPE_CHECKING:
    from heyfleet.controller.executors.deployment import Deployment


def run_deployed(
    options: RunOptions, make_fleet: Callable[[dict[str, Any], int], Deployment], show: Show | None
) -> int:
    """Make the run and return its exit code; with --dry-run, only print what would be launched."""
    launch_options = {
        field.name: getattr(options, field.name) for field in dataclasses.fields(DeploymentOptions)
    }
    deployment = make_fleet(launch_options, options.agents)
    if options.min_agents > deployment.agents:
        raise InputError(
            f"--min-agents {options.min_agents} is more than the fleet's {deployment.agents} agents"
        )
    options = dataclasses.replace(options, agents=deployment.agents)
    if options.dry_run:
        make_plan(options)
        _, port = listen_address(options.listen)
        terminal.write_out(["\n".join(deployment.plan_lines(port)) + "\n"])
        return ExitCode.OK
    with deployment:
        archiver = Archiver(options.out, nothing=options.no_archive)
        return run(options, FleetExecutor(options, deployment), archiver, show)
