"""`heyfleet agent`: generate load for a controller."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from heyfleet import console
from heyfleet.agent.credentials import Token, check, read_ca, read_token
from heyfleet.cli.parsed_type import ParsedType
from heyfleet.durations import parse_count, parse_duration_ns
from heyfleet.errors import HeyfleetError
from heyfleet.plan.values import parse_positive_rate

HELP = """Generate load on this host for a controller.

The agent dials the controller at HOST:PORT and opens no port of its own. Copy ca.pem and join.token here from the
controller, which wrote them when it started. To attach to a controller on this host, pass unix:PATH; that needs no
files.
"""
EPILOG = """\b
Exit codes:
  0         the controller dismissed the agent
  1         the controller could not be reached within --rejoin-timeout
  2         invalid input, or the controller refused the agent
  129, 130, 143
            stopped by SIGHUP, SIGINT or SIGTERM, after the load was stopped
            and its results were delivered"""


def _parse_longest_ns(text: str) -> int:
    """Return the nanoseconds of a longest duration; 0 would be no limit, and was hardly meant so."""
    if not (longest_ns := parse_duration_ns(text)):
        raise ValueError(f"{text!r} allows no load; leave the option out for no limit")
    return longest_ns


_DURATION = ParsedType("duration", parse_duration_ns)
_LONGEST = ParsedType("duration", _parse_longest_ns)
_RATE = ParsedType("rate", parse_positive_rate)
_COUNT = ParsedType("count", lambda text: parse_count(text, minimum=1))
_DEFAULT_REJOIN_TIMEOUT_NS = 600_000_000_000


@click.command("agent", help=HELP, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--join", "address", required=True, metavar="HOST:PORT", help="Address of the controller.")
@click.option("--ca", metavar="FILE", help="The controller's ca.pem.")
@click.option("--token-file", metavar="FILE", help="The controller's join.token.")
@click.option(
    "--name",
    default="",
    help="Requested agent name; the controller makes it unique. Default: the host name.",
)
@click.option(
    "--spool", metavar="DIR", help="Directory that holds results until the controller has received them."
)
@click.option(
    "--lifeline",
    metavar="DIR",
    hidden=True,
    help="Leave when stdin ends; a temporary directory to remove then, which holds results unless --spool is given.",
)
@click.option("--keep-results", is_flag=True, help="Keep results in --spool after they were delivered.")
@click.option(
    "--rejoin-timeout",
    type=_DURATION,
    default=_DEFAULT_REJOIN_TIMEOUT_NS,
    metavar="DURATION",
    help="Exit when the controller could not be reached for this long. Default: 10m.",
)
@click.option(
    "--allow-target",
    "targets",
    multiple=True,
    metavar="HOST[:PORT]",
    help="Allow load to this target only: a host name, in which * matches anything, or a network such as"
    " 10.0.0.0/8. Can be repeated.",
)
@click.option(
    "--max-rate",
    type=_RATE,
    default=0.0,
    metavar="RATE",
    help="Highest request rate allowed, such as 500 or 5k/s; redirects and retries count.",
)
@click.option("--max-connections", type=_COUNT, metavar="N", help="Highest number of connections allowed.")
@click.option(
    "--max-duration",
    type=_LONGEST,
    default=0,
    metavar="DURATION",
    help="Longest load allowed, its warm-up included. A longer one is refused or stopped.",
)
@click.option("--quiet", "-q", is_flag=True, help="Print errors only.")
def agent(
    *,
    address: str,
    ca: str | None,
    token_file: str | None,
    name: str,
    spool: str | None,
    lifeline: str | None,
    keep_results: bool,
    rejoin_timeout: int,
    targets: tuple[str, ...],
    max_rate: float,
    max_connections: int | None,
    max_duration: int,
    quiet: bool,
) -> None:
    """Read the credentials, run the agent to its end, and exit with its code."""
    from heyfleet.agent.lifecycle import AgentProcess, Options
    from heyfleet.agent.policy import HostPolicy, split_target

    try:
        for target in targets:
            split_target(target)
    except ValueError as error:
        raise click.UsageError(f"--allow-target: {error}") from None
    token, ca_pem = _credentials(address, ca, token_file)
    options = Options(
        address=address,
        ca_pem=ca_pem,
        token=token,
        name=name,
        folder=_spool_folder(spool or lifeline),
        leave_with_stdin=lifeline is not None,
        keep_results=keep_results,
        rejoin_timeout_s=rejoin_timeout / 1e9,
        policy=HostPolicy(targets, max_rate, max_connections or 0, max_duration),
    )
    process = AgentProcess(options, (lambda line: None) if quiet else _print_line)

    import uvloop

    try:
        code = uvloop.run(process.run())
    except HeyfleetError as error:
        _print_line(str(error))
        code = error.exit_code
    finally:
        if lifeline is not None and process.stdin_ended:
            shutil.rmtree(lifeline, ignore_errors=True)
    raise click.exceptions.Exit(code)


def _print_line(line: str) -> None:
    console.info(line, program="heyfleet agent")


def _credentials(address: str, ca: str | None, token_file: str | None) -> tuple[Token | None, bytes]:
    """Return the token and the CA's certificate; a controller on this host needs neither."""
    from heyfleet.proto.protocol import LOCAL_PREFIX

    if address.startswith(LOCAL_PREFIX):
        return None, b""
    if not ca or not token_file:
        raise click.UsageError(
            "--join HOST:PORT needs --ca FILE and --token-file FILE: the ca.pem and join.token of the controller"
        )
    ca_pem, token = read_ca(ca), read_token(token_file)
    check(token, ca_pem)
    if Path(token_file).stat().st_mode & 0o077:
        _print_line(f"{token_file} is readable by other users; run chmod 600 {token_file}")
    return token, ca_pem


def _spool_folder(spool: str | None) -> Path:
    from heyfleet.agent.spool import default_folder, prepare_folder

    if spool is None:
        try:
            return default_folder()
        except OSError as error:
            raise click.UsageError(
                f"no folder can be written for the results: {error.strerror}; name one with --spool"
            ) from None
    try:
        prepare_folder(Path(spool))
    except OSError as error:
        raise click.UsageError(f"--spool: {spool!r} can't be used: {error.strerror}") from None
    return Path(spool)
