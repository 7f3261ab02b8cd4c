"""What the operating system refuses, as an error for people."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from heyfleet.errors import ExitCode, InputError
from heyfleet.surroundings import translate


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(errno.ENOSPC, "No space left", "/a/b"), "can't use /a/b: No space left; free some space"),
        (
            OSError(errno.EMFILE, "Too many"),
            "the operating system refused a request: Too many; allow more open",
        ),
        (OSError(errno.EACCES, "Denied", b"/a\xff"), "can't use /a\ufffd: Denied; check its permissions"),
        (OSError("without a number"), "the operating system refused a request: without a number"),
        (TimeoutError(), "the operating system refused a request: TimeoutError"),
        (MemoryError(), "there is not enough memory"),
        (RuntimeError("can't start new thread"), "can't start a thread; allow more"),
        (RuntimeError("Could not determine home directory."), "can't find the home folder; set HOME"),
        (ImportError("libx.so: failed to map segment", name="x"), "can't load x: libx.so: failed to map"),
    ],
)
def test_what_the_surroundings_did(error: Exception, text: str) -> None:
    known = translate(error)
    assert known is not None
    assert str(known).startswith(text)
    assert known.exit_code == ExitCode.FAULT


def test_what_fails_while_a_library_cleans_up_is_what_was_refused() -> None:
    error = RuntimeError("Cannot close a running event loop")
    error.__context__ = OSError(errno.EMFILE, "Too many open files")
    assert "ulimit -n" in str(translate(error))


def test_what_is_known_already_stays() -> None:
    error = InputError("cause", "cure")
    assert translate(error) is error


@pytest.mark.parametrize("error", [ValueError("x"), RuntimeError("x"), KeyError("x"), AssertionError()])
def test_faults_of_heyfleet_are_not_blamed_on_the_surroundings(error: Exception) -> None:
    assert translate(error) is None


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        ("OSError(28, 'No space left', '/a')", 1, "heyfleet: can't use /a: No space left; free some space\n"),
        ("MemoryError()", 1, "heyfleet: there is not enough memory; free some, or use fewer connections\n"),
        ("KeyError('x')", 1, "heyfleet: fault: KeyError: 'x' (HEYFLEET_DEBUG=1 shows where)\n"),
        ("KeyboardInterrupt", 130, ""),
        # Python wraps an interrupt that arrives while a class is made.
        ("RuntimeError('Error calling __set_name__') from KeyboardInterrupt()", 130, ""),
    ],
)
def test_the_line_and_the_exit_code_of_a_command(raised: str, code: int, line: str) -> None:
    program = (
        "import sys\n"
        "from heyfleet.cli.process import run_process\n"
        f"def command(): raise {raised}\n"
        "sys.exit(run_process(command))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, "", line)


@pytest.mark.parametrize("is_ignored", [False, True])
def test_a_hang_up_ends_a_command_unless_it_is_ignored(is_ignored: bool) -> None:
    program = "from heyfleet.surroundings import end_signals; print(*(each.name for each in end_signals()))"
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if is_ignored else signal.SIG_DFL)
    try:
        ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert ended.stdout.split() == ["SIGINT", "SIGTERM", *([] if is_ignored else ["SIGHUP"])]


def test_nothing_waits_for_a_deleted_folder(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    script = f'cd {folder}; rmdir {folder}; exec "$@"'
    for command in (["runs"], ["--help"], ["run", "-f", "plan.yaml"], ["compare", "a", "b"]):
        ended = subprocess.run(
            ["/bin/sh", "-c", script, "sh", sys.executable, "-m", "heyfleet", *command],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PWD": str(folder)},
        )
        folder.mkdir()
        assert "fault" not in ended.stderr
        assert "Traceback" not in ended.stderr
