"""Runs on hosts that lack what most hosts have: /proc, a short TMPDIR, a home folder, descriptors, memory."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HEYFLEET = [sys.executable, "-m", "heyfleet"]
TIMEOUT_S = 120
LOCAL = ("--local-agents", "2")


def run(
    *arguments: str,
    prefix: tuple[str, ...] = (),
    limits: Callable[[], None] | None = None,
    without: str = "",
    **variables: str,
) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != without}
    ended = subprocess.run(
        [*prefix, *HEYFLEET, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
        env={**environment, **variables},
        preexec_fn=limits,
    )
    assert "fault" not in ended.stderr
    assert "Traceback" not in ended.stderr
    return ended


def hiding(folder: str) -> tuple[str, ...]:
    """Return the beginning of a command that sees an empty folder there; skip where namespaces are not allowed."""
    own = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    prefix = ("unshare", *own, "--mount", "sh", "-c", f'mount -t tmpfs none {folder} && exec "$@"', "sh")
    probe = subprocess.run([*prefix, "true"], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"no mount namespaces here: {probe.stderr.strip()}")
    return prefix


@pytest.mark.parametrize("folder", ["/proc", "/proc/sys", "/sys"])
@pytest.mark.parametrize("flags", [(), LOCAL])
def test_a_run_without_what_the_kernel_tells(faulty: Any, folder: str, flags: tuple[str, ...]) -> None:
    ended = run("run", "-n", "9", "-c", "3", *flags, faulty.url("/ok"), prefix=hiding(folder))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "9 responses" in ended.stdout


@pytest.mark.parametrize("folder", ["/proc", "/proc/sys", "/sys"])
def test_the_doctor_says_what_it_cannot_know(folder: str) -> None:
    ended = run("doctor", prefix=hiding(folder))
    assert "This host can hold about" in ended.stdout
    if folder == "/proc":
        assert "the kernel does not say how many there are" in ended.stdout
        assert "the kernel does not say how much is free" in ended.stdout


def test_streams_that_are_closed_without_a_device_in_their_place(faulty: Any) -> None:
    closing = ("sh", "-c", 'exec "$@" <&- 2>&-', "sh")
    ended = run("run", "-n", "9", "-c", "3", faulty.url("/ok"), prefix=(*hiding("/dev"), *closing))
    assert ended.returncode == 0
    assert "9 responses" in ended.stdout


@pytest.mark.parametrize("name", ["x" * 130, "a,b", "a%20b", "a#b", "a?b", "a b:c"])
def test_a_temporary_folder_whose_path_no_socket_can_have(faulty: Any, tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    ended = run("run", "-n", "9", "-c", "2", *LOCAL, faulty.url("/ok"), TMPDIR=str(folder))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("home", [None, "", "/nonexistent"])
def test_a_run_without_a_home_folder(faulty: Any, home: str | None) -> None:
    command = ("run", "-n", "9", "-c", "2", *LOCAL, faulty.url("/ok"))
    ended = run(*command, without="HOME") if home is None else run(*command, HOME=home)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("files", [8, 16, 30])
@pytest.mark.parametrize("flags", [(), LOCAL])
def test_too_few_descriptors(faulty: Any, files: int, flags: tuple[str, ...]) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    ended = run("run", "-n", "9", "-c", "2", *flags, faulty.url("/ok"), limits=limit)
    assert ended.returncode in (1, 2)
    assert "open files" in ended.stderr or "descriptors" in ended.stderr


@pytest.mark.parametrize(
    "text", ["a: [1\n b: }", "\xff\xfe", "[]", "clusters: 7", "contexts: [1]\ncurrent-context: x"]
)
def test_a_kubeconfig_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "config").write_bytes(text.encode("latin-1"))
    ended = run("fleet", "status", "--on", "k8s", KUBECONFIG=str(tmp_path / "config"))
    assert ended.returncode == 1
    assert "kubeconfig" in ended.stderr or "kube-config" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_standard_input_is_a_file(faulty: Any) -> None:
    url = faulty.url("/ok")
    cases = [
        (["run", "-n", "2", "-c", "1", "-m", "POST", "-D", "-", url], "body"),
        (["run", "-n", "2", "-c", "1", "--targets", "-"], f"GET {url}\n"),
        (["run", "-f", "-"], f"url: {url}\nrequests: 2\nconnections: 1\n"),
        (["run", "-n", "2", "-c", "1", "--template", "--data", "-", url + "?label={csv:x}"], "x\ny\n"),
    ]
    for command, text in cases:
        ended = subprocess.run(
            [*HEYFLEET, *command], input=text, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
        )
        assert (ended.returncode, ended.stderr) == (0, ""), command
        assert "2 responses" in ended.stdout
        closed = subprocess.run(
            ["/bin/sh", "-c", 'exec "$@" <&-', "sh", *HEYFLEET, *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
        assert closed.returncode == 2
        assert "can't read standard input" in closed.stderr
