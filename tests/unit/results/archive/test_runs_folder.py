"""The folder of runs: its name from the environment, and new folders in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from heyfleet.errors import InputError
from heyfleet.results.archive.runs_folder import make_run_folder, runs_folder


@pytest.mark.parametrize(
    ("value", "folder"),
    [
        (None, "heyfleet-runs"),
        ("", "heyfleet-runs"),
        ("none", ""),
        ("./none", "./none"),
        ("~/x", "/at/home/x"),
        ("a/~b", "a/~b"),
    ],
)
def test_the_variable_names_the_folder(
    monkeypatch: pytest.MonkeyPatch, value: str | None, folder: str
) -> None:
    monkeypatch.setenv("HOME", "/at/home")
    monkeypatch.delenv("HEYFLEET_RUNS", raising=False)
    if value is not None:
        monkeypatch.setenv("HEYFLEET_RUNS", value)
    assert runs_folder() == folder


def test_a_name_that_is_taken_gets_a_number(tmp_path: Path) -> None:
    folders = [make_run_folder(tmp_path / "runs", "a/b") for _ in range(5)]
    assert len(set(folders)) == 5
    assert all(folder.is_dir() and "-a-b" in folder.name for folder in folders)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file can't be written: File exists"):
        make_run_folder(tmp_path / "file", "host")
    with pytest.raises(InputError, match="can't be written: Not a directory"):
        make_run_folder(tmp_path / "file" / "runs", "host")
