"""Exports of a real run, read by other tools: all have the same counts and percentiles."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_prometheus

from heyfleet.results.archive.reader import ArchivedRun

from ..conftest import Faulty
from .command import heyfleet

PLAN = """
url: {url}
stages: up=2s:0-400, top=2s:400
connections: 20
local-agents: 2
per-agent: true
slo: p99<10s, errors<0.1%
requests:
  - {{name: fast, path: "/ok?delay=1ms&jitter=3ms", weight: 3}}
  - {{name: "and slow", path: "/ok?delay=20ms&jitter=20ms"}}
  - {{name: broken, path: /reset}}
"""


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    server = Faulty()
    (folder / "plan.yaml").write_text(PLAN.format(url=server.url("/")))
    outcome = heyfleet("run", "-f", f"{folder}/plan.yaml", "--out", f"{folder}/run")
    server.stop()
    assert outcome.exit_code == 5, outcome.stderr  # errors<0.1% is not held
    return folder / "run"


def export(run: Path, form: str, *flags: str) -> str:
    outcome = heyfleet("export", str(run), "--as", form, *flags)
    assert outcome.exit_code == 0, outcome.stderr
    return outcome.stdout


@pytest.fixture(scope="module")
def summary(kept: Path) -> dict[str, Any]:
    made: dict[str, Any] = json.loads((kept / "report.json").read_text())
    return made


def percentiles(latency: dict[str, Any]) -> dict[float, int]:
    return {row["percent"]: row["value_ns"] for row in latency["percentiles"]}


def test_json_is_the_report(kept: Path, summary: dict[str, Any]) -> None:
    assert json.loads(export(kept, "json"))["latency"] == summary["latency"]
    fast = json.loads(export(kept, "json", "--request", "fast"))
    assert fast["metrics"]["latency"] == summary["requests"][0]["latency"]
    top = json.loads(export(kept, "json", "--stage", "top"))
    assert top["metrics"]["latency"] == summary["stages"][1]["latency"]


def test_hgrm(kept: Path, summary: dict[str, Any]) -> None:
    rows = [line.split() for line in export(kept, "hgrm").splitlines() if line[:1] not in ("#", "")]
    read = {round(100 * float(row[1]), 6): round(float(row[0]) * 1e6) for row in rows[1:]}
    for percent, value_ns in percentiles(summary["latency"]).items():
        assert read[percent] == value_ns
    assert int(rows[-1][2]) == summary["latency"]["count"]
    counts = [int(row[2]) for row in rows[1:]]
    assert counts == sorted(counts)


def logged(text: str, tag: str, folder: Path) -> HdrHistogram:
    path = folder / "some.hlog"
    path.write_text(text)
    total = HdrHistogram(100, 3_600_000_000_000, 3)
    reader = HistogramLogReader(str(path), total)
    while (histogram := reader.get_next_interval_histogram()) is not None:
        if histogram.get_tag() == tag:
            total.add(histogram)
    reader.close()
    return total


def test_hlog(kept: Path, summary: dict[str, Any], tmp_path: Path) -> None:
    whole = logged(export(kept, "hlog"), "latency", tmp_path)
    assert whole.get_total_count() == summary["latency"]["count"]
    for percent, value_ns in percentiles(summary["latency"]).items():
        # That reader takes the rank nearest to the percentile, where ours is the next above.
        rank = 100 / summary["latency"]["count"]
        low, high = (whole.get_value_at_percentile(percent + step) for step in (-rank, rank))
        assert low * 0.999 <= value_ns <= high * 1.001
    slow = logged(export(kept, "hlog", "--request", "and slow"), "latency", tmp_path)
    assert slow.get_total_count() == summary["requests"][1]["latency"]["count"]


@pytest.mark.others
def test_hlog_as_java_reads_it(kept: Path, summary: dict[str, Any], tmp_path: Path) -> None:
    jar = "/usr/share/java/hdrhistogram.jar"
    flags = ("-i", str(kept / "histograms.hlog"), "-tag", "latency", "-outputValueUnitRatio", "1")
    java = ["java", "-cp", jar, "org.HdrHistogram.HistogramLogProcessor", *flags]
    read = subprocess.run(java, capture_output=True, text=True, check=True, timeout=60).stdout
    assert f"Total count    = {summary['latency']['count']:>12}" in read
    ours = ArchivedRun(kept).measurements().stats.histogram("latency")
    assert ours is not None
    rows = [line.split() for line in read.splitlines() if re.match(r" *[0-9.]+ +[01][.]", line)]
    assert len(rows) > 20
    for value_ns, _, below, *_ in rows:
        assert ours.count_at_or_below(round(float(value_ns))) == int(below)


def test_csv(kept: Path, summary: dict[str, Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(export(kept, "csv"))))
    whole = next(row for row in rows if row["metric"] == "latency" and not row["stage"] + row["request"])
    assert int(whole["count"]) == summary["latency"]["count"]
    assert int(whole["p99_ns"]) == percentiles(summary["latency"])[99]
    named = {row["stage"] or row["request"]: row for row in rows if row["stage"] or row["request"]}
    assert set(named) == {"up", "top", "fast", "and slow", "broken"}
    assert int(named["fast"]["count"]) == summary["requests"][0]["latency"]["count"]


def test_the_series(kept: Path, summary: dict[str, Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(export(kept, "series-csv"))))
    assert sum(int(row["responses"]) for row in rows) == summary["ledger"]["responses"]
    assert sum(int(row["sent"]) for row in rows) == summary["ledger"]["sent"]
    assert int(rows[-1]["in_flight"]) == 0
    assert max(int(row["max_ns"]) for row in rows if row["max_ns"]) == summary["latency"]["slowest_ns"]
    early = list(csv.DictReader(io.StringIO(export(kept, "series-csv", "--to", "2s"))))
    assert early == rows[:2]
    agent = list(csv.DictReader(io.StringIO(export(kept, "series-csv", "--agent", "local-1"))))
    assert {row["agent"] for row in agent} == {"local-1"}
    assert 0 < sum(int(row["responses"]) for row in agent) < summary["ledger"]["responses"]


@pytest.mark.parametrize(
    ("form", "read"), [("prometheus", read_prometheus), ("openmetrics", read_openmetrics)]
)
def test_metrics(kept: Path, summary: dict[str, Any], form: str, read: Any) -> None:
    samples = [sample for family in read(export(kept, form)) for sample in family.samples]
    values = {(sample.name, sample.labels.get("quantile")): sample.value for sample in samples}
    assert values["heyfleet_latency_seconds_count", None] == summary["latency"]["count"]
    assert values["heyfleet_latency_seconds", "0.99"] * 1e9 == pytest.approx(
        percentiles(summary["latency"])[99]
    )
    errors = {
        sample.labels["kind"]: sample.value for sample in samples if sample.name == "heyfleet_errors_total"
    }
    assert errors == summary["errors"]


def test_junit(kept: Path, summary: dict[str, Any]) -> None:
    suite = ElementTree.fromstring(export(kept, "junit")).find("testsuite")
    assert suite is not None
    cases = {case.get("name"): case.find("failure") is None for case in suite.iter("testcase")}
    assert cases == {
        "p99<10s": True,
        "errors<0.1%": False,
        "requests are answered": True,
        "the numbers add up": True,
        "the generator can be trusted": summary["trust"]["verdict"] != "bad",
    }
    assert int(suite.get("tests", 0)) == len(cases)
    assert int(suite.get("failures", 0)) == sum(not held for held in cases.values())


def test_vegeta(kept: Path, summary: dict[str, Any]) -> None:
    read = json.loads(export(kept, "vegeta"))
    assert read["requests"] == summary["ledger"]["responses"] + summary["ledger"]["errors"]
    assert read["latencies"]["99th"] == percentiles(summary["latency"])[99]
    assert read["latencies"]["max"] == summary["latency"]["slowest_ns"]
    assert read["status_codes"] == {"0": summary["ledger"]["errors"], "200": summary["ledger"]["responses"]}
    assert read["success"] == pytest.approx(summary["ledger"]["responses"] / read["requests"])


def test_hey(kept: Path, summary: dict[str, Any]) -> None:
    text = export(kept, "hey")
    assert f"[200]\t{summary['statuses']['200']} responses" in text
    assert f"99% in {percentiles(summary['latency'])[99] / 1e9:.4f} secs" in text


def test_parquet(kept: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "series.parquet"
    assert heyfleet("export", str(kept), "--as", "parquet", "-o", str(path)).exit_code == 0
    rows = list(csv.DictReader(io.StringIO(export(kept, "series-csv"))))
    columns = parquet.read_table(path).to_pydict()
    assert columns["responses"] == [int(row["responses"]) for row in rows]
    assert columns["p99_ns"] == [int(row["p99_ns"]) if row["p99_ns"] else None for row in rows]


@pytest.mark.others
def test_the_page_in_a_browser(kept: Path, summary: dict[str, Any], tmp_path: Path) -> None:
    browser = shutil.which("chromium")
    assert browser, "scripts/system-packages.sh others installs it"
    page = tmp_path / "page.html"
    assert heyfleet("export", str(kept), "--as", "html", "-o", str(page)).exit_code == 0
    flags = ("--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=10000", "--dump-dom")
    # Whatever it wanted from a network would fail, and be told on the console.
    command = [
        browser,
        *flags,
        "--enable-logging=stderr",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        page.as_uri(),
    ]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "CONSOLE" not in shown.stderr
    assert shown.stdout.count('class="main-svg"') >= 4
    assert f"{summary['ledger']['responses'] + summary['ledger']['errors']:,}" in shown.stdout
    for text in ("local-2", "and slow", "Trust: ", "errors&lt;0.1%", "99% in"):
        assert text in shown.stdout


def test_missing_parts_are_named(kept: Path, tmp_path: Path) -> None:
    for flags, says in (
        (("--stage", "no"), "it has up, top"),
        (("--request", "no"), "it has fast, and slow, broken"),
        (("--agent", "no"), "it has local-1, local-2"),
        (("--agent", "local-1", "--stage", "up"), "can't be combined"),
    ):
        outcome = heyfleet("export", str(kept), "--as", "csv", *flags)
        assert outcome.exit_code == 2
        assert says in outcome.stderr
    outcome = heyfleet("export", str(kept), "--as", "hey", "--stage", "up")
    assert outcome.exit_code == 2
    assert "whole run" in outcome.stderr
    (tmp_path / "there").write_text("mine")
    outcome = heyfleet("export", str(kept), "--as", "csv", "-o", f"{tmp_path}/there")
    assert outcome.exit_code == 2
    assert (tmp_path / "there").read_text() == "mine"
    outcome = heyfleet("export", str(kept), "--as", "csv", "-o", f"{tmp_path}/no/file")
    assert outcome.exit_code == 2
    assert "No such file" in outcome.stderr


def test_plans_with_many_requests(nginx: Any, tmp_path: Path) -> None:
    (tmp_path / "targets").write_text("".join(f"GET {nginx.url('/')}{number}\n" for number in range(70)))
    flags = ("--targets", f"{tmp_path}/targets", "--stages", "one=1s:100,two=1s:100")
    assert heyfleet("run", *flags, "--out", f"{tmp_path}/run").exit_code == 0
    name = json.loads((tmp_path / "run" / "report.json").read_text())["requests"][3]["name"]
    whole = json.loads(export(tmp_path / "run", "json", "--request", name))
    assert 0 < whole["metrics"]["latency"]["count"] < 10
    assert whole["seconds"] == pytest.approx(2.0, abs=0.5)
    run = str(tmp_path / "run")
    assert heyfleet("compare", "--request", name, run, run).exit_code == 0
    for wanted in (["json", "--to", "1s"], ["series-csv"]):
        outcome = heyfleet("export", run, "--request", name, "--as", *wanted)
        assert outcome.exit_code == 2
        assert "not second by second" in outcome.stderr


def test_exports_of_one_agent(kept: Path, summary: dict[str, Any]) -> None:
    read = json.loads(export(kept, "json", "--agent", "local-2"))
    assert read["metrics"]["latency"] == summary["agents"][1]["latency"]
