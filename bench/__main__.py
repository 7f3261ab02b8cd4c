"""The command `python -m bench`."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from bench import machine, table
from bench.errors import BenchError
from bench.figures import GROUPS, Findings, Settings
from bench.measure import raise_file_limit, two_cores

PAGE = Path(__file__).parent.parent / "docs" / "explain" / "benchmarks.md"


def measure_all(names: Sequence[str], settings: Settings) -> tuple[Findings, bool]:
    """Measure these groups, telling which on the way; and whether all of them could be measured."""
    found = Findings([])
    complete = True
    for name in names or GROUPS:
        click.echo(f"measuring {name} ...", err=True)
        try:
            group = GROUPS[name](settings)
        except BenchError as error:
            click.echo(f"bench: {name}: {error}", err=True)
            complete = False
            continue
        found.figures.extend(group.figures)
        found.costs.extend(group.costs)
        found.warnings.extend(group.warnings)
    return found, complete


def exit_code(found: Findings, complete: bool) -> int:
    """0: all is met; 1: something is not; 2: something could not be measured."""
    if not complete:
        return 2
    return int(any(figure.met is False for figure in found.figures))


def show(found: Findings) -> None:
    """Print all that was found."""
    if not found.figures:
        return
    click.echo(table.as_text(table.FIGURE_HEAD, map(table.figure_row, found.figures)))
    if found.costs:
        click.echo()
        click.echo(table.as_text(table.COST_HEAD, map(table.cost_row, found.costs)))
    for warning in found.warnings:
        click.echo(f"warning: {warning}", err=True)


@click.command()
@click.option(
    "--only", multiple=True, type=click.Choice(list(GROUPS)), help="Measure this group; may be repeated."
)
@click.option(
    "--rounds", default=5, show_default=True, type=click.IntRange(1), help="Rounds of all peers in turn."
)
@click.option("--seconds", default=4, show_default=True, type=click.IntRange(1), help="Length of each run.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures to a JSON file too."
)
@click.option("--write", is_flag=True, help="Put the figures into docs/explain/benchmarks.md.")
def main(only: Sequence[str], rounds: int, seconds: int, out: Path | None, write: bool) -> None:
    """Measure heyfleet beside other load generators, on loopback, each side on a core of its own.

    Exit code 0: all that is asked is met; 1: something is not; 2: a measurement was not possible.
    """
    if write and only:
        raise click.UsageError("--write wants all groups, so it can't be combined with --only.")
    try:
        settings = Settings(rounds, seconds, *two_cores())
    except BenchError as error:
        raise click.ClickException(str(error)) from None
    raise_file_limit()
    if note := machine.busy():
        click.echo(f"warning: {note}", err=True)
    with tempfile.TemporaryDirectory() as runs:
        os.environ["HEYFLEET_RUNS"] = runs  # runs are kept, as by default, but not here
        found, complete = measure_all(only, settings)
    show(found)
    if out:
        data = {"machine": machine.describe(), **dataclasses.asdict(found)}
        out.write_text(json.dumps(data, indent=2) + "\n")
    if write and complete:
        command = shlex.join(["python", "-m", "bench", *sys.argv[1:]])
        text = table.section(command, machine.describe(), found.figures, found.costs)
        PAGE.write_text(table.replace_section(PAGE.read_text(), text))
    sys.exit(exit_code(found, complete))


if __name__ == "__main__":
    main(prog_name="python -m bench")
