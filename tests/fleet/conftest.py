"""Fleets of real processes for tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .processes import Fleet


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Return a fleet whose processes end with the test."""
    processes = Fleet(tmp_path)
    yield processes
    processes.stop()
