"""A test double of Fargate: moto as the API server, and for each of its tasks a container of the agent image in a namespace.

moto knows tasks as rows. Whoever runs this does what ECS does with them: reads their secrets, starts the container that their
definition describes, tells it its name, passes signals on, and says what became of it. No permissions, no pulling, no Fargate.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ecs.models import ecs_backends
from moto.logs.models import logs_backends
from moto.moto_api import state_manager
from moto.secretsmanager.models import secretsmanager_backends

from .hosts import Hosts
from .moto_server import REGION, moto_server

CLUSTER = "load"
_LOOK_EVERY_S = 0.2
_PODMAN = ("podman", "--runtime", "runc", "--cgroup-manager", "cgroupfs", "run", "--rm", "--cap-drop", "all")


class _Metadata(BaseHTTPRequestHandler):
    """The task metadata endpoint, whose URI ends with the task's ARN."""

    def do_GET(self) -> None:
        arn = self.path.removeprefix("/").removesuffix("/task")
        body = json.dumps({"TaskARN": arn}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Fargate:
    """The tasks of one cluster; each runs once, in the first free namespace."""

    def __init__(self, network: Hosts, image: str, hosts_at_most: int, names: Mapping[str, str]) -> None:
        self._network = network
        self._image = image
        self._free = range(1, hosts_at_most + 1)
        self._names = names
        self._hosts_at_most: dict[str, int] = {}
        self._backend = ecs_backends[DEFAULT_ACCOUNT_ID][REGION]
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look)
        self._containers: dict[str, subprocess.Popen[str]] = {}
        self._said: dict[str, list[str]] = {}
        self._readers: list[threading.Thread] = []
        self.refuse: Callable[[int], str] = lambda number: ""
        """Returns for a task's number, from 1 on, why it does not start, or an empty string."""
        self._metadata = ThreadingHTTPServer((network.here, 0), _Metadata)
        self._serve = threading.Thread(
            target=self._metadata.serve_forever, kwargs={"poll_interval": _LOOK_EVERY_S}
        )

    def start(self) -> None:
        """Start watching for tasks."""
        self._serve.start()
        self._watch.start()

    def stop(self) -> None:
        """End everything that runs."""
        self._over.set()
        self._watch.join()
        for container in self._containers.values():
            if container.poll() is None:
                container.kill()
            container.wait()
        ours = [f"heyfleet-task-{arn.rpartition('/')[2]}" for arn in self._containers]
        if ours:
            subprocess.run(["podman", "rm", "-f", "-i", "-t", "0", *ours], check=False, capture_output=True)
        for reader in self._readers:
            reader.join()
        self._metadata.shutdown()
        self._serve.join()
        self._metadata.server_close()

    def notice(self, number: int) -> None:
        """Reclaim a task as Fargate Spot does: SIGTERM, and some time to end."""
        task = self._backend.tasks[CLUSTER][self.arns[number - 1]]
        task.stopped_reason = "Your Spot Task was interrupted."
        task.desired_status = "STOPPED"

    def output(self, arn: str) -> str:
        """Return the output of a task's container."""
        return "".join(self._said.get(arn, ()))

    @property
    def arns(self) -> list[str]:
        """The ARNs of all tasks that were ever started."""
        return list(self._containers)

    @property
    def running(self) -> list[str]:
        """The ARNs of tasks whose container exists."""
        return [arn for arn, container in self._containers.items() if container.poll() is None]

    def _look(self) -> None:
        asked: set[str] = set()
        number = 0
        while not self._over.wait(_LOOK_EVERY_S):
            known: dict[str, Any] = self._backend.tasks.get(CLUSTER, {})
            for arn, task in list(known.items()):
                container = self._containers.get(arn)
                if container is None and task.status == "PROVISIONING":
                    number += 1
                    if why := self.refuse(number):
                        task.status, task.desired_status, task.stopped_reason = "STOPPED", "STOPPED", why
                        task.stop_code = "TaskFailedToStart"
                        continue
                    taken = {self._hosts_at_most[each] for each in self.running}
                    place = self._hosts_at_most[arn] = next(each for each in self._free if each not in taken)
                    self._containers[arn] = self._run(task, place)
                    task.status = "RUNNING"
                elif container is not None and task.status != "STOPPED":
                    if container.poll() is not None:
                        task.status = task.desired_status = "STOPPED"
                        task.stopped_reason = task.stopped_reason or "Essential container in task exited"
                        task.containers[0].exitCode = container.returncode
                    elif task.desired_status == "STOPPED" and arn not in asked:
                        asked.add(arn)
                        task.status = "STOPPING"
                        container.terminate()  # podman forwards the signal to the first process in it

    def _run(self, task: Any, place: int) -> subprocess.Popen[str]:
        found = self._backend.describe_task_definition(task.task_definition_arn)
        container: dict[str, Any] = found.container_definitions[0]
        names = [each["name"] for each in container["secrets"]]
        values = {each["name"]: _secret(each["valueFrom"]) for each in container["secrets"]}
        here, port = self._metadata.server_address[:2]
        command = [
            *_PODMAN,
            *("--name", f"heyfleet-task-{task.id}"),
            *("--network", f"ns:/run/netns/{self._network.space(place)}"),
            *(word for name, at in self._names.items() for word in ("--add-host", f"{name}:{at}")),
            # The limit that a test machine's kernel grants; the definition has more.
            *("--ulimit", "nofile=20000:20000", "--ulimit", "nproc=4096:4096"),
            # By name only, because values would show on a command line.
            *(word for name in names for word in ("-e", name)),
            *("-e", f"ECS_CONTAINER_METADATA_URI_V4=http://{here!s}:{port}/{task.task_arn}"),
            *("--entrypoint", json.dumps(container["entryPoint"]), self._image, *container["command"]),
        ]
        space = self._network.enter(place)
        for each in container["systemControls"]:
            subprocess.run([*space, "sysctl", "-qw", f"{each['namespace']}={each['value']}"], check=True)
        made = subprocess.Popen(
            command, env={**os.environ, **values}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._said[task.task_arn] = []
        stream = _log_stream(container, task)
        reader = threading.Thread(target=self._read, args=(made.stdout, self._said[task.task_arn], stream))
        self._readers.append(reader)
        reader.start()
        return made

    @staticmethod
    def _read(output: Any, into: list[str], stream: Any) -> None:
        with output:
            for line in output:
                into.append(line)
                if stream is not None:
                    event = {"timestamp": int(time.time() * 1000), "message": line.rstrip("\n")}
                    stream.put_log_events([event])


def _secret(value_from: str) -> str:
    """Return a secret's value for ECS's notation ARN:KEY::."""
    arn, _, key = value_from.removesuffix("::").rpartition(":")
    held: Any = secretsmanager_backends[DEFAULT_ACCOUNT_ID][REGION].get_secret_value(arn, "", "")
    text: str = json.loads(held["SecretString"])[key]
    return text


def _log_stream(container: dict[str, Any], task: Any) -> Any:
    """Return the log stream of the awslogs driver for a container, if it uses that driver."""
    if "logConfiguration" not in container:
        return None
    options = container["logConfiguration"]["options"]
    name = f"{options['awslogs-stream-prefix']}/{container['name']}/{task.id}"
    group = logs_backends[DEFAULT_ACCOUNT_ID][REGION].groups[options["awslogs-group"]]
    group.create_log_stream(name)
    return group.streams[name]


def _as_ecs_does(backend: Any, subnet: str, group: str) -> None:
    """Let tasks start and stop with their container; in moto they do at once. All subnets are the same."""
    run, stop = backend.run_task, backend.stop_task

    def run_task(*words: Any, **more: Any) -> Any:
        for word in words:
            if isinstance(word, dict) and "awsvpcConfiguration" in word:
                word["awsvpcConfiguration"] |= {"subnets": [subnet], "securityGroups": [group]}
        made = run(*words, **more)
        for task in made:
            task.status = "PROVISIONING"
        return made

    def stop_task(cluster: str, arn: str, reason: str) -> Any:
        task = backend.tasks[cluster][arn]
        status = task.status
        found = stop(cluster, arn, reason)
        task.status = status
        return found

    backend.run_task = run_task
    backend.stop_task = stop_task


@contextmanager
def fargate(
    network: Hosts, image: str, hosts_at_most: int = 6, names: Mapping[str, str] | None = None
) -> Iterator[tuple[Fargate, dict[str, str], list[str]]]:
    """Yield the double, the environment for the AWS client, and the settings of its only subnet.

    Tasks are hosts 1 to `hosts_at_most` of the network. They resolve these names, and write to the log group `agents`.
    """
    with contextlib.ExitStack() as undo:
        _, environment = undo.enter_context(moto_server(network.here))
        state_manager.set_transition("ecs::task", {"progression": "manual", "times": 1 << 30})
        undo.callback(state_manager.unset_transition, "ecs::task")
        clients = boto3.session.Session(region_name=REGION)
        clients.client("ecs").create_cluster(clusterName=CLUSTER)
        clients.client("logs").create_log_group(logGroupName="agents")
        ec2 = clients.client("ec2")
        vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
        subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
        group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
        _as_ecs_does(ecs_backends[DEFAULT_ACCOUNT_ID][REGION], subnet, group)
        settings = [
            f"cluster={CLUSTER}",
            f"image={image}",
            "subnets=subnet-1",
            "execution_role=arn:aws:iam::123456789012:role/pull",
        ]
        made = Fargate(network, image, hosts_at_most, names or {})
        made.start()
        undo.callback(made.stop)
        yield made, environment, [word for each in settings for word in ("--with", each)]
