"""Spool files: written record by record, readable to the last whole one."""

from __future__ import annotations

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
