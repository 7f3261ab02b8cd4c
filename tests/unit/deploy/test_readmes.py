"""The commands of deploy/docker/README.md, deploy/ecs/README.md and deploy/k8s/README.md, as far as they run without a cloud.

Commands of heyfleet run as they stand there. Files that other programs are given exist, and names of secrets are those that
the manifests ask for.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pages import ROOT, commands

DOCKER, ECS, K8S = (f"deploy/{folder}/README.md" for folder in ("docker", "ecs", "k8s"))


@pytest.mark.parametrize("page", [DOCKER, ECS, K8S])
def test_files_that_commands_name_exist(page: str) -> None:
    files = [
        word for command in commands(page) for word in shlex.split(command) if word.startswith("deploy/")
    ]
    assert files
    assert [file for file in files if not (ROOT / file).exists()] == []


def test_the_make_targets_exist() -> None:
    for command in commands(DOCKER, "make"):
        done = subprocess.run([*shlex.split(command), "-n"], cwd=ROOT, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr


def test_the_heyfleet_commands_for_a_cluster(tmp_path: Path) -> None:
    for command in commands(K8S, "heyfleet"):
        words = shlex.split(command)[1:]
        if words[0] == "run":  # its controller is in the cluster, so only its plan is made
            words = ["plan", "show", *words[1:]]
        done = subprocess.run(
            [sys.executable, "-m", "heyfleet", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert {"ca.pem", "join.token", "operator.pem"} <= {path.name for path in (tmp_path / "fleet").iterdir()}


def test_the_secrets_for_a_cluster_are_those_of_the_manifests() -> None:
    created = set(re.findall(r"kubectl create secret generic (\S+)", "\n".join(commands(K8S))))
    manifests = "".join(path.read_text() for path in (ROOT / "deploy/k8s/manifests").glob("*.yaml"))
    assert created == set(re.findall(r"secretName: (\S+)", manifests))
