"""Write the plain manifests beside this file: python -m heyfleet.deploy.k8s.render."""

from __future__ import annotations

from pathlib import Path

import yaml

from heyfleet.deploy.k8s import manifests
from heyfleet.deploy.k8s.manifests import Json, PodSettings

FOLDER = Path(__file__).parent / "manifests"
SERVER = (1, 29)
IMAGE = "heyfleet-agent:latest"
PORT = 7700
_COPY = (
    "import os, shutil; os.umask(0o077); shutil.copytree('/from', '/credentials/fleet', "
    "ignore=shutil.ignore_patterns('..*'), copy_function=shutil.copyfile)"
)
"""Copies without file modes, because those of a Secret's files would keep the controller from writing."""


def texts() -> dict[str, str]:
    """Return the content of each file by name."""
    job = manifests.job(
        "demo",
        0,
        agents=3,
        join=f"heyfleet-controller:{PORT}",
        lifetime_s=7200,
        pod_settings=PodSettings(image=IMAGE),
        server=SERVER,
    )
    return {
        "agents.yaml": _text("A Job of 3 agents. Needs the Secret heyfleet-demo.", [job]),
        "controller.yaml": _text("A controller. Needs the Secret heyfleet-credentials.", controller()),
        "role.yaml": _text("The fewest permissions that `--on k8s` needs.", [manifests.role("default")]),
    }


def _controller_pod() -> Json:
    """Return a pod that copies its credentials, because the controller records in them how often a token was used."""
    resources = {"cpu": "1", "memory": "512Mi"}
    common = {
        "image": IMAGE,
        "resources": {"requests": resources, "limits": dict(resources)},
        "securityContext": manifests.container_security(),
    }
    credentials = {"name": "credentials", "mountPath": "/credentials"}
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": manifests.GRACE_S,
        "securityContext": manifests.pod_security(),
        "initContainers": [
            {
                "name": "copy",
                "command": ["python3", "-c", _COPY],
                "volumeMounts": [{"name": "from", "mountPath": "/from", "readOnly": True}, credentials],
                **common,
            }
        ],
        "containers": [
            {
                "name": "controller",
                "args": ["controller", "--listen", f"0.0.0.0:{PORT}", "--credentials", "/credentials/fleet"],
                "ports": [{"name": "join", "containerPort": PORT}],
                "volumeMounts": [credentials, {"name": "scratch", "mountPath": "/tmp"}],  # noqa: S108
                **common,
            }
        ],
        "volumes": [
            {"name": "from", "secret": {"secretName": "heyfleet-credentials", "defaultMode": 0o440}},
            {"name": "credentials", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
            {"name": "scratch", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
        ],
    }


def controller() -> list[Json]:
    """Return the controller's Deployment and Service."""
    labels = {"app.kubernetes.io/name": "heyfleet-controller"}
    metadata = {"name": "heyfleet-controller", "labels": labels}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "replicas": 1,
                "strategy": {"type": "Recreate"},
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels, "annotations": {"sidecar.istio.io/inject": "false"}},
                    "spec": _controller_pod(),
                },
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": labels, "ports": [{"name": "join", "port": PORT, "targetPort": "join"}]},
        },
    ]


class _Dumper(yaml.SafeDumper):
    """A dumper that writes no anchors, because people read and edit these files."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(title: str, resources: list[Json]) -> str:
    comment = f"# {title} Written by heyfleet.deploy.k8s.render; see the README one folder up.\n"
    return comment + yaml.dump_all(resources, Dumper=_Dumper, sort_keys=False, width=120)


if __name__ == "__main__":
    for name, text in texts().items():
        (FOLDER / name).write_text(text)
