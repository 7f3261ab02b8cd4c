"""Fleet files and flags: their meaning, and the errors about them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from heyfleet.cli.fleet import fleet
from heyfleet.deploy.fleet_spec import read_fleet_spec
from heyfleet.deploy.settings import SettingError
from heyfleet.deploy.ssh.bundle import BundleSet
from heyfleet.deploy.ssh.host import Host
from heyfleet.deploy.ssh.provider import SshProvider
from heyfleet.errors import DeployError, ExitCode


def test_flags_override_the_file_and_hosts_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("h1  # the first\n\n# a comment\nh2\nh1\n")
    (tmp_path / "fleet.yaml").write_text("on: ssh\nhosts: [x]\nfor: 30m\nname: demo\nagents: 1\n")
    spec = read_fleet_spec(
        str(tmp_path / "fleet.yaml"), [], hosts=str(tmp_path / "hosts"), for_="90s", agents=0
    )
    assert (spec.on, spec.name, spec.agents, spec.lifetime_s) == ("ssh", "demo", 1, 90)
    (tmp_path / "fleet.yaml").write_text("'on': ssh\nhosts: a,b , c\n")
    spec = read_fleet_spec(str(tmp_path / "fleet.yaml"), [])
    assert (spec.agents, spec.lifetime_s, spec.join) == (3, 7200, "")


@pytest.mark.parametrize(("text", "seconds"), [("1h30m", 5400), ("90s", 90), ("1500ms", 2), ("0.5h", 1800)])
def test_lifetimes_use_the_grammar_of_all_durations(text: str, seconds: int) -> None:
    assert read_fleet_spec("", [], on="local", for_=text).lifetime_s == seconds


@pytest.mark.parametrize(
    ("text", "pairs", "flags", "message"),
    [
        ("", [], {}, "no provider is named; use --on local|ssh"),
        (
            "",
            [],
            {"on": "moon"},
            "--on moon: unknown provider; use one of local, ssh, ec2, asg, ecs, k8s",
        ),
        ("", [], {"on": "ssh"}, "hosts: --on ssh needs them; use --hosts"),
        ("", [], {"on": "ssh", "hosts": "-oProxyCommand=x"}, "is not a host name"),
        ("on: ssh\nhosts: [h1, -oProxyCommand=x]\n", [], {}, "hosts: '-oProxyCommand=x' is not a host name"),
        ("", [], {"on": "ssh", "hosts": "h1,me@-oProxyCommand=x"}, "is not a host name; write names as in"),
        ("", [], {"on": "ssh", "hosts": "h1,$(reboot)"}, "'$(reboot)' is not a host name"),
        ("on: ssh\nhosts: ['h1 h2']\n", [], {}, "'h1 h2' is not a host name"),
        ("", ["colour=red"], {"on": "local"}, "colour: local has no such setting"),
        ("", ["colour"], {"on": "local"}, "write --with NAME=VALUE"),
        ("", [], {"on": "local", "name": "A b"}, "name: 'A b' can't be used in tags and labels"),
        ("", [], {"on": "local", "for_": "soon"}, "for: 'soon' is not a duration like"),
        ("", [], {"on": "local", "for_": "0s"}, "for: a fleet that ends at once"),
        ("on: local\nagents: many\n", [], {}, "agents: 'many' is not a whole number"),
        ("- on\n", [], {}, "is not a fleet file; write lines like"),
        ("on: [\n", [], {}, "fleet.yaml:2: not YAML: "),
        ("on: local\nfor: " + "[" * 5000, [], {}, "fleet.yaml:2: it nests deeper than 100 levels"),
        ("on: local\nname: a\nname: b\n", [], {}, "fleet.yaml:3: name: it is there twice, first in line 2"),
        ("on: local\nname: 2026-13-45\n", [], {}, "fleet.yaml:2: a value can't be used: month must be"),
        ("on: local\nname: a\0b\n", [], {}, "fleet.yaml' is not text: line 2 has a NUL byte"),
    ],
)
def test_an_error_names_the_setting(
    tmp_path: Path, text: str, pairs: list[str], flags: dict[str, object], message: str
) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(text)
    with pytest.raises(SettingError) as error:
        read_fleet_spec(str(file) if text else "", pairs, **flags)
    assert message in str(error.value)
    assert error.value.exit_code == ExitCode.CANNOT_START


def test_a_device_is_neither_a_fleet_file_nor_a_list_of_hosts() -> None:
    with pytest.raises(SettingError, match="fleet file: can't read '/dev/zero': it is a device"):
        read_fleet_spec("/dev/zero", [])
    with pytest.raises(SettingError, match="hosts: can't read '/dev/zero': it is a device"):
        read_fleet_spec("", [], on="ssh", hosts="/dev/zero")


def test_hosts_may_come_from_a_process_substitution() -> None:
    reader_end, writer_end = os.pipe()
    os.write(writer_end, "\ufeffh1\r\nh2 # the second\r\n".encode())
    os.close(writer_end)
    assert read_fleet_spec("", [], on="ssh", hosts=f"/dev/fd/{reader_end}").agents == 2
    os.close(reader_end)


@pytest.mark.parametrize(
    "name", ["h1", "me@h1", "10.0.0.1", "fe80::1%eth0", "ssh://me@h1:2222", "h_1.internal"]
)
def test_names_as_ssh_takes_them_are_host_names(name: str) -> None:
    assert Host(name).name == name


def test_python_can_not_make_a_host_of_an_option() -> None:
    with pytest.raises(SettingError, match="is not a host name"):
        Host("-oProxyCommand=x")


def test_settings_lists_all_settings() -> None:
    result = CliRunner().invoke(fleet, ["settings", "--on", "ssh"])
    assert result.exit_code == 0
    lines = [line for line in result.output.splitlines() if not line.startswith(" ")]
    assert [line.split()[0] for line in lines] == [setting.name for setting in SshProvider.settings]
    assert "has no settings" in CliRunner().invoke(fleet, ["settings", "--on", "local"]).output


def test_a_missing_bundle_is_reported_with_the_command_that_makes_it(tmp_path: Path) -> None:
    from heyfleet import __version__

    for name in (
        f"heyfleet-agent-{__version__}-python3.12-x86_64.tar.gz",
        "heyfleet-agent-0.0.1-python3.11-x86_64.tar.gz",
        "other.tar.gz",
    ):
        (tmp_path / name).touch()
    bundles = BundleSet(str(tmp_path))
    assert bundles.find("3.12", "x86_64").path.name.startswith(f"heyfleet-agent-{__version__}")
    with pytest.raises(DeployError, match=r"Python 3\.11 on x86_64.*`make bundle VERSION=3\.11`"):
        bundles.find("3.11", "x86_64")
    with pytest.raises(DeployError, match="there is no /nowhere"):
        BundleSet("/nowhere")
    with pytest.raises(DeployError, match="not named like a bundle"):
        BundleSet(str(tmp_path / "other.tar.gz"))
