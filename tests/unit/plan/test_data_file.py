"""Files of --data: what they may hold, and errors that name the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from heyfleet.errors import InputError
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


def test_a_broken_row_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--data: .*data: line 2: not CSV: "):
        values(tmp_path / "data", b'a\n"b')
