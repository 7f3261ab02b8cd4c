"""Files of other tools: each format is recognized, and errors name what is wrong."""

from __future__ import annotations

import base64
import json
import os
import re
import zlib
from pathlib import Path
from typing import Any

import pytest
from hdrh.histogram import HdrHistogram

from heyfleet.errors import InputError
from heyfleet.results.compare.comparison import compare, describe, parse_limit, verdict
from heyfleet.results.compare.foreign_readers import read_sample_file
from heyfleet.results.compare.sample import FileOptions, Sample

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


def sample_of(path: Path, **options: Any) -> Sample:
    return read_sample_file(str(path), FileOptions(**options))


def test_the_first_experiment(tmp_path: Path) -> None:
    before = sample_of(written(tmp_path, BEFORE))
    after = sample_of(written(tmp_path, AFTER, "after"))
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
    sample = sample_of(written(tmp_path, text))
    assert (sample.requests, sample.errors) == (510, 10)


def test_hey_csv(tmp_path: Path) -> None:
    head = "response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset\n"
    rows = "".join(f"0.{n:04d},0,0,0,0,0,200,{n / 100:.4f}\n" for n in range(1, 5001))
    sample = sample_of(written(tmp_path, head + rows))
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
    sample = sample_of(written(tmp_path, text))
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
    sample = sample_of(written(tmp_path, text))
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
    sample = sample_of(written(tmp_path, text), unit_ns=1000.0)
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
        (
            "#[x]\n" + log_line([1000], 0).replace("0,1.0,", "0,1e308,"),
            "line 2: its interval begins at 0.0 s and lasts",
        ),
        (f"Value Percentile TotalCount\n 1.0 0.5 {'9' * 5000}\n", "a whole number of 5000 digits"),
        (f"  0.1 [1]\n  0.2 [{'9' * 5000}]\n", "a whole number of 5000 digits"),
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
        (f"Value Percentile TotalCount\n 1.0 0.5 {'9' * 25}\n", "too many to be true"),
        (f"Value Percentile TotalCount\n {'9' * 400} 0.5 100\n", "too long to be true"),
        (f"  0.2 [1]\n  {'9' * 400} [5]\n", "too long to be true"),
        (BEFORE + "Status code distribution:\n  [200]\t7 responses\n", "500 responses, its status codes 7"),
    ],
)
def test_damaged_files(tmp_path: Path, text: str, says: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        sample_of(path)
    assert str(path) in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.parametrize("text", ["", "p99", "p42 +1%", "p99 10%", "rate +x%", "speed +1%"])
def test_invalid_limits(text: str) -> None:
    with pytest.raises(InputError, match="--fail-if"):
        parse_limit(text)


def test_limits(tmp_path: Path) -> None:
    before, after = (sample_of(written(tmp_path, text)) for text in (BEFORE, AFTER))
    rows = {row.name: row for row in compare(before, after).rows}
    backwards = {row.name: row for row in compare(after, before).rows}
    assert parse_limit("p99 +10%").is_exceeded(rows["p99"]) is False
    assert parse_limit("p99 +10%").is_exceeded(backwards["p99"]) is True
    assert parse_limit("p99 -90%").is_exceeded(rows["p99"]) is True
    assert parse_limit("p50 +10%").is_exceeded(rows["p50"]) is None


@pytest.mark.parametrize(
    "before",
    ["# what I measured\n", "\n\n", "\ufeff", "#[Histogram log format version 1.3]\n", "# one\n\n  # two\n"],
)
@pytest.mark.parametrize("header", ["", '"StartTimestamp","Interval_Length","Interval_Max","Histogram"\n'])
def test_a_histogram_log_may_begin_with_anything_but_histograms(
    tmp_path: Path, before: str, header: str
) -> None:
    sample = sample_of(written(tmp_path, before + header + log_line([1000, 2000], 0)))
    assert (sample.count, sample.seconds) == (2, 1.0)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
@pytest.mark.parametrize("text", [BEFORE, log_line([1000, 2000], 0)])
def test_files_may_be_in_any_encoding_with_a_byte_order_mark(
    tmp_path: Path, encoding: str, text: str
) -> None:
    mark = "\ufeff" if encoding.endswith("le") else ""
    (tmp_path / "file").write_bytes((mark + text.replace("\n", "\r\n")).encode(encoding))
    assert sample_of(tmp_path / "file").count in (500, 2)


def tagged_log(*tags: str) -> str:
    """Return a log in which the line of each tag has as many values as its place among the tags."""
    return "".join(
        log_line([1000] * number, 0, f"Tag={tag}," if tag else "") for number, tag in enumerate(tags, 1)
    )


@pytest.mark.parametrize(
    ("tags", "wanted", "count"),
    [
        (("", "latency", "other"), "", 1),
        (("other", "latency"), "", 2),
        (("read",), "", 1),
        (("read", "write"), "write", 2),
        (("", "read", "write"), "write", 3),
    ],
)
def test_one_tag_of_a_log_is_read(tmp_path: Path, tags: tuple[str, ...], wanted: str, count: int) -> None:
    assert sample_of(written(tmp_path, tagged_log(*tags)), tag=wanted).count == count


@pytest.mark.parametrize(
    ("tags", "wanted", "says"),
    [
        (("write", "read"), "", "it has the tags read, write; choose one with --tag"),
        (("write", "read"), "reed", "it has no tag 'reed', but the tags read, write"),
        (("",), "read", "it has no tag 'read', but lines without a tag only"),
    ],
)
def test_tags_are_named_where_none_is_chosen(
    tmp_path: Path, tags: tuple[str, ...], wanted: str, says: str
) -> None:
    with pytest.raises(InputError, match=re.escape(says)):
        sample_of(written(tmp_path, tagged_log(*tags)), tag=wanted)


def test_a_tag_is_refused_where_there_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--tag applies to histogram logs"):
        sample_of(written(tmp_path, BEFORE), tag="read")


def test_the_chosen_tag_and_an_assumed_unit_are_part_of_the_source(tmp_path: Path) -> None:
    path = written(tmp_path, tagged_log("read"))
    assert sample_of(path).source == "a histogram log, tag read, taken to be in ns (see --unit)"
    assert sample_of(path, unit_ns=1e3).source == "a histogram log, tag read"


def test_a_bucket_of_a_log_ends_where_the_histogram_says(tmp_path: Path) -> None:
    # Of two histograms with gaps, each has a bucket within a gap of the other.
    text = log_line([1000, 90_000], 0) + log_line([50_000, 95_000], 1)
    sample = sample_of(written(tmp_path, text), unit_ns=1000.0)
    assert list(sample.low_ns) == sorted(sample.low_ns)
    assert list(sample.high_ns) == sorted(sample.high_ns)
    for quantile, value_us in ((0.25, 1000), (0.5, 50_000), (0.75, 90_000), (1.0, 95_000)):
        low, high = sample.quantile(quantile)
        assert 0.99 * low <= value_us * 1e3 <= 1.01 * high
        assert high <= 1.01 * low


def test_a_log_may_have_histograms_of_a_huge_range(tmp_path: Path) -> None:
    histogram = HdrHistogram(1, 1 << 62, 5)
    histogram.record_value(1 << 61)
    path = written(tmp_path, f"0.0,1.0,2.0,{histogram.encode().decode()}\n", name="wide.hlog")
    low, high = sample_of(path).quantile(1.0)
    assert low <= 1 << 61 <= high


def test_an_end_of_the_interval_is_no_length(tmp_path: Path) -> None:
    names = '"StartTimestamp","EndTimestamp","Interval_Max","Interval_Compressed_Histogram"\n'
    rows = [log_line([1000], begin_s).replace(",1.0,", f",{begin_s + 2},") for begin_s in (1000, 1002, 1004)]
    sample = sample_of(written(tmp_path, names + "".join(rows)))
    assert (sample.count, sample.seconds) == (3, 6.0)
    with pytest.raises(InputError, match="line 2: its interval ends 999 s before it begins"):
        sample_of(written(tmp_path, names + log_line([1000], 1000)))


def test_a_long_log_has_longer_blocks(tmp_path: Path) -> None:
    sample = sample_of(written(tmp_path, "".join(log_line([1000 + n], n) for n in range(450))))
    assert sample.blocks is not None
    assert sample.block_seconds is not None
    assert len(sample.blocks) == 150
    assert (sample.count, sample.seconds) == (450, 450.0)
    assert set(sample.block_seconds) == {3.0}


WRK2 = """Running 10s test @ http://127.0.0.1:8080/
  2 threads and 10 connections
  Latency Distribution (HdrHistogram - Recorded Latency)
 50.000%    1.00ms
 90.000%    9.00ms

  Detailed Percentile spectrum:
       Value   Percentile   TotalCount 1/(1-Percentile)

       0.500     0.000000            1         1.00
       1.000     0.500000           50         2.00
       9.000     1.000000          100          inf
#[Mean    =        1.100, StdDeviation   =        0.500]
----------------------------------------------------------
"""
WRK2_UNCORRECTED = """
  Latency Distribution (HdrHistogram - Uncorrected Latency (measured without taking delayed starts into account))
 50.000%    0.10ms

  Detailed Percentile spectrum:
       Value   Percentile   TotalCount 1/(1-Percentile)

       0.050     0.000000            2         1.00
       0.100     0.500000           80         2.00
       0.300     1.000000          100          inf
----------------------------------------------------------
"""
WRK2_TOTALS = """  2000 requests in 10.00s, 1.50MB read
  Socket errors: connect 1, read 2, write 3, timeout 4
  Non-2xx or 3xx responses: 7
Requests/sec:    200.00
Transfer/sec:    150.00KB
"""


def test_wrk2_with_both_spectra_is_read_as_recorded(tmp_path: Path) -> None:
    sample = sample_of(written(tmp_path, WRK2 + WRK2_UNCORRECTED + WRK2_TOTALS))
    assert sample.count == 100
    assert sample.quantile(0.5) == (0.5e6, 1e6)
    assert "the recorded ones, not the uncorrected" in sample.source
    with pytest.raises(InputError, match="it has 2 tables of percentiles; keep one"):
        sample_of(written(tmp_path, WRK2 + WRK2))


def test_wrk2_has_a_rate_and_errors(tmp_path: Path) -> None:
    sample = sample_of(written(tmp_path, WRK2 + WRK2_TOTALS))
    assert (sample.requests, sample.errors, sample.seconds) == (2010, 10, 10.0)
    assert sample.source == "wrk2's percentiles, 7 responses not 2xx or 3xx"
    without_errors = sample_of(
        written(tmp_path, WRK2 + "  2000 requests in 10.00s\nRequests/sec:    200.00\n")
    )
    assert (without_errors.rate, without_errors.errors) == (200.0, 0)


def test_percentiles_of_another_tool_have_a_unit(tmp_path: Path) -> None:
    path = written(tmp_path, "Value Percentile TotalCount\n 1.0 0.5 50\n 2.0 1.0 100 Infinity\n")
    assert sample_of(path).source == "percentiles (hgrm), taken to be in ms (see --unit)"
    assert sample_of(path).quantile(1.0)[1] == 2e6
    assert sample_of(path, unit_ns=1e3).quantile(1.0)[1] == 2e3


def test_vegeta_results_with_keys_in_another_order(tmp_path: Path) -> None:
    row = {"body": "x" * 100_000, "code": 200, "timestamp": "2026-11-25T10:00:00Z", "error": "a\u2028b"}
    text = "\n" + "".join(
        json.dumps({**row, "latency": n}, ensure_ascii=False) + "\n" for n in (1_000_000, 2_000_000)
    )
    assert sample_of(written(tmp_path, text)).count == 2


def test_vegeta_rows_may_have_large_bodies(tmp_path: Path) -> None:
    rows = [f'1795600000000000000,200,{n},5,5,"a\nb",{"x" * 200_000},,{n}\n' for n in (1000, 2000)]
    assert sample_of(written(tmp_path, "".join(rows))).count == 2


def test_a_file_may_be_a_process_substitution() -> None:
    reader_end, writer_end = os.pipe()
    os.write(writer_end, BEFORE.encode())
    os.close(writer_end)
    assert sample_of(Path(f"/dev/fd/{reader_end}")).count == 500
    os.close(reader_end)


def test_what_is_no_file_is_refused() -> None:
    with pytest.raises(InputError, match="compare: can't read '/dev/zero': it is a device"):
        sample_of(Path("/dev/zero"))


@pytest.mark.parametrize("row", ["1e400 0.5 1 1", "2.0 0.5 -1 1", "12,5 0.5 1 1", "2.0 0.5"])
def test_a_row_of_percentiles_is_not_left_out_silently(tmp_path: Path, row: str) -> None:
    path = tmp_path / "file"
    path.write_text(
        f"  Value Percentile TotalCount 1/(1-Percentile)\n\n 1.0 0.0 1 1\n {row}\n 9.0 1.0 5 inf\n"
    )
    with pytest.raises(InputError, match=re.escape(f"'{row}' is not a row of percentiles")):
        sample_of(path)


@pytest.mark.parametrize(
    "row",
    [
        '{"latency":true,"code":200,"timestamp":"2020-01-01T00:00:00Z"}',
        '{"latency":5,"code":true,"timestamp":"2020-01-01T00:00:00Z"}',
        '{"latency":5,"code":-200,"timestamp":"2020-01-01T00:00:00Z"}',
        '{"latency":5,"code":1e30,"timestamp":"2020-01-01T00:00:00Z"}',
    ],
)
def test_a_row_whose_values_are_none_of_its_kind_is_an_error(tmp_path: Path, row: str) -> None:
    path = tmp_path / "file"
    path.write_text(f"{row}\n")
    with pytest.raises(InputError, match="line 1 is not a row of vegeta's JSON"):
        sample_of(path)
