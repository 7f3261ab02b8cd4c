"""What is made in a cluster, as plain data: by the engine, and for the plain manifests beside this file."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

FLEET = "heyfleet.fleet"
EXPIRES = "heyfleet.expires"
FILES = "/run/heyfleet"
SPOOL = "/var/spool/heyfleet"
USER = 65532
GRACE_S = 30
KEPT_S = 600  # after a Job's end, so that its reasons can still be read
INDEXED, PER_INDEX = (1, 24), (1, 29)
"""The first server with Jobs whose pods have stable names; and the first where one pod that fails does not end the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What one agent is given."""

    image: str
    cpu: str = "1"
    memory: str = "512Mi"
    node_selector: dict[str, str] = field(default_factory=dict)
    pull_secret: str = ""
    service_account: str = ""


def job_name(fleet: str) -> str:
    """Of the Job, and of its Secret."""
    return f"heyfleet-{fleet}"


def labels(fleet: str, expires_s: int) -> Json:
    """On all that is made."""
    return {
        "app.kubernetes.io/name": "heyfleet-agent",
        FLEET: fleet,
        **({EXPIRES: str(expires_s)} if expires_s else {}),
    }


def secret(fleet: str, expires_s: int, ca_pem: bytes, token: bytes, owner_uid: str) -> Json:
    """CA and token. The Job owns it, so that the cluster removes it with the Job."""
    files = {"ca.pem": ca_pem, "join.token": token}
    name = job_name(fleet)
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": owner_uid}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "labels": labels(fleet, expires_s), "ownerReferences": [owner]},
        "type": "Opaque",
        "data": {file: base64.b64encode(content).decode() for file, content in files.items()},
    }


def job(
    fleet: str,
    expires_s: int,
    *,
    agents: int,
    join: str,
    lifetime_s: int,
    shape: Shape,
    server: tuple[int, int],
) -> Json:
    """So many agents, each at most once; the cluster itself ends them after the lifetime, and removes the Job after that."""
    spec: Json = {
        "completions": agents,
        "parallelism": agents,
        "activeDeadlineSeconds": lifetime_s,
        "ttlSecondsAfterFinished": KEPT_S,
        "template": {
            # Meshes would put a proxy into the way of the load, and keep the pod from ending.
            "metadata": {
                "labels": {**labels(fleet, expires_s), "sidecar.istio.io/inject": "false"},
                "annotations": {"sidecar.istio.io/inject": "false", "linkerd.io/inject": "disabled"},
            },
            "spec": _pod(fleet, join, shape),
        },
    }
    if server >= INDEXED:
        spec["completionMode"] = "Indexed"
    spec |= {"backoffLimitPerIndex": 0} if server >= PER_INDEX else {"backoffLimit": 0}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": job_name(fleet), "labels": labels(fleet, expires_s)},
        "spec": spec,
    }


def _pod(fleet: str, join: str, shape: Shape) -> Json:
    resources = {"cpu": shape.cpu, "memory": shape.memory}
    files = {"ca": f"{FILES}/ca.pem", "token-file": f"{FILES}/join.token", "spool": SPOOL}
    arguments = [
        "agent",
        "--join",
        join,
        *(word for name, path in files.items() for word in (f"--{name}", path)),
    ]
    pod: Json = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_S,
        "securityContext": {
            **pod_security(),
            # A safe sysctl: no kubelet needs a flag for it. More local ports, more connections to one address.
            "sysctls": [{"name": "net.ipv4.ip_local_port_range", "value": "1024 65535"}],
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {FLEET: fleet}},
            }
        ],
        "containers": [
            {
                "name": "agent",
                "image": shape.image,
                "args": arguments,
                "resources": {"requests": resources, "limits": dict(resources)},
                "securityContext": container_security(),
                "volumeMounts": [
                    {"name": "files", "mountPath": FILES, "readOnly": True},
                    {"name": "spool", "mountPath": SPOOL},
                    {"name": "scratch", "mountPath": "/tmp"},  # noqa: S108 - the pod's own
                ],
            }
        ],
        "volumes": [
            # 0440: such files are root's, and the agent reads them by fsGroup, which 0400 would keep out.
            {"name": "files", "secret": {"secretName": job_name(fleet), "defaultMode": 0o440}},
            {"name": "spool", "emptyDir": {"medium": "Memory", "sizeLimit": "128Mi"}},
            {"name": "scratch", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
        ],
    }
    if shape.node_selector:
        pod["nodeSelector"] = dict(shape.node_selector)
    if shape.pull_secret:
        pod["imagePullSecrets"] = [{"name": shape.pull_secret}]
    if shape.service_account:
        pod["serviceAccountName"] = shape.service_account
    return pod


def pod_security() -> Json:
    """Non-root. RuntimeDefault often forbids io_uring: then agents use epoll, and say so."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Json:
    """Nothing beyond its own files."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def role(namespace: str) -> Json:
    """The least that the engine must be allowed to do."""
    rules = [
        ("batch", ["jobs"], ["create", "list", "delete"]),
        ("", ["secrets"], ["create", "list", "delete"]),
        ("", ["pods"], ["list"]),
        ("", ["pods/log"], ["get"]),
        ("", ["events"], ["list"]),
    ]
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "heyfleet", "namespace": namespace},
        "rules": [{"apiGroups": [group], "resources": what, "verbs": verbs} for group, what, verbs in rules],
    }
