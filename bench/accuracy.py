"""`python -m bench.accuracy`: what heyfleet reports, beside what is known to be true. docs/accuracy.md has the method."""

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
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import click

from bench import machine, table
from bench.errors import BenchError
from bench.measure import pinned, raise_file_limit, two_cores

PAGE = Path(__file__).parent.parent / "docs" / "accuracy.md"
SOURCE = Path(__file__).parent / "truth.c"
BINARY = Path(__file__).parent.parent / "build" / "bench" / "truth"
PERCENTS = (50.0, 90.0, 99.0, 99.9)
SHARE_OFF, NS_OFF = 0.01, 60_000
STALL_EVERY_S, STALL_S, STALL_RATE, STALL_RUN_S = 10.0, 1.0, 2000, 21.5
Report = dict[str, float]


def compile_target() -> None:
    """Make the target, unless that was done since its last change; BenchError with the compiler's words."""
    if BINARY.exists() and BINARY.stat().st_mtime > SOURCE.stat().st_mtime:
        return
    BINARY.parent.mkdir(parents=True, exist_ok=True)
    command = [os.environ.get("CC", "gcc"), "-O2", "-Wall", "-Wextra", str(SOURCE), "-o", str(BINARY), "-lm"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"bench/truth.c does not compile: {done.stderr[-1000:]}")


@contextmanager
def target(core: int, *words: str) -> Iterator[str]:
    """The port of a running target; it is ended, and has written its log, at the end of the context."""
    process = subprocess.Popen(pinned([str(BINARY), *words], core), stdout=subprocess.PIPE, text=True)
    try:
        port = process.stdout.readline().strip() if process.stdout else ""
        if not port:
            raise BenchError("the target did not start")
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def heyfleet(core: int, port: str, rate: float, seconds: float, connections: int) -> Report:
    """One run of one worker."""
    words = [sys.executable, "-m", "bench.accuracy_load", port, f"{rate}", f"{seconds}", f"{connections}"]
    done = subprocess.run(pinned(words, core), check=False, capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"heyfleet: {done.stderr[-1000:]}")
    report: Report = json.loads(done.stdout)
    return report


def nearest_rank(ordered: Sequence[float], percent: float) -> float:
    """A percentile of values in order, by nearest rank."""
    return ordered[max(math.ceil(round(percent * len(ordered) / 100, 6)), 1) - 1]


def true_latencies(log: Path, start_ns: int, end_ns: int, rate: float) -> list[float]:
    """Of every request answered before the end, in ascending order: given to the kernel, less intended, in ns."""
    pairs = array("q", log.read_bytes())
    sent_ns = pairs[1::2]
    return sorted(at - start_ns - int(k * 1e9 / rate) for k, at in enumerate(sent_ns) if 0 < at < end_ns)


def within(reported_ns: float, true_ns: float) -> bool:
    """Within 1 % or 60 us."""
    return abs(reported_ns - true_ns) <= max(SHARE_OFF * true_ns, NS_OFF)


def truth_rows(
    cores: tuple[int, int], rate: float, label: str, seconds: float
) -> tuple[list[list[str]], float]:
    """One run against the table of delays; and the share of requests that left more than 100 us late."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with target(cores[1], "table", "7", str(log)) as port:
            report = heyfleet(cores[0], port, rate, seconds, 1000)
        start_ns = int(report["start_ns"])
        truth = true_latencies(log, start_ns, start_ns + int(seconds * 1e9), rate)
    reported: Mapping[str, float] = report["percentiles_ns"]  # type: ignore[assignment]
    values = [(f"p{percent:g}", reported[str(percent)], nearest_rank(truth, percent)) for percent in PERCENTS]
    values.append(("max", report["max_ns"], truth[-1]))
    rows = [
        [
            f"{label}, {name}",
            f"{true_ns / 1e6:.3f}",
            f"{told_ns / 1e6:.3f}",
            f"{(told_ns - true_ns) / 1e3:+.0f} us ({(told_ns / true_ns - 1):+.2%})",
            "ok" if within(told_ns, true_ns) else "NOT MET",
        ]
        for name, told_ns, true_ns in values
    ]
    return rows, report["late_share"]


def expected_in_stalls(percent: float, service_s: float) -> float:
    """Seconds that the percentile takes in an open loop at a constant rate: the closed form.

    A request that is due u before the end of a stall of a waits u, and then for those before it: rate * (a - u) of them, at
    `service_s` each. The stalls begin with each period, the run ends outside of them.
    """
    stalls = math.ceil(STALL_RUN_S / STALL_EVERY_S)
    above_s = (1 - percent / 100) * STALL_RUN_S / stalls
    left_s = STALL_S - above_s
    return left_s + STALL_RATE * above_s * service_s


def of_hey(core: int, port: str) -> dict[str, float]:
    """hey at the same rate, 40/s on each of 50 connections: seconds by name."""
    words = ["hey", "-z", f"{STALL_RUN_S}s", "-c", "50", "-q", "40", f"http://127.0.0.1:{port}/"]
    text = subprocess.run(pinned(words, core), check=True, capture_output=True, text=True).stdout
    found = {f"p{percent}": float(s) for percent, s in re.findall(r"(\d+)% in ([\d.]+) secs", text)}
    slowest = re.search(r"Slowest:\s+([\d.]+)", text)
    return {**found, "max": float(slowest[1]) if slowest else math.nan}


def of_wrk(core: int, port: str) -> dict[str, float]:
    """wrk, which has no rate, on 50 connections: seconds by name."""
    words = ["wrk", "-t1", "-c50", f"-d{round(STALL_RUN_S)}s", "--latency", f"http://127.0.0.1:{port}/"]
    text = subprocess.run(pinned(words, core), check=True, capture_output=True, text=True).stdout
    units = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
    rows = re.findall(r"^\s+(\d+)%\s+([\d.]+)(us|ms|s)$", text, re.MULTILINE)
    found = {f"p{percent}": float(value) * units[unit] for percent, value, unit in rows}
    most = re.search(r"Latency\s+\S+\s+\S+\s+([\d.]+)(us|ms|s)", text)
    return {**found, "max": float(most[1]) * units[most[2]] if most else math.nan}


def drain_s(log: Path, start_ns: int) -> float:
    """Seconds that the target took for each request that had gathered in a stall, by its own log."""
    pairs = array("q", log.read_bytes())
    first_ns = pairs[0]
    shares: list[float] = []
    for stall in range(math.ceil(STALL_RUN_S / STALL_EVERY_S)):
        end_ns = first_ns + int((stall * STALL_EVERY_S + STALL_S) * 1e9)
        due = [int((at_ns - start_ns) / 1e9 * STALL_RATE) for at_ns in (end_ns - int(STALL_S * 1e9), end_ns)]
        last_ns = max(pairs[1 + 2 * number] for number in range(due[0] + 1, due[1]))
        shares.append((last_ns - end_ns) / 1e9 / (due[1] - due[0]))
    return sum(shares) / len(shares)


def stall_rows(cores: tuple[int, int]) -> Iterator[list[str]]:
    """Every load generator against the target that stalls."""
    names = ("p90", "p99", "max")
    words = ("stall", str(STALL_EVERY_S), str(STALL_S))
    for connections in (1000, 50):
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "log"
            with target(cores[1], *words, str(log)) as port:
                report = heyfleet(cores[0], port, STALL_RATE, STALL_RUN_S, connections)
            service_s = drain_s(log, int(report["start_ns"]))
        wanted = [expected_in_stalls(float(name[1:]), service_s) for name in names[:-1]] + [STALL_S]
        yield [f"closed form, {service_s * 1e6:.1f} us a request", *(f"{value:.4f}" for value in wanted), ""]
        told: Mapping[str, float] = report["percentiles_ns"]  # type: ignore[assignment]
        values = [told[f"{float(name[1:])}"] / 1e9 for name in names[:-1]] + [report["max_ns"] / 1e9]
        off = ", ".join(f"{a / b - 1:+.2%}" for a, b in zip(values, wanted, strict=True))
        good = all(abs(a - b) <= 0.01 * b for a, b in zip(values, wanted, strict=True))
        label = f"heyfleet --rate {STALL_RATE} -c {connections}"
        yield [label, *(f"{value:.4f}" for value in values), f"{off}: {'ok' if good else 'NOT MET'}"]
    for name, run in (("hey -c 50 -q 40", of_hey), ("wrk -c50 (no rate)", of_wrk)):
        if shutil.which(name.split()[0]) is None:
            continue
        with target(cores[1], *words, os.devnull) as port:
            found = run(cores[0], port)
        yield [name, *(f"{found[row]:.4f}" if row in found else "-" for row in names), ""]


def measure(rounds: int, seconds: float, minute_s: float) -> str:
    """All tables as Markdown."""
    cores = two_cores()
    compile_target()
    with target(cores[1], "table", "7", os.devnull) as port:
        rates = [heyfleet(cores[0], port, 0, 3, 2000)["responses"] / 3 for _ in range(3)]
    capacity = median(rates)
    parts = [
        f"One worker's capacity against this target: {capacity:,.0f} requests/s (closed loop, 2,000 connections).",
        "",
    ]
    late: list[float] = []
    for share in (0.2, 0.6):
        rate = float(round(capacity * share, -2))
        for number in range(1, rounds + 1):
            click.echo(f"measuring {share:.0%} of the capacity, run {number} ...", err=True)
            rows, late_share = truth_rows(cores, rate, f"{share:.0%} ({rate:,.0f}/s), run {number}", seconds)
            late += [late_share] if share == 0.2 else []
            if not parts[-1].startswith("|"):
                parts.append(markdown(("load and figure", "truth, ms", "reported, ms", "off by", "")))
            parts += [f"| {' | '.join(row)} |" for row in rows]
        parts.append("")
    click.echo("measuring the rate over a minute ...", err=True)
    with target(cores[1], "at-once") as port:
        report = heyfleet(cores[0], port, 5000, minute_s, 1000)
    achieved = report["sent"] * 1e9 / report["elapsed_ns"]
    parts += [
        markdown(("figure", "asked", "measured", "")),
        f"| rate over {minute_s:.0f} s, asked 5,000/s | within 0.05 % | {achieved:.3f}/s ({achieved / 5000 - 1:+.4%}) |"
        f" {'ok' if abs(achieved / 5000 - 1) <= 0.0005 else 'NOT MET'} |",
        f"| left more than 100 us late, at 20 % load | below 1 % | {', '.join(f'{each:.3%}' for each in late)} |"
        f" {'ok' if max(late) < 0.01 else 'NOT MET'} |",
        "",
    ]
    click.echo("measuring the stalling target ...", err=True)
    parts += [markdown(("seconds", "p90", "p99", "max", ""))]
    parts += [f"| {' | '.join(row)} |" for row in stall_rows(cores)]
    return "\n".join(parts) + "\n"


def markdown(head: Sequence[str]) -> str:
    """The first two lines of a table."""
    return f"| {' | '.join(head)} |\n|{'---|' * len(head)}"


@click.command()
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1), help="Runs at each load.")
@click.option("--seconds", default=15.0, show_default=True, help="Length of each run.")
@click.option(
    "--minute", default=60.0, show_default=True, help="Length of the run that the rate is taken of."
)
@click.option("--write", is_flag=True, help="Put the tables into docs/accuracy.md.")
def main(rounds: int, seconds: float, minute: float, write: bool) -> None:
    """Hold heyfleet's reports against the truth. Exit code 0: within what is asked; 1: not; 2: can't be measured."""
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
        described = f"`python -m bench.accuracy` on {machine.describe()}:\n\n{text}"
        PAGE.write_text(table.replace_section(PAGE.read_text(), described))
    sys.exit(1 if "NOT MET" in text else 0)


if __name__ == "__main__":
    main(prog_name="python -m bench.accuracy")
