"""Files of --data: what they may hold, and errors that name the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from heyfleet.errors import InputError
from heyfleet.plan import data_file
from heyfleet.plan.build import make_plan
from heyfleet.plan.options import RunOptions


def values(path: Path, content: bytes) -> list[bytes]:
    path.write_bytes(content)
    options = RunOptions(url="http://h/", body="{csv:a}", template=True, data_file=str(path))
    return list(make_plan(options).data[0].values)


def test_a_field_may_be_large(tmp_path: Path) -> None:
    assert values(tmp_path / "data", b"a\n" + b"x" * 200_000 + b"\n") == [b"x" * 200_000]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_data_is_sent_as_utf_8(tmp_path: Path, encoding: str) -> None:
    assert values(tmp_path / "data", "a\ngrün\n".encode(encoding)) == ["grün".encode()]


def test_bytes_that_are_no_text_are_sent_as_they_are(tmp_path: Path) -> None:
    assert values(tmp_path / "data", b"a\n\xff\xfe\0\n") == [b"\xff\xfe\0"]


def test_the_number_of_rows_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_file, "_MAX_ROWS", 3)
    assert len(values(tmp_path / "data", b"a\n1\n2\n")) == 2
    with pytest.raises(InputError, match="it has more than 3 rows; use a part of it"):
        values(tmp_path / "data", b"a\n1\n2\n3\n")


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_rows_end_as_on_any_system(tmp_path: Path, end: bytes) -> None:
    assert values(tmp_path / "data", end.join([b"a,b", b"1,2", b"", b'"3",4'])) == [b"1", b"3"]


def test_a_broken_row_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--data: .*data: line 2: not CSV: "):
        values(tmp_path / "data", b'a\n"b')
