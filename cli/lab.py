"""`heyfleet lab`: servers to practise on."""

from __future__ import annotations

import ipaddress
import os
import resource
import socket
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import fields
from typing import Any

import click
import uvloop

from heyfleet import console
from heyfleet.cli.parsed_type import ParsedType
from heyfleet.durations import parse_count
from heyfleet.lab.behavior import Behavior, parse_query
from heyfleet.lab.faulty import Target, serve
from heyfleet.lab.units import parse_range, parse_stall
from heyfleet.lab.vpc_lambda.settings import Settings, descriptions

_COUNT = ParsedType("count", parse_count)
_OVERFLOW = click.Choice(["reset", "close", "stall"])


def _address(host: str, *, allow_remote: bool) -> str:
    """Resolve the address to listen on, and refuse one that other hosts can reach unless that is allowed."""
    try:
        address = str(socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        raise click.ClickException(f"--host {host}: {error.strerror}") from None
    if not allow_remote and not ipaddress.ip_address(address).is_loopback:
        raise click.ClickException(
            f"--host {host} would let other hosts connect; add --allow-remote to permit that"
        )
    return address


def _tls(path: str) -> ssl.SSLContext:
    from heyfleet.lab.tls import context

    try:
        return context(path)
    except OSError as error:
        raise click.ClickException(f"--tls {path}: {error.strerror}") from None


def _serve(server: Callable[[Callable[[str], None]], Coroutine[Any, Any, None]], where: str) -> None:
    """Run a server until a signal stops it, and print its URL when it listens."""
    hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
    try:
        uvloop.run(server(lambda url: console.write_lines([f"heyfleet lab: listening on {url}"])))
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise click.ClickException(f"can't listen on {where}: {reason}") from None


@click.group()
def lab() -> None:
    """Run a practice server to send load to."""


def _listen_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(
        (
            click.option("--host", default="127.0.0.1", help="Address to listen on."),
            click.option(
                "--port", type=click.IntRange(0, 65535), default=8080, help="Port to listen on; 0 picks one."
            ),
            click.option("--allow-remote", is_flag=True, help="Permit a --host that other hosts can reach."),
        )
    ):
        command = option(command)
    return command


@lab.command(context_settings={"show_default": True})
@_listen_options
@click.option("--max-connections", type=_COUNT, default=0, help="Maximum open connections; 0: no limit.")
@click.option(
    "--overflow",
    type=_OVERFLOW,
    default="reset",
    help="What happens to connections beyond the maximum; stall: they wait.",
)
@click.option(
    "--default",
    type=ParsedType("query", parse_query),
    help="Behavior of / and /ok, such as 'delay=20ms&size=1KiB'.",
)
@click.option(
    "--stall",
    type=ParsedType("length/period", parse_stall),
    help="1s/10s: freeze the server for 1 s every 10 s.",
)
@click.option("--tls", metavar="FILE", help="Serve https, and write the CA's certificate to FILE.")
@click.option("--seed", default=0, help="Seed of all random values.")
def faulty(
    *, host: str, port: int, allow_remote: bool, max_connections: int, overflow: str, seed: int,
    default: Behavior | None, stall: tuple[float, float] | None, tls: str | None,
) -> None:  # fmt: skip
    """Serve HTTP/1.1 and HTTP/2, and misbehave as the URL of each request says; GET /help lists all behaviors."""
    address = _address(host, allow_remote=allow_remote)
    context = _tls(tls) if tls else None
    target = Target(default, max_connections, overflow, seed)
    _serve(
        lambda announce: serve(target, address, port, announce, stall=stall, tls=context),
        f"{host} port {port}",
    )
    console.write_lines([f"heyfleet lab: {target.summary()}"])


def _model_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add an option for each setting of the model."""
    for setting in reversed(descriptions()):
        default = setting.default
        kind: type | ParsedType[tuple[float, float]] = type(default or 0.0)
        if isinstance(default, tuple):
            default, kind = f"{default[0]:g}-{default[1]:g}", ParsedType("range", parse_range)
        command = click.option(setting.flag, type=kind, default=default, help=setting.help)(command)
    return command


@lab.command("vpc-lambda", context_settings={"show_default": True})
@_listen_options
@click.option(
    "--time-scale",
    type=click.FloatRange(0.001, 10),
    default=1.0,
    help="Factor of all times: with 0.1 everything takes a tenth of its time. Statistics stay in the model's time.",
)
@_model_options
def vpc_lambda(*, host: str, port: int, allow_remote: bool, time_scale: float, **values: Any) -> None:
    """Serve like an AWS Lambda function in a VPC behind API Gateway, with the network of before or after 2019.

    Times are in seconds. GET /_lab/stats returns what happened inside. docs/reference/lab-vpc-lambda.md explains
    where each default comes from.
    """
    from heyfleet.lab.vpc_lambda.server import Target as Account
    from heyfleet.lab.vpc_lambda.server import serve as serve_account

    address = _address(host, allow_remote=allow_remote)
    try:
        settings = Settings(**{field.name: values[field.name] for field in fields(Settings)})
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    account = Account(settings, time_scale)
    _serve(lambda announce: serve_account(account, address, port, announce), f"{host} port {port}")
    console.write_lines([f"heyfleet lab: {account.summary()}"])
