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
from bench.figures import GROUPS, Results, Settings
from bench.measure import raise_file_limit, two_cores

PAGE = Path(__file__).parent.parent / "docs" / "explain" / "benchmarks.md"


def measure_all(names: Sequence[str], settings: Settings) -> tuple[Results, bool]:
    """Measure these groups and return their results, and whether every group could be measured."""
    results = Results([])
    complete = True
    for name in names or GROUPS:
        click.echo(f"measuring {name} ...", err=True)
        try:
            group = GROUPS[name](settings)
        except BenchError as error:
            click.echo(f"bench: {name}: {error}", err=True)
            complete = False
            continue
        results.figures.extend(group.figures)
        results.costs.extend(group.costs)
        results.warnings.extend(group.warnings)
    return results, complete


def exit_code(results: Results, complete: bool) -> int:
    """Return 0 if all limits hold, 1 if one does not, 2 if a measurement was not possible."""
    if not complete:
        return 2
    return int(any(figure.met is False for figure in results.figures))


def show(results: Results) -> None:
    """Print figures, costs and warnings."""
    if not results.figures:
        return
    click.echo(table.as_text(table.FIGURE_HEAD, map(table.figure_row, results.figures)))
    if results.costs:
        click.echo()
        click.echo(table.as_text(table.COST_HEAD, map(table.cost_row, results.costs)))
    for warning in results.warnings:
        click.echo(f"warning: {warning}", err=True)


@click.command()
@click.option(
    "--only", multiple=True, type=click.Choice(list(GROUPS)), help="Measure only this group; may be repeated."
)
@click.option(
    "--rounds",
    default=5,
    show_default=True,
    type=click.IntRange(1),
    help="Number of runs of each load generator.",
)
@click.option("--seconds", default=4, show_default=True, type=click.IntRange(1), help="Length of each run.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Also write the figures to this JSON file."
)
@click.option("--write", is_flag=True, help="Put the figures into docs/explain/benchmarks.md.")
def main(only: Sequence[str], rounds: int, seconds: int, out: Path | None, write: bool) -> None:
    """Compare heyfleet with other load generators, on loopback, with client and server on a core each.

    Exit code 0: all limits hold; 1: one does not; 2: a measurement was not possible.
    """
    if write and only:
        raise click.UsageError("--write needs all groups; leave out --only.")
    try:
        settings = Settings(rounds, seconds, *two_cores())
    except BenchError as error:
        raise click.ClickException(str(error)) from None
    raise_file_limit()
    if note := machine.busy():
        click.echo(f"warning: {note}", err=True)
    with tempfile.TemporaryDirectory() as runs:
        os.environ["HEYFLEET_RUNS"] = runs  # runs are archived, as by default, but not in the user's folder
        results, complete = measure_all(only, settings)
    show(results)
    if out:
        data = {"machine": machine.describe(), **dataclasses.asdict(results)}
        out.write_text(json.dumps(data, indent=2) + "\n")
    if write and complete:
        command = shlex.join(["python", "-m", "bench", *sys.argv[1:]])
        text = table.section(command, machine.describe(), results.figures, results.costs)
        PAGE.write_text(table.replace_section(PAGE.read_text(), text))
    sys.exit(exit_code(results, complete))


if __name__ == "__main__":
    main(prog_name="python -m bench")
