"""Archives of version 1, written by the build of commit 13b631a, give the numbers that that build gave."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from heyfleet.cli.main import main

DATA = Path(__file__).parents[3] / "data" / "archive-v1"
RUNS = ("plain", "stages", "agents", "cut-off")
# Keys of the report's schema version 2, and what they are called now.
REPORT_KEYS = {
    "aborted": "aborted_by",
    "fleet.asked": "fleet.agents_requested",
    "fleet.joined": "fleet.agents_joined",
    "fleet.lost": "fleet.agents_lost",
    "fleet.start": "fleet.start_skew",
    "fleet.start.at_most_ns": "fleet.start_skew.max_skew_ns",
    "fleet.turned_away": "fleet.rejections",
    "fleet.recovered": "fleet.recovery_note",
    "generator.connections_asked": "generator.connections_requested",
    "generator.own_lag": "generator.generator_lag",
    "http.spoken": "http.versions",
    "http.sent_again": "http.retries",
    "tls.spoken": "tls.protocols",
    "tls.full": "tls.full_handshakes",
    "tls.resumed": "tls.resumed_handshakes",
    "warmup.missed": "warmup.dropped",
    "stages.missed": "stages.dropped",
    "requests.missed": "requests.dropped",
    "thresholds.holds": "thresholds.result",
    "plan.loop": "plan.load_model",
    "plan.requests": "plan.request_count",
    "plan.mix": "plan.requests",
}
VALUES: dict[str, dict[Any, Any]] = {
    "thresholds.result": {True: "passed", False: "failed", None: "inconclusive"},
    "plan.load_model": {"connections": "closed", "ticks": "connection_rate"},
}
# Texts for people are worded anew, the version is another, and reports of version 2 had no list of all counters.
TEXTS = (
    "counters",
    "schema_version",
    "notes",
    "trust.reasons",
    "thresholds.reason",
    "fleet.recovery_note",
)


def translated(value: Any, path: str = "") -> Any:
    """Return the values of a report of version 2 under the keys of version 3."""
    if isinstance(value, dict):
        result = {}
        for key, inner in value.items():
            old = f"{path}.{key}".lstrip(".")
            new = REPORT_KEYS.get(old, old)
            name = new.rpartition(".")[2]
            now = translated(inner, old)
            result[name] = VALUES[new].get(now, now) if new in VALUES else now
        return result
    if isinstance(value, list):
        return [translated(each, path) for each in value]
    return value


def without_texts(value: Any, path: str = "") -> Any:
    if isinstance(value, dict):
        kept = {key: f"{path}.{key}".lstrip(".") for key in value}
        return {key: without_texts(value[key], full) for key, full in kept.items() if full not in TEXTS}
    if isinstance(value, list):
        return [without_texts(each, path) for each in value]
    return value


def expected(name: str) -> Any:
    return without_texts(translated(json.loads((DATA / "expected" / f"{name}.json").read_text())))


def invoke(*args: object) -> str:
    result = CliRunner().invoke(main, [*map(str, args)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result.stdout


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("command", [("runs", "show", "--json"), ("export", "--as", "json")])
def test_reports_have_the_same_numbers(name: str, command: tuple[str, ...]) -> None:
    assert without_texts(json.loads(invoke(*command, DATA / name))) == expected(name)


@pytest.mark.parametrize("name", RUNS)
def test_sections_of_hey_are_the_same(name: str) -> None:
    def sections(text: str) -> str:
        return re.sub(r"  (?:left out|omitted), .*\n", "", text.partition("Status code distribution")[0])

    text = (DATA / "expected" / f"{name}.txt").read_text()
    assert sections(invoke("runs", "show", DATA / name)) == sections(text)


def test_parts_of_a_run_have_the_same_numbers() -> None:
    part = json.loads(invoke("export", DATA / "stages", "--as", "json", "--stage", "top"))
    old = json.loads((DATA / "expected" / "stage-top.json").read_text())
    assert part == {
        **{key: value for key, value in old.items() if key != "totals"},
        "counters": old["totals"],
    }


def test_comparisons_have_the_same_numbers() -> None:
    (comparison,) = json.loads(invoke("compare", DATA / "plain", DATA / "agents", "--json"))
    (old,) = json.loads((DATA / "expected" / "compare.json").read_text())
    assert comparison["rows"] == old["rows"]
    for side in ("before", "after"):
        for key in ("latencies", "requests", "errors", "seconds", "runs"):
            assert comparison[side][key] == old[side][key]


def test_merged_runs_have_the_same_numbers(tmp_path: Path) -> None:
    invoke("merge", DATA / "host-a", DATA / "host-b", "--out", tmp_path / "merged")
    report = json.loads(invoke("runs", "show", "--json", tmp_path / "merged"))
    assert without_texts(report) == expected("merged")
    assert json.loads((tmp_path / "merged" / "archive.json").read_text())["version"] == 2


@pytest.mark.parametrize(
    "form", ["hlog", "hgrm", "csv", "series-csv", "prometheus", "junit", "hey", "vegeta"]
)
@pytest.mark.parametrize("name", RUNS)
def test_all_exports_read_old_archives(name: str, form: str) -> None:
    text = invoke("export", DATA / name, "--as", form)
    assert text
    assert "own_lag" not in text


def test_old_runs_are_listed() -> None:
    lines = invoke("runs", "--runs", DATA).splitlines()
    assert {line.split()[0] for line in lines[1:]} == {*RUNS, "host-a", "host-b"}
    assert next(line for line in lines if "plain" in line).split()[1:3] == ["300", "0"]
    assert next(line for line in lines if "cut-off" in line).endswith("(cut off)")
