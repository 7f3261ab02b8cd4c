"""The commands of docs/how-to/deploy-ec2.md on moto's account, and the template for those without our Python."""

from __future__ import annotations

import base64
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from heyfleet.cli.main import main
from heyfleet.deploy.ec2 import provider as ec2_provider
from heyfleet.deploy.ec2.bundle_store import BundleSource
from heyfleet.deploy.ec2.user_data import render_agent
from heyfleet.deploy.provider import HeadNode, LaunchRequest
from tests.pages import heyfleet_commands

from .account import BUCKET, Account, account, launch_request, quiet

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
ROOT = Path(__file__).parents[4]
COMMANDS = [line for line in heyfleet_commands("docs/how-to/deploy-ec2.md") if "--on ec2" in line]


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    with account(tmp_path, monkeypatch) as made:
        monkeypatch.setattr(ec2_provider, "_POLL_S", 0.01)
        # What EC2 would give is nobody here, and must not be dialled.
        nowhere = "127.0.0.1:9"
        monkeypatch.setattr(
            ec2_provider,
            "wait_for_addresses",
            lambda _, key, *more: HeadNode(id=key, internal_address=nowhere, external_address=nowhere),
        )
        monkeypatch.chdir(tmp_path)
        yield made


def test_the_commands(aws: Account) -> None:
    """Those that wait for agents to join must be refused for their absence, and leave nothing."""
    seen = []
    for command in COMMANDS:
        line = command.replace("dist/heyfleet-agent.tar.gz", str(aws.bundle)).replace("my-bucket", BUCKET)
        line = re.sub(r"(10\.0\.0\.1):7700", "127.0.0.1:9", line)
        line = line.replace("sg-0123", aws.ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"])
        # moto knows no image by Debian's parameter.
        line += f" --with ami={aws.ami}" if " up " in line or line.startswith("run") else ""
        words = shlex.split(line)
        if words[0] == "run":
            words = [*words, "--join-timeout", "100ms", "--listen", "127.0.0.1:0"]
        if "--head" in words:
            words += ["--wait", "1s"]
        if words[1] == "status":
            aws.provider().launch(launch_request(2), quiet)
        result = CliRunner().invoke(main, words)
        said = result.output
        if "--dry-run" in words:
            assert result.exit_code == 0, said
            assert "required permissions:" in said
        elif words[0] == "run":
            assert result.exit_code == 2, said
            assert "0 of 20 agents joined within 0.1 s" in said
            assert "removed: " in said
        elif "--head" in words:
            assert result.exit_code == 1, said
            assert "open port 7700 to this host and to the agents" in said
            assert "removed instance " in said
        elif words[1] == "up":
            assert result.exit_code == 2, said
            assert "--credentials" in said
        else:
            assert result.exit_code == 0, said
        assert words[1] in {"status", "logs"} or aws.left() == []
        seen.append(words[1])
    assert seen[3:] == ["status", "logs", "down", "reap", "up", "down"]


def test_two_parameters_of_the_template_hold_the_user_data() -> None:
    token = b"t" * 100  # what a real one has, and a CA and a presigned URL of usual length
    request = LaunchRequest(
        fleet="f", agents=1, join="boss:7700", ca_pem=b"c" * 600, token=token, lifetime_s=7200
    )
    script = render_agent(request, BundleSource("https://host/" + "u" * 500, "a" * 64))
    assert 4000 < len(base64.b64encode(script.encode())) < 4000 + 4096


def test_the_template_is_clean() -> None:
    lint = Path(sys.executable).with_name("cfn-lint")
    run = subprocess.run(
        [str(lint), str(ROOT / "deploy/ec2/template.yaml")], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout) == (0, ""), run.stdout + run.stderr
