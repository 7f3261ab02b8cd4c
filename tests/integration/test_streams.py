"""Standard streams that are closed, full or abandoned, with every command that writes to them."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from heyfleet.results.archive.reader import ArchivedRun

HEYFLEET = [sys.executable, "-m", "heyfleet"]
TIMEOUT_S = 120
# The shell's words for what a stream is.
STDOUT_FULL, STDOUT_CLOSED, STDERR_CLOSED, STDERR_FULL = ">/dev/full", ">&-", "2>&-", "2>/dev/full"
COMMANDS = [
    ["--help"],
    ["--version"],
    ["run", "-h"],
    ["doctor"],
    ["completion", "bash"],
    ["fleet", "settings", "--on", "ssh"],
    ["plan", "show", "http://localhost/"],
]


def shell(redirections: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command of heyfleet with its streams redirected by the shell."""
    return subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {redirections}', "sh", *HEYFLEET, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
        env={**os.environ, **more},
    )


@pytest.mark.parametrize(
    ("stdout", "reason"), [(STDOUT_FULL, "No space left"), (STDOUT_CLOSED, "it is closed")]
)
@pytest.mark.parametrize("flags", [[], ["--json"], ["-o", "csv"], ["--local-agents", "2"]])
def test_a_run_whose_report_cannot_be_written_is_kept(
    faulty: Any, tmp_path: Path, stdout: str, reason: str, flags: list[str]
) -> None:
    folder = tmp_path / "run"
    ended = shell(stdout, "run", "-n", "9", "-c", "3", "--out", str(folder), *flags, faulty.url("/ok"))
    assert ended.returncode == 1
    assert f"heyfleet: can't write to stdout: {reason}" in ended.stderr
    assert f"`heyfleet runs show {folder}` prints the report" in ended.stderr
    assert "fault" not in ended.stderr
    run = ArchivedRun(folder)
    assert run.complete
    assert run.report()["ledger"]["responses"] == 9


@pytest.mark.parametrize("stderr", [STDERR_CLOSED, STDERR_FULL])
@pytest.mark.parametrize("flags", [[], ["--local-agents", "2"], ["--repeat", "2"]])
def test_without_stderr_a_run_prints_its_report_and_nothing_else(
    faulty: Any, tmp_path: Path, stderr: str, flags: list[str]
) -> None:
    out = str(tmp_path / "run")
    ended = shell(stderr, "run", "-n", "9", "-c", "3", "--json", "--out", out, *flags, faulty.url("/ok"))
    assert ended.returncode == 0
    text, reports = ended.stdout, 0
    while text.strip():
        report, end = json.JSONDecoder().raw_decode(text)
        text, reports = text[end:].lstrip(), reports + 1
        assert report["ledger"]["responses"] == 9
    assert reports == (2 if "--repeat" in flags else 1)


@pytest.mark.parametrize("stderr", [STDERR_CLOSED, STDERR_FULL])
def test_the_exit_code_of_an_error_does_not_depend_on_stderr(stderr: str) -> None:
    ended = shell(stderr, "run", "-n", "0", "http://localhost/")
    assert (ended.returncode, ended.stdout) == (2, "")


@pytest.mark.parametrize("closed", [each for n in (1, 2, 3) for each in itertools.combinations("012", n)])
def test_a_run_with_closed_descriptors(faulty: Any, tmp_path: Path, closed: tuple[str, ...]) -> None:
    """The files of the archive and the connections must not take the numbers of closed streams."""
    folder = tmp_path / "run"
    redirections = " ".join(f"{number}>&-" for number in closed)
    ended = shell(
        redirections, "run", "-n", "9", "-c", "3", "--json", "--out", str(folder), faulty.url("/ok")
    )
    assert ended.returncode == ("1" in closed)
    assert ArchivedRun(folder).report()["ledger"]["responses"] == 9
    if "1" not in closed:
        assert json.loads(ended.stdout)["ledger"]["responses"] == 9
    if "2" not in closed and "1" not in closed:
        assert ended.stderr == ""


@pytest.mark.parametrize("stdout", [STDOUT_FULL, STDOUT_CLOSED])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_text_that_stdout_does_not_take(stdout: str, command: list[str]) -> None:
    ended = shell(stdout, *command)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("heyfleet: can't write to stdout: ")
    assert "fault" not in ended.stderr


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_reader_that_has_left_is_no_error(command: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [*HEYFLEET, *command],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    os.close(writer)
    assert ended.returncode == 0
    assert "stdout" not in ended.stderr


def test_a_pipe_that_does_not_block_gets_the_whole_text() -> None:
    """Such as the shared terminal or pipe of a program that has set O_NONBLOCK."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writer, False)
    process = subprocess.Popen([*HEYFLEET, "run", "-h"], stdout=writer)
    os.close(writer)
    chunks: list[bytes] = []

    def read() -> None:
        while chunk := os.read(reader, 1000):
            chunks.append(chunk)

    thread = threading.Thread(target=read)
    process_waits = threading.Timer(
        0.5, thread.start
    )  # the pipe is full before anything is read, on any fast host
    process_waits.start()
    assert process.wait(TIMEOUT_S) == 0
    process_waits.join()
    thread.join()
    os.close(reader)
    assert b"".join(chunks).decode() == shell("", "run", "-h").stdout


@pytest.mark.parametrize("locale", ["C", "POSIX", "xx_YY.UTF-8"])
def test_text_is_utf8_in_every_locale(faulty: Any, tmp_path: Path, locale: str) -> None:
    variables = {"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    url = faulty.url("/ok")
    ended = shell("", "run", "-n", "9", "-c", "3", "--out", str(tmp_path / "run"), url, **variables)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "\u25a0" in ended.stdout


@pytest.mark.parametrize(
    "variables",
    [
        {"COLUMNS": "1"},
        {"COLUMNS": "x"},
        {"COLUMNS": "-3"},
        {"TERM": "dumb"},
        {"TERM": ""},
        {"TZ": "no/zone"},
    ],
    ids=str,
)
def test_odd_variables_of_the_terminal(variables: dict[str, str]) -> None:
    ended = shell("", "run", "-h", **variables)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "--rate" in ended.stdout
