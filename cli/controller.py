"""`heyfleet controller` and `heyfleet collect`."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import click

from heyfleet import console
from heyfleet.cli.go_flags import Value
from heyfleet.errors import InputError
from heyfleet.plan.values import parse_lease_ns
from heyfleet.surroundings import end_signals

_HELP = {"help_option_names": ["-h", "--help"]}
_DEFAULT_LEASE_NS = 10_000_000_000


def controller_command() -> click.Command:
    """Return the command `controller`."""
    return click.Command(
        "controller",
        callback=_serve,
        params=[
            click.Option(
                ["--listen"],
                default="",
                metavar="HOST:PORT",
                help="Address to listen on. Default 0.0.0.0:7700.",
            ),
            click.Option(
                ["--credentials"],
                required=True,
                metavar="DIR",
                help="Credentials folder made by `heyfleet ca init`.",
            ),
            click.Option(
                ["--lease", "lease_ns"],
                type=Value("DURATION", parse_lease_ns),
                default=_DEFAULT_LEASE_NS,
                help="How long an agent keeps its load running without a word from the controller. Default 10s.",
            ),
        ],
        help="Run a controller that agents stay attached to.\n\nSend runs to it with `heyfleet run --controller`. They are"
        " carried out one at a time. Results of the latest runs are kept for `heyfleet collect`.",
        epilog="Exit code: 0; 2 bad input, or the address can't be used.",
        context_settings=_HELP,
    )


def collect_command() -> click.Command:
    """Return the command `collect`."""
    return click.Command(
        "collect",
        callback=_collect,
        params=[
            click.Argument(["run_id"], required=False, default="", metavar="[RUN]"),
            click.Option(
                ["--controller"], required=True, metavar="HOST:PORT", help="Address of the controller."
            ),
            click.Option(
                ["--credentials"],
                required=True,
                metavar="DIR",
                help="Folder with the controller's ca.pem and operator.pem.",
            ),
            click.Option(["--json"], is_flag=True, help="Print the report as one JSON document."),
            click.Option(
                ["--out"],
                default="",
                metavar="DIR",
                help="Archive the run in a new folder, without its time series.",
            ),
        ],
        help="Print the report of a run whose command or controller was interrupted.\n\nRUN is the id of the run. Without"
        " it, the latest run is collected.",
        epilog="Exit code: that of `heyfleet run`.",
        context_settings=_HELP,
    )


def _collect(run_id: str, controller: str, credentials: str, json: bool, out: str) -> None:
    from heyfleet.cli.run_report import report_and_archive
    from heyfleet.controller.client import Controller
    from heyfleet.results.archive.archiver import Archiver

    if out and Path(out).exists():
        raise InputError(f"--out: {out} exists", "name a folder that does not exist yet")
    measurements = Controller(controller, credentials).collect(run_id)
    archiver = Archiver(out, warn=console.info)
    raise click.exceptions.Exit(report_and_archive(measurements, "json" if json else "", archiver))


def _serve(listen: str, credentials: str, lease_ns: int) -> None:
    import uvloop

    raise click.exceptions.Exit(uvloop.run(_serve_until_signal(listen, credentials, lease_ns)))


async def _serve_until_signal(listen: str, credentials_folder: str, lease_ns: int) -> int:
    """Serve until a signal arrives, and return the exit code."""
    from heyfleet.controller.executors.fleet import background
    from heyfleet.controller.fleet import enrollment
    from heyfleet.controller.fleet.daemon import Daemon
    from heyfleet.controller.fleet.grpc_server import Server
    from heyfleet.controller.fleet.registry import AgentRegistry
    from heyfleet.controller.fleet.share_seals import ShareSeals

    credentials = enrollment.load_credentials(credentials_folder)
    host, port = enrollment.parse_listen_address(listen)
    registry = AgentRegistry(lease_ns, console.info)
    key, certificate = credentials.authority.server()
    seals = ShareSeals(credentials.authority.derived_key("shares of runs"))
    signals: asyncio.Queue[int] = asyncio.Queue()
    for number in end_signals():
        asyncio.get_running_loop().add_signal_handler(number, signals.put_nowait, number)
    server = Server(
        registry,
        (credentials.authority.ca_pem, key, certificate),
        join=enrollment.Enrollment(credentials, registry).join,
        operator_service=Daemon(registry, console.info, seals),
    )
    port = await server.start(enrollment.format_address(host, port))
    console.info(f"listening on {enrollment.format_address(host, port)}")
    async with background(registry.renew_leases):
        signum = await signals.get()
        console.info(
            "stopping; agents stop their load, keep their results and offer them to the next controller"
        )
        await server.stop()
    return 0 if signum == signal.SIGTERM else 128 + signum
