"""`python -m bench.first_step`: what the README's first command, `make demo`, costs, and whether it holds on a busy machine."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

ROOT = Path(__file__).parent.parent
MOST_BYTES, MOST_CPU_S, BUSY_LOOPS = 300_000_000, 120.0, 8


def children_cpu_s() -> float:
    """CPU seconds of all child processes that have ended, in user space and in the kernel."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def disk_usage(folder: Path) -> int:
    """Bytes that a folder takes on its disk."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))


def make_demo(checkout: Path) -> bool:
    """Run `make demo` once; print the end of its output if it fails."""
    command = ["make", "--no-print-directory", "demo"]
    run = subprocess.run(command, cwd=checkout, check=False, capture_output=True, text=True)
    if run.returncode:
        click.echo((run.stdout + run.stderr)[-2000:], err=True)
    return run.returncode == 0


@contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """Keep this many processes computing, and wait until the load average shows them."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        while os.getloadavg()[0] < count:
            time.sleep(1)
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


@click.command()
@click.option(
    "--tries", default=20, show_default=True, type=click.IntRange(0), help="Demos beside busy loops."
)
def main(tries: int) -> None:
    """Clone this checkout, measure its first `make demo`, and repeat the demo at a load average of 8.

    Exit code 0: all limits hold; 1: one does not.
    """
    with tempfile.TemporaryDirectory() as folder:
        checkout = Path(folder) / "heyfleet"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(checkout)], check=True)
        before_s, begin = children_cpu_s(), time.monotonic()
        passed = make_demo(checkout)
        cpu_s, wall_s = children_cpu_s() - before_s, time.monotonic() - begin
        size = disk_usage(checkout / ".venv")
        click.echo(f"first make demo: {cpu_s:.1f} CPU seconds, {wall_s:.1f} s, .venv {size / 1e6:.0f} MB")
        completed = 0
        if passed and tries:
            with busy_loops(BUSY_LOOPS):
                for number in range(1, tries + 1):
                    completed += make_demo(checkout)
                    load = os.getloadavg()[0]
                    click.echo(f"{completed} of {number} completed, load average {load:.1f}", err=True)
            click.echo(f"beside {BUSY_LOOPS} busy loops: {completed} of {tries} demos completed")
    sys.exit(not (passed and completed == tries and size <= MOST_BYTES and cpu_s <= MOST_CPU_S))


if __name__ == "__main__":
    main(prog_name="python -m bench.first_step")
