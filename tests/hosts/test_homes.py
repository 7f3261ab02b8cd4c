"""Homes on file systems of their own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from heyfleet.deploy.ssh.host import LocalHost
from heyfleet.deploy.ssh.host_process import HostError

pytestmark = pytest.mark.hosts


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home from which nothing can be executed."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec,size=1m", "tmpfs", tmp_path], check=True)
    monkeypatch.setenv("HEYFLEET_HOME", str(tmp_path / "home"))
    yield tmp_path / "home"
    subprocess.run(["umount", tmp_path], check=True)


def test_a_home_that_is_mounted_noexec_is_named_before_anything_is_copied(home: Path) -> None:
    with pytest.raises(HostError, match=r"home is on a file system .*noexec.*use another folder"):
        LocalHost().call("probe")
    assert list(home.iterdir()) == []


def test_a_bundle_that_can_t_be_executed_is_not_called_absent(home: Path) -> None:
    program = home / "bundles/b/bin/heyfleet"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    with pytest.raises(HostError, match="noexec"):
        LocalHost().call("start", "run", "b", "127.0.0.1:1", "60", "h1")


def test_a_bundle_that_arrived_damaged_leaves_no_half(home: Path) -> None:
    with pytest.raises(HostError, match="the bundle can't be unpacked"):
        LocalHost().call("install", "b", stdin=b"no archive")
    assert list((home / "bundles").iterdir()) == []
