"""`heyfleet ca`: certificates and join tokens for long-lived fleets."""

from __future__ import annotations

import datetime
from datetime import timedelta
from pathlib import Path

import click

from heyfleet import console
from heyfleet.cli.go_flags import Value
from heyfleet.controller.security import folder as folders
from heyfleet.durations import format_duration, parse_duration_ns
from heyfleet.errors import InputError

_HELP = {"help_option_names": ["-h", "--help"]}
_MIN_VALID_NS = 1_000_000_000  # certificates tell their end in whole seconds
_MINUTE_NS = 60_000_000_000
_DEFAULT_CA_VALID_NS = 365 * 24 * 60 * _MINUTE_NS
_DEFAULT_TOKEN_VALID_NS = 30 * _MINUTE_NS


def _parse_valid_ns(text: str) -> int:
    valid_ns = parse_duration_ns(text)
    if valid_ns < _MIN_VALID_NS:
        raise ValueError(f"{text} is too short; the minimum is {format_duration(_MIN_VALID_NS)}")
    return valid_ns


_VALID = Value("DURATION", _parse_valid_ns)


@click.group("ca", context_settings=_HELP, epilog="Exit code: 0; 2 bad input.")
def ca() -> None:
    """Make certificates and join tokens for a long-lived fleet.

    `heyfleet run --agents N` needs none of this: it makes its own. Use a credentials folder for a controller that keeps
    running, or that must recognize its agents after a restart.
    """


@ca.command("init", context_settings=_HELP)
@click.argument("folder", metavar="DIR")
@click.option(
    "--valid",
    type=_VALID,
    default=_DEFAULT_CA_VALID_NS,
    help="How long the certificates are valid. Default 8760h (a year).",
)
def init(folder: str, valid: int) -> None:
    """Make a credentials folder.

    DIR gets a new CA and an operator's certificate. It must not have a CA yet.
    """
    folders.init(folder, timedelta(microseconds=valid / 1000))
    console.write_lines(
        [
            f"made {folder}; keep its ca.key secret, because it controls the fleet",
            f"next: heyfleet ca token {folder} --uses 3",
            f"      heyfleet controller --credentials {folder}",
        ]
    )


@ca.command("token", context_settings=_HELP)
@click.argument("folder", metavar="DIR")
@click.option(
    "--uses",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="Number of agents that may join with the token. Default 1.",
)
@click.option(
    "--valid", type=_VALID, default=_DEFAULT_TOKEN_VALID_NS, help="How long agents may join. Default 30m."
)
@click.option("--output", metavar="FILE", help="File for the token. Default: join.token in DIR.")
def token(folder: str, uses: int, valid: int, output: str | None) -> None:
    """Make a join token for agents. It is written to a file and never shown."""
    path = Path(output) if output else Path(folder) / folders.JOIN
    credentials = folders.Credentials.load(folder)
    try:
        token_id, text = credentials.tokens.issue(credentials.authority, uses, valid / 1e9)
        folders.write_private(path, text.encode())
    except OSError as error:
        raise InputError(f"can't write {str(path)!r}: {error.strerror}") from None
    agents = f"{uses} agent{'s' if uses > 1 else ''}"
    console.write_lines(
        [
            f"made token {token_id} in {path}, for {agents}, valid for {format_duration(valid)}",
            f"next, on each host with copies of {Path(folder) / folders.CA} and of this file:",
            "  heyfleet agent --join HOST:PORT --ca ca.pem --token-file join.token",
        ]
    )


@ca.command("list", context_settings=_HELP)
@click.argument("folder", metavar="DIR")
def list_tokens(folder: str) -> None:
    """List the tokens that were made, with the uses that are left."""
    entries = folders.Credentials.load(folder).tokens.entries()
    console.write_lines(
        f"{entry.token_id}  {entry.uses_left} of {entry.uses} uses left  until {_utc(entry.expires_s)} UTC"
        for entry in entries
    )


def _utc(unix_s: float) -> str:
    return f"{datetime.datetime.fromtimestamp(unix_s, datetime.UTC):%Y-%m-%d %H:%M:%S}"
