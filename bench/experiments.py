"""`python -m bench.experiments`: make the first experiments against a model (docs/explain/experiments.md)."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

import heyfleet
from bench import machine, modes, table
from bench.errors import BenchError

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "explain" / "experiments.md"
PICTURES = ROOT / "docs" / "pictures"
AGENTS = 4
_ATTEMPTS = 3
_LATE_S = 0.02  # a target that has a core is late by a millisecond or two
_TARGET = re.compile(r"^# Target: heyfleet (lab vpc-lambda .*)$", re.MULTILINE)


@dataclass(frozen=True)
class Experiment:
    """The result of one experiment."""

    name: str
    target: str
    result: heyfleet.Result
    latencies_s: list[float]
    stats: dict[str, Any]
    findings: list[modes.Finding]


def plan(name: str) -> Path:
    """Return the path of an experiment's plan."""
    return modes.EXAMPLES / f"{name}.yaml"


def target_of(name: str) -> str:
    """Read from an experiment's plan the arguments of `heyfleet` that start its target."""
    target = _TARGET.search(plan(name).read_text())
    if target is None:
        raise BenchError(f"{plan(name)} names no target; add a line `# Target: heyfleet lab ...`")
    return target[1]


@contextmanager
def running(arguments: str) -> Iterator[str]:
    """Run a target for the duration of the context; yields its URL."""
    command = [sys.executable, "-m", "heyfleet", *shlex.split(arguments), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline() if process.stdout else ""
        url = line.rpartition(" ")[2].strip()
        if not url.startswith("http://"):
            raise BenchError(f"the target did not start: {line!r}")
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def conduct(name: str, out: Path, agents: int) -> Experiment:
    """Conduct an experiment, archived in a new folder; repeat it if a requirement failed while the target was late."""
    for attempt in range(1, _ATTEMPTS + 1):
        experiment = _conduct(name, out, agents)
        late_s = experiment.stats["answers_late_s"]["max"]
        if all(each.passed for each in experiment.findings) or late_s < _LATE_S or attempt == _ATTEMPTS:
            break
        click.echo(
            f"the target responded up to {late_s:.3f} s late because this machine was busy; repeating",
            err=True,
        )
        shutil.rmtree(out)
    return experiment


def _conduct(name: str, out: Path, agents: int) -> Experiment:
    target = target_of(name)
    with running(target) as url:
        try:
            result = heyfleet.run(url, f=str(plan(name)), local_agents=agents, out=out)
        except heyfleet.HeyfleetError as error:
            raise BenchError(f"{name}: {error}") from None
        with urllib.request.urlopen(f"{url}/_lab/stats", timeout=10) as page:  # noqa: S310 - the target that was just started
            stats = json.load(page)
    lowest_ns, highest_ns, counts = result.histogram("latency")
    middle_s = (lowest_ns + highest_ns) / 2e9
    latencies_s = [float(each) for each in middle_s.repeat(counts)]
    planned = result.report["ledger"]["planned"]
    findings = modes.check_counts(result.statuses, planned, stats)
    if name in modes.MODES:
        findings += modes.check_modes(name, latencies_s, result.seconds)
    else:
        throttled = [second for second, counts in statuses_by_second(result).items() if "429" in counts]
        findings += modes.check_throttling(stats["throttled_from_s"], min(throttled, default=None))
    return Experiment(name, target, result, latencies_s, stats, findings)


def finding_rows(experiment: Experiment) -> list[tuple[str, ...]]:
    """Return a table row for each finding."""
    return [
        (each.name, each.required, each.measured, table.VERDICTS[each.passed]) for each in experiment.findings
    ]


def section(experiment: Experiment) -> str:
    """Return an experiment's section of the page."""
    parts = [
        f"### {experiment.name}\n\n    heyfleet {experiment.target}\n"
        f"    heyfleet run -f examples/vpc-lambda/{experiment.name}.yaml --local-agents {AGENTS}\n",
        table.as_markdown(("figure", "required", "ours", ""), finding_rows(experiment)),
    ]
    known = modes.original().get(experiment.name)
    parts.append(beside(experiment, known) if known else by_second(experiment))
    parts.append(f"Trust: {experiment.result.trust}.")
    return "\n\n".join(part.strip("\n") for part in parts)


def beside(experiment: Experiment, known: dict[str, Any]) -> str:
    """Compare the original's figures and histogram with ours, in the original's bars."""
    latency = experiment.result.report["latency"]
    ours = {
        "total": experiment.result.seconds,
        "slowest": latency["slowest_ns"] / 1e9,
        "fastest": latency["fastest_ns"] / 1e9,
        "average": latency["average_ns"] / 1e9,
        "rate": experiment.result.rate,
    }
    figures = [(name, f"{known[name]:.4f}", f"{value:.4f}") for name, value in ours.items()]
    marks_s = [mark_s for mark_s, _ in known["histogram"]]
    counts = modes.count_by_bar(experiment.latencies_s, marks_s)
    bars = [
        (f"to {mark_s:.3f}", f"{count:,}", f"{our:,}")
        for (mark_s, count), our in zip(known["histogram"], counts, strict=False)
    ]
    if counts[-1]:
        bars.append((f"above {marks_s[-1]:.3f}", "0", f"{counts[-1]:,}"))
    first = table.as_markdown(("seconds, and requests/s", "original", "ours"), figures)
    return first + "\n\n" + table.as_markdown(("bar, seconds", "original", "ours"), bars)


def by_second(experiment: Experiment) -> str:
    """Return a table of responses by status in each second."""
    rows = [
        (f"{second}", f"{counts.get('200', 0):,}", f"{counts.get('429', 0):,}")
        for second, counts in sorted(statuses_by_second(experiment.result).items())
    ]
    return table.as_markdown(("second", "200", "429"), rows)


def statuses_by_second(result: heyfleet.Result) -> dict[int, dict[str, int]]:
    """Read responses by second and status from an archive, which may have several lines per second."""
    seconds: dict[int, dict[str, int]] = {}
    for line in (result.folder / "intervals.jsonl").read_text().splitlines():
        interval = json.loads(line)
        counts = seconds.setdefault(interval["second"], {})
        for status, count in interval.get("responses", {}).items():
            counts[status] = counts.get(status, 0) + count
    return seconds


def pictures(before: Experiment, after: Experiment, third: Experiment, folder: Path) -> None:
    """Take screenshots of the pages in a browser."""
    browser = shutil.which("chromium")
    if browser is None:
        raise BenchError("pictures need chromium (scripts/system-packages.sh others)")
    compared = folder / "compared.html"
    heyfleet_compare(before, after, "--html", str(compared))
    third.result.export("html", folder / "3.html")
    for page, picture, size in (
        (compared, "before-after", "1200,900"),
        (folder / "3.html", "experiment-3", "1200,1500"),
    ):
        shot = PICTURES / f"{picture}.png"
        command = [
            browser, "--headless", "--no-sandbox", "--hide-scrollbars", "--virtual-time-budget=8000",
            f"--window-size={size}", f"--screenshot={shot}", page.as_uri(),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode or not shot.exists():
            raise BenchError(f"chromium took no screenshot of {page.name}: {done.stderr[-500:]}")


def heyfleet_compare(before: Experiment, after: Experiment, *flags: str) -> str:
    """Return the output of `heyfleet compare` for two experiments."""
    command = [sys.executable, "-m", "heyfleet", "compare", before.name, after.name, *flags]
    done = subprocess.run(
        command, cwd=before.result.folder.parent, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchError(f"heyfleet compare: {done.stderr}")
    return done.stdout.strip("\n")


def page(experiments: Sequence[Experiment], compared: str) -> str:
    """Return the page's text about all experiments."""
    where = machine.describe()
    described = f"`make experiments` on {where['CPU']}, {where['kernel']}, Python {where['Python']}."
    comparison = (
        f"### Before and after\n\n    heyfleet compare 1-before 1-after\n\n```\n{compared}\n```\n\n"
        "![Latency by percentile, before and after](../pictures/before-after.png)"
    )
    sections = [section(each) for each in experiments]
    sections.append("![The third experiment as a page](../pictures/experiment-3.png)")
    return "\n\n".join([described, *sections[:2], comparison, *sections[2:]])


@click.command()
@click.option("--agents", default=AGENTS, show_default=True, help="Number of agents on this host.")
@click.option(
    "--only",
    type=click.Choice(modes.EXPERIMENTS),
    multiple=True,
    help="Conduct only this experiment; may be repeated.",
)
@click.option("--write", is_flag=True, help="Into docs/explain/experiments.md, with its pictures.")
@click.option(
    "--keep",
    type=click.Path(path_type=Path),
    default=ROOT / "build" / "experiments",
    help="Folder for the archives; its contents are deleted first.",
)
def main(agents: int, only: tuple[str, ...], write: bool, keep: Path) -> None:
    """Conduct the experiments and check their results.

    Exit code 0: all requirements are met; 1: one is not; 2: an experiment was not possible.
    """
    if write and only:
        raise click.UsageError("--write needs all experiments; leave out --only")
    shutil.rmtree(keep, ignore_errors=True)
    keep.mkdir(parents=True)
    experiments = {}
    try:
        for name in only or modes.EXPERIMENTS:
            click.echo(f"experiment {name}: heyfleet {target_of(name)}", err=True)
            experiments[name] = conduct(name, keep / name, agents)
            click.echo(
                table.as_text(
                    (f"experiment {name}", "required", "measured", ""), finding_rows(experiments[name])
                )
                + "\n"
            )
        if {"1-before", "1-after"} <= experiments.keys():
            compared = heyfleet_compare(experiments["1-before"], experiments["1-after"])
            click.echo(compared)
            if write:
                pictures(experiments["1-before"], experiments["1-after"], experiments["3"], keep)
                PAGE.write_text(
                    table.replace_section(PAGE.read_text(), page(list(experiments.values()), compared))
                )
    except BenchError as error:
        click.echo(f"bench: {error}", err=True)
        sys.exit(2)
    sys.exit(0 if all(finding.passed for each in experiments.values() for finding in each.findings) else 1)


if __name__ == "__main__":
    main(prog_name="python -m bench.experiments")
