"""`heyfleet run --on PROVIDER`: a run whose agents are launched for it and removed after its report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from heyfleet import console
from heyfleet.cli.run_report import run_and_report
from heyfleet.controller.executors.base import Deployment
from heyfleet.controller.executors.fleet import FleetExecutor
from heyfleet.controller.fleet.enrollment import parse_listen_address
from heyfleet.controller.run import LiveExports
from heyfleet.errors import ExitCode, InputError
from heyfleet.plan.build import make_plan
from heyfleet.plan.options import RunOptions
from heyfleet.plan.sections.fleet import DeploymentOptions
from heyfleet.results.archive.archiver import Archiver

FleetFactory = Callable[[dict[str, Any], int], Deployment]


def run_deployed(options: RunOptions, make_fleet: FleetFactory, live_exports: LiveExports | None) -> int:
    """Make the run and return its exit code, which is not 0 if agents may be left; with --dry-run, print the launch."""
    options, deployment = deployment_for_run(options, make_fleet)
    if options.dry_run:
        make_plan(options)
        _, port = parse_listen_address(options.listen)
        console.write_lines(deployment.plan_lines(port))
        return ExitCode.OK
    with deployment:
        archiver = Archiver(options.out, enabled=not options.no_archive, warn=console.info)
        code = run_and_report(options, FleetExecutor(options, deployment), archiver, live_exports)
    return code or (ExitCode.FAULT if deployment.may_be_left else ExitCode.OK)


def deployment_for_run(options: RunOptions, make_fleet: FleetFactory) -> tuple[RunOptions, Deployment]:
    """Return the options with the number of agents, and the deployment, of which nothing is launched yet."""
    launch_options = {
        field.name: getattr(options, field.name) for field in dataclasses.fields(DeploymentOptions)
    }
    deployment = make_fleet(launch_options, options.agents)
    if options.min_agents > deployment.agents:
        raise InputError(
            f"--min-agents {options.min_agents} is more than the fleet's {deployment.agents} agents"
        )
    return dataclasses.replace(options, agents=deployment.agents), deployment
