"""The command in a process of its own: imports, exit codes and closed pipes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import heyfleet

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(heyfleet.__file__).parents[1])}
WITH_AGENT = """
import sys, types
from heyfleet.proto.stats_pb2 import Refusal
class Runner:
    def prepare(self, assignment): return Refusal(reason="refused by the test")
    def stop(self): pass
module = types.ModuleType("heyfleet.agent.runner")
module.Runner = Runner
sys.modules[module.__name__] = module
from heyfleet.cli.main import main
"""

PRINTING = """
import sys
from heyfleet.cli.process import run_process
from heyfleet.console import write_stdout
sys.exit(run_process(lambda: {} or 0))
"""


def python(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *args], env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_run_imports_only_what_it_uses() -> None:
    banned = ["aiohttp", "asyncio", "grpc", "uvloop", "rich", "hdrh", "json", "heyfleet.lab", "difflib"]
    ended = python(
        "-c",
        WITH_AGENT
        + "try: main(['run', 'http://localhost/'])\n"
        + f"except SystemExit as end: print(end.code, [name for name in {banned} if name in sys.modules])",
    )
    assert ended.stdout == "2 []\n"
    assert ended.stderr == "heyfleet: refused by the test\n"


def test_the_package_is_a_program() -> None:
    ended = python("-m", "heyfleet", "--version")
    assert (ended.returncode, ended.stdout) == (0, f"heyfleet {heyfleet.__version__}\n")


def test_bad_input_gives_one_line_and_an_exit_code() -> None:
    ended = python("-m", "heyfleet", "run", "-n", "0", "http://localhost/")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "heyfleet: -n: 0 is too small; the minimum is 1\n"


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["-m", "heyfleet", "run", "-h"], 0),
        (["-m", "heyfleet", "--help"], 0),
        (["-m", "heyfleet", "completion", "bash"], 0),
        (["-c", PRINTING.format("write_stdout(['x' * 9] * 99_999)")], 0),
        (["-c", PRINTING.format("write_stdout(['x' * 9] * 99_999) or 7")], 7),
    ],
)
def test_a_closed_pipe_is_not_an_error(args: list[str], code: int) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = subprocess.run(
            [sys.executable, *args],
            env=ENVIRONMENT,
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writer)
    assert (ended.returncode, ended.stderr) == (code, b"")


def test_utf8_in_any_locale() -> None:
    code = "from heyfleet.console import write_stdout; write_stdout(['\\u25a0'])"
    environment = {**ENVIRONMENT, "PYTHONIOENCODING": "ascii"}
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, b"\xe2\x96\xa0")


def test_the_second_signal_leaves_at_once() -> None:
    ended = python(
        "-c",
        "import os, signal\n"
        "from heyfleet.controller.signals import Interrupts\n"
        "with Interrupts() as interrupts:\n"
        "  with interrupts.stop_with(lambda: print('stop', flush=True)):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('still here', flush=True)\n",
    )
    assert (ended.returncode, ended.stdout) == (130, "stop\n")


@pytest.mark.parametrize("limit", [("--max-rate", "0"), ("--max-duration", "0s")])
def test_an_owner_who_types_a_limit_of_0_gets_no_agent_without_a_limit(limit: tuple[str, str]) -> None:
    result = python("-m", "heyfleet", "agent", "--join", "unix:/nowhere", "--rejoin-timeout", "0", *limit)
    assert (result.returncode, result.stdout) == (2, "")
    assert limit[0] in result.stderr
