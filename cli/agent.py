"""`heyfleet agent`: make load for a controller."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from heyfleet.agent.credentials import Token

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class _Duration(click.ParamType[float]):
    name = "duration"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        match = _DURATION.fullmatch(value)
        if match is None:
            self.fail(f"{value!r} is not a duration like 30s, 10m or 1h", param, ctx)
        return float(match[1]) * _SECONDS[match[2]]


HELP = """Make load for a controller, on this host.

The agent dials the controller at HOST:PORT and listens on nothing. The controller wrote the two files that it
needs; copy them here. With unix:PATH it attaches to a controller on this host, which needs no files.
"""
EPILOG = """\b
Exit code: 0 the controller let it go; 1 the controller was not reached again in
time; 2 bad input, or the controller refuses; 130 or 143 ended by a signal, after
the load was stopped and its results were handed over."""


@click.command("agent", help=HELP, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--join", "address", required=True, metavar="HOST:PORT", help="Where the controller listens.")
@click.option("--ca", metavar="FILE", help="The controller's ca.pem.")
@click.option("--token-file", metavar="FILE", help="The controller's join.token.")
@click.option(
    "--name", default="", help="Wished for; the controller adds what makes it unique. Default: the host's."
)
@click.option("--spool", metavar="DIR", help="Where results are kept until the controller has them.")
@click.option("--keep-results", is_flag=True, help="Keep them after that, too.")
@click.option(
    "--rejoin-timeout",
    type=_Duration(),
    default=600.0,
    metavar="DURATION",
    help="Leave when the controller was not reached for so long. Default 10m.",
)
@click.option(
    "--allow-target",
    "targets",
    multiple=True,
    metavar="HOST[:PORT]",
    help="Make load only for this: a name, * in it, or a network like 10.0.0.0/8. May be repeated.",
)
@click.option(
    "--max-rate", type=click.FloatRange(min=0), default=0.0, metavar="N", help="Requests a second, at most."
)
@click.option(
    "--max-connections", type=click.IntRange(min=1), metavar="N", help="Connections at once, at most."
)
@click.option("--max-duration", type=_Duration(), default=0.0, metavar="DURATION", help="Of a run, at most.")
@click.option("--quiet", "-q", is_flag=True, help="Say nothing but what is wrong.")
def agent(
    *,
    address: str,
    ca: str | None,
    token_file: str | None,
    name: str,
    spool: str | None,
    keep_results: bool,
    rejoin_timeout: float,
    targets: tuple[str, ...],
    max_rate: float,
    max_connections: int | None,
    max_duration: float,
    quiet: bool,
) -> None:
    """Read the files, then live."""
    from heyfleet.agent import policy as owners
    from heyfleet.agent.lifecycle import AgentProcess, Options

    try:
        for target in targets:
            owners.split(target)
    except ValueError as error:
        raise click.UsageError(f"--allow-target: {error}") from None
    owner = owners.HostPolicy(targets, max_rate, max_connections or 0, int(max_duration * 1e9))
    token, ca_pem = _credentials(address, ca, token_file)
    options = Options(
        address=address,
        ca_pem=ca_pem,
        token=token,
        name=name,
        folder=_folder(spool),
        keep_results=keep_results,
        rejoin_timeout_s=rejoin_timeout,
        owner=owner,
    )
    life = AgentProcess(options, (lambda text: None) if quiet else _say, _say)

    import uvloop

    raise click.exceptions.Exit(uvloop.run(life.live()))


def _say(text: str) -> None:
    print("heyfleet agent:", text, file=sys.stderr, flush=True)


def _credentials(address: str, ca: str | None, token_file: str | None) -> tuple[Token | None, bytes]:
    from heyfleet.agent import credentials as identity
    from heyfleet.proto.protocol import LOCAL_PREFIX

    if address.startswith(LOCAL_PREFIX):
        return None, b""
    if not ca or not token_file:
        raise click.UsageError(
            "--join HOST:PORT needs --ca FILE and --token-file FILE, the ca.pem and join.token of the controller"
        )
    try:
        ca_pem, token = identity.read_ca(ca), identity.read_token(token_file)
        identity.check(token, ca_pem)
    except identity.IdentityError as error:
        raise click.UsageError(str(error)) from None
    return token, ca_pem


def _folder(spool: str | None) -> Path:
    from heyfleet.agent import spool as spools

    if spool is None:
        return spools.default_folder()
    try:
        spools.prepare(Path(spool))
    except OSError as error:
        raise click.UsageError(f"--spool: {spool!r} can't be used: {error.strerror}") from None
    return Path(spool)
