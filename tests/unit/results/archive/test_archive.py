"""Archives return what was measured, are readable up to where they were cut off, and reject hostile content."""

from __future__ import annotations

import base64
import errno
import json
import os
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heyfleet.errors import InputError
from heyfleet.mask import HIDDEN
from heyfleet.plan.build import make_plan
from heyfleet.plan.options import RunOptions
from heyfleet.proto.plan_pb2 import Header, Plan, Request, Stage
from heyfleet.proto.stats_pb2 import Snapshot
from heyfleet.results.archive import layout
from heyfleet.results.archive.archiver import Archiver
from heyfleet.results.archive.errors import ArchiveError
from heyfleet.results.archive.histogram_log import read_line
from heyfleet.results.archive.layout import Tag, read_tag
from heyfleet.results.archive.reader import ArchivedRun
from heyfleet.results.archive.runs import find_run, list_runs
from heyfleet.results.archive.writer import ArchiveWriter
from heyfleet.results.compare.archive_reader import read_archive
from heyfleet.results.export.run_view import Selection
from heyfleet.results.intervals import Intervals
from heyfleet.results.stats import Stats
from heyfleet.results.summary import summarize

MS = 1_000_000
SECONDS = 24


def plan() -> Plan:
    made = make_plan(RunOptions(url="http://localhost/", user_agent="x"))
    made.stages.extend([Stage(name="up, then", duration_ns=10**9, last=5), Stage(name="top")])
    del made.requests[:]
    made.requests.extend(
        [
            Request(name="a b", method="GET", headers=[Header(name="Authorization", value="secret")]),
            Request(name="ü", method="PUT", body=b"x" * 10_000),
        ]
    )
    made.tls.key_pem = b"secret"
    made.proxy.credentials = "user:secret"
    return made


def snapshots(kit: Any) -> list[Snapshot]:
    made = []
    for second in range(1, SECONDS + 1):
        latencies_ns = [second * MS + step * 1000 for step in range(second)]
        metrics = {"wait": [ns // 2 for ns in latencies_ns], "connect": [MS] if second == 1 else []}
        snapshot = kit.snapshot(second, latencies_ns=latencies_ns, metrics=metrics, errors={"reset": second})
        warm = kit.snapshot(latencies_ns=[7 * MS], metrics={"wait": [MS]})
        snapshot.warmup.MergeFrom(Snapshot(histograms=warm.histograms, responses=warm.responses, sent=1))
        part = kit.snapshot(latencies_ns=latencies_ns, metrics={"service_time": latencies_ns})
        numbers = Snapshot(histograms=part.histograms, responses=part.responses, sent=part.sent)
        snapshot.breakdowns.add(stage=int(second > 3), request=second % 2, metrics=numbers)
        snapshot.addresses["127.0.0.1"].responses = second
        made.append(snapshot)
    return made


def write(kit: Any, folder: Path, *, finish: bool = True) -> Any:
    """Write an archive and return its measurements."""
    archive, played = ArchiveWriter(folder, plan()), snapshots(kit)
    intervals = Intervals(archive.add_interval, plan())
    for snapshot in played:
        intervals.add(snapshot)
    measured = kit.measured(played, kit.done(played), plan=plan())
    if finish:
        intervals.close()
        archive.finish(measured, '{"the": "summary"}\n')
    archive.close()
    assert archive.error == ""
    return measured


def summed(run: ArchivedRun) -> Stats:
    stats = Stats()
    for number, interval in enumerate(run.intervals(), 1):
        interval.merged.sequence = number
        assert stats.add(interval.merged)
    return stats


def test_a_complete_archive(kit: Any, tmp_path: Path) -> None:
    measured = write(kit, tmp_path / "run")
    run = ArchivedRun(tmp_path / "run")
    assert run.complete
    assert run.report() == {"the": "summary"}
    whole = measured.stats.to_snapshot()
    assert run.measurements().stats.to_snapshot() == whole
    assert summed(run).to_snapshot() == whole
    assert sum(row.responses for row in run.agents()) == measured.stats.responses.total()
    assert not list((tmp_path / "run").glob(".*"))


def test_secrets_and_large_bodies_are_left_out(kit: Any, tmp_path: Path) -> None:
    write(kit, tmp_path / "run")
    for path in (tmp_path / "run").iterdir():
        assert b"secret" not in path.read_bytes(), path
    stored = ArchivedRun(tmp_path / "run").plan()
    assert stored.requests[0].headers[0].value == HIDDEN
    assert stored.requests[1].body == b"(10000 bytes)"


@pytest.mark.parametrize("cut_bytes", [0, 1, 40])
def test_an_archive_that_was_cut_off(kit: Any, tmp_path: Path, cut_bytes: int) -> None:
    write(kit, tmp_path / "run", finish=False)
    path = tmp_path / "run" / layout.INTERVALS
    path.write_bytes(path.read_bytes()[: -cut_bytes or None])
    run = ArchivedRun(tmp_path / "run")
    assert not run.complete
    measured = run.measurements()
    seconds = (
        SECONDS - 3 - (cut_bytes > 1)
    )  # those that wait for late ones are not there; a lost line end is none
    assert measured.stats.responses.total() == sum(range(seconds + 1))
    assert "cut off" in measured.recovery_note
    assert measured.agents[0].state == "lost"


def test_tags_name_stages_and_requests(kit: Any, tmp_path: Path) -> None:
    write(kit, tmp_path / "run")
    text = (tmp_path / "run" / layout.HISTOGRAMS).read_text()
    assert "Tag=latency;stage=up%2C%20then;request=%C3%BC," in text
    assert "Tag=latency;warmup," in text
    assert text.splitlines()[1] == "#[Histogram log format version 1.3]"


@given(st.text(min_size=1), st.text(), st.booleans())
def test_tags_round_trip(stage: str, request: str, warmup: bool) -> None:
    text = str(Tag("latency", warmup, stage, request))
    assert not {",", " ", "\n", "\r"} & set(text)
    assert read_tag(text) == Tag("latency", warmup, stage, request)


def read_all(folder: Path) -> None:
    run = ArchivedRun(folder)
    list(run.agents())
    summed(run)


def damage(folder: Path, name: str, old: str, new: str) -> None:
    path = folder / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def huge() -> str:
    packed = zlib.compress(bytes(64 << 20), 9)
    return base64.b64encode(b"\x1c\x84\x93\x14" + len(packed).to_bytes(4, "big") + packed).decode()


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        (layout.FACTS, '"version": 2', '"version": 3', "version 3"),
        (layout.FACTS, "heyfleet archive", "another", "not an archive of heyfleet"),
        (layout.FACTS, "{", "", "damaged"),
        (layout.PLAN, "{", "[", "damaged"),
        (layout.HISTOGRAMS, "Tag=latency,2", "Tag=wait,2", "expected"),
        (layout.HISTOGRAMS, "HISTF", "HISTX", "encoding"),
        (layout.HISTOGRAMS, "HISTF", "HIST~", "not a line of a histogram log"),
        (layout.HISTOGRAMS, ",HISTF", "", "columns"),
        (layout.INTERVALS, '"second":2', '"second":"x"', "damaged"),
        (layout.INTERVALS, '"latency",2', '"latency;odd",2', "damaged"),
        (layout.INTERVALS, "{", "garbage", "damaged"),
        (layout.INTERVALS, '"reset":3', '"reset":-3', "damaged"),
        (layout.SNAPSHOTS, "local,", "local,x", "damaged"),
    ],
)
def test_errors_name_the_damaged_file(
    kit: Any, tmp_path: Path, name: str, old: str, new: str, says: str
) -> None:
    write(kit, tmp_path / "run")
    damage(tmp_path / "run", name, old, new)
    with pytest.raises(InputError, match=says) as caught:
        read_all(tmp_path / "run")
    assert name in str(caught.value) or "version" in says


def test_a_truncated_result(kit: Any, tmp_path: Path) -> None:
    write(kit, tmp_path / "run")
    path = tmp_path / "run" / layout.RESULT
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ArchiveError, match=r"run\.pb"):
        ArchivedRun(tmp_path / "run").measurements()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (f"0.1,1.0,2.0,{huge()}", "larger"),
        ("0.1,1.0,2.0,HISTFAAAAP8=", "cut off"),
        ("0.1,nan,2.0,HISTFAAAAAA=", "interval"),
        ("inf,1,2.0,HISTFAAAAAA=", "interval"),
        ("1,2,3", "columns"),
        ("\0\1\2", "columns"),
    ],
)
def test_hostile_lines(line: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_line(line)


def test_an_existing_folder_is_not_overwritten(kit: Any, tmp_path: Path) -> None:
    write(kit, tmp_path / "run")
    with pytest.raises(InputError, match="already exists"):
        ArchiveWriter(tmp_path / "run", plan())
    assert ArchivedRun(tmp_path / "run").complete


def test_a_full_disk_ends_the_archive_and_not_the_run(
    kit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = ArchiveWriter(tmp_path / "run", plan())
    intervals, played = Intervals(archive.add_interval, plan()), snapshots(kit)
    for snapshot in played[:12]:
        intervals.add(snapshot)

    class Full:
        def close(self) -> None:
            pass

        def writelines(self, lines: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    archive.close()
    monkeypatch.setattr(archive, "_log", None)
    monkeypatch.setattr(archive, "_open_log", lambda first: Full())
    for snapshot in played[12:]:
        intervals.add(snapshot)
    intervals.close()
    archive.finish(kit.measured(played, kit.done(played), plan=plan()), "{}")
    assert archive.error == f"the archive {tmp_path}/run is incomplete: No space left on device"
    assert ArchivedRun(tmp_path / "run").measurements().stats.responses.total() == sum(range(10))


def test_a_run_that_sent_nothing_leaves_no_folder(tmp_path: Path) -> None:
    archiver = Archiver(str(tmp_path / "run"))
    with pytest.raises(InputError), archiver.open(plan()):
        raise InputError("no")
    assert not (tmp_path / "run").exists()


def test_runs_are_listed_and_found(kit: Any, tmp_path: Path) -> None:
    for name, created_at in (("b", "2026-01-01"), ("a", "2026-01-02")):
        write(kit, tmp_path / name)
        path = tmp_path / name / layout.FACTS
        path.write_text(json.dumps({**json.loads(path.read_text()), "created_at": created_at}))
    (tmp_path / "other").mkdir()
    assert [path.name for path in list_runs(str(tmp_path))] == ["a", "b"]
    assert find_run("", str(tmp_path)).folder.name == "a"
    assert find_run("a", str(tmp_path)).folder.name == "a"
    with pytest.raises(ArchiveError, match="no such folder"):
        find_run("c", str(tmp_path))
    with pytest.raises(ArchiveError, match="no run"):
        find_run("", str(tmp_path / "other"))
    assert json.loads((tmp_path / "a" / layout.AGENTS).read_text())[0]["agent"] == "local"


STRANGE_CONTENT = {
    "nothing": b"",
    "an empty object": b"{}",
    "a list": b"[]",
    "null": b"null",
    "a NUL": b"\0\0",
    "a word": b"hello\n",
    "5,000 levels": b"[" * 5000,
    "NaN": b'{"version": NaN}',
}


def use(folder: Path) -> None:
    """Do with an archive what the commands do."""
    run = find_run(str(folder))
    list_runs(str(folder.parent))
    summarize(run.measurements())
    read_archive(folder, Selection())
    list(run.agents())


@pytest.mark.parametrize("content", STRANGE_CONTENT)
@pytest.mark.parametrize(
    "name", [layout.FACTS, layout.PLAN, layout.RESULT, layout.INTERVALS, layout.HISTOGRAMS, layout.SNAPSHOTS]
)
def test_a_file_with_strange_content_is_refused_or_unused(
    kit: Any, tmp_path: Path, name: str, content: str
) -> None:
    write(kit, tmp_path / "run")
    (tmp_path / "run" / name).write_bytes(STRANGE_CONTENT[content])
    try:
        use(tmp_path / "run")
    except ArchiveError:
        return
    # The result has everything that a whole run needs, and these only its seconds.
    assert name in (layout.INTERVALS, layout.SNAPSHOTS)


@pytest.mark.parametrize(("kind", "words"), [("device", "it is a device"), ("pipe", "it is a pipe")])
@pytest.mark.parametrize(
    "name", [layout.PLAN, layout.RESULT, layout.INTERVALS, layout.HISTOGRAMS, layout.SNAPSHOTS]
)
def test_an_archive_has_regular_files_only(
    kit: Any, tmp_path: Path, name: str, kind: str, words: str
) -> None:
    write(kit, tmp_path / "run")
    path = tmp_path / "run" / name
    path.unlink()
    if kind == "device":
        path.symlink_to("/dev/zero")
    else:
        os.mkfifo(path)
    with pytest.raises(ArchiveError, match=words):
        use(tmp_path / "run")


def test_an_empty_result_is_no_result(kit: Any, tmp_path: Path) -> None:
    write(kit, tmp_path / "run")
    (tmp_path / "run" / layout.RESULT).write_bytes(b"")
    with pytest.raises(ArchiveError, match=r"run\.pb: damaged: it has no plan with a target and requests"):
        find_run(str(tmp_path / "run")).measurements()


def test_totals_that_contradict_the_histogram_are_refused(kit: Any, tmp_path: Path) -> None:
    write(kit, tmp_path / "run")
    path = tmp_path / "run" / layout.INTERVALS
    row, *others = path.read_text().splitlines(keepends=True)
    record = json.loads(row)
    record["histograms"][0][3] += 1
    path.write_text(json.dumps(record) + "\n" + "".join(others))
    with pytest.raises(ArchiveError, match=r"intervals\.jsonl, line 1: damaged"):
        read_archive(tmp_path / "run", Selection())
