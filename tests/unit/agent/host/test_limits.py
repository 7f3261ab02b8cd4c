"""Limits of the host, lowered in a process of its own, since they can't be raised again."""

import resource
import subprocess
import sys

import pytest

from heyfleet.agent.host import limits


def in_process(code: str) -> str:
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_the_soft_limit_is_raised() -> None:
    code = """
import resource
from heyfleet.agent.host import limits
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
limits.allow(500, 1, 2)
# Each may have a second one beside it.
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= min(1000, hard))
"""
    assert in_process(code) == "True\n"


def test_the_error_names_the_largest_number_of_connections_that_works() -> None:
    code = """
import resource, re
from heyfleet.agent.host import limits
resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300))
try:
    limits.allow(5000, 1, 2)
except limits.LimitError as error:
    print(error)
    limits.allow(int(re.search(r"use -c (\\d+)", str(error))[1]), 1, 2)
"""
    text = in_process(code)
    assert "-c 5000 needs" in text
    assert "may have 300" in text


def test_a_limit_below_the_process_itself_names_no_number_of_connections() -> None:
    code = """
import resource
from heyfleet.agent.host import limits
resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
try:
    limits.allow(10, 1, 2, "--users")
except limits.LimitError as error:
    print(error)
"""
    text = in_process(code)
    assert text.startswith("--users 10 needs ")
    assert "may have 20 (RLIMIT_NOFILE, hard limit); raise it to " in text
    assert "at most" not in text


def test_ports_run_out_before_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    ports = limits.local_ports()
    limits.allow(ports, 1, 1)
    limits.allow(ports + 1, 2, 1)
    with pytest.raises(limits.LimitError, match=f"use -c {ports} at most"):
        limits.allow(ports + 1, 1, 1)
