"""The Kubernetes resources of a fleet as plain data, for the provider and for the manifests beside this file."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

FLEET_LABEL = "heyfleet.fleet"
EXPIRES_LABEL = "heyfleet.expires"
FILES = "/run/heyfleet"
SPOOL = "/var/spool/heyfleet"
USER = 65532
GRACE_S = 30
KEPT_S = 600  # after a Job's end, so that people can still read its events and logs
INDEXED_SINCE = (1, 24)
"""The first server version whose Jobs can give pods stable names."""
PER_INDEX_SINCE = (1, 29)
"""The first server version where a pod that fails does not end the others of its Job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSettings:
    """What all pods of a fleet have in common."""

    image: str
    cpu: str = "1"
    memory: str = "512Mi"
    node_selector: dict[str, str] = field(default_factory=dict)
    pull_secret: str = ""
    service_account: str = ""


def job_name(fleet: str) -> str:
    """Return the name of a fleet's Job and of its Secret."""
    return f"heyfleet-{fleet}"


def labels(fleet: str, expires_s: int) -> Json:
    """Return the labels of every resource; without an expiry for the manifests that people apply themselves."""
    return {
        "app.kubernetes.io/name": "heyfleet-agent",
        FLEET_LABEL: fleet,
        **({EXPIRES_LABEL: str(expires_s)} if expires_s else {}),
    }


def secret(fleet: str, expires_s: int, ca_pem: bytes, token: bytes, owner_uid: str) -> Json:
    """Return the Secret with CA and token. The Job owns it, so the cluster removes it with the Job."""
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
    pod_settings: PodSettings,
    server: tuple[int, int],
) -> Json:
    """Return a Job that starts each agent at most once. The cluster ends it after its lifetime, and removes it later."""
    spec: Json = {
        "completions": agents,
        "parallelism": agents,
        "activeDeadlineSeconds": lifetime_s,
        "ttlSecondsAfterFinished": KEPT_S,
        "template": {
            # A service mesh's proxy would slow the load down and keep the pod from ending.
            "metadata": {
                "labels": {**labels(fleet, expires_s), "sidecar.istio.io/inject": "false"},
                "annotations": {"sidecar.istio.io/inject": "false", "linkerd.io/inject": "disabled"},
            },
            "spec": _pod(fleet, join, pod_settings),
        },
    }
    if server >= INDEXED_SINCE:
        spec["completionMode"] = "Indexed"
    spec |= {"backoffLimitPerIndex": 0} if server >= PER_INDEX_SINCE else {"backoffLimit": 0}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": job_name(fleet), "labels": labels(fleet, expires_s)},
        "spec": spec,
    }


def _pod(fleet: str, join: str, settings: PodSettings) -> Json:
    resources = {"cpu": settings.cpu, "memory": settings.memory}
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
            # More local ports allow more connections to one address. No kubelet needs a flag for this sysctl.
            "sysctls": [{"name": "net.ipv4.ip_local_port_range", "value": "1024 65535"}],
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {FLEET_LABEL: fleet}},
            }
        ],
        "containers": [
            {
                "name": "agent",
                "image": settings.image,
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
            # 0440, because root owns the files and the agent reads them through fsGroup.
            {"name": "files", "secret": {"secretName": job_name(fleet), "defaultMode": 0o440}},
            {"name": "spool", "emptyDir": {"medium": "Memory", "sizeLimit": "128Mi"}},
            {"name": "scratch", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
        ],
    }
    if settings.node_selector:
        pod["nodeSelector"] = dict(settings.node_selector)
    if settings.pull_secret:
        pod["imagePullSecrets"] = [{"name": settings.pull_secret}]
    if settings.service_account:
        pod["serviceAccountName"] = settings.service_account
    return pod


def pod_security() -> Json:
    """Return a non-root security context. RuntimeDefault often forbids io_uring; agents then use epoll and report it."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Json:
    """Return a container security context without privileges or write access to the image."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def role(namespace: str) -> Json:
    """Return the Role with the fewest permissions that the provider needs."""
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
        "rules": [
            {"apiGroups": [group], "resources": kinds, "verbs": verbs} for group, kinds, verbs in rules
        ],
    }
