"""Fleet files and flags: what they mean, and what is wrong with them in words."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from heyfleet.cli.fleet import fleet
from heyfleet.deploy.fleet_spec import asked
from heyfleet.deploy.provider import DeployError
from heyfleet.deploy.settings import SettingError
from heyfleet.deploy.ssh.bundle import Bundles
from heyfleet.deploy.ssh.provider import SshProvider


def test_flags_go_before_the_file_and_hosts_may_be_in_files(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("h1  # the first\n\n# nobody\nh2\nh1\n")
    (tmp_path / "fleet.yaml").write_text("on: ssh\nhosts: [x]\nfor: 30m\nname: demo\nagents: 1\n")
    found = asked(str(tmp_path / "fleet.yaml"), [], hosts=str(tmp_path / "hosts"), for_="90s", agents=0)
    assert (found.on, found.name, found.agents, found.lifetime_s) == ("ssh", "demo", 1, 90)
    (tmp_path / "fleet.yaml").write_text("'on': ssh\nhosts: a,b , c\n")
    found = asked(str(tmp_path / "fleet.yaml"), [])
    assert (found.agents, found.lifetime_s, found.join) == (3, 7200, "")


@pytest.mark.parametrize(
    ("text", "pairs", "flags", "complaint"),
    [
        ("", [], {}, "where? --on local|ssh"),
        (
            "",
            [],
            {"on": "moon"},
            "--on moon: there is no such engine; there is local, ssh, ec2, asg, ecs, k8s",
        ),
        ("", [], {"on": "ssh"}, "hosts: --on ssh needs --hosts"),
        ("", [], {"on": "ssh", "hosts": "-oProxyCommand=x"}, "is no host's name"),
        ("", ["colour=red"], {"on": "local"}, "colour: local has no such setting"),
        ("", ["colour"], {"on": "local"}, "it is like --with NAME=VALUE"),
        ("", [], {"on": "local", "name": "A b"}, "name: 'A b' is not lower-case letters"),
        ("", [], {"on": "local", "for_": "soon"}, "for: 'soon' is not like 90s, 30m or 2h"),
        ("", [], {"on": "local", "for_": "0s"}, "for: a fleet that ends at once"),
        ("on: local\nagents: many\n", [], {}, "agents: 'many' is not a number"),
        ("- on\n", [], {}, "it should have lines like"),
        ("on: [\n", [], {}, "no YAML"),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, text: str, pairs: list[str], flags: dict[str, object], complaint: str
) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(text)
    with pytest.raises(SettingError) as error:
        asked(str(file) if text else "", pairs, **flags)
    assert complaint in error.value.message
    assert error.value.exit_code == 2


def test_all_settings_are_listed() -> None:
    listed = CliRunner().invoke(fleet, ["settings", "--on", "ssh"])
    assert listed.exit_code == 0
    lines = [line for line in listed.output.splitlines() if not line.startswith(" ")]
    assert [line.split()[0] for line in lines] == [setting.name for setting in SshProvider.settings]
    assert "has no settings" in CliRunner().invoke(fleet, ["settings", "--on", "local"]).output


def test_a_bundle_fits_or_it_is_said_how_to_make_one(tmp_path: Path) -> None:
    from heyfleet import __version__

    for name in (
        f"heyfleet-agent-{__version__}-python3.12-x86_64.tar.gz",
        "heyfleet-agent-0.0.1-python3.11-x86_64.tar.gz",
        "other.tar.gz",
    ):
        (tmp_path / name).touch()
    bundles = Bundles(str(tmp_path))
    assert bundles.fitting("3.12", "x86_64").path.name.startswith(f"heyfleet-agent-{__version__}")
    with pytest.raises(DeployError, match=r"Python 3\.11 on x86_64.*`make bundle VERSION=3\.11`"):
        bundles.fitting("3.11", "x86_64")
    with pytest.raises(DeployError, match="there is no /nowhere"):
        Bundles("/nowhere")
    with pytest.raises(DeployError, match="not named as"):
        Bundles(str(tmp_path / "other.tar.gz"))
