"""The provider k8s: agents as pods of a Kubernetes cluster. A fleet is a Job, and a Secret that the Job owns."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from heyfleet.deploy.k8s import manifests, pod_status
from heyfleet.deploy.k8s.client import ApiError, Cluster, connect
from heyfleet.deploy.k8s.manifests import EXPIRES_LABEL, FLEET_LABEL, Json, PodSettings, job_name
from heyfleet.deploy.provider import (
    ENDED,
    STARTING,
    Instance,
    Instances,
    LaunchPlan,
    LaunchRequest,
    LaunchResult,
    LaunchSpec,
    Lines,
    Log,
)
from heyfleet.deploy.settings import Setting, SettingError
from heyfleet.errors import DeployError
from heyfleet.text import plural

_POLL_S = 1.0
_GONE_WITHIN_S = manifests.GRACE_S + 60
_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?")


class K8sProvider:
    """A provider for one namespace of a cluster.

    The cluster ends a fleet by itself: the Job has a deadline, and takes its Secret with it.
    """

    settings: ClassVar[tuple[Setting, ...]] = (
        Setting("image", "Agent image, as the cluster's nodes pull it. Required.", str),
        Setting("context", "Context of the kubeconfig. Default: the current one.", str),
        Setting("namespace", "Existing namespace. Default: the context's.", str),
        Setting("cpu", "CPU request and limit of each agent.", str, "1"),
        Setting("memory", "Memory request and limit of each agent, which includes its spool.", str, "512Mi"),
        Setting("node_selector", "Labels of suitable nodes: NAME=VALUE, separated by commas.", list, ()),
        Setting("pull_secret", "Secret to pull the image with.", str),
        Setting("service_account", "Service account of the pods, which get no token for it.", str),
    )
    tunnels: ClassVar[bool] = False

    def __init__(self, settings: dict[str, Any]) -> None:
        for name in ("cpu", "memory"):
            if not _QUANTITY.fullmatch(settings[name]):
                raise SettingError(f"{name}: {settings[name]!r} is not a quantity like 2, 500m or 512Mi")
        pairs = [each.partition("=") for each in settings["node_selector"]]
        for name, equals, value in pairs:
            if not name or not equals:
                raise SettingError(f"node_selector: {name + value!r} is not NAME=VALUE")
        self._pod_settings = PodSettings(
            image=settings["image"],
            cpu=settings["cpu"],
            memory=settings["memory"],
            node_selector={name: value for name, _, value in pairs},
            pull_secret=settings["pull_secret"],
            service_account=settings["service_account"],
        )
        self._context, self._namespace = settings["context"], settings["namespace"]
        self._connection: Cluster | None = None

    @property
    def _cluster(self) -> Cluster:
        if self._connection is None:
            self._connection = connect(self._context, self._namespace)
        return self._connection

    def plan(self, spec: LaunchSpec) -> LaunchPlan:
        """See Provider.plan."""
        self._require_image()
        cluster, name, pod = self._cluster, job_name(spec.fleet), self._pod_settings
        notes = [
            f"the cluster ends the Job after {spec.lifetime}, and removes it {manifests.KEPT_S} s later",
            "agents are spread over the nodes; those that find no room wait, and `fleet status` shows why",
            "the seccomp profile RuntimeDefault often forbids io_uring; agents then use epoll",
        ]
        if cluster.version() < manifests.PER_INDEX_SINCE:
            notes.append(
                "the server is older than 1.29, or of unknown version: one agent that fails ends the whole Job"
            )
        return LaunchPlan(
            resources=[
                f"Job {name} in namespace {cluster.namespace} of {cluster.server}: "
                f"{plural(spec.agents, 'pod')} of {pod.image}, each with {pod.cpu} CPU and {pod.memory}",
                f"Secret {name} with ca.pem and join.token, owned by the Job",
            ],
            network=[f"pods must reach {spec.join} by TCP", f"this host must reach {cluster.server}"],
            policy=manifests.role(cluster.namespace),
            price_source="depends on the cluster's nodes",
            notes=notes,
        )

    def launch(self, request: LaunchRequest, log: Log) -> LaunchResult:
        """See Provider.launch. The Job comes first: it owns the Secret, which its pods wait for."""
        self._require_image()
        cluster, name = self._cluster, job_name(request.fleet)
        expires_s = int(time.time()) + request.lifetime_s
        job = manifests.job(
            request.fleet,
            expires_s,
            agents=request.agents,
            join=request.join,
            lifetime_s=request.lifetime_s,
            pod_settings=self._pod_settings,
            server=cluster.version(),
        )
        log(f"creating a Job of {plural(request.agents, 'pod')} in namespace {cluster.namespace}")
        uid = cluster.call("POST", cluster.jobs, job)["metadata"]["uid"]
        secret = manifests.secret(request.fleet, expires_s, request.ca_pem, request.token, uid)
        try:
            log("creating its Secret with the certificate and token")
            cluster.call("POST", cluster.core("secrets"), secret)
        except DeployError:
            self._delete(cluster.jobs, name)
            raise
        instances = [
            Instance(
                fleet=request.fleet, id=f"{name}-{i}", name=f"{name}-{i}", state=STARTING, expires_s=expires_s
            )
            for i in range(request.agents)
        ]
        return LaunchResult(instances=instances)

    def list(self, fleet: str = "") -> Instances:
        """See Provider.list. Includes pods that their Job could not create yet."""
        cluster, selector = self._cluster, _selector(fleet)
        jobs = cluster.all(cluster.jobs, selector)
        pods = cluster.all(cluster.core("pods"), selector)
        instances = [_instance(pod, pod["metadata"]["name"], *pod_status.pod_state(pod)) for pod in pods]
        pods_per_fleet = Counter(instance.fleet for instance in instances)
        events: list[Json] | None = None
        for job in jobs:
            name = job["metadata"]["name"]
            missing = job["spec"]["parallelism"] - pods_per_fleet[_label(job, FLEET_LABEL)]
            if missing <= 0:
                continue
            state, reason = STARTING, ""
            if pod_status.job_has_ended(job):
                state, reason = ENDED, pod_status.job_failure(job)
            else:
                events = cluster.all(cluster.core("events")) if events is None else events
                reason = pod_status.creation_failure(events, name)
            instances += [_instance(job, f"{name}/{i}", state, reason) for i in range(missing)]
        return instances

    def logs(self, fleet: str) -> Iterable[tuple[str, str]]:
        """See Provider.logs."""
        cluster = self._cluster
        for pod in cluster.all(cluster.core("pods"), _selector(fleet)):
            name = pod["metadata"]["name"]
            try:
                yield name, cluster.text(f"{cluster.core('pods')}/{name}/log")
            except ApiError as error:  # the pod has not started, or is gone by now
                yield name, str(error)

    def stop(self, fleet: str, log: Log) -> Lines:
        """See Provider.stop."""
        return self._remove(lambda _: True, _selector(fleet), log)

    def reap(self, log: Log, *, everything: bool = False) -> Lines:
        """See Provider.reap. Covers this namespace only."""
        now_s = time.time()

        def is_expired(resource: Json) -> bool:
            return everything or float(_label(resource, EXPIRES_LABEL) or "inf") <= now_s

        return self._remove(is_expired, _selector(""), log)

    def close(self) -> None:
        """Do nothing: no resource lives in this process."""

    def _remove(self, is_selected: Callable[[Json], bool], selector: str, log: Log) -> Lines:
        """Delete Jobs and Secrets, and wait until the pods of their fleets are gone."""
        cluster = self._cluster
        removed, fleets = [], set()
        for kind, path in (("Job", cluster.jobs), ("Secret", cluster.core("secrets"))):
            for resource in cluster.all(path, selector):
                if is_selected(resource):
                    name = resource["metadata"]["name"]
                    log(f"removing {kind} {name}")
                    self._delete(path, name)
                    removed.append(f"{kind} {name}")
                    fleets.add(_label(resource, FLEET_LABEL))
        deadline_s = time.monotonic() + _GONE_WITHIN_S
        while fleets:
            pods = cluster.all(cluster.core("pods"), selector)
            left = sorted(pod["metadata"]["name"] for pod in pods if _label(pod, FLEET_LABEL) in fleets)
            if not left:
                break
            if time.monotonic() > deadline_s:
                raise DeployError(
                    f"{plural(len(left), 'pod')} still there, such as {left[0]}",
                    f"check whether its node is gone: kubectl describe pod {left[0]}",
                )
            time.sleep(_POLL_S)
        return removed

    def _delete(self, path: str, name: str) -> None:
        try:
            self._cluster.call("DELETE", f"{path}/{name}", {"propagationPolicy": "Background"})
        except ApiError as error:
            if error.status != 404:  # the cluster may have removed it first
                raise

    def _require_image(self) -> None:
        if not self._pod_settings.image:
            raise SettingError("image: --on k8s needs it", "use --with image=NAME; deploy/docker builds one")


def _selector(fleet: str) -> str:
    return f"{FLEET_LABEL}={fleet}" if fleet else FLEET_LABEL


def _label(resource: Json, name: str) -> str:
    return str((resource["metadata"].get("labels") or {}).get(name, ""))


def _instance(resource: Json, instance_id: str, state: str, reason: str) -> Instance:
    # An agent is named after its host, which in an Indexed Job lacks the random part of the pod's name.
    return Instance(
        fleet=_label(resource, FLEET_LABEL),
        id=instance_id,
        name=str(resource["spec"].get("hostname") or instance_id),
        state=state,
        reason=reason,
        expires_s=float(_label(resource, EXPIRES_LABEL) or 0),
    )
