"""Files of other tools: each format is recognized, and errors name what is wrong."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path

import pytest
from hdrh.histogram import HdrHistogram

from heyfleet.errors import InputError
from heyfleet.results.compare.comparison import compare, describe, parse_limit, verdict
from heyfleet.results.compare.foreign_readers import read_file

# The first experiment, before and after, as hey printed it.
BEFORE = """
Summary:
  Total:\t13.4614 secs
  Slowest:\t13.0460 secs
  Fastest:\t0.0194 secs
  Average:\t1.2528 secs
  Requests/sec:\t37.1433

Response time histogram:
  0.019 [1]\t|
  1.322 [448]\t|■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■
  2.625 [1]\t|
  3.927 [0]\t|
  5.230 [0]\t|
  6.533 [0]\t|
  7.835 [0]\t|
  9.138 [0]\t|
  10.441 [4]\t|
  11.743 [9]\t|■
  13.046 [37]\t|■■■
"""
AFTER = """
  0.023 [1]
  0.075 [411]
  0.127 [25]
  0.180 [1]
  0.232 [0]
  0.285 [0]
  0.337 [0]
  0.390 [9]
  0.442 [7]
  0.495 [33]
  0.547 [13]
"""

# The beginning of what autocannon --json prints, and hey's report of a port that refuses all connections.
AUTOCANNON = (
    '{"url":"http://localhost:8080","connections":10,"duration":10.01,"errors":0,'
    '"latency":{"average":0.21,"mean":0.21,"min":0,"max":19,"p2_5":0,"p50":0,"p97_5":2,"p99":3},'
    '"requests":{"average":24000,"total":240000}}\n'
)
ALL_FAILED = """
Summary:
  Total:\t0.0213 secs
  Slowest:\t0.0000 secs
  Fastest:\t0.0000 secs
  Average:\tNaN secs
  Requests/sec:\t9389.6713

Response time histogram:

Latency distribution:

Status code distribution:

Error distribution:
  [150]\tGet "http://localhost:9/": dial tcp 127.0.0.1:9: connect: connection refused
  [50]\tGet "http://localhost:9/": EOF
"""


def written(folder: Path, text: str, name: str = "file") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_the_first_experiment(tmp_path: Path) -> None:
    before = read_file(written(tmp_path, BEFORE), 1.0)
    after = read_file(written(tmp_path, AFTER, "after"), 1.0)
    assert before.count == after.count == 500
    assert before.seconds == 13.4614
    assert after.seconds is None
    assert list(before.quantile(0.5)) == pytest.approx([0.0185e9, 1.3225e9])
    assert list(before.quantile(0.99)) == pytest.approx([11.7425e9, 13.046e9])
    assert list(after.quantile(0.99)) == pytest.approx([0.4945e9, 0.5475e9])
    made = compare(before, after)
    rows = {row.name: row for row in made.rows}
    # No better than the marks, and what they are rounded by, allow.
    assert rows["p99"].least == pytest.approx(0.4945 / 13.046 - 1)
    assert rows["p99"].most == pytest.approx(0.5475 / 11.7425 - 1)
    assert rows["p99"].low <= rows["p99"].least
    assert rows["p99"].high >= rows["p99"].most
    assert rows["p50"].low < 0 < rows["p50"].high  # ten buckets are inconclusive
    assert verdict(made).startswith("p99 fell by 95% to 96% (95 %)")
    assert "p50 inconclusive" in describe(rows["p50"])
    assert "p99.9" not in rows


def test_hey_report_with_errors(tmp_path: Path) -> None:
    text = BEFORE + "\nStatus code distribution:\n  [200]\t500 responses\n\n"
    text += "Error distribution:\n  [7]\tGet: refused\n  [3]\tGet: EOF\n"
    sample = read_file(written(tmp_path, text), 1.0)
    assert (sample.requests, sample.errors) == (510, 10)


def test_hey_csv(tmp_path: Path) -> None:
    head = "response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset\n"
    rows = "".join(f"0.{n:04d},0,0,0,0,0,200,{n / 100:.4f}\n" for n in range(1, 5001))
    sample = read_file(written(tmp_path, head + rows), 1.0)
    assert sample.count == 5000
    assert sample.quantile(0.9)[1] == pytest.approx(0.45e9)
    assert sample.blocks is not None
    assert sample.blocks.sum() == 5000


@pytest.mark.parametrize("form", ["json", "csv"])
def test_vegeta_results(tmp_path: Path, form: str) -> None:
    if form == "json":
        rows = [
            {
                "attack": "",
                "seq": n,
                "code": 200 if n % 10 else 0,
                "timestamp": f"2026-11-25T10:00:{n % 60:02d}.123456789+01:00",
                "latency": n * 1_000_000,
                "error": "" if n % 10 else "EOF",
            }
            for n in range(1, 201)
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
    else:
        text = "".join(
            f"{1_795_600_000_000_000_000 + n * 10**8},{200 if n % 10 else 0},{n * 1_000_000},5,5,"
            f"{'' if n % 10 else 'EOF'},aGV5,,{n}\n"
            for n in range(1, 201)
        )
    sample = read_file(written(tmp_path, text), 1.0)
    assert (sample.count, sample.requests, sample.errors) == (180, 200, 20)
    assert sample.quantile(1.0)[1] == 199e6


def test_percentiles_of_wrk2(tmp_path: Path) -> None:
    text = """Running 10s test
  Detailed Percentile spectrum:
       Value   Percentile   TotalCount 1/(1-Percentile)

       0.500     0.000000            1         1.00
       1.000     0.500000           50         2.00
       2.000     0.900000           90        10.00
       9.000     1.000000          100          inf
#[Mean    =        1.100, StdDeviation   =        0.500]
"""
    sample = read_file(written(tmp_path, text), 1.0)
    assert sample.count == 100
    assert sample.quantile(0.5) == (0.5e6, 1e6)
    assert sample.quantile(0.95) == (2e6, 9e6)


def log_line(values: list[int], begin_s: float, tag: str = "") -> str:
    histogram = HdrHistogram(1, 3_600_000_000, 2)
    for value in values:
        histogram.record_value(value)
    return f"{tag}{begin_s},1.0,{max(values) / 1e6:.3f},{histogram.encode().decode()}\n"


def test_a_log_of_another_tool_in_microseconds(tmp_path: Path) -> None:
    text = "#[Histogram log format version 1.3]\n" + "".join(
        log_line([1000, 2000, 3000], n) for n in range(40)
    )
    text += log_line([999_999], 41, "Tag=other,")
    sample = read_file(written(tmp_path, text), 1000.0)
    assert (sample.count, sample.seconds) == (120, 40.0)
    low, high = sample.quantile(0.5)
    assert low <= 2e6 <= high * 1.001
    assert sample.blocks is not None
    assert len(sample.blocks) == 40


def bomb() -> str:
    packed = zlib.compress(bytes(64 << 20), 9)
    return base64.b64encode(b"\x1c\x84\x93\x14" + len(packed).to_bytes(4, "big") + packed).decode()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "unknown format"),
        ("\0\1\2\3" * 100, "unknown format"),
        ("{}", "unknown format"),
        ("Tag=latency,0.0,1.0,2.0,HISTFAAAA\n", "line 1"),
        (f"0.0,1.0,2.0,{bomb()}\n", "larger than"),
        ("#[x]\n0.0,1.0,garbage\n", "line 2"),
        ("#[only a comment]\n", "it has no latencies; compare"),
        ("1795600000000000000,0,5,\n", "it has no latencies: all 1 requests failed"),
        ("response-time,offset\n1,2\nx,2\n", "line 3 is not a row of hey's CSV"),
        (
            "response-time,offset\n1,2\n0.5",
            "line 3 is not a row of hey's CSV; remove it if the file is cut off there",
        ),
        ("response-time,offset\n1,2\nnan,2\n", "line 3 is not a row"),
        ("response-time,offset\n1,2\n-1,2\n", "line 3 is not a row"),
        ("response-time,other\n1,2\n", "it has no column offset, which hey -o csv writes"),
        ('{"latency": 5}\n', "line 1 is not a row of vegeta's JSON: code, timestamp, latency"),
        ('{"latency": 5, "code"\n', "line 1"),
        ("1795600000000000000,200,5,\n1795600000000000000,2", "line 2 is not a row of vegeta's CSV"),
        (AUTOCANNON, "it is autocannon's JSON summary, which has percentiles but not the distribution"),
        (json.dumps(json.loads(AUTOCANNON), indent=2), "it is autocannon's JSON summary"),
        ('{\n  "schema_version": 1,\n  "heyfleet_version": "0.1.0"\n}', "compare the archives of runs"),
        (ALL_FAILED, "it has no latencies: all 200 requests failed; compare runs that got responses"),
        ("  Value Percentile TotalCount\n 2.0 0.5 10\n 1.0 1.0 20\n", "must ascend"),
        ("  0.2 [1]\n  0.1 [5]\n", "must ascend"),
        (BEFORE + "Status code distribution:\n  [200]\t7 responses\n", "500 responses, its status codes 7"),
    ],
)
def test_damaged_files(tmp_path: Path, text: str, says: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read_file(path, 1.0)
    assert str(path) in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.parametrize("text", ["", "p99", "p42 +1%", "p99 10%", "rate +x%", "speed +1%"])
def test_invalid_limits(text: str) -> None:
    with pytest.raises(InputError, match="--fail-if"):
        parse_limit(text)


def test_limits(tmp_path: Path) -> None:
    before, after = (read_file(written(tmp_path, text), 1.0) for text in (BEFORE, AFTER))
    rows = {row.name: row for row in compare(before, after).rows}
    backwards = {row.name: row for row in compare(after, before).rows}
    assert parse_limit("p99 +10%").is_exceeded(rows["p99"]) is False
    assert parse_limit("p99 +10%").is_exceeded(backwards["p99"]) is True
    assert parse_limit("p99 -90%").is_exceeded(rows["p99"]) is True
    assert parse_limit("p50 +10%").is_exceeded(rows["p50"]) is None
