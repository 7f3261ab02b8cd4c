"""The Helm chart with the real helm: what it makes is valid, and the same as the provider's."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from heyfleet.deploy.k8s import manifests
from heyfleet.deploy.k8s import render as plain
from heyfleet.deploy.k8s.manifests import PodSettings

ROOT = Path(__file__).parents[4]
HELM = ROOT / "build/helm/helm"
CHART = str(ROOT / "deploy/k8s/chart")

pytestmark = [
    pytest.mark.others,
    pytest.mark.skipif(not HELM.exists(), reason="no build/helm/helm: scripts/helm.sh fetches it"),
]


def helm(*words: str) -> str:
    run = subprocess.run([HELM, *words], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def made(*words: str, kube: str = "1.34.0") -> dict[str, dict[str, Any]]:
    """By kind; each valid."""
    text = helm("template", "demo", CHART, "--kube-version", kube, *words)
    found = [each for each in yaml.safe_load_all(text) if each]
    for each in found:
        kubernetes_validate.validate(each, "1.34", strict=True)
    return {each["kind"]: each for each in found}


def test_lint() -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", CHART)


@pytest.mark.parametrize(("kube", "server"), [("1.34.0", (1, 34)), ("1.28.0", (1, 28))])
def test_its_job_is_the_engine_s(kube: str, server: tuple[int, int]) -> None:
    words = ["--set", "join=boss:7700,agents=5,pullSecret=pull,nodeSelector.disk=fast"]
    expected = manifests.job(
        "demo",
        0,
        agents=5,
        join="boss:7700",
        lifetime_s=7200,
        pod_settings=PodSettings(image=plain.IMAGE, node_selector={"disk": "fast"}, pull_secret="pull"),
        server=server,
    )
    found = made(*words, kube=kube)
    assert set(found) == {"Job"}
    assert found["Job"] == expected


def test_its_controller_is_the_plain_one() -> None:
    found = made("--set", "controller.enabled=true,join=boss:7700")
    assert set(found) == {"Job", "Deployment", "Service"}
    deployment, service = plain.controller()
    template = found["Deployment"]["spec"]["template"]
    assert template["spec"] == deployment["spec"]["template"]["spec"]
    assert found["Service"]["spec"]["ports"] == service["spec"]["ports"]
    assert found["Service"]["spec"]["selector"].items() <= template["metadata"]["labels"].items()


def test_agents_join_the_controller_of_the_chart() -> None:
    found = made("--set", "controller.enabled=true")
    name = found["Service"]["metadata"]["name"]
    assert f"{name}:{plain.PORT}" in found["Job"]["spec"]["template"]["spec"]["containers"][0]["args"]


def test_its_secret(tmp_path: Path) -> None:
    for name in ("ca", "token"):
        (tmp_path / name).write_text(name)
    words = [word for name in ("ca", "token") for word in ("--set-file", f"files.{name}={tmp_path / name}")]
    assert set(made(*words)["Secret"]["data"]) == {"ca.pem", "join.token"}
