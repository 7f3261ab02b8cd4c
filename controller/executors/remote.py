"""Runs on the fleet of a long-running controller."""

from __future__ import annotations

from heyfleet.controller.client import Controller
from heyfleet.controller.executors.base import ResultsElsewhereError
from heyfleet.controller.executors.run_request import run_request
from heyfleet.controller.fleet.grpc_server import CallFailedError
from heyfleet.controller.live import Live
from heyfleet.controller.signals import Interrupts
from heyfleet.plan.sections.fleet import FleetOptions
from heyfleet.proto.control_pb2 import RunStatus
from heyfleet.proto.plan_pb2 import Plan
from heyfleet.results.intervals import IntervalSink, ignore
from heyfleet.results.measurements import Measurements


class RemoteExecutor:
    """Carries out a plan on the fleet of a `heyfleet controller`."""

    def __init__(self, options: FleetOptions) -> None:
        self._options = options
        self._has_begun = False

    def execute(self, plan: Plan, interrupts: Interrupts, on_interval: IntervalSink = ignore) -> Measurements:
        """See base.Executor."""
        options = self._options
        request = run_request(options, plan)
        controller = Controller(options.controller, options.credentials_folder)
        live = Live(quiet=options.quiet)

        def show(status: RunStatus) -> None:
            self._has_begun = self._has_begun or status.elapsed_ns > 0
            live.show(status)

        try:
            return controller.run(request, interrupts, show, on_interval)
        except CallFailedError as error:
            if self._has_begun:
                raise ResultsElsewhereError(
                    f"{error}; the agents stop their load and keep its results",
                    f"when the controller is back, `heyfleet collect --controller {options.controller}` prints the report",
                ) from None
            raise
        finally:
            live.close()
