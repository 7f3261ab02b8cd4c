"""Fixtures for tests on hosts, which need root; `make hosts` runs them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..fleet.processes import Fleet
from .hosts import Hosts, hosts


@pytest.fixture
def three_hosts() -> Iterator[Hosts]:
    """Three hosts in network namespaces."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and the command ip (iproute2)")
    with hosts(3) as made:
        yield made


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Return a fleet whose processes end with the test."""
    made = Fleet(tmp_path)
    yield made
    made.stop()
