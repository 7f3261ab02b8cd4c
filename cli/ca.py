"""`heyfleet ca`: certificates and join tokens for fleets whose controller or agents come and go."""

from __future__ import annotations

import datetime
from datetime import timedelta
from pathlib import Path

import click

from heyfleet.cli.go_flags import Value
from heyfleet.controller.security import folder as folders
from heyfleet.durations import parse_duration_ns

_HELP = {"help_option_names": ["-h", "--help"]}
_DURATION = Value("DURATION", parse_duration_ns)
_MINUTES_NS = 60_000_000_000


@click.group("ca", context_settings=_HELP, epilog="Exit code: 0; 2 bad input.")
def ca() -> None:
    """Certificates and join tokens for a fleet.

    One run on a few hosts needs none of this: `heyfleet run --agents N` makes its own. A controller that keeps running,
    or that should know its agents again after a restart, wants a folder of credentials.
    """


@ca.command("init", context_settings=_HELP)
@click.argument("folder", metavar="DIR")
@click.option(
    "--valid", type=_DURATION, default=365 * 24 * 60 * _MINUTES_NS, help="How long. Default 8760h, a year."
)
def init(folder: str, valid: int) -> None:
    """Make DIR with a new CA, and the certificate of an operator."""
    try:
        folders.init(folder, timedelta(microseconds=valid / 1000))
    except folders.CredentialsError as error:
        raise click.UsageError(str(error)) from None
    click.echo(f"made {folder}; whoever has its ca.key is the master of the fleet")
    click.echo(f"next: heyfleet ca token {folder} --uses 3")
    click.echo(f"      heyfleet controller --credentials {folder}")


@ca.command("token", context_settings=_HELP)
@click.argument("folder", metavar="DIR")
@click.option(
    "--uses", type=click.IntRange(min=1), default=1, metavar="N", help="For so many agents. Default 1."
)
@click.option("--valid", type=_DURATION, default=30 * _MINUTES_NS, help="How long. Default 30m.")
@click.option("--output", metavar="FILE", help="Default: join.token in DIR.")
def token(folder: str, uses: int, valid: int, output: str | None) -> None:
    """Make a join token for agents; it is written to a file, and never shown."""
    path = Path(output) if output else Path(folder) / folders.JOIN
    try:
        credentials = folders.Credentials.load(folder)
        token_id, text = credentials.tokens.issue(credentials.authority, uses, valid / 1e9)
        folders.write_private(path, text.encode())
    except folders.CredentialsError as error:
        raise click.UsageError(str(error)) from None
    except OSError as error:
        raise click.UsageError(f"can't write {str(path)!r}: {error.strerror}") from None
    click.echo(
        f"token {token_id} is in {path}: for {uses} agent{'s' if uses > 1 else ''}, for {valid / 60e9:g} minutes"
    )
    ca_file = Path(folder) / folders.CA
    click.echo(f"next, on a host with copies of {ca_file} and of this file:")
    click.echo("  heyfleet agent --join HOST:PORT --ca ca.pem --token-file join.token")


@ca.command("list", context_settings=_HELP)
@click.argument("folder", metavar="DIR")
def list_tokens(folder: str) -> None:
    """List the tokens that were made."""
    try:
        entries = folders.Credentials.load(folder).tokens.entries()
    except folders.CredentialsError as error:
        raise click.UsageError(str(error)) from None
    for entry in entries:
        end = datetime.datetime.fromtimestamp(entry.expires_s, datetime.UTC)
        click.echo(
            f"{entry.token_id}  {entry.uses_left} of {entry.uses} uses left  until {end:%Y-%m-%d %H:%M:%S} UTC"
        )
