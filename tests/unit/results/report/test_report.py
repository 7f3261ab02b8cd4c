"""Reports: text against goldens, CSV rows, and JSON against its schema."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from heyfleet.plan.build import make_plan
from heyfleet.plan.options import RunOptions
from heyfleet.plan.redact import echo
from heyfleet.results.report import csv as rows
from heyfleet.results.report import json as document
from heyfleet.results.report import text as hey
from heyfleet.results.summary import Summary

HERE = Path(__file__).parent
SCHEMA = json.loads((HERE.parents[3] / "docs/reference/report.schema.json").read_text())


def normal(kit: Any) -> Summary:
    snapshots = kit.normal_run()
    return kit.summary(snapshots, requests=200, connections=2)  # type: ignore[no-any-return]


def all_failed(kit: Any) -> Summary:
    snapshots = [kit.snapshot(errors={"no local port": 3, "connect refused": 190, "no file descriptor": 7})]
    return kit.summary(snapshots, ready=kit.ready(io="epoll", io_note="io_uring is forbidden here"))  # type: ignore[no-any-return]


def few(kit: Any) -> Summary:
    snapshots = [
        kit.snapshot(latencies_ns=[1_500_000, 2_500_000, 9_000_000], metrics={"wait": [1_000_000] * 3})
    ]
    return kit.summary(snapshots, requests=3)  # type: ignore[no-any-return]


def cut_off(kit: Any) -> Summary:
    latencies_ns = [20_000_000 + 10_000 * index for index in range(1000)] + [3_700_000_000_000]
    snapshot = kit.snapshot(
        latencies_ns=latencies_ns,
        status=302,
        errors={"request timeout": 1},
        abandoned=20,
        metrics={
            "service_time": [10_000_000 + 10_000 * index for index in range(1001)],
            "lag": [10_000_000] * 1001,
            "loop_turn": [40_000] * 20,
        },
    )
    done = kit.done([snapshot], unsent=978, stopped_by="signal", trace_dropped=1)
    return kit.summary([snapshot], done, requests=2000, duration_ns=1)  # type: ignore[no-any-return]


def contradictory(kit: Any) -> Summary:
    """Totals that contradict the snapshots and the share count for nothing."""
    snapshot = kit.snapshot(latencies_ns=[1_000_000] * 10)
    done = kit.done([snapshot], sent=11, planned=21)
    return kit.summary([snapshot], done, requests=20)  # type: ignore[no-any-return]


CASES = [normal, all_failed, few, cut_off, contradictory]


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_text_reports_match_the_goldens(kit: Any, make: Callable[[Any], Summary]) -> None:
    assert hey.render(make(kit)) == (HERE / "golden" / f"{make.__name__}.txt").read_text()


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_json_reports_match_the_schema(kit: Any, make: Callable[[Any], Summary]) -> None:
    text = document.render(make(kit))
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(json.loads(text), SCHEMA, jsonschema.Draft202012Validator)
    assert "NaN" not in text


def test_values_of_the_json_report(kit: Any) -> None:
    values = document.document(cut_off(kit))
    assert values["statuses"] == {"302": 1001}
    assert values["errors"] == {"request timeout": 1}
    assert values["latency"]["clamped"] == 1
    assert sum(row["count"] for row in values["latency_histogram"]) == values["latency"]["count"] == 1001
    assert [row["percent"] for row in values["latency"]["percentiles"]] == [10, 25, 50, 75, 90, 95, 99, 99.9]
    assert values["service_time"]["fastest_ns"] == 10_000_000
    assert values["generator"]["lag"]["slowest_ns"] == 10_000_000
    assert not values["ledger"]["faults"]
    contradictions = document.document(contradictory(kit))["ledger"]
    assert len(contradictions["faults"]) == 4, contradictions["faults"]
    assert {name: contradictions[name] for name in ("planned", "sent", "unsent", "missing")} == {
        "planned": 20,
        "sent": 10,
        "unsent": 0,
        "missing": 10,
    }
    assert values["plan"]["request_count"] == 2000


def test_the_plan_is_echoed() -> None:
    plan = make_plan(
        RunOptions(url="http://localhost/", user_agent="heyfleet/0", rate_per_connection=2.5, workers=3)
    )
    assert (echo(plan)["rate_per_connection"], echo(plan)["workers"]) == (2.5, 3)


def test_the_echo_hides_secrets() -> None:
    flags = RunOptions(
        url="http://me:secret@[::1]:8080/a?b=c",
        user_agent="heyfleet/0",
        headers=(("X-Api-Key", "secret"), ("Cookie", "secret"), ("X", "open")),
        body="secret",
    )
    echoed = echo(make_plan(flags))
    assert "secret" not in json.dumps(echoed)
    assert "bWU6" not in json.dumps(echoed)
    assert echoed["url"] == "http://[::1]:8080/a?b=c"
    assert {"name": "X", "value": "open"} in echoed["requests"][0]["headers"]
    assert {"name": "Authorization", "value": "(hidden)"} in echoed["requests"][0]["headers"]
    assert echoed["requests"][0]["body_bytes"] == 6


def test_csv_rows_match_hey() -> None:
    one = struct.pack("<7qii", 100_000, 1_300_000, 150_000, 50_000, 20_000, 900_000, 100_000, 200, 0)
    two = struct.pack("<7qii", 2_000_000_000, 700_000, 0, 0, 10_000, 400_000, 60_000, 503, 0)
    assert "".join(rows.render(one + two)) == (
        "response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset\n"
        "0.0013,0.0002,0.0001,0.0000,0.0009,0.0001,200,0.0001\n"
        "0.0007,0.0000,0.0000,0.0000,0.0004,0.0001,503,2.0000\n"
    )


def test_csv_rows_of_several_chunks() -> None:
    row = struct.pack("<7qii", *range(7), 200, 0)
    count = rows.ROWS_PER_CHUNK * 2 + 1
    assert "".join(rows.render(row * count)).count("\n") == count + 1


def test_csv_without_rows() -> None:
    assert "".join(rows.render(b"")) == rows.HEADER + "\n"
