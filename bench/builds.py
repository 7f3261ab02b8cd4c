"""`python -m bench.builds CHECKOUT`: this build of heyfleet beside another one, run by run in turn."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import click

from bench import machine, table
from bench.errors import BenchError
from bench.figures import FEW, MANY, Figure
from bench.instructions import instructions_per_request
from bench.measure import Run, efficiency, interleave, raise_file_limit, run_counted, spread, two_cores
from bench.peers import Heyfleet
from bench.target import Nginx

ROOT = Path(__file__).parent.parent
BACKENDS = ("io_uring", "epoll")
EFFICIENCY_AT_LEAST = 0.98
INSTRUCTION_ROUNDS = 3


def environment(checkout: Path) -> Mapping[str, str]:
    """Environment variables that make `python -m heyfleet` run the build in a checkout.

    Raises BenchError where no extension is built in it.
    """
    if not any(checkout.glob("ext/_core.*.so")):
        raise BenchError(f"{checkout} has no built extension; run make build in it")
    return {"PYTHONPATH": str(checkout.resolve() / "src")}


def instruction_figures(
    other: Mapping[str, str], ours: Mapping[str, str], cores: tuple[int, int]
) -> list[Figure]:
    """User-space instructions per request of both builds; this one may need no more than the other."""
    figures = []
    with Nginx(cores[1]) as nginx:
        for io in BACKENDS:
            counts = {
                name: spread(
                    instructions_per_request(nginx.url, io, FEW, cores[0], env)
                    for _ in range(INSTRUCTION_ROUNDS)
                )
                for name, env in (("other", other), ("this", ours))
            }
            name = f"user-space instructions per request, {io} (callgrind)"
            limit = counts["other"].median
            figures.append(Figure(f"{name}, other build", counts["other"], digits=0))
            figures.append(Figure(f"{name}, this build", counts["this"], limit, at_most=True, digits=0))
    return figures


def efficiency_figures(
    other: Mapping[str, str], ours: Mapping[str, str], cores: tuple[int, int], rounds: int, seconds: float
) -> list[Figure]:
    """Requests per client CPU-second of this build, with the other build's as the unit."""

    def player(peer: Heyfleet, env: Mapping[str, str], connections: int, nginx: Nginx) -> Callable[[], Run]:
        command = peer.command(nginx.url, connections, seconds)
        return lambda: run_counted(command, cores[0], env, nginx.wait_idle)

    figures = []
    for connections in (FEW, MANY):
        for io in BACKENDS:
            with Nginx(cores[1]) as nginx:
                builds = (("other", other), ("this", ours))
                players = {name: player(Heyfleet(io), env, connections, nginx) for name, env in builds}
                pairs = interleave(players, rounds)
            ratio = efficiency(pairs, "this", "other")
            name = f"requests per client CPU-second, {io}, {connections:,} connections (other build = 1)"
            figures.append(Figure(name, ratio, EFFICIENCY_AT_LEAST, digits=3))
    return figures


@click.command()
@click.argument("checkout", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--pairs", default=9, show_default=True, type=click.IntRange(1), help="Number of pairs of runs."
)
@click.option("--seconds", default=4, show_default=True, type=click.IntRange(1), help="Length of each run.")
@click.option(
    "--only", type=click.Choice(["instructions", "cpu"]), help="Measure only instructions or only CPU time."
)
def main(checkout: Path, pairs: int, seconds: int, only: str | None) -> None:
    """Compare this build with the one in CHECKOUT: instructions and client CPU time per request.

    Exit code 0: all limits hold; 1: one does not; 2: a measurement was not possible.
    """
    raise_file_limit()
    if note := machine.busy():
        click.echo(f"warning: {note}", err=True)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as runs:
        os.environ["HEYFLEET_RUNS"] = runs  # archives of these runs are of no use to anyone
        try:
            cores, builds = two_cores(), (environment(checkout), environment(ROOT))
            if only != "cpu":
                figures += instruction_figures(*builds, cores)
            if only != "instructions":
                figures += efficiency_figures(*builds, cores, pairs, seconds)
        except BenchError as error:
            click.echo(f"bench: {error}", err=True)
            sys.exit(2)
    click.echo(table.as_text(table.FIGURE_HEAD, map(table.figure_row, figures)))
    sys.exit(any(figure.met is False for figure in figures))


if __name__ == "__main__":
    main(prog_name="python -m bench.builds")
