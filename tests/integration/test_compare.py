"""Comparisons, repeated runs and merged runs, on the command line and from Python."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import heyfleet as api

from ..conftest import Faulty
from .command import heyfleet

# So far apart that no busy machine hides it.
FAST, SLOW = "/ok?delay=1ms&jitter=2ms", "/ok?delay=200ms&jitter=2ms"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return archives by name: one of each path, and one of three repetitions."""
    folder = tmp_path_factory.mktemp("compare")
    server = Faulty()
    made = {}
    for name, path, more in (("fast", FAST, ()), ("slow", SLOW, ()), ("three", FAST, ("--repeat", "3"))):
        made[name] = folder / name
        flags = ("-n", "400", "-c", "20", "--out", str(made[name]), *more)
        outcome = heyfleet("run", *flags, server.url(path))
        assert outcome.exit_code == 0, outcome.stderr
        if more:
            assert re.search(r"Runs:\t3, saved in .*three\n.*between runs", outcome.stdout)
    server.stop()
    return made


def compared(*arguments: str) -> dict[str, Any]:
    outcome = heyfleet("compare", "--json", *arguments)
    assert outcome.exit_code == 0, outcome.stderr
    made: dict[str, Any] = json.loads(outcome.stdout)[0]
    return made


def test_a_slower_run(runs: dict[str, Path]) -> None:
    outcome = heyfleet("compare", str(runs["fast"]), str(runs["slow"]))
    assert outcome.exit_code == 0
    assert re.search(r"^p99 rose by \d+% to \d+% \(95 %\), rate fell by", outcome.stdout, re.MULTILINE)
    made = compared(str(runs["fast"]), str(runs["slow"]))
    p50 = next(row for row in made["rows"] if row["name"] == "p50")
    assert p50["difference"]["interval"][0] > 0.5


def test_repeated_runs_need_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEYFLEET_RUNS", "none")
    monkeypatch.chdir(tmp_path)
    outcome = heyfleet("run", "--repeat", "2", "-n", "5", "-c", "1", "http://127.0.0.1:1/")
    assert outcome.exit_code == 2
    assert "HEYFLEET_RUNS=none keeps none; add --out DIR" in outcome.stderr
    assert not list(tmp_path.iterdir())


def test_repeat_with_json(nginx: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEYFLEET_RUNS", str(tmp_path))
    outcome = heyfleet("run", "--repeat", "2", "--json", "-n", "50", "-c", "2", nginx.url("/"))
    assert outcome.exit_code == 0
    decoder, rest, found = json.JSONDecoder(), outcome.stdout, []
    while rest.strip():
        document, end = decoder.raw_decode(rest)
        found.append(document["ledger"]["responses"])
        rest = rest[end:].lstrip()
    assert found == [50, 50]
    assert "Runs:\t2" in outcome.stderr
    assert len(heyfleet("runs").stdout.splitlines()) == 3


def test_fail_if_limits(runs: dict[str, Path]) -> None:
    flags = ("compare", "--fail-if", "p99 +10%", "--fail-if", "rate -5%")
    outcome = heyfleet(*flags, str(runs["fast"]), str(runs["slow"]))
    assert outcome.exit_code == 6
    assert "'p99 +10%': exceeded: p99 rose by" in outcome.stderr
    assert "'rate -5%': exceeded: rate fell by" in outcome.stderr
    assert heyfleet(*flags, str(runs["slow"]), str(runs["fast"])).exit_code == 0


def test_repeated_runs(runs: dict[str, Path]) -> None:
    made = compared(str(runs["three"]), str(runs["fast"]))
    assert made["before"]["runs"] == 3
    assert made["before"]["latencies"] == 1200
    assert made["interval_method"].startswith("between runs (before)")


def test_exports_compare_like_their_run(runs: dict[str, Path], tmp_path: Path) -> None:
    for form in ("hlog", "hgrm", "hey"):
        path = tmp_path / form
        assert heyfleet("export", str(runs["fast"]), "--as", form, "-o", str(path)).exit_code == 0
        made = compared(str(runs["fast"]), str(path))
        assert made["after"]["latencies"] == 400
        for row in made["rows"]:
            if row["name"].startswith("p"):
                low, high = row["difference"]["value"]
                assert low - 0.002 <= 0
                assert high is None or high + 0.002 >= 0


def test_the_page(runs: dict[str, Path], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    outcome = heyfleet("compare", str(runs["fast"]), str(runs["slow"]), "--html", str(page))
    assert outcome.exit_code == 0
    text = page.read_text()
    assert "p99 rose by" in text
    assert text.count('"name":') == 2
    again = heyfleet("compare", str(runs["fast"]), str(runs["slow"]), "--html", str(page))
    assert again.exit_code == 2
    assert "already exists" in again.stderr


def test_incomparable_inputs(runs: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    for name, says in (
        (str(tmp_path / "empty"), "unknown format"),
        (str(tmp_path / "no"), "no such folder"),
        (str(tmp_path), "not an archive"),
    ):
        outcome = heyfleet("compare", str(runs["fast"]), name)
        assert outcome.exit_code == 2
        assert says in outcome.stderr
    outcome = heyfleet("run", "--repeat", "2", "--no-archive", "http://127.0.0.1:1/")
    assert outcome.exit_code == 2


def test_merge(nginx: Any, tmp_path: Path) -> None:
    flags = ("--json", "--rate", "200", "-z", "2s", nginx.url("/"))
    command = [sys.executable, "-m", "heyfleet", "run", *flags]
    started = [
        subprocess.Popen([*command, "--out", f"{tmp_path}/{name}"], stdout=subprocess.PIPE, text=True)
        for name in ("one", "two")
    ]
    reports = [json.loads(run.communicate()[0]) for run in started]
    merged = heyfleet("merge", f"{tmp_path}/one", f"{tmp_path}/two", "--out", f"{tmp_path}/both")
    assert merged.exit_code == 0, merged.stderr
    both = heyfleet("runs", "show", "--json", f"{tmp_path}/both").report
    assert both["ledger"]["responses"] == sum(report["ledger"]["responses"] for report in reports) == 800
    assert both["latency"]["slowest_ns"] == max(report["latency"]["slowest_ns"] for report in reports)
    assert both["plan"]["stages"][0]["first"] == 400
    assert [line["agent"] for line in both["fleet"]["agents"]] == ["one", "two"]
    assert len(list(api.load(tmp_path / "both").series())) <= 4
    assert sum(int(point["responses"] or 0) for point in api.load(tmp_path / "both").series()) == 800
    for names, says in (
        (("one", "one"), "the same run"),
        (("one",), "at least two runs"),
    ):
        paths = [f"{tmp_path}/{name}" for name in names]
        outcome = heyfleet("merge", *paths, "--out", f"{tmp_path}/not")
        assert outcome.exit_code == 2
        assert says in outcome.stderr
    assert not (tmp_path / "not").exists()


def test_merge_refuses_unrelated_runs(runs: dict[str, Path], tmp_path: Path) -> None:
    outcome = heyfleet("merge", str(runs["fast"]), str(runs["slow"]), "--out", f"{tmp_path}/not")
    assert outcome.exit_code == 2
    assert "requests" in outcome.stderr
    first, second = (str(runs["three"] / number) for number in "12")
    outcome = heyfleet("merge", first, second, "--out", f"{tmp_path}/not")
    assert outcome.exit_code == 2
    assert "does not overlap" in outcome.stderr
