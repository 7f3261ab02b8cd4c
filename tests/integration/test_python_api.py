"""heyfleet from Python: keywords, results and errors, against real servers."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import heyfleet
from heyfleet.keywords import RunKeywords
from heyfleet.plan.options import OPTIONS

from ..recorder import Recorder


def test_a_run_and_its_result(nginx: Any, tmp_path: Path) -> None:
    result = heyfleet.run(nginx.url("/"), requests=500, connections=5)
    assert (result.requests, result.statuses, result.errors) == (500, {200: 500}, {})
    assert (result.ok, result.failed, result.exit_code) == (True, 0, 0)
    low_ns, high_ns, counts = result.histogram()
    assert counts.sum() == 500
    assert (low_ns <= high_ns).all()
    rank_495 = np.searchsorted(np.cumsum(counts), 495)
    assert result.p99 is not None
    assert low_ns[rank_495] <= result.p99 * 1e9 <= high_ns[rank_495] + 1
    assert sum(result.to_pandas()["responses"]) == 500
    assert "500" in result._repr_html_()
    assert "Response time histogram" in str(result)
    assert result.export("hgrm", tmp_path / "some.hgrm").read_text().startswith("       Value")
    curve_ms = result.plot().data[0].y
    assert result.p99 * 1e3 <= curve_ms[-1] <= max(high_ns) / 1e6


def test_a_temporary_archive_goes_with_its_result(nginx: Any) -> None:
    result = heyfleet.run(nginx.url("/"), n=1, c=1)
    part = result.only(begin_s=0)
    loaded = heyfleet.load(result.folder)
    assert loaded.report == result.report
    folder = result.folder
    del result
    assert folder.exists()  # its part is still there
    del part, loaded
    assert not folder.exists()


def test_a_kept_result_has_the_exit_code_of_its_run(nginx: Any, tmp_path: Path) -> None:
    heyfleet.run(nginx.url("/"), n=100, c=5, slo="p50<1us", out=tmp_path / "kept")
    result = heyfleet.load(tmp_path / "kept")
    assert result.exit_code == heyfleet.ExitCode.THRESHOLD
    assert not result.ok


@pytest.mark.parametrize(
    ("options", "body", "content_type"),
    [
        ({"data": b"a\x00b\xff"}, b"a\x00b\xff", b"text/html"),
        ({"data": "gr\u00fcn"}, "gr\u00fcn".encode(), b"text/html"),
        ({"d": b"abc", "T": "text/plain"}, b"abc", b"text/plain"),
        ({"json": {"a": [1, "\u00e4"]}}, '{"a": [1, "\u00e4"]}'.encode(), b"application/json"),
        ({"data": b"x" * 3_000_000}, b"x" * 3_000_000, b"text/html"),
    ],
    ids=["bytes", "text", "short-names", "json", "large"],
)
def test_a_body_is_sent_as_it_is(options: Any, body: bytes, content_type: bytes) -> None:
    with Recorder() as server:
        result = heyfleet.run(server.url("/"), method="POST", **{"n": 1, "c": 1, **options})
    assert result.ok
    ((head, received),) = server.requests
    assert received == body
    assert b"Content-Type: " + content_type in head


@pytest.mark.parametrize(
    "headers",
    [{"A": "1", "B": "2"}, [("A", "1"), ("B", "2")], ["A: 1", "B: 2"]],
    ids=["dict", "pairs", "lines"],
)
def test_headers_are_a_mapping_pairs_or_lines(headers: Any) -> None:
    with Recorder() as server:
        heyfleet.run(server.url("/"), headers=headers, n=1, c=1)
    assert b"\r\nA: 1\r\nB: 2\r\n" in server.requests[0][0]


@pytest.mark.parametrize(
    "duration", [1, 1.0, "1s", timedelta(seconds=1)], ids=["int", "float", "text", "timedelta"]
)
def test_durations_are_seconds(nginx: Any, duration: Any) -> None:
    result = heyfleet.run(nginx.url("/"), rate=100, duration=duration, timeout=5)
    assert result.report["plan"]["duration_ns"] == 1_000_000_000
    assert result.report["plan"]["timeout_ns"] == 5_000_000_000


def test_a_percentile_that_the_sample_cannot_support_is_none(nginx: Any) -> None:
    result = heyfleet.run(nginx.url("/"), n=99, c=9)
    assert result.p50 is not None
    assert result.p99 is None
    assert result.percentile(99, "no such metric") is result.mean("no such metric") is None
    with pytest.raises(ValueError, match="nothing was recorded for 'kernel_latency'"):
        result.histogram("kernel_latency")


def test_assert_slo_names_what_failed(nginx: Any) -> None:
    result = heyfleet.run(nginx.url("/"), n=200, c=5)
    result.assert_slo("p50<10s, errors<=0")
    with pytest.raises(
        AssertionError, match=r"p50<1us failed: .*; p99\.9<10s inconclusive: needs 1000 responses"
    ):
        result.assert_slo("p50<1us, p99.9<10s, errors<=0")
    with pytest.raises(heyfleet.InputError, match="not a threshold"):
        result.assert_slo("p50")


def test_failed_counts_unexpected_statuses(nginx: Any) -> None:
    result = heyfleet.run(nginx.url("/no-such-file/files/"), n=20, c=2, H={"Host": "x"})
    missing = heyfleet.run(nginx.url("/files/none"), n=20, c=2)
    assert (result.failed, result.errors) == (0, {})
    assert (missing.failed, missing.errors, missing.statuses) == (20, {}, {404: 20})


def test_a_part_of_a_run(nginx: Any) -> None:
    result = heyfleet.run(nginx.url("/"), stages=["up=500ms:0-200", "top=500ms:200"])
    parts = [result.only(stage=stage) for stage in ("up", "top")]
    assert sum(part.requests for part in parts) == result.requests
    assert [part.failed for part in parts] == [0, 0]
    assert result.only(begin_s=0, end_s=0.5).failed is None
    with pytest.raises(heyfleet.InputError, match="no stage 'down'"):
        result.only(stage="down")


def test_runs_without_blocking(nginx: Any, tmp_path: Path) -> None:
    async def both() -> list[heyfleet.Result]:
        return await asyncio.gather(*(heyfleet.arun(nginx.url("/"), n=count, c=2) for count in (100, 200)))

    assert [result.requests for result in asyncio.run(both())] == [100, 200]

    async def cancelled() -> None:
        task = asyncio.create_task(heyfleet.arun(nginx.url("/"), rate=50, z="60s", out=tmp_path / "cut"))
        while not (tmp_path / "cut" / "histograms.hlog").exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.1)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    assert heyfleet.load(tmp_path / "cut").report["stopped_by"] == "signal"


def test_through_agents_on_this_host(nginx: Any) -> None:
    result = heyfleet.run(nginx.url("/"), n=300, c=6, local_agents=2)
    assert result.requests == 300
    assert len(result.report["fleet"]["agents"]) == 2


def test_a_plan_file(nginx: Any, tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(f"url: {nginx.url('/')}\ncount: 50\nconnections: 5\n")
    assert heyfleet.run(plan=tmp_path / "plan.yaml").requests == 50
    assert heyfleet.run(f=tmp_path / "plan.yaml", requests=20).requests == 20


def test_warnings_are_logged(nginx: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "heyfleet"):
        heyfleet.run(nginx.url("/"), rate=2000, c=1, n=10)
    assert "2000 requests/s" in caplog.text


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"request": 5}, TypeError, "unexpected keyword argument 'request'; did you mean requests?"),
        ({"output": "csv"}, TypeError, "unexpected keyword argument 'output'"),
        ({"n": 5, "requests": 5}, TypeError, "'requests' and another name of 'requests'"),
        ({"json": 1, "data": "x"}, heyfleet.InputError, "json and data exclude each other"),
        ({"requests": 0}, heyfleet.InputError, "requests: 0 is too small"),
        ({"requests": 1.5}, heyfleet.InputError, "not a whole number"),
        ({"duration": -1}, heyfleet.InputError, "duration"),
        ({"data": {"a": 1}}, heyfleet.InputError, "body"),
        ({"rate": 5, "users": 5}, heyfleet.InputError, "exclude each other"),
        ({"plan": "no-such.yaml"}, heyfleet.InputError, "no-such.yaml"),
        ({"find_max": "p99<1s"}, TypeError, "unexpected keyword"),
    ],
)
def test_bad_keywords(options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        heyfleet.run("http://127.0.0.1:1/", **options)


def test_what_cannot_start_is_an_error() -> None:
    with pytest.raises(heyfleet.HeyfleetError, match="can't resolve"):
        heyfleet.run("http://no-such-host.invalid/")
    with pytest.raises(heyfleet.InputError, match="no such folder"):
        heyfleet.load("no-such-run")


def test_a_load_without_responses_is_a_result() -> None:
    result = heyfleet.run("http://127.0.0.1:1/", n=5, c=1)
    assert result.exit_code == heyfleet.ExitCode.NO_RESPONSE
    assert result.failed == 5
    assert result.p50 is None


def test_every_option_of_a_run_is_a_keyword() -> None:
    keywords = set(RunKeywords.__annotations__)
    renamed = {"header": "headers", "body": "data", "data": "data_file"}
    command_only = {"output", "json", "out", "no-archive", "quiet", "repeat", "find-max", "dry-run"}
    names = {option.name for option in OPTIONS} - command_only
    wanted = {renamed.get(name, name.replace("-", "_")) for name in names}
    assert {name for name in wanted if name not in keywords and f"{name}_" not in keywords} == set()
