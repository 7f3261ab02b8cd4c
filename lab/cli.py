"""`heyfleet lab`: practice targets."""

from __future__ import annotations

import ipaddress
import os
import resource
import socket
import ssl
from collections.abc import Callable

import click
import uvloop

from heyfleet.lab.behaviour import Behaviour, from_query
from heyfleet.lab.faulty import Target, serve
from heyfleet.lab.units import stall as read_stall

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


@click.group()
def lab() -> None:
    """Practice targets: servers to send load to."""


@lab.command(context_settings={"show_default": True})
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, help="0: any free one.")
@click.option("--allow-remote", is_flag=True, help="Let --host be more than loopback.")
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
    hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
    target = Target(default, max_connections, overflow, seed)
    try:
        uvloop.run(
            serve(
                target,
                address,
                port,
                lambda url: click.echo(f"heyfleet lab: listening on {url}"),
                stall=stall,
                tls=context,
            )
        )
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise click.ClickException(f"cannot listen on {host} port {port}: {reason}") from None
    click.echo(f"heyfleet lab: {target.summary()}")
