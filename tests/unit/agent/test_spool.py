"""Spool files: written record by record, readable to the last whole one."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from heyfleet.agent.spool import Spool, default_folder, prepare_folder, read_records
from heyfleet.proto.plan_pb2 import Assignment
from heyfleet.proto.stats_pb2 import Done, Record, Snapshot


def written(folder: Path) -> Spool:
    spool = Spool(folder, "run", "a1")
    spool.append(Record(assignment=Assignment(run_id="run", agent="a1")))
    for sequence in range(1, 4):
        spool.append(Record(snapshot=Snapshot(agent="a1", sequence=sequence, trace=bytes(300))))
    spool.append(Record(done=Done(agent="a1", last_sequence=3)))
    return spool


def test_a_growing_file_can_be_read(tmp_path: Path) -> None:
    spool = written(tmp_path)
    kinds = [record.WhichOneof("record") for record in spool.records()]
    assert kinds == ["assignment", "snapshot", "snapshot", "snapshot", "done"]
    assert spool.path.stat().st_mode & 0o777 == 0o600
    spool.close(keep=True)
    assert spool.path.exists()


def test_closing_without_keep_deletes_the_file(tmp_path: Path) -> None:
    spool = written(tmp_path)
    spool.close(keep=False)
    assert list(tmp_path.iterdir()) == []


def test_a_truncated_file_is_read_to_its_last_whole_record(tmp_path: Path) -> None:
    spool = written(tmp_path)
    spool.close(keep=True)
    whole = spool.path.read_bytes()
    lengths = []
    for length in range(len(whole) + 1):
        spool.path.write_bytes(whole[:length])
        lengths.append(len(list(read_records(spool.path))))
    assert lengths == sorted(lengths)
    assert (lengths[0], lengths[-2], lengths[-1]) == (0, 4, 5)


def test_the_default_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "heyfleet" / "spool"
    assert default_folder().stat().st_mode & 0o777 == 0o700
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    other = default_folder()
    assert other.name.startswith("heyfleet-spool-")
    other.rmdir()
    with pytest.raises(OSError, match=r".+"):
        prepare_folder(tmp_path / "file" / "spool")


@contextmanager
def full_disk(file_bytes: int) -> Iterator[None]:
    """Let no file grow beyond this size, as on a disk that is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_leaves_whole_records(tmp_path: Path) -> None:
    spool = written(tmp_path)
    size = spool.path.stat().st_size
    large = Record(snapshot=Snapshot(agent="a1", sequence=4, trace=bytes(100_000)))
    with full_disk(size + 5000), pytest.raises(OSError, match="File too large"):
        spool.append(large)
    assert spool.path.stat().st_size == size
    assert len(list(spool.records())) == 5
    spool.append(large)
    assert len(list(spool.records())) == 6
    spool.close(keep=False)
    assert list(tmp_path.iterdir()) == []


def test_a_spool_is_closed_and_deleted_also_on_a_full_disk(tmp_path: Path) -> None:
    with full_disk(0):
        spool = Spool(tmp_path, "run", "a1")
        with pytest.raises(OSError, match="File too large"):
            spool.append(Record(done=Done(agent="a1")))
        spool.close(keep=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("run_id", "agent"),
    [("../x", "a1"), ("/x", "a1"), ("..", "a1"), ("a\0", "a1"), ("", "a1"), ("run", "../a1"), ("run", "a/b")],
)
def test_no_name_leads_out_of_the_folder(tmp_path: Path, run_id: str, agent: str) -> None:
    (tmp_path / "spool").mkdir()
    with pytest.raises(ValueError, match=r"is not a run id|is not an agent's name"):
        Spool(tmp_path / "spool", run_id, agent)
    assert list(tmp_path.iterdir()) == [tmp_path / "spool"]


def test_a_link_in_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("precious")
    (tmp_path / "run.a1.records").symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic links"):
        Spool(tmp_path, "run", "a1")
    assert (tmp_path / "other").read_text() == "precious"


@pytest.mark.parametrize("rest", [b"\xff" * 9 + b"\x01", b"\x03abc", b"\xff" * 30])
def test_a_damaged_file_is_read_to_the_damage(tmp_path: Path, rest: bytes) -> None:
    spool = written(tmp_path)
    spool.close(keep=True)
    spool.path.write_bytes(spool.path.read_bytes() + rest)
    assert len(list(read_records(spool.path))) == 5


def test_a_pipe_in_the_folder_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "r1.a1.records")
    with pytest.raises(OSError, match="No such device"):
        Spool(tmp_path, "r1", "a1")
