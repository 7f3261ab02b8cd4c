"""Finding archived runs."""

from __future__ import annotations

from pathlib import Path

from heyfleet.documents import parse_json
from heyfleet.errors import InputError
from heyfleet.files import MAX_TEXT_BYTES, read_file
from heyfleet.results.archive import layout
from heyfleet.results.archive.errors import ArchiveError
from heyfleet.results.archive.migration import version_of
from heyfleet.results.archive.reader import ArchivedRun
from heyfleet.results.archive.runs_folder import DEFAULT_FOLDER


def find_run(name: str, runs: str = DEFAULT_FOLDER) -> ArchivedRun:
    """Return a run by its folder or its name in the folder of runs; "" is the latest. ArchiveError if there is none."""
    if not name:
        latest = next(iter(list_runs(runs)), None)
        if latest is None:
            raise ArchiveError(f"no run in {runs or DEFAULT_FOLDER}")
        return ArchivedRun(latest)
    path = Path(name)
    if not path.exists() and runs and Path(runs, name).exists():
        path = Path(runs, name)
    return ArchivedRun(path)


def list_runs(runs: str) -> list[Path]:
    """Return the archives in a folder, and in its folders of repeated runs, the latest first."""
    patterns = (f"*/{layout.FACTS}", f"*/*/{layout.FACTS}") if runs else ()
    folders = [path.parent for pattern in patterns for path in Path(runs).glob(pattern)]
    return sorted(folders, key=lambda path: (_created_at(path), path.name), reverse=True)


def _created_at(folder: Path) -> str:
    """Return when an archive was created, as text that sorts; "" if it is damaged."""
    try:
        facts = parse_json(read_file(folder / layout.FACTS, "archive", MAX_TEXT_BYTES, pipes=False))
        return str(version_of(facts["version"]).facts(facts)["created_at"])
    except (InputError, ValueError, KeyError, TypeError, AttributeError):
        return ""
