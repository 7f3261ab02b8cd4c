"""The `heyfleet fleet` commands of docs/guide/deploy-k8s.md as they stand there, on a double of the API server."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from heyfleet.cli import main
from heyfleet.deploy.engines import ENGINES

from .server import Double
from .test_engine import double, engine, order, quiet

__all__ = ["double"]

GUIDE = Path(__file__).parents[4] / "docs/guide/deploy-k8s.md"
COMMANDS = re.findall(r"^    heyfleet (fleet .*)$", GUIDE.read_text(), re.MULTILINE)


def test_commands_that_need_no_controller(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENGINES, "k8s", ("heyfleet.deploy.k8s.engine", "K8sEngine", "k8s"))
    engine().launch(order(20), quiet)
    commands = [each for each in COMMANDS if not each.startswith("fleet up") or each.endswith("--dry-run")]
    assert [each.split()[1] for each in commands] == ["up", "status", "logs", "down", "reap"]
    for command in commands:
        result = CliRunner().invoke(main, shlex.split(command))
        assert result.exit_code == 0, f"{command}: {result.output}"
    assert double.left() == []
