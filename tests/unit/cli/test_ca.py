"""`heyfleet ca`: what it refuses before it makes anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from heyfleet.cli.ca import ca


@pytest.mark.parametrize("valid", ["0", "0s", "1ns", "999ms"])
@pytest.mark.parametrize("command", ["init", "token"])
def test_credentials_that_expire_at_once_are_refused(tmp_path: Path, command: str, valid: str) -> None:
    folder = tmp_path / "fleet"
    if command == "token":
        assert CliRunner().invoke(ca, ["init", str(folder)]).exit_code == 0
    result = CliRunner().invoke(ca, [command, str(folder), "--valid", valid])
    assert result.exit_code == 2
    assert "too short; the minimum is 1s" in result.output
    assert not (folder / ("ca.pem" if command == "init" else "join.token")).exists()
