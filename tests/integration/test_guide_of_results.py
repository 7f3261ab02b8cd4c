"""Every export command of the guide's page on results runs, as it stands there."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import Faulty
from ..pages import heyfleet_commands
from .command import heyfleet

COMMANDS = [line for line in heyfleet_commands("docs/how-to/results.md") if line.startswith("export ")]
PLAN = """
url: {url}
stages: up=1s:0-100, top=1s:100
requests:
  - {{name: login, path: /ok}}
  - {{name: "</script><img src=x>", path: "/ok?delay=1ms"}}
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("guide")
    server = Faulty()
    (folder / "plan.yaml").write_text(PLAN.format(url=server.url("/")))
    outcome = heyfleet("run", "-f", f"{folder}/plan.yaml", "--out", f"{folder}/heyfleet-runs/one")
    server.stop()
    assert outcome.exit_code == 0, outcome.stderr
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_it_runs(runs: Path, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEYFLEET_RUNS", str(runs / "heyfleet-runs"))
    line = [sys.executable, "-m", "heyfleet", *shlex.split(command, comments=True)]
    run = subprocess.run(line, cwd=tmp_path, capture_output=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout or any(path.stat().st_size for path in tmp_path.iterdir())


def test_no_name_gets_out_of_its_place_in_the_page(runs: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    outcome = heyfleet("export", str(runs / "heyfleet-runs" / "one"), "--as", "html", "-o", str(page))
    assert outcome.exit_code == 0
    assert "<img" not in page.read_text()
    assert "&lt;img src=x&gt;" in page.read_text()
