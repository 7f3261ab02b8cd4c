"""The table of export formats, and files in them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from heyfleet.errors import InputError
from heyfleet.results.archive.reader import ArchivedRun
from heyfleet.results.export.formats import FORMATS, render, write_file
from heyfleet.results.export.run_view import RunView, Selection

DATA = Path(__file__).parents[3] / "data" / "archive-v1"


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_has_a_function(name: str) -> None:
    module = import_module(f"heyfleet.results.export.{FORMATS[name].module}")
    assert callable(getattr(module, FORMATS[name].function))


def test_formats_of_whole_runs_refuse_a_selection() -> None:
    view = RunView(ArchivedRun(DATA / "stages"), Selection(stage="top"))
    with pytest.raises(InputError, match="whole runs only"):
        render("junit", view)
    assert "".join(map(str, render("csv", view)))


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(InputError, match="already exists"):
        write_file(path, iter(["new"]))
    assert path.read_text() == "old"


def test_a_failed_export_leaves_no_file(tmp_path: Path) -> None:
    def chunks() -> Iterator[str]:
        yield "half"
        raise InputError("damaged")

    with pytest.raises(InputError, match="damaged"):
        write_file(tmp_path / "file", chunks())
    assert list(tmp_path.iterdir()) == []
