"""Hosts that forbid io_uring, as most containers do: the command runs behind a seccomp filter."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

# A filter of classic BPF (seccomp(2)): load the number of the system call; EPERM if it is io_uring_setup (425 on every
# architecture), else allow. Then the command runs behind it.
BEHIND_A_FILTER = """
import ctypes, runpy, struct, sys
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ERRNO_EPERM, ALLOW = 0x00050001, 0x7FFF0000
steps = [(LOAD, 0, 0, 0), (EQUAL, 0, 1, 425), (RETURN, 0, 0, ERRNO_EPERM), (RETURN, 0, 0, ALLOW)]
code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
program = ctypes.create_string_buffer(struct.pack("@HP", len(steps), ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, MODE_FILTER = 38, 22, 2
zero = ctypes.c_ulong(0)
assert libc.prctl(PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), zero, zero, zero) == 0
assert libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(MODE_FILTER), program, zero, zero) == 0
sys.argv[0] = "heyfleet"
runpy.run_module("heyfleet", run_name="__main__")
"""


def behind_a_filter(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BEHIND_A_FILTER, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_epoll_is_used_and_the_report_gives_the_reason(nginx: Any) -> None:
    run = behind_a_filter("run", "-n", "50", "-c", "5", nginx.url("/"))
    assert run.returncode == 0, run.stderr
    assert "[200]\t50 responses" in run.stdout
    assert "epoll (io_uring is not available here: Operation not permitted)" in run.stdout


def test_io_uring_by_its_flag_is_refused(nginx: Any) -> None:
    run = behind_a_filter("run", "--io", "io_uring", "-n", "50", "-c", "5", nginx.url("/"))
    assert run.returncode == 2
    assert run.stdout == ""
    assert run.stderr.splitlines() == [
        "heyfleet: io_uring is not available here: Operation not permitted; --io epoll works on every Linux"
    ]
