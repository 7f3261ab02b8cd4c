"""`python -m bench.accuracy`: compare reports with targets whose delays are known (docs/explain/accuracy.md)."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import click

from bench import machine, table
from bench.errors import BenchError
from bench.measure import pinned, raise_file_limit, two_cores
from bench.truth import (
    STALL_EVERY_S,
    STALL_RATE,
    STALL_RUN_S,
    STALL_S,
    Deviation,
    drain_s,
    expected_in_stalls,
    nearest_rank,
    true_latencies,
)

PAGE = Path(__file__).parent.parent / "docs" / "explain" / "accuracy.md"
SOURCE = Path(__file__).parent / "truth.c"
BINARY = Path(__file__).parent.parent / "build" / "bench" / "truth"
PERCENTS = (50.0, 90.0, 99.0, 99.9)
STALLING = ("stall", str(STALL_EVERY_S), str(STALL_S))
Report = dict[str, float]
Pair = tuple[float, float]  # reported and true, in ns


def compile_target() -> None:
    """Compile the target if its source is newer; raises BenchError with the compiler's output."""
    if BINARY.exists() and BINARY.stat().st_mtime > SOURCE.stat().st_mtime:
        return
    BINARY.parent.mkdir(parents=True, exist_ok=True)
    command = [os.environ.get("CC", "gcc"), "-O2", "-Wall", "-Wextra", str(SOURCE), "-o", str(BINARY), "-lm"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"bench/truth.c does not compile: {done.stderr[-1000:]}")


@contextmanager
def target(core: int, *arguments: str) -> Iterator[str]:
    """Run the target for the duration of the context and yield its port; it writes its log when it ends."""
    process = subprocess.Popen(pinned([str(BINARY), *arguments], core), stdout=subprocess.PIPE, text=True)
    try:
        port = process.stdout.readline().strip() if process.stdout else ""
        if not port:
            raise BenchError("the target did not start")
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def heyfleet(core: int, port: str, rate: float, seconds: float, connections: int) -> Report:
    """Run one worker and return its figures."""
    command = [sys.executable, "-m", "bench.accuracy_load", port, f"{rate}", f"{seconds}", f"{connections}"]
    done = subprocess.run(pinned(command, core), check=False, capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"heyfleet: {done.stderr[-1000:]}")
    report: Report = json.loads(done.stdout)
    return report


def against_the_log(cores: tuple[int, int], rate: float, seconds: float) -> tuple[dict[str, Pair], float]:
    """Load the target with a table of delays: reported and true values, and the share of requests over 100 us late."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with target(cores[1], "table", "7", str(log)) as port:
            report = heyfleet(cores[0], port, rate, seconds, 1000)
        start_ns = int(report["start_ns"])
        truth = true_latencies(log, start_ns, start_ns + int(seconds * 1e9), rate)
    reported: Mapping[str, float] = report["percentiles_ns"]  # type: ignore[assignment]
    pairs = {f"p{p:g}": (reported[str(p)], nearest_rank(truth, p)) for p in PERCENTS}
    return {**pairs, "max": (report["max_ns"], truth[-1])}, report["late_share"]


def against_stalls(cores: tuple[int, int], connections: int) -> dict[str, Pair]:
    """Load the stalling target: reported and true values by figure."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with target(cores[1], *STALLING, str(log)) as port:
            report = heyfleet(cores[0], port, STALL_RATE, STALL_RUN_S, connections)
        service_s = drain_s(log, int(report["start_ns"]))
    reported: Mapping[str, float] = report["percentiles_ns"]  # type: ignore[assignment]
    pairs = {f"p{p:g}": (reported[str(p)], expected_in_stalls(p, service_s) * 1e9) for p in (90.0, 99.0)}
    return {**pairs, "max": (report["max_ns"], STALL_S * 1e9)}


def over_rounds(rounds: Sequence[dict[str, Pair]]) -> list[Deviation]:
    """Collect each figure's values over several runs."""
    return [
        Deviation(name, tuple(run[name][0] for run in rounds), tuple(run[name][1] for run in rounds))
        for name in rounds[0]
    ]


def deviation_row(deviation: Deviation) -> str:
    """Return the table row of one figure at one load."""
    errors_us = [error / 1e3 for error in deviation.errors_ns]
    true_ms, reported_ms = median(deviation.true_ns) / 1e6, median(deviation.reported_ns) / 1e6
    share = median(deviation.errors_ns) / median(deviation.true_ns)
    return (
        f"| {deviation.name} | {true_ms:.3f} | {reported_ms:.3f} | {median(errors_us):+.0f} us ({share:+.2%}) |"
        f" {min(errors_us):+.0f} .. {max(errors_us):+.0f} us | {'ok' if deviation.within_limits() else 'NOT MET'} |"
    )


def run_hey(core: int, port: str) -> dict[str, float]:
    """Run hey at the same rate, 40/s on each of 50 connections; returns seconds by figure."""
    command = ["hey", "-z", f"{STALL_RUN_S}s", "-c", "50", "-q", "40", f"http://127.0.0.1:{port}/"]
    text = subprocess.run(pinned(command, core), check=True, capture_output=True, text=True).stdout
    seconds = {f"p{percent}": float(s) for percent, s in re.findall(r"(\d+)% in ([\d.]+) secs", text)}
    slowest = re.search(r"Slowest:\s+([\d.]+)", text)
    return {**seconds, "max": float(slowest[1]) if slowest else math.nan}


def run_oha(core: int, port: str) -> dict[str, float]:
    """Run oha at the same rate, with latencies from the schedule; returns seconds by figure."""
    command = ["oha", "--no-tui", "-z", f"{round(STALL_RUN_S * 1e3)}ms", "-c", "1000", "-q", f"{STALL_RATE}"]
    command += ["--latency-correction", "--output-format", "json", f"http://127.0.0.1:{port}/"]
    document = json.loads(
        subprocess.run(pinned(command, core), check=True, capture_output=True, text=True).stdout
    )
    return {**document["latencyPercentiles"], "max": document["summary"]["slowest"]}


def run_wrk(core: int, port: str) -> dict[str, float]:
    """Run wrk, which has no rate, on 50 connections; returns seconds by figure."""
    command = ["wrk", "-t1", "-c50", f"-d{round(STALL_RUN_S)}s", "--latency", f"http://127.0.0.1:{port}/"]
    text = subprocess.run(pinned(command, core), check=True, capture_output=True, text=True).stdout
    units = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
    rows = re.findall(r"^\s+(\d+)%\s+([\d.]+)(us|ms|s)$", text, re.MULTILINE)
    seconds = {f"p{percent}": float(value) * units[unit] for percent, value, unit in rows}
    most = re.search(r"Latency\s+\S+\s+\S+\s+([\d.]+)(us|ms|s)", text)
    return {**seconds, "max": float(most[1]) * units[most[2]] if most else math.nan}


def stall_rows(cores: tuple[int, int], rounds: int) -> Iterator[str]:
    """Load the stalling target with every load generator; yields table rows."""
    for connections in (1000, 50):
        deviations = over_rounds([against_stalls(cores, connections) for _ in range(rounds)])
        wanted = " | ".join(f"{median(deviation.true_ns) / 1e9:.4f}" for deviation in deviations)
        reported = " | ".join(f"{median(deviation.reported_ns) / 1e9:.4f}" for deviation in deviations)
        shares = ", ".join(
            f"{median(deviation.errors_ns) / median(deviation.true_ns):+.2%}" for deviation in deviations
        )
        met = all(deviation.within_limits(ns=0) for deviation in deviations)
        yield f"| closed form | {wanted} | |"
        yield f"| heyfleet --rate {STALL_RATE} -c {connections} | {reported} | {shares}: {'ok' if met else 'NOT MET'} |"
    others = (
        ("hey -c 50 -q 40", run_hey),
        ("wrk -c50 (no rate)", run_wrk),
        (f"oha -c 1000 -q {STALL_RATE} --latency-correction", run_oha),
    )
    for name, run in others:
        if shutil.which(name.split()[0]) is None:
            continue
        with target(cores[1], *STALLING, os.devnull) as port:
            seconds = run(cores[0], port)
        cells = [f"{seconds[row]:.4f}" if row in seconds else "-" for row in ("p90", "p99", "max")]
        yield f"| {name} | {' | '.join(cells)} | |"


def measure(rounds: int, seconds: float, minute_s: float) -> str:
    """Measure everything and return all tables as Markdown."""
    cores = two_cores()
    compile_target()
    with target(cores[1], "table", "7", os.devnull) as port:
        capacity = median(heyfleet(cores[0], port, 0, 3, 2000)["responses"] / 3 for _ in range(3))
    parts = [
        f"One worker's capacity against this target: {capacity:,.0f} requests/s (closed loop, 2,000 connections)."
    ]
    late: list[float] = []
    for share in (0.2, 0.6):
        rate = float(round(capacity * share, -2))
        runs = []
        for number in range(1, rounds + 1):
            click.echo(f"measuring {share:.0%} of the capacity, run {number} ...", err=True)
            pairs, late_share = against_the_log(cores, rate, seconds)
            runs.append(pairs)
            late += [late_share] if share == 0.2 else []
        parts.append(f"\nAt {share:.0%} of that, {rate:,.0f} requests/s, {rounds} runs of {seconds:.0f} s:\n")
        parts.append(markdown(("figure", "truth, ms", "reported, ms", "error, median", "range", "")))
        parts += [deviation_row(deviation) for deviation in over_rounds(runs)]
    click.echo("measuring the rate over a minute ...", err=True)
    with target(cores[1], "at-once") as port:
        report = heyfleet(cores[0], port, 5000, minute_s, 1000)
    achieved = report["sent"] * 1e9 / report["elapsed_ns"]
    parts += [
        "",
        markdown(("figure", "required", "measured", "")),
        f"| rate over {minute_s:.0f} s, requested: 5,000/s | within 0.05 % | {achieved:.3f}/s ({achieved / 5000 - 1:+.4%}) |"
        f" {'ok' if abs(achieved / 5000 - 1) <= 0.0005 else 'NOT MET'} |",
        f"| sent more than 100 us late, at 20 % load, median of the runs | below 1 % | {median(late):.2%}"
        f" ({min(late):.2%} .. {max(late):.2%}) | {'ok' if median(late) < 0.01 else 'NOT MET'} |",
    ]
    click.echo("measuring the stalling target ...", err=True)
    parts += ["", markdown(("seconds", "p90", "p99", "max", "error, median")), *stall_rows(cores, rounds)]
    return "\n".join(parts) + "\n"


def markdown(head: Sequence[str]) -> str:
    """Return the first two lines of a table."""
    return f"| {' | '.join(head)} |\n|{'---|' * len(head)}"


@click.command()
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1), help="Runs at each load.")
@click.option("--seconds", default=15.0, show_default=True, help="Length of each run.")
@click.option("--minute", default=60.0, show_default=True, help="Length of the run that measures the rate.")
@click.option("--write", is_flag=True, help="Put the tables into docs/explain/accuracy.md.")
def main(rounds: int, seconds: float, minute: float, write: bool) -> None:
    """Compare heyfleet's reports with the truth.

    Exit code 0: all limits hold; 1: one does not; 2: a measurement was not possible.
    """
    raise_file_limit()
    if note := machine.busy():
        click.echo(f"warning: {note}", err=True)
    try:
        text = measure(rounds, seconds, minute)
    except BenchError as error:
        click.echo(f"bench: {error}", err=True)
        sys.exit(2)
    click.echo(text)
    if write:
        rows = [(f"**{name}**", value) for name, value in machine.describe().items()]
        conditions = table.as_markdown(("", "measured with"), rows)
        described = f"`python -m bench.accuracy --write` on:\n\n{conditions}\n\n{text}"
        PAGE.write_text(table.replace_section(PAGE.read_text(), described))
    sys.exit(1 if "NOT MET" in text else 0)


if __name__ == "__main__":
    main(prog_name="python -m bench.accuracy")
