"""Every command of docs/start/tour.md as written, against targets in less than their time."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from heyfleet.cli.main import main

from ..conftest import VpcLambda
from ..pages import commands, heyfleet_commands

ROOT = Path(__file__).parents[2]
COMMANDS = commands("docs/start/tour.md", "heyfleet", "curl")
ON_AWS = heyfleet_commands("examples/vpc-lambda/aws/README.md")
# Fast enough for a test, and slow enough for the difference to show on a busy machine.
TIME_SCALE = ("--time-scale", "0.3")


def test_the_tour(tmp_path: Path, start_vpc_lambda: Callable[..., VpcLambda]) -> None:
    target: VpcLambda | None = None
    outputs: list[str] = []
    for command in COMMANDS:
        program, *words = shlex.split(command)
        if words[0] == "lab":
            if target is not None:
                assert "500 requests" in target.summary()
            target = start_vpc_lambda(*words[2:], *TIME_SCALE)
            continue
        assert target is not None
        words = [word.replace("http://127.0.0.1:8080/", target.url("/")) for word in words]
        line = ["curl", "-s"] if program == "curl" else [sys.executable, "-m", "heyfleet"]
        run = subprocess.run([*line, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        outputs.append(run.stdout)
    assert target is not None
    assert "1000 requests" in target.summary()
    before, counters, after, comparison, *rest = outputs
    assert len(rest) == 3
    assert "[200]\t500 responses" in before
    assert '"cold_starts": 50' in counters
    assert "[200]\t500 responses" in after
    assert re.search(r"p99 fell by [6-9]\d%", comparison)
    assert (tmp_path / "compared.html").stat().st_size > 100_000


@pytest.mark.parametrize("command", ON_AWS)
def test_the_commands_for_aws_say_a_plan_that_is_good(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they would make is asked with --dry-run; the first needs no agents, and is only checked."""
    for name, value in (
        ("AWS_DEFAULT_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "x"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # nobody is asked for prices
    bundle = tmp_path / "heyfleet-agent.tar.gz"
    bundle.write_bytes(b"x")
    words = shlex.split(command.replace("dist/heyfleet-agent.tar.gz", str(bundle)))
    words = [str(ROOT / word) if word.startswith("examples/") else word for word in words]
    if "--on" in words:
        result = CliRunner().invoke(main, [*words, "--dry-run"])
        assert "tagged heyfleet:fleet" in result.output or "tasks" in result.output, result.output
    else:
        result = CliRunner().invoke(main, ["plan", "check", words[2]])
    assert result.exit_code == 0, result.output


def test_the_template_is_good() -> None:
    lint = Path(sys.executable).with_name("cfn-lint")
    done = subprocess.run(
        [lint, ROOT / "examples/vpc-lambda/aws/template.yaml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
