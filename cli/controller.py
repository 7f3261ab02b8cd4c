"""`heyfleet controller` and `heyfleet collect`."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from heyfleet.cli.go_flags import Value
from heyfleet.controller import terminal
from heyfleet.durations import parse_duration_ns
from heyfleet.errors import InputError

_EXITS = "Exit code: 0; 2 bad input, or nothing to listen on."


def controller_command() -> click.Command:
    """Keep a controller running."""

    def callback(listen: str, credentials: str, lease_ns: int) -> None:
        raise click.exceptions.Exit(_reported(lambda: _serve(listen, credentials, lease_ns)))

    return click.Command(
        "controller",
        callback=callback,
        params=[
            click.Option(["--listen"], default="", metavar="HOST:PORT", help="Default 0.0.0.0:7700."),
            click.Option(
                ["--credentials"], required=True, metavar="DIR", help="A folder made by `heyfleet ca init`."
            ),
            click.Option(
                ["--lease", "lease_ns"],
                type=Value("DURATION", parse_duration_ns),
                default=10_000_000_000,
                help="Agents that hear nothing for so long stop their load. Default 10s.",
            ),
        ],
        help="Keep a controller running: agents stay attached to it, and runs (`heyfleet run --controller`) follow"
        " each other, one at a time.",
        epilog=_EXITS,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def collect_command() -> click.Command:
    """Print a report afterwards."""

    def callback(**given: Any) -> None:
        raise click.exceptions.Exit(_reported(lambda: _collect(**given)))

    return click.Command(
        "collect",
        callback=callback,
        params=[
            click.Argument(["run_id"], required=False, default="", metavar="[RUN]"),
            click.Option(
                ["--controller"], required=True, metavar="HOST:PORT", help="Where the controller runs."
            ),
            click.Option(
                ["--credentials"], required=True, metavar="DIR", help="With its ca.pem and operator.pem."
            ),
            click.Option(["--json"], is_flag=True, help="The whole report as one JSON document."),
            click.Option(
                ["--out"],
                default="",
                metavar="DIR",
                help="Keep the run there, in a new folder, without its series.",
            ),
        ],
        help="Print the report of a run whose command or controller was lost; of the latest, if none is named.",
        epilog="Exit code: as of `heyfleet run`.",
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def _reported(work: Callable[[], int]) -> int:
    try:
        return work()
    except InputError as error:
        terminal.complain(str(error))
        return 2


def _collect(run_id: str, controller: str, credentials: str, json: bool, out: str) -> int:
    from heyfleet.controller.executors.remote import collect
    from heyfleet.controller.run import report_of
    from heyfleet.plan.sections.fleet import FleetOptions
    from heyfleet.results.archive.archiver import Archiver

    if out and Path(out).exists():
        raise InputError(f"{out} is there already: an archive wants a folder of its own")
    measured = collect(FleetOptions(controller=controller, credentials_folder=credentials), run_id)
    return report_of(measured, "json" if json else "", Archiver(out))


def _serve(listen: str, folder: str, lease_ns: int) -> int:
    import uvloop

    from heyfleet.controller.fleet import enrollment as joining

    credentials = joining.credentials(folder)
    host, port = joining.listen_address(listen)

    async def serve() -> int:
        from heyfleet.controller.executors.fleet import background
        from heyfleet.controller.fleet.daemon import Daemon
        from heyfleet.controller.fleet.grpc_server import Server
        from heyfleet.controller.fleet.registry import AgentRegistry

        stop = asyncio.Event()
        signum = 0

        def on_signal(number: int) -> None:
            nonlocal signum
            signum = number
            stop.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, on_signal, number)
        fleet = AgentRegistry(lease_ns, say=terminal.say)
        key, certificate = credentials.authority.server()
        server = Server(
            fleet,
            (credentials.authority.ca_pem, key, certificate),
            join=joining.Enrollment(credentials, fleet).join,
            operators=Daemon(fleet, terminal.say),
        )
        bound = await server.start(joining.join_address(host, port))
        terminal.say(f"listening on {joining.join_address(host, bound)}")
        async with background(fleet.beat):
            await stop.wait()
            terminal.say(
                "stopping: agents end their load, keep their results, and offer them to the next controller"
            )
            await server.stop()
        return 0 if signum == signal.SIGTERM else 128 + signum

    try:
        return uvloop.run(serve())
    except OSError as error:
        raise InputError(f"--listen: {error}") from None
