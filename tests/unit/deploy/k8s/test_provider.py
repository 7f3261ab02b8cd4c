"""The Kubernetes provider with the real client, against a double of the API server on loopback."""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from heyfleet.deploy.k8s import client as cluster_module
from heyfleet.deploy.k8s.client import Cluster
from heyfleet.deploy.k8s.provider import K8sProvider
from heyfleet.deploy.provider import ENDED, RUNNING, STARTING, LaunchRequest
from heyfleet.deploy.settings import SettingError, read
from heyfleet.errors import DeployError

from ..kills import KILLS
from .server import NAMESPACE, Double, serving

TOKEN = b"a-very-secret-token"


@pytest.fixture
def double(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Double]:
    with serving() as made:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{"name": "c", "cluster": {"server": made.url}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [
                {"name": "here", "context": {"cluster": "c", "user": "u", "namespace": NAMESPACE}},
                {"name": "other", "context": {"cluster": "c", "user": "u", "namespace": "elsewhere"}},
            ],
        }
        path = tmp_path / "config"
        path.write_text(yaml.safe_dump(config))
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(path))
        yield made


def provider(**given: object) -> K8sProvider:
    return K8sProvider(read("k8s", K8sProvider.settings, {"image": "an/image:1", **given}))


def launch_request(agents: int = 3, fleet: str = "demo", lifetime_s: int = 600) -> LaunchRequest:
    return LaunchRequest(
        fleet=fleet, agents=agents, join="boss:7700", ca_pem=b"CA", token=TOKEN, lifetime_s=lifetime_s
    )


def quiet(_: str) -> None:
    pass


def test_up_status_logs_down(double: Double) -> None:
    said: list[str] = []
    made = provider().launch(launch_request(), said.append)
    assert len(made.instances) == 3
    assert not made.failures
    assert TOKEN.decode() not in " ".join(said)
    assert double.left() == [
        "jobs/heyfleet-demo",
        "secrets/heyfleet-demo",
        *(f"pods/heyfleet-demo-{i:04}-x" for i in range(3)),
    ]
    job, secret = double.bodies
    assert base64.b64decode(secret["data"]["join.token"]) == TOKEN
    assert secret["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]
    assert job["spec"]["activeDeadlineSeconds"] == 600

    provider().launch(launch_request(2, "second"), quiet)
    found = provider().list("demo")
    assert [(instance.fleet, instance.state) for instance in found] == [("demo", STARTING)] * 3
    assert abs(found[0].expires_s - time.time() - 600) < 300
    assert [instance.name for instance in found] == [instance.name for instance in made.instances]
    assert len(provider().list()) == 5
    assert dict(provider().logs("second")) == {
        f"heyfleet-second-{i:04}-x": f"said by heyfleet-second-{i:04}-x\n" for i in range(2)
    }
    assert provider().stop("demo", quiet) == ["Job heyfleet-demo"]
    assert {instance.fleet for instance in provider().list()} == {"second"}
    assert provider().reap(quiet) == []
    assert provider().reap(quiet, everything=True) == ["Job heyfleet-second"]
    assert double.left() == []


def test_a_thousand_are_one_job_and_all_are_found(double: Double) -> None:
    assert len(provider().launch(launch_request(1000), quiet).instances) == 1000
    assert double.calls == ["POST jobs", "POST secrets"]
    assert double.bodies[0]["spec"]["parallelism"] == double.bodies[0]["spec"]["completions"] == 1000
    assert len({instance.id for instance in provider().list("demo")}) == 1000


class Killed(BaseException):
    """As a SIGKILL: nothing of the deployer runs after it."""


def live(made: K8sProvider) -> None:
    """A whole life of a fleet: more calls than any seed lets it make."""
    made.launch(launch_request(3, lifetime_s=0), quiet)
    made.stop("demo", quiet)
    for _ in range(3):
        made.list("demo")


def test_nothing_is_left_after_kills_and_a_reap(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    call = Cluster.call
    left_by_kills = 0
    for seed in range(2 * KILLS):
        chance = random.Random(seed)
        at, took_effect, calls = chance.randrange(8), chance.random() < 0.5, 0

        def dying(
            self: Cluster, *words: Any, at: int = at, took_effect: bool = took_effect, **query: Any
        ) -> Any:
            nonlocal calls
            calls += 1
            if calls == at + 1:
                if took_effect:
                    call(self, *words, **query)
                raise Killed
            return call(self, *words, **query)

        with monkeypatch.context() as patch:
            patch.setattr(Cluster, "call", dying)
            with pytest.raises(Killed):
                live(provider())
        left_by_kills += bool(double.left())
        provider().reap(quiet)
        assert double.left() == [], f"seed {seed}"
    assert left_by_kills > KILLS / 4


@pytest.mark.parametrize(
    ("method", "kind", "status", "said", "cure"),
    [
        ("POST", "jobs", 403, "User u cannot create resource jobs", "ask for the Role that --dry-run prints"),
        ("POST", "jobs", 403, "forbidden: exceeded quota: count/jobs.batch", "ask for a larger quota"),
        ("POST", "jobs", 404, 'namespaces "load" not found', "kubectl create namespace load"),
        ("POST", "jobs", 401, "Unauthorized", "log in to the cluster again"),
        ("POST", "secrets", 403, "User u cannot create resource secrets", "ask for the Role"),
        ("POST", "secrets", 409, "already exists", "use heyfleet fleet down, or another --name"),
    ],
)
def test_a_refusal_is_one_line_and_leaves_nothing(
    double: Double, method: str, kind: str, status: int, said: str, cure: str
) -> None:
    double.refusals[method, kind] = (status, said)
    with pytest.raises(DeployError) as caught:
        provider().launch(launch_request(), quiet)
    message = str(caught.value)
    assert said in message
    assert cure in message
    assert "\n" not in message
    assert TOKEN.decode() not in message
    assert double.left() == []


def test_a_fleet_that_is_there_is_not_touched(double: Double) -> None:
    provider().launch(launch_request(), quiet)
    before = double.left()
    with pytest.raises(DeployError, match="a fleet of this name exists"):
        provider().launch(launch_request(), quiet)
    assert double.left() == before


def test_no_cluster(double: Double, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="kubectl config get-contexts"):
        provider(context="nowhere").list()
    with pytest.raises(DeployError, match="kubectl create namespace elsewhere"):
        provider(context="other").list()
    config = tmp_path / "config"
    config.write_text(config.read_text().replace(double.url, "http://127.0.0.1:1"))
    with pytest.raises(DeployError, match=r"127\.0\.0\.1:1 can't be reached"):
        provider().list()
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    monkeypatch.setattr(cluster_module, "_NAMESPACE_IN_POD", tmp_path / "none")
    with pytest.raises(DeployError, match="set KUBECONFIG"):
        provider().list()


def test_reasons(double: Double) -> None:
    double.pods_at_most = 4
    provider().launch(launch_request(5), quiet)
    pods = list(double.kept["pods"].values())
    pulling = {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "an/image:1"'}}
    pods[0]["status"]["containerStatuses"] = [{"state": pulling}]
    unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    pods[1]["status"]["conditions"] = [{**unschedulable, "message": "0/3 nodes: Insufficient cpu."}]
    killed = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}
    pods[2]["status"] = {"phase": "Failed", "containerStatuses": [{"state": killed}]}
    pods[3]["status"] = {"phase": "Running", "containerStatuses": [{"state": {"running": {}}}]}
    double.kept["events"]["e"] = {
        "metadata": {"name": "e"},
        "involvedObject": {"name": "heyfleet-demo"},
        "reason": "FailedCreate",
        "message": "exceeded quota: pods=4",
    }
    assert [(instance.state, instance.reason) for instance in provider().list("demo")] == [
        (STARTING, 'ImagePullBackOff: Back-off pulling image "an/image:1"'),
        (STARTING, "Unschedulable: 0/3 nodes: Insufficient cpu."),
        (ENDED, "OOMKilled, exit code 137"),
        (RUNNING, ""),
        (STARTING, "FailedCreate: exceeded quota: pods=4"),
    ]
    double.kept["pods"].clear()
    over = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "was too long"}
    double.kept["jobs"]["heyfleet-demo"]["status"] = {"conditions": [over]}
    assert {(instance.state, instance.reason) for instance in provider().list("demo")} == {
        (ENDED, "DeadlineExceeded: was too long")
    }


def test_a_plan_changes_nothing(double: Double) -> None:
    plan = "\n".join(provider().plan(launch_request()).lines())
    assert "Job heyfleet-demo in namespace load" in plan
    assert "boss:7700" in plan
    assert '"pods/log"' in plan
    assert TOKEN.decode() not in plan
    assert double.calls == []
    double.version = {"major": "1", "minor": "24"}
    assert any("older than 1.29" in note for note in provider().plan(launch_request()).notes)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"image": ""}, "image: --on k8s needs it"),
        ({"cpu": "many"}, "cpu: 'many' is not a quantity"),
        ({"node_selector": "gpu"}, "node_selector: 'gpu' is not NAME=VALUE"),
    ],
)
def test_bad_settings(double: Double, given: dict[str, str], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        provider(**given).launch(launch_request(), quiet)
    assert double.calls == []
