"""Of what a host prints, only what is between host.sh's marks is read. The shells are real, and without ssh."""

from __future__ import annotations

from pathlib import Path

import pytest

from heyfleet.deploy.ssh.host import read_status
from heyfleet.deploy.ssh.host_process import HostError, HostProcess, boot_command

_TIMEOUT_S = 100.0


def process(home: Path, *words: str, before: str = "", shell: str = "sh") -> HostProcess:
    return HostProcess([shell, "-c", f"{before}\n{boot_command()}"], words, {"HEYFLEET_HOME": str(home)})


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_noise_before_and_beside_the_script_is_not_read(tmp_path: Path, shell: str) -> None:
    before = "printf 'welcome, no line break'; echo noise >&2; sleep 60 &"
    with process(tmp_path, "have", "b", before=before, shell=shell) as host:
        assert host.has_begun(_TIMEOUT_S)
        assert host.output(_TIMEOUT_S) == "no\n"
    with process(tmp_path, "logs", "../x", before=before, shell=shell) as host:
        assert host.has_begun(_TIMEOUT_S)
        with pytest.raises(HostError, match=r"^\.\./x is not a valid run name$"):
            host.output(_TIMEOUT_S)


def test_a_shell_that_runs_something_else_never_begins(tmp_path: Path) -> None:
    with process(tmp_path, "probe", before="echo bye; exit 7") as host:
        assert not host.has_begun(_TIMEOUT_S)
        assert (host.exit_code(), host.stdout.line()) == (7, "bye")


def test_a_script_that_is_killed_in_the_middle_has_no_output(tmp_path: Path) -> None:
    with process(tmp_path, "hold", before="echo $$; exec 0</dev/null") as host:
        host.has_begun(_TIMEOUT_S)  # stdin is empty: the script never arrives
        with pytest.raises(HostError, match="the connection ended in the middle"):
            host.output(_TIMEOUT_S)


def test_output_without_end_is_given_up(tmp_path: Path) -> None:
    with process(tmp_path, "probe", before="yes") as host, pytest.raises(HostError, match="more than 8 MiB"):
        host.has_begun(_TIMEOUT_S)


def test_a_status_that_can_t_be_read_is_an_error_and_not_a_crash() -> None:
    assert read_status("") == []
    assert [
        (each.run, each.last_line) for each in read_status("a running h1 60 log\x0bline\nb ended h1 -5 \n")
    ] == [
        ("a", "log\x0bline"),
        ("b", ""),
    ]
    with pytest.raises(HostError, match="its status can't be read: Welcome to vm!"):
        read_status("Welcome to vm!\n")
