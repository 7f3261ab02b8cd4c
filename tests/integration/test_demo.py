"""`make demo` waits for the practice service, however long it takes to start, and stops it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
HEYFLEET = """#!/usr/bin/env bash
if [[ $1 == lab ]]; then
    trap 'echo "stopped $4"; exit' TERM
    {start}
    echo "heyfleet lab: listening on http://127.0.0.1:80$$"
    while :; do sleep 0.01; done
fi
echo "called with $*"
"""


def run_demo(folder: Path, start: str) -> subprocess.CompletedProcess[str]:
    """Run the demo in a copy of the checkout with a `heyfleet` whose service runs `start` first."""
    (folder / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "demo.sh", folder / "scripts")
    heyfleet = folder / "heyfleet"
    heyfleet.write_text(HEYFLEET.format(start=start))
    heyfleet.chmod(0o755)
    command = [folder / "scripts" / "demo.sh", heyfleet]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.mark.parametrize("start", [":", "sleep 0.5"])
def test_the_load_starts_when_the_service_listens(tmp_path: Path, start: str) -> None:
    demo = run_demo(tmp_path, start)
    assert demo.returncode == 0, demo.stderr
    lines = [line.split() for line in demo.stdout.splitlines() if line.startswith(("called", "stopped"))]
    assert [line[:3] for line in lines] == [
        ["called", "with", "run"],
        ["stopped", "old"],
        ["called", "with", "run"],
        ["stopped", "new"],
        ["called", "with", "compare"],
    ]
    assert all(
        line[-1].startswith("http://127.0.0.1:80") for line in lines if line[:3] == ["called", "with", "run"]
    )


def test_the_error_of_a_service_that_does_not_start_is_shown(tmp_path: Path) -> None:
    demo = run_demo(tmp_path, "echo 'no port is free' >&2; exit 1")
    assert demo.returncode == 1
    assert demo.stderr == "the practice service did not start:\nno port is free\n"
    assert "called with" not in demo.stdout
