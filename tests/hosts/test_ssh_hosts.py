"""Hosts as people have them, behind a real sshd: noisy login shells of any kind, jump hosts, hosts that fail."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from heyfleet import __version__
from heyfleet.deploy.provider import UNREACHABLE, IncompleteError, LaunchRequest
from heyfleet.deploy.settings import read
from heyfleet.deploy.ssh import host as host_module
from heyfleet.deploy.ssh.host import Host, UnreachableError
from heyfleet.deploy.ssh.host_process import HostError
from heyfleet.deploy.ssh.provider import SshProvider

from ..fleet.processes import HEYFLEET, adds_up
from .sshd import Sshd, login_shell

# A connection is several processes.
pytestmark = [pytest.mark.hosts, pytest.mark.timeout(300)]
NOISE = """
echo Welcome to vm!
echo '2 updates can be installed' >&2
printf 'no line break at the end'
printf 'nor here' >&2
"""


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    made = Sshd(tmp_path)
    yield made
    made.stop()


def host(sshd: Sshd, name: str = "h1", **more: Any) -> Host:
    return Host(name, str(sshd.config), **more)


def provider(sshd: Sshd, *names: str, **more: str) -> SshProvider:
    values = {"hosts": list(names), "ssh_config": str(sshd.config), **more}
    return SshProvider(read("ssh", SshProvider.settings, values))


def add_ended_run(sshd: Sshd, name: str) -> None:
    folder = sshd.home / "runs" / name
    (folder / "spool").mkdir(parents=True)
    for file, text in (("name", "h1"), ("expires", "4102444800"), ("log", "left\n")):
        (folder / file).write_text(text)


def heyfleet(sshd: Sshd, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HEYFLEET_SSH_CONFIG": str(sshd.config)}
    run = subprocess.run(
        [*HEYFLEET, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in run.stderr, run.stderr
    return run


@pytest.mark.parametrize("shell", ["sh", "bash", "tcsh", "fish"])
def test_what_a_login_shell_of_any_kind_prints_is_ignored(sshd: Sshd, shell: str) -> None:
    sshd.start("h1", shell=login_shell(shell, NOISE))
    facts = dict(line.split("=") for line in host(sshd).call("probe").splitlines())
    assert facts["python"] == f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert set(facts) == {"python", "machine", "files", "clock_s"}
    with pytest.raises(HostError) as error:
        host(sshd).call("logs", "it's $HOME")
    assert str(error.value) == "it's $HOME is not a valid run name"
    add_ended_run(sshd, "fleet")
    assert [(each.id, each.state, each.reason) for each in provider(sshd, "h1").list()] == [
        ("h1", "ended", "left")
    ]
    assert provider(sshd, "h1").reap(print) == ["h1: agent of fleet"]
    assert provider(sshd, "h1").reap(print) == []


def test_a_configuration_for_terminals_does_no_harm(sshd: Sshd) -> None:
    sshd.start("h1")
    with sshd.config.open("a") as config:
        config.write("  RequestTTY force\n  RemoteCommand tmux\n  LogLevel VERBOSE\n")
    assert host(sshd).call("probe").startswith("python=")
    assert fleet_sh(sshd, "status", "h1").returncode == 0


def test_a_wrong_clock_is_named_and_changes_no_remaining_time(sshd: Sshd, tmp_path: Path) -> None:
    clock = tmp_path / "bin" / "date"
    clock.parent.mkdir()
    clock.write_text(f"#!/bin/sh\necho $(($({shutil.which('date')} +%s) - 7200))\n")
    clock.chmod(0o755)
    sshd.start("h1", shell=login_shell("sh", f"PATH={clock.parent}:$PATH"))
    lines: list[str] = []
    request = LaunchRequest(fleet="f", agents=1, join="127.0.0.1:1", lifetime_s=60, ca_pem=b"c", token=b"t")
    result = provider(sshd, "h1", bundle=str(clock.parent)).launch(request, lines.append)
    assert "there is no bundle" in result.failures[0]
    assert re.search(r"h1: its clock is 7[12]\d\d s behind this one", lines[1])
    add_ended_run(sshd, "fleet")
    (sshd.home / "runs/fleet/expires").write_text(str(int(time.time()) - 7200 + 600))
    left_s = provider(sshd, "h1").list()[0].expires_s - time.time()
    assert 0 < left_s < 610


def make_bundle(folder: Path) -> None:
    """Write a bundle whose agent is the heyfleet of these tests."""
    name = (
        f"heyfleet-agent-{__version__}-python{sys.version_info[0]}.{sys.version_info[1]}-{os.uname().machine}"
    )
    program = folder / "bin-heyfleet"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m heyfleet "$@"\n')
    program.chmod(0o755)
    with tarfile.open(folder / f"{name}.tar.gz", "w:gz") as archive:
        archive.add(program, f"{name}/bin/heyfleet")


def test_a_run_on_a_noisy_host_leaves_nothing(sshd: Sshd, tmp_path: Path, start_faulty: Any) -> None:
    make_bundle(tmp_path)
    sshd.start("h1", shell=login_shell("tcsh", f"{NOISE}\nsleep 60 &"))
    target = start_faulty()
    flags = ("--json", "--hosts", "h1", "--with", f"bundle={tmp_path}", "-n", "50", "-c", "2")
    run = heyfleet(sshd, "run", "--on", "ssh", *flags, f"http://127.0.0.1:{target.port}/ok")
    assert run.returncode == 0, run.stderr
    adds_up(json.loads(run.stdout))
    assert list((sshd.home / "runs").iterdir()) == []


def test_a_run_whose_agents_can_t_be_removed_does_not_end_with_0(
    sshd: Sshd, tmp_path: Path, start_faulty: Any
) -> None:
    make_bundle(tmp_path)
    gone = f"if grep -q joined {sshd.home}/runs/*/log 2>/dev/null; then exit 3; fi"  # after the agent's start
    sshd.start("h1", shell=login_shell("sh", gone))
    target = start_faulty()
    flags = ("--json", "--hosts", "h1", "--with", f"bundle={tmp_path}", "-n", "50", "-c", "2")
    run = heyfleet(sshd, "run", "--on", "ssh", *flags, f"http://127.0.0.1:{target.port}/ok")
    assert run.returncode == 1, run.stderr
    adds_up(json.loads(run.stdout))
    assert "not everything was removed: 1 of 1 host failed: h1: its login shell" in run.stderr
    assert "to try again, run `heyfleet fleet down --on ssh --hosts h1" in run.stderr


def test_many_hosts_behind_one_jump_host_are_all_asked(sshd: Sshd) -> None:
    jump = sshd.start("jump", max_startups="6:100:6")
    names = [f"h{number}" for number in range(1, 13)]
    sshd.start(*names, jump="jump")
    assert provider(sshd, *names).list() == []
    status = fleet_sh(sshd, "status", ",".join(names))
    assert (status.returncode, status.stdout, status.stderr) == (0, "", "")
    assert "MaxStartups" not in sshd.log(jump)


def test_a_dropped_connection_is_tried_again(sshd: Sshd) -> None:
    jump = sshd.start("jump", max_startups="1:100:1")
    sshd.start("h1", jump="jump")
    other = socket.create_connection(("127.0.0.1", jump))
    assert other.recv(4) == b"SSH-"  # it is not authenticated, and there may be only one
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        other.close()

    while not host(sshd, sleep=pause).call("probe").startswith("python="):
        pass
    assert pauses


def test_a_host_that_was_not_asked_fails_the_command(sshd: Sshd) -> None:
    sshd.start("good")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        sshd.add("gone", port=closed.getsockname()[1])
        hosts = ("--on", "ssh", "--hosts", "good,gone")
        add_ended_run(sshd, "fleet")
        status = heyfleet(sshd, "fleet", "status", *hosts)
        assert (status.returncode, "unreachable" in status.stdout) == (1, True)
        logs = heyfleet(sshd, "fleet", "logs", *hosts)
        assert (logs.returncode, logs.stdout) == (1, "good: left\n")
        for command in ("reap", "down"):
            run = heyfleet(sshd, "fleet", command, *hosts)
            assert (run.returncode, run.stdout) == (1, "removed good: agent of fleet\n")
            assert "1 of 2 hosts failed: gone: ssh: connect to host" in run.stderr
            add_ended_run(sshd, "fleet")


def test_a_host_without_heyfleet_s_shell_is_unreachable(sshd: Sshd) -> None:
    sshd.start("h1", shell="echo This account is for backups only.; exit 3\n")
    with pytest.raises(UnreachableError, match="it printed: This account is for backups only"):
        host(sshd).call("probe")
    assert [each.state for each in provider(sshd, "h1").list()] == [UNREACHABLE]
    with pytest.raises(IncompleteError, match="1 of 1 host failed"):
        provider(sshd, "h1").reap(print)


@pytest.mark.parametrize("output", ["yes", "yes >&2"])
def test_a_host_that_prints_without_end_is_given_up(sshd: Sshd, output: str) -> None:
    sshd.start("h1", shell=f"{output}\n")
    with pytest.raises(UnreachableError, match=r"it prints more than 8 MiB: .*y y"):
        host(sshd).call("probe")


def test_a_host_that_hangs_after_the_login_is_given_up(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_module, "_BEGIN_TIMEOUT_S", 0.5)
    sshd.start("h1", shell="exec sleep 60\n")
    with pytest.raises(UnreachableError, match=r"no response within 0\.5 s"):
        host(sshd).call("probe")


def test_errors_of_ssh_have_a_cure(sshd: Sshd) -> None:
    sshd.start("h1")
    (sshd.folder / "known_hosts").write_text("")
    with pytest.raises(UnreachableError, match="accept its key by hand once"):
        host(sshd).call("probe")


def test_what_is_not_ours_in_the_folder_of_runs_stays(sshd: Sshd) -> None:
    sshd.start("h1")
    (sshd.home / "runs" / "thesis").mkdir(parents=True)
    (sshd.home / "runs" / "cut.short" / "spool").mkdir(parents=True)
    assert [(each.fleet, each.state) for each in provider(sshd, "h1").list()] == [("cut.short", "ended")]
    assert provider(sshd, "h1").reap(print, everything=True) == ["h1: agent of cut.short"]
    assert [each.name for each in (sshd.home / "runs").iterdir()] == ["thesis"]


def fleet_sh(sshd: Sshd, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = Path(__file__).parents[2] / "deploy/ssh/fleet.sh"
    environment = {**os.environ, "HEYFLEET_SSH_CONFIG": str(sshd.config)}
    return subprocess.run([script, *arguments], env=environment, capture_output=True, text=True, check=False)


def test_the_script_reads_hosts_and_their_answers_as_the_command_does(sshd: Sshd, tmp_path: Path) -> None:
    sshd.start("h1", shell=login_shell("tcsh", NOISE))
    file = tmp_path / "hosts"
    file.write_bytes("\ufeffh1\r\n  # h2\r\n".encode())
    add_ended_run(sshd, "fleet")
    assert fleet_sh(sshd, "logs", "fleet", str(file)).stdout == "h1: left\n"
    assert fleet_sh(sshd, "status", "h1").stdout.startswith("h1: fleet ended h1 ")
    reap = fleet_sh(sshd, "reap", "h1")
    assert (reap.returncode, reap.stdout, reap.stderr) == (0, "h1: fleet\n", "")
    bad = fleet_sh(sshd, "logs", "../x", "h1")
    assert (bad.returncode, bad.stderr) == (1, "h1: failed: ../x is not a valid run name\n")


@pytest.mark.parametrize("name", ["-oProxyCommand=touch>{}", "me@-oProxyCommand=touch>{}", "$(touch>{})"])
def test_the_script_gives_ssh_no_option_for_a_host(sshd: Sshd, tmp_path: Path, name: str) -> None:
    trace, file = tmp_path / "trace", tmp_path / "hosts"
    file.write_text(f"h1\n{name.format(trace)}\n")
    for hosts in (str(file), f"h1,{name.format(trace)}"):
        run = fleet_sh(sshd, "status", hosts)
        assert run.returncode == 2
        assert "is not a host name" in run.stderr
    assert not trace.exists()
