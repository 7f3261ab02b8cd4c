"""`heyfleet lab`: practice targets."""

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

from heyfleet.lab.behaviour import Behaviour, from_query
from heyfleet.lab.faulty import Target, serve
from heyfleet.lab.units import span
from heyfleet.lab.units import stall as read_stall
from heyfleet.lab.vpc_lambda.settings import Settings, described

COUNT = click.IntRange(0)
ENDS = click.Choice(["reset", "close", "stall"])


def _flag(read: Callable[[str], object]) -> Callable[[str], object]:
    """A click type of a reader, that keeps the reason of its ValueError."""

    def text(value: str) -> object:
        try:
            return read(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return text


def _address(host: str, *, allow_remote: bool) -> str:
    """The one address to listen on; refuses one that other hosts can reach unless that is allowed."""
    try:
        address = str(socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        raise click.ClickException(f"--host {host}: {error.strerror}") from None
    if not allow_remote and not ipaddress.ip_address(address).is_loopback:
        raise click.ClickException(f"--host {host} is open to others; add --allow-remote to let them in")
    return address


def _tls(path: str) -> ssl.SSLContext:
    from heyfleet.lab.tls import context

    try:
        return context(path)
    except OSError as error:
        raise click.ClickException(f"--tls {path}: {error.strerror}") from None


def _serve(server: Callable[[Callable[[str], None]], Coroutine[Any, Any, None]], where: str) -> None:
    """Run it until it is told to stop; it announces its URL."""
    hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
    try:
        uvloop.run(server(lambda url: click.echo(f"heyfleet lab: listening on {url}")))
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise click.ClickException(f"cannot listen on {where}: {reason}") from None


@click.group()
def lab() -> None:
    """Practice targets: servers to send load to."""


def _listens(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(
        (
            click.option("--host", default="127.0.0.1", help="Address to listen on."),
            click.option("--port", type=click.IntRange(0, 65535), default=8080, help="0: any free one."),
            click.option("--allow-remote", is_flag=True, help="Let --host be more than loopback."),
        )
    ):
        command = option(command)
    return command


@lab.command(context_settings={"show_default": True})
@_listens
@click.option("--max-connections", type=COUNT, default=0, help="Open at a time; 0: no limit.")
@click.option(
    "--overflow", type=ENDS, default="reset", help="What happens to further ones; stall: they wait."
)
@click.option(
    "--default", type=_flag(from_query), help="How to answer / and /ok, such as 'delay=20ms&size=1KiB'."
)
@click.option("--stall", type=_flag(read_stall), help="1s/10s: all stands still for 1 s every 10 s.")
@click.option(
    "--tls", metavar="FILE", help="Serve https; the certificate of who signed ours goes to the file."
)
@click.option("--seed", default=0, help="Of all that is left to chance.")
def faulty(
    *, host: str, port: int, allow_remote: bool, max_connections: int, overflow: str, seed: int,
    default: Behaviour | None, stall: tuple[float, float] | None, tls: str | None,
) -> None:  # fmt: skip
    """Serve HTTP/1.1 and HTTP/2 that misbehaves the way the URL asks for; GET /help lists the ways."""
    address = _address(host, allow_remote=allow_remote)
    context = _tls(tls) if tls else None
    target = Target(default, max_connections, overflow, seed)
    _serve(
        lambda announce: serve(target, address, port, announce, stall=stall, tls=context),
        f"{host} port {port}",
    )
    click.echo(f"heyfleet lab: {target.summary()}")


def _model(command: Callable[..., None]) -> Callable[..., None]:
    """An option for each of the model's settings."""
    for each in reversed(described()):
        shown = (
            f"{each.default[0]:g}-{each.default[1]:g}" if isinstance(each.default, tuple) else each.default
        )
        kind = _flag(span) if isinstance(each.default, tuple) else type(each.default or 0.0)
        command = click.option(each.flag, type=kind, default=shown, help=each.words)(command)
    return command


@lab.command("vpc-lambda", context_settings={"show_default": True})
@_listens
@click.option(
    "--time-scale",
    type=click.FloatRange(0.001, 10),
    default=1.0,
    help="0.1: all takes a tenth of its time; its numbers remain those of the model.",
)
@_model
def vpc_lambda(*, host: str, port: int, allow_remote: bool, time_scale: float, **given: Any) -> None:
    """Serve as API Gateway does before a Lambda function in a VPC, before and after its network was rebuilt in 2019.

    Times are in seconds. GET /_lab/stats returns the model's counters. docs/reference/lab-vpc-lambda.md lists the sources.
    """
    from heyfleet.lab.vpc_lambda.server import Target as Account
    from heyfleet.lab.vpc_lambda.server import serve as serve_account

    address = _address(host, allow_remote=allow_remote)
    try:
        settings = Settings(**{each.name: given[each.name] for each in fields(Settings)})
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    account = Account(settings, time_scale)
    _serve(lambda announce: serve_account(account, address, port, announce), f"{host} port {port}")
    click.echo(f"heyfleet lab: {account.summary()}")
