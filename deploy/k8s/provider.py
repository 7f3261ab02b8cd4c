"""Agents as pods of a Kubernetes cluster: a fleet is a Job, and a Secret that the Job owns."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from typing import Any, ClassVar

from heyfleet.deploy.k8s import manifests
from heyfleet.deploy.k8s import pod_status as reasons
from heyfleet.deploy.k8s.client import Cluster, Refused, connect
from heyfleet.deploy.k8s.manifests import EXPIRES, FLEET, Json, Shape, job_name
from heyfleet.deploy.provider import (
    ENDED,
    STARTING,
    DeployError,
    Instance,
    Instances,
    LaunchPlan,
    LaunchRequest,
    LaunchResult,
    Lines,
    Say,
)
from heyfleet.deploy.settings import Setting, SettingError

_POLL_S = 1.0
_GONE_WITHIN_S = manifests.GRACE_S + 60
_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?")


class K8sProvider:
    """See engine.Engine. Nobody needs to be there for a fleet's end: the Job has a deadline, and takes the Secret with it."""

    settings: ClassVar[tuple[Setting, ...]] = (
        Setting("image", "The agent's image, as the cluster's nodes pull it. Needed.", str),
        Setting("context", "Of the kubeconfig. Default: the current one.", str),
        Setting("namespace", "It must be there. Default: the context's.", str),
        Setting("cpu", "Of each agent, asked and limited.", str, "1"),
        Setting("memory", "Of each agent, asked and limited; its spool is in it.", str, "512Mi"),
        Setting("node_selector", "Labels of the nodes: NAME=VALUE with commas between.", list, ()),
        Setting("pull_secret", "The Secret with which the image is pulled.", str),
        Setting("service_account", "Of the pods; they get no token of it.", str),
    )
    tunnels: ClassVar[bool] = False

    def __init__(self, settings: dict[str, Any]) -> None:
        for name in ("cpu", "memory"):
            if not _QUANTITY.fullmatch(settings[name]):
                raise SettingError(f"{name}: {settings[name]!r} is not like 2, 500m or 512Mi")
        pairs = [each.partition("=") for each in settings["node_selector"]]
        for name, equals, value in pairs:
            if not name or not equals:
                raise SettingError(f"node_selector: {name + value!r} is not like NAME=VALUE")
        self._shape = Shape(
            image=settings["image"],
            cpu=settings["cpu"],
            memory=settings["memory"],
            node_selector={name: value for name, _, value in pairs},
            pull_secret=settings["pull_secret"],
            service_account=settings["service_account"],
        )
        self._context, self._namespace = settings["context"], settings["namespace"]
        self._connected: Cluster | None = None

    @property
    def _cluster(self) -> Cluster:
        if self._connected is None:
            self._connected = connect(self._context, self._namespace)
        return self._connected

    def plan(self, order: LaunchRequest) -> LaunchPlan:
        """See engine.Engine."""
        self._needs_image()
        cluster, name, shape = self._cluster, job_name(order.fleet), self._shape
        server = cluster.version()
        notes = [
            f"the cluster ends the Job after {order.lifetime_s} s, and removes it {manifests.KEPT_S} s after its end",
            "one agent a node as far as there are nodes; what has no room waits, and `fleet status` says why",
            "the seccomp profile RuntimeDefault often forbids io_uring: agents use epoll then",
        ]
        if server < manifests.PER_INDEX:
            notes.append(
                "the server is older than 1.29, or does not say: one agent that fails ends all of the Job"
            )
        return LaunchPlan(
            makes=[
                f"Job {name} in namespace {cluster.namespace} of {cluster.server}: {order.agents} pods of {shape.image}, "
                f"each with {shape.cpu} CPU and {shape.memory}",
                f"Secret {name}: ca.pem and join.token, owned by the Job",
            ],
            ports=[f"pods must reach {order.join} by TCP", f"this host must reach {cluster.server}"],
            policy=manifests.role(cluster.namespace),
            price_source="what the cluster's nodes cost",
            notes=notes,
        )

    def launch(self, order: LaunchRequest, say: Say) -> LaunchResult:
        """See engine.Engine. The Job goes first: pods wait for the Secret, and whatever is made the cluster itself removes."""
        self._needs_image()
        cluster = self._cluster
        expires_s = int(time.time()) + order.lifetime_s
        job = manifests.job(
            order.fleet,
            expires_s,
            agents=order.agents,
            join=order.join,
            lifetime_s=order.lifetime_s,
            shape=self._shape,
            server=cluster.version(),
        )
        say(f"making a Job of {order.agents} pods in namespace {cluster.namespace}")
        made = cluster.call("POST", cluster.jobs, job)
        secret = manifests.secret(order.fleet, expires_s, order.ca_pem, order.token, made["metadata"]["uid"])
        try:
            say("giving it the fleet's certificates and token")
            cluster.call("POST", cluster.core("secrets"), secret)
        except DeployError:
            self._delete(cluster.jobs, job_name(order.fleet))
            raise
        name = job_name(order.fleet)
        units = [
            Instance(
                fleet=order.fleet, id=f"{name}-{i}", name=f"{name}-{i}", state=STARTING, expires_s=expires_s
            )
            for i in range(order.agents)
        ]
        return LaunchResult(units=units)

    def list(self, fleet: str = "") -> Instances:
        """See engine.Engine. A pod that its Job could not make yet is a unit, too."""
        cluster, selector = self._cluster, _selector(fleet)
        jobs = cluster.all(cluster.jobs, selector)
        pods = cluster.all(cluster.core("pods"), selector)
        units = []
        for pod in pods:
            state, reason = reasons.of_pod(pod)
            units.append(_unit(pod, pod["metadata"]["name"], state, reason))
        of_fleet: dict[str, int] = {}
        for unit in units:
            of_fleet[unit.fleet] = of_fleet.get(unit.fleet, 0) + 1
        events: list[Json] | None = None
        for job in jobs:
            name = job["metadata"]["name"]
            missing = job["spec"]["parallelism"] - of_fleet.get(_label(job, FLEET), 0)
            if missing <= 0:
                continue
            state, reason = (ENDED, reasons.of_job(job)) if reasons.ended(job) else (STARTING, "")
            if state == STARTING:
                events = cluster.all(cluster.core("events")) if events is None else events
                reason = reasons.of_events(events, name)
            units += [_unit(job, f"{name}/{i}", state, reason) for i in range(missing)]
        return units

    def logs(self, fleet: str) -> Iterable[tuple[str, str]]:
        """See engine.Engine."""
        cluster = self._cluster
        for pod in cluster.all(cluster.core("pods"), _selector(fleet)):
            name = pod["metadata"]["name"]
            try:
                yield name, cluster.text(f"{cluster.core('pods')}/{name}/log")
            except Refused as error:
                yield name, error.message  # it has not started, or is gone by now

    def stop(self, fleet: str, say: Say) -> Lines:
        """See engine.Engine."""
        return self._removed(lambda _: True, _selector(fleet), say)

    def reap(self, say: Say, *, everything: bool = False) -> Lines:
        """See engine.Engine. In the namespace alone."""
        now_s = time.time()
        return self._removed(
            lambda made: everything or float(_label(made, EXPIRES) or "inf") <= now_s, _selector(""), say
        )

    def close(self) -> None:
        """See engine.Engine."""

    def _removed(self, wanted: Any, selector: str, say: Say) -> Lines:
        cluster = self._cluster
        removed, fleets = [], set()
        for kind, path in (("Job", cluster.jobs), ("Secret", cluster.core("secrets"))):
            for made in cluster.all(path, selector):
                if wanted(made):
                    name = made["metadata"]["name"]
                    say(f"removing {kind} {name}")
                    self._delete(path, name)
                    removed.append(f"{kind} {name}")
                    fleets.add(_label(made, FLEET))
        until_s = time.monotonic() + _GONE_WITHIN_S
        while fleets:
            pods = cluster.all(cluster.core("pods"), selector)
            left = sorted(pod["metadata"]["name"] for pod in pods if _label(pod, FLEET) in fleets)
            if not left:
                break
            if time.monotonic() > until_s:
                raise DeployError(
                    f"{len(left)} pods are still there, such as {left[0]}: is their node gone? kubectl describe pod {left[0]}"
                )
            time.sleep(_POLL_S)
        return removed

    def _delete(self, path: str, name: str) -> None:
        try:
            self._cluster.call("DELETE", f"{path}/{name}", {"propagationPolicy": "Background"})
        except Refused as error:
            if error.status != 404:  # the cluster was faster
                raise

    def _needs_image(self) -> None:
        if not self._shape.image:
            raise SettingError("image: --on k8s needs --with image=NAME, which deploy/docker makes")


def _selector(fleet: str) -> str:
    return f"{FLEET}={fleet}" if fleet else FLEET


def _label(made: Json, name: str) -> str:
    return str((made["metadata"].get("labels") or {}).get(name, ""))


def _unit(made: Json, id_: str, state: str, reason: str) -> Instance:
    # An agent is called as its host, which an Indexed Job names without what is random in the pod's name.
    name = str(made["spec"].get("hostname") or id_)
    expires_s = float(_label(made, EXPIRES) or 0)
    return Instance(
        fleet=_label(made, FLEET), id=id_, name=name, state=state, reason=reason, expires_s=expires_s
    )
