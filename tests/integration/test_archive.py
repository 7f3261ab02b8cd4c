"""Archives of real runs: by default, by name, with agents, and of killed runs."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

from heyfleet.results.archive.reader import ArchivedRun

from .command import heyfleet


def report(folder: Path) -> dict[str, Any]:
    outcome = heyfleet("runs", "show", "--json", str(folder))
    assert outcome.exit_code == 0, outcome.stderr
    return outcome.report


def totals_by_others(folder: Path, tag: str | None) -> tuple[int, int, int]:
    """Return count, median and p99 of a log as the package hdrhistogram reads it."""
    total = HdrHistogram(100, 3_600_000_000_000, 3)
    reader = HistogramLogReader(str(folder / "histograms.hlog"), total)
    while (histogram := reader.get_next_interval_histogram()) is not None:
        if histogram.get_tag() == tag:
            total.add(histogram)
    reader.close()
    count = total.get_total_count()
    # At whole ranks, since that package rounds ranks where heyfleet takes the next one.
    ranks = [-(-count * percent // 100) for percent in (50, 99)]
    p50, p99 = (total.get_value_at_percentile(100 * rank / count) for rank in ranks)
    return count, p50, p99


@pytest.mark.parametrize("who", [(), ("--local-agents", "2")])
def test_a_run_is_archived(nginx: Any, tmp_path: Path, who: tuple[str, ...]) -> None:
    folder = tmp_path / "kept"
    shape = ("--stages", "up=1s:0-500,top=2s:500", *who)
    outcome = heyfleet("run", "--json", *shape, "--out", str(folder), nginx.url("/"))
    assert outcome.exit_code == 0, outcome.stderr
    again = report(folder)
    assert {**again, "plan": 0} == {**outcome.report, "plan": 0}
    assert json.loads((folder / "report.json").read_text()) == outcome.report
    rows = {row["percent"]: row["value_ns"] for row in again["latency"]["percentiles"]}
    count, p50, p99 = totals_by_others(folder, "latency")
    assert count == again["ledger"]["responses"]
    assert [p50, p99] == [pytest.approx(rows[percent], rel=0.001) for percent in (50, 99)]
    assert totals_by_others(folder, "latency;stage=top")[0] == again["stages"][1]["latency"]["count"]
    assert len(json.loads((folder / "agents.json").read_text())) == (2 if who else 1)


def test_runs_are_archived_by_default(nginx: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = tmp_path / "runs"
    monkeypatch.setenv("HEYFLEET_RUNS", str(runs))
    for _ in range(2):
        assert heyfleet("run", "-n", "20", "-c", "2", nginx.url("/")).exit_code == 0
    assert heyfleet("run", "-n", "20", "-c", "2", "--no-archive", nginx.url("/")).exit_code == 0
    assert len(list(runs.iterdir())) == 2
    lines = heyfleet("runs").stdout.splitlines()
    assert len(lines) == 3
    assert all(line.split()[1:3] == ["20", "0"] for line in lines[1:])
    assert "20 responses" in heyfleet("runs", "show").stdout


@pytest.mark.parametrize(
    "damage",
    [
        {"requests_per_second": "fast"},
        {"requests_per_second": None},
        {"ledger": {"responses": "5", "errors": "3"}},
        {"ledger": {"responses": 5.5, "errors": 0}},
        {"ledger": []},
        {"latency": [1]},
        {"latency": {"percentiles": [{"percent": 50, "value_ns": "soon"}]}},
        {"latency": {"percentiles": [{"percent": [50], "value_ns": 1}]}},
        {"latency": {"percentiles": 7}},
    ],
)
def test_the_list_of_runs_names_a_report_with_other_types(tmp_path: Path, damage: dict[str, Any]) -> None:
    good = {"ledger": {"responses": 5, "errors": 3}, "requests_per_second": 8.0, "latency": None}
    for name, report in (("good", good), ("bad", {**good, **damage})):
        facts = {"format": "heyfleet archive", "version": 2, "state": "complete", "url": "http://t.test/"}
        (tmp_path / name).mkdir()
        (tmp_path / name / "archive.json").write_text(json.dumps(facts))
        (tmp_path / name / "report.json").write_text(json.dumps(report))
    outcome = heyfleet("runs", "--runs", str(tmp_path))
    assert outcome.exit_code == 0, outcome.stderr
    rows = {line.split()[0]: line.split()[1:] for line in outcome.stdout.splitlines()}
    assert rows["good"][:3] == ["8", "3", "8.0"]
    assert rows["bad"][-1] == "(damaged)"
    assert str(tmp_path / "bad") in outcome.stderr


def test_folders_that_cannot_be_created(nginx: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    outcome = heyfleet("run", "-n", "9", "--out", str(tmp_path / "there"), nginx.url("/"))
    assert outcome.exit_code == 2
    assert "already exists" in outcome.stderr
    (tmp_path / "file").write_text("")
    outcome = heyfleet("run", "-n", "9", "--out", str(tmp_path / "file" / "run"), nginx.url("/"))
    assert outcome.exit_code == 2
    assert "Not a directory" in outcome.stderr
    monkeypatch.setenv("HEYFLEET_RUNS", str(tmp_path / "file"))
    outcome = heyfleet("run", "-n", "9", nginx.url("/"))
    assert outcome.exit_code == 0
    assert "warning" in outcome.stderr
    assert "9 responses" in outcome.stdout


def test_a_run_that_sent_nothing_is_not_archived(tmp_path: Path) -> None:
    outcome = heyfleet("run", "-n", "9", "--out", str(tmp_path / "run"), "http://no-such-host.invalid/")
    assert outcome.exit_code == 2
    assert not (tmp_path / "run").exists()


def test_a_disk_that_fills_up_ends_the_archive_and_not_the_run(nginx: Any, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    flags = ("--json", "--rate", "500", "-z", "3s", "--out", str(folder), nginx.url("/"))
    run = subprocess.run(
        [sys.executable, "-m", "heyfleet", "run", *flags],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000)),
    )
    assert run.returncode == 1
    assert json.loads(run.stdout)["ledger"]["responses"] == 1500
    assert run.stderr == f"heyfleet: the archive {folder} is incomplete: File too large\n"
    assert not ArchivedRun(folder).complete
    assert 0 < ArchivedRun(folder).measurements().stats.responses.total() <= 1500


def test_a_killed_run_leaves_a_readable_archive(nginx: Any, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    flags = ("--rate", "500", "-z", "60s", "-c", "4", "--out", str(folder), nginx.url("/"))
    run = subprocess.Popen([sys.executable, "-m", "heyfleet", "run", *flags], stdout=subprocess.DEVNULL)
    series = folder / "intervals.jsonl"
    until = time.monotonic() + 30
    while not (series.exists() and series.read_bytes().count(b"\n") >= 2) and time.monotonic() < until:
        time.sleep(0.1)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    measured = ArchivedRun(folder).measurements()
    assert measured.stats.responses.total() >= 900
    shown = heyfleet("runs", "show", str(folder))
    assert shown.exit_code == 0
    assert "cut off" in shown.stdout
    assert "cut off" in heyfleet("runs", "--runs", str(tmp_path)).stdout
