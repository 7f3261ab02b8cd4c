"""What the provider makes, and the plain manifests, against the schemas of Kubernetes itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from heyfleet.deploy.k8s import manifests
from heyfleet.deploy.k8s import render as plain
from heyfleet.deploy.k8s.manifests import PodSettings

VERSION = "1.34"
GOLDEN = Path(__file__).parent / "job.yaml"
FULL = PodSettings(
    image="an/image:1",
    cpu="2",
    memory="1Gi",
    node_selector={"disk": "fast"},
    pull_secret="pull",
    service_account="loader",
)


def job(server: tuple[int, int] = (1, 29), shape: PodSettings = FULL) -> dict[str, Any]:
    return manifests.job(
        "demo", 1800000000, agents=3, join="boss:7700", lifetime_s=600, pod_settings=shape, server=server
    )


def valid(made: dict[str, Any]) -> None:
    kubernetes_validate.validate(made, VERSION, strict=True)


def test_the_job_is_as_it_was_agreed() -> None:
    assert job() == yaml.safe_load(GOLDEN.read_text())


@pytest.mark.parametrize("server", [(0, 0), (1, 20), (1, 24), (1, 29)])
@pytest.mark.parametrize("shape", [FULL, PodSettings(image="i")])
def test_all_that_is_made_is_valid(server: tuple[int, int], shape: PodSettings) -> None:
    valid(job(server, shape))
    valid(manifests.secret("demo", 1800000000, b"CA", b"T", "uid"))
    valid(manifests.role("load"))


def test_the_schemas_find_what_is_wrong() -> None:
    with pytest.raises(kubernetes_validate.ValidationError):
        valid({**job(), "surplus": 1})


def test_older_servers_get_what_they_know() -> None:
    assert job((1, 28))["spec"]["backoffLimit"] == 0
    assert job((1, 28))["spec"]["completionMode"] == "Indexed"
    assert "completionMode" not in job((1, 20))["spec"]
    assert "backoffLimitPerIndex" not in job((1, 28))["spec"]


@pytest.mark.parametrize("name", plain.texts())
def test_plain_manifests_are_what_the_engine_makes(name: str) -> None:
    text = (plain.FOLDER / name).read_text()
    assert text == plain.texts()[name]
    for made in yaml.safe_load_all(text):
        valid(made)


def test_there_is_no_other_plain_manifest() -> None:
    assert {path.name for path in plain.FOLDER.iterdir()} == set(plain.texts())
