"""The process in which `heyfleet.run` makes a run: `python -m heyfleet.cli.api_process`.

It reads one JSON object from stdin: `url`, `texts` (options by name, as `plan.option_sources` takes them) and `folder`, the
archive to write. It writes JSON objects to stdout, one a line, each with a `type`:

    warning   text
    error     classes (names, the most specific first), cause, cure
    finished  exit_code; the archive is complete

Text that anything prints meanwhile goes to stderr.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack
from typing import TextIO

from heyfleet.cli.process import run_process
from heyfleet.cli.run import make_executor, make_live_exports
from heyfleet.controller.executors.base import Executor
from heyfleet.controller.run import run
from heyfleet.controller.signals import Interrupted, Interrupts
from heyfleet.errors import HeyfleetError, InputError
from heyfleet.plan.conflicts import launches_agents
from heyfleet.plan.option_sources import collect_options
from heyfleet.plan.options import RunOptions
from heyfleet.results.archive.archiver import Archiver
from heyfleet.surroundings import translate


class _Messages:
    """Messages to the parent process, on what was stdout."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def send(self, kind: str, **fields: object) -> None:
        self._stream.write(json.dumps({"type": kind, **fields}) + "\n")
        self._stream.flush()


def main() -> int:
    """Make one run; return the exit code of the process, which is 0 unless heyfleet itself fails."""
    messages = _Messages(os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8"))
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        request = json.load(sys.stdin)
        options = collect_options(request["url"], request["texts"], os.environ)
        messages.send("finished", exit_code=int(_run(options, request["folder"], messages)))
    except Interrupted:
        messages.send("error", classes=["KeyboardInterrupt"], cause="interrupted before the start", cure="")
    except Exception as error:
        if (known := translate(error)) is None:
            raise
        classes = [each.__name__ for each in type(known).__mro__ if issubclass(each, HeyfleetError)]
        messages.send("error", classes=classes, cause=known.cause, cure=known.cure)
    return 0


def _run(options: RunOptions, folder: str, messages: _Messages) -> int:
    if options.find_max or options.repeat:
        raise InputError("find_max and repeat make several runs", "use the command `heyfleet run`")

    def warn(text: str) -> None:
        messages.send("warning", text=text.removeprefix("warning: "))

    exports = make_live_exports(options, warn) if options.prometheus or options.otlp else None
    archiver = Archiver(folder, warn=warn)
    with Interrupts() as interrupts, ExitStack() as stack:
        options, executor = _executor(options, stack)
        return run(options, executor, interrupts, archiver, live_exports=exports, warn=warn).exit_code


def _executor(options: RunOptions, stack: ExitStack) -> tuple[RunOptions, Executor]:
    """Return the executor, with agents that are launched for the run until the stack is closed."""
    from heyfleet.agent.runner import Runner

    if not launches_agents(options):
        return options, make_executor(options, Runner)
    from heyfleet.cli.deployed_run import deployment_for_run
    from heyfleet.cli.deployment import fleet_for_run

    options, deployment = deployment_for_run(options, fleet_for_run)
    from heyfleet.controller.executors.fleet import FleetExecutor

    return options, FleetExecutor(options, stack.enter_context(deployment))


if __name__ == "__main__":
    sys.exit(run_process(main))
